/* cmd_idle.c: IDLE (RFC 2177): news as they happen until the client says DONE. */
#include "imap/command.h"
#include "imap/search_context.h"
#include "imap/notify.h"

#define DONE_MAX 100 /* octets of the line that ends it */
#define ROUNDS   3   /* then others get their turn; the next notice of store goes on */

static void tell_news(struct session *s)
{
    if (!s->selected)
        return;
    if (s->selected->gone) {
        imap_session_bye(s, "The selected mailbox was deleted");
        return;
    }
    /* What changes while it is told is told in the next round; when the output is full, `resume` goes on. */
    bool told = true;
    for (int round = 0; round < ROUNDS && told; round++) {
        imap_sync_begin(s, true);
        told = imap_sync_step(s) && imap_context_step(s);
        if (!imap_sync_is_pending(s))
            break;
    }
    if (!told || !imap_notify_fetch(s))
        stream_flush(s->stream);
}

static void read_done(struct session *s)
{
    struct slice line;
    size_t used;
    if (!imap_line_take(stream_input(s->stream), DONE_MAX, &line, &used)) {
        if (used > 0)
            imap_session_bye(s, "Expected DONE");
        return;
    }
    bool done = slice_ieq(line, SLICE("DONE"));
    stream_consume(s->stream, used);
    metric_sub(METRIC_IMAP_IDLE, 0, 1);
    s->run->stop = NULL;
    imap_session_done(s, done ? "OK Idle completed" : "BAD Expected DONE");
}

static void stopped(struct session *s)
{
    (void)s;
    metric_sub(METRIC_IMAP_IDLE, 0, 1);
}

void imap_cmd_idle(struct session *s)
{
    struct run *run = s->run;
    buf_add_str(imap_session_output(s), "+ idling\r\n");
    metric_add(METRIC_IMAP_IDLE, 0, 1);
    run->input = read_done;
    run->resume = tell_news;
    run->changed = tell_news;
    run->stop = stopped;
    tell_news(s);
}
