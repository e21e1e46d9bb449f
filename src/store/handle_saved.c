/* handle_saved.c: when messages of an open mailbox were saved (FETCH SAVEDATE, RFC 8514). From imap and http,
 * under a grant and a watch. */
#include "store/context.h"
#include "store/saved.h"

#define SAVED_PACKET (48u * 1024 / SAVED_RANGE * SAVED_RANGE)

static void free_ranges(void *arg)
{
    buf_free(arg);
}

static void work(struct job *job)
{
    struct mailbox *mailbox;
    job->err = account_view(job->account, job->mailbox, &mailbox, &job->refusal.why);
    if (job->err)
        return;
    struct buf *ranges = ARENA_NEW(job->arena, struct buf);
    *ranges = buf_new(SAVED_MAX);
    arena_defer(job->arena, free_ranges, ranges);
    job->err = saved_ranges(job->account, job->mailbox, ranges, &job->refusal.why);
    job->state = ranges;
}

static void answer(struct job *job)
{
    struct wire_saved saved = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    struct slice rest = !job->err && job->state ? buf_slice(job->state) : SLICE_EMPTY;
    do {
        saved.ranges = slice_sub(rest, 0, SAVED_PACKET);
        rest = slice_from(rest, saved.ranges.len);
        wire_reply(job->link, job->request, WIRE_SAVED, rest.len > 0, &saved);
    } while (rest.len);
}

static const struct job_op op = {.work = work, .answer = answer};

bool message_on_saved(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_saved_get *m = message;
    return message_start(ctx, link, packet, &m->grant, m->watch, &op);
}
