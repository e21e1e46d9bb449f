/* cmd_compress.c: COMPRESS=DEFLATE (RFC 4978). The work is net/stream_deflate.c's; here is the moment. */
#include "imap/command.h"

/* The answer is the last that goes as it is, so what is before it, files too, must be gone. */
static void begin(struct session *s)
{
    struct stream *stream = s->stream;
    if (stream_pending(stream) > 0) {
        s->run->resume = begin;
        return;
    }
    if (stream_input(stream).len > 0) {
        imap_session_done(s, "BAD Nothing may follow COMPRESS before its answer");
        return;
    }
    imap_session_done(s, "OK DEFLATE active");
    if (!s->closing && !stream_start_deflate(stream))
        imap_session_bye(s, "[SERVERBUG] Compression could not begin"); /* it was announced */
}

void imap_cmd_compress(struct session *s)
{
    if (!slice_ieq(s->run->command.compress.algorithm, SLICE("DEFLATE")))
        imap_session_done(s, "BAD Unknown algorithm");
    else if (stream_is_deflated(s->stream))
        imap_session_done(s, "BAD [COMPRESSIONACTIVE] DEFLATE is active already");
    else
        begin(s);
}
