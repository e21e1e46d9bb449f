/* handle_listen.c: who wants to hear what happens to any mailbox of an account, and to those others share
 * with it: from imap and http, under a grant. The events themselves go out through watches.c and hearsay.c.
 */
#include "store/context.h"

struct listen_state {
    struct slice subscribed; /* of other accounts: wire_strings */
};

static bool take_subscribed(struct job *job, struct listen_state *state)
{
    size_t at = 0;
    const struct subscription *s;
    AUTO_BUF struct buf names = buf_new(EAR_NAMES_MAX);
    while ((s = map_next(job->account->subscriptions, &at, NULL)))
        if (slice_starts(s->name, SLICE(MAILBOX_OTHERS "/")))
            wire_strings_add(&names, s->name);
    if (!buf_ok(&names)) {
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_LIMIT, "too many subscriptions");
        return false;
    }
    state->subscribed = arena_dup(job->arena, buf_slice(&names));
    return true;
}

static void listen_work(struct job *job)
{
    const struct wire_mbox_listen *m = job->message;
    struct listen_state *state = ARENA_NEW(job->arena, struct listen_state);
    *state = (struct listen_state){SLICE_EMPTY};
    if (m->others && !take_subscribed(job, state))
        return;
    job->account->listeners++;
    job->state = state;
}

static void answer_listening(struct job *job)
{
    struct wire_mbox_listening listening = {
        .err = job_err(job), .code = job_code(job), .text = job_text(job)};
    bool made;
    const struct wire_mbox_listen *m = job->message;
    const struct listen_state *state = job->state;
    struct watch *w = state ? watch_get(job->store, job->role, job->slot, 0, &made) : NULL;
    if (w) {
        w->uses++;
        if (m->others)
            ear_join(job->store, w, state->subscribed);
        listening.watch = w->id;
    } else if (state) {
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
