/* sending.c: 8-bit bytes and the summary a signature needs. Reads strangers' messages; called by job.c. */
#include "scan/sending.h"

#include <string.h>

#include "grammar/mime.h"

struct sending sending_new(void)
{
    return (struct sending){.names = buf_new(DKIM_NAMES_MAX), .fields = buf_new(DKIM_FIELDS_MAX)};
}

void sending_free(struct sending *sending)
{
    buf_free(&sending->names);
    buf_free(&sending->fields);
}

void sending_fill_whole(struct arena *arena, struct slice header, struct slice body, bool sign,
                        struct sending *sending)
{
    struct dkim_summary summary;
    sending->eightbit = !slice_is_ascii(body);
    sending->utf8_header = !slice_is_ascii(header);
    sending->header_len = header.len;
    sending->can_sign = sign && header.len <= MIME_MAX_HEADER &&
                        dkim_summarize_in(arena, header, &body, 1, &summary, NULL) == ERR_OK;
    if (!sending->can_sign)
        return;
    memcpy(sending->hash, summary.hash, sizeof sending->hash);
    buf_add(&sending->names, summary.names);
    buf_add(&sending->fields, summary.fields);
}

/* Cuts lie in the header as it was received. */
static struct slice served_header_in(struct arena *arena, struct slice received, const struct facts *facts)
{
    AUTO_BUF struct buf header = buf_new(facts->header_len);
    uint64_t at = 0;
    buf_add(&header, facts->added);
    for (size_t i = 0; i < facts->cut_count; i++) {
        buf_add(&header, slice_sub(received, at, facts->cuts[i].off - at));
        at = facts->cuts[i].off + facts->cuts[i].len;
    }
    buf_add(&header, slice_from(received, at));
    return arena_dup(arena, buf_slice(&header));
}

void sending_fill(struct arena *arena, struct slice received, const struct facts *facts, bool sign,
                  struct sending *sending)
{
    uint64_t header_len = facts->header_len - facts->added.len;
    for (size_t i = 0; i < facts->cut_count; i++)
        header_len += facts->cuts[i].len;
    struct slice header = slice_sub(received, 0, header_len), body = slice_from(received, header_len);
    if (facts->header_len > MIME_MAX_HEADER) {
        sending->eightbit = !slice_is_ascii(body);
        sending->utf8_header = !slice_is_ascii(header);
        return;
    }
    if (facts->cut_count || facts->added.len)
        header = served_header_in(arena, header, facts);
    sending_fill_whole(arena, header, body, sign, sending);
}
