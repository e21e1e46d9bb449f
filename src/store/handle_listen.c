/* handle_listen.c: who wants to hear what happens to any mailbox of an account: from imap and http, under a
 * grant. The events themselves go out through watches.c. */
#include "store/context.h"

static void listen_work(struct job *job)
{
    job->account->listeners++;
    job->state = job->account;
}

static void answer_listening(struct job *job)
{
    struct wire_mbox_listening listening = {
        .err = job_err(job), .code = job_code(job), .text = job_text(job)};
    bool made;
    struct watch *w = job->state ? watch_get(job->store, job->role, job->slot, 0, &made) : NULL;
    if (w) {
        w->uses++;
        listening.watch = w->id;
    } else if (job->state) {
        listening.err = ERR_LATER;
        listening.code = STORE_CODE_LIMIT;
    }
    wire_reply(job->link, job->request, WIRE_MBOX_LISTENING, false, &listening);
}

/* Who asked is gone. */
static void undo_listen(struct job *job)
{
    bool made;
    struct watch *w = job->state ? watch_get(job->store, job->role, job->slot, 0, &made) : NULL;
    if (!w)
        return;
    w->uses++;
    watch_drop_use(job->store, w, false);
}

static const struct job_op listen_op = {
    .work = listen_work, .answer = answer_listening, .discard = undo_listen};

bool listen_on_listen(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_mbox_listen *m = message;
    struct slot *slot;
    if (!packet->request || !store_check_grant(ctx, link, packet, &m->grant, &listen_op, &slot))
        return false;
    if (slot)
        job_start(ctx, slot, &listen_op, link, packet, 0, 0);
    return true;
}
