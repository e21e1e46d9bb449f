/* handle_remove.c: named messages go, with or without \Deleted: what POP3 deleted (RFC 1939 section 6). All
 * of them in one commit, so more ranges than a packet holds come in sealed memory. Input: UID ranges of imap,
 * any number up to the bound. */
#include "base/io.h"
#include "store/acl.h"
#include "store/alter.h"
#include "store/context.h"

static void remove_work(struct job *job)
{
    const struct wire_remove *m = job->message;
    const struct buf *list = job->state; /* NULL: the ranges are in the message */
    struct wire_expunged *expunged = ARENA_NEW(job->arena, struct wire_expunged);
    struct mailbox *mailbox = NULL;
    job->state = NULL;
    job->err = account_view(job->account, job->mailbox, &mailbox, &job->refusal.why);
    if (!job->err)
        job->err = alter_remove(job->account, mailbox, list ? buf_slice(list) : m->uids, &expunged->count,
                                &job->refusal);
    if (job->err)
        return;
    expunged->modseq = mailbox->modseq;
    job->state = expunged;
}

static void remove_answer(struct job *job)
{
    struct wire_expunged expunged = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    if (!job->err && job->state)
        expunged = *(const struct wire_expunged *)job->state;
    wire_reply(job->link, job->request, WIRE_EXPUNGED, false, &expunged);
}

/* What goes without \Deleted could have been given it. */
static const struct job_op remove_op = {
    .work = remove_work, .answer = remove_answer, .rights = RIGHT_EXPUNGE | RIGHT_DELETED_FLAG};

static void free_list(void *arg)
{
    buf_free(arg);
}

/* Read once: what was checked is what is used. False when it is no list of ranges. */
static bool read_list(int fd, struct buf *list)
{
    struct stat st;
    size_t got = 0;
    if (!io_is_sealed(fd) || io_fstat(fd, &st, NULL) != ERR_OK || st.st_size <= 0 ||
        st.st_size > WIRE_REMOVE_MAX)
        return false;
    uint8_t *room = buf_reserve(list, (size_t)st.st_size);
    if (!room || io_pread(fd, room, (size_t)st.st_size, 0, &got, NULL) != ERR_OK)
        return false;
    buf_added(list, got);
    return message_uids_are_sane(buf_slice(list));
}

static bool start_with_list(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                            const struct wire_remove *m)
{
    struct buf list = buf_new(WIRE_REMOVE_MAX);
    struct watch *w = NULL;
    bool good = packet->request && m->uids.len == 0 && read_list(packet->fds[0], &list) &&
                store_check_watch(store, link, packet, &m->grant, m->watch, &remove_op, &w);
    if (!good || !w) {
        buf_free(&list);
        return good;
    }
    struct job *job = job_new(store, w->slot, &remove_op, link, packet, w->id, w->mailbox);
    struct buf *kept = ARENA_NEW(job->arena, struct buf);
    *kept = list;
    arena_defer(job->arena, free_list, kept);
    job->state = kept;
    job_run(job);
    return true;
}

bool remove_on_remove(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_remove *m = message;
    if (packet->fd_count > 0)
        return start_with_list(ctx, link, packet, m);
    return m->uids.len > 0 && message_uids_are_sane(m->uids) &&
           message_start(ctx, link, packet, &m->grant, m->watch, &remove_op);
}
