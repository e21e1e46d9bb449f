/* cmd_expunge.c: EXPUNGE and UID EXPUNGE (RFC 9051 section 6.4.3, RFC 4315 section 2.1). */
#include "imap/capability.h"
#include "imap/command.h"

struct expunge_work {
    struct imap_set_builder uids; /* UID EXPUNGE; otherwise all */
    size_t at;
};

static void work_free(void *arg)
{
    imap_set_builder_free(&((struct expunge_work *)arg)->uids);
}

static void on_expunged(struct session *s, void *arg, enum err err, struct ipc_packet *packet);

static void finish(struct session *s)
{
    if (s->condstore)
        imap_session_done(s, "OK [HIGHESTMODSEQ %llu] Expunge completed",
                          (unsigned long long)imap_view_live_modseq(&s->selected->view));
    else
        imap_session_done(s, "OK Expunge completed");
}

/* No UIDs at all would mean every message: that is asked for only by EXPUNGE itself. */
static void send_next(struct session *s)
{
    struct expunge_work *work = s->run->state;
    struct imap_set set = imap_set_builder_view(&work->uids);
    AUTO_BUF struct buf pairs = buf_new(WIRE_BLOB_MAX);
    if (!imap_session_take_pairs(&set, &work->at, &pairs)) {
        finish(s);
        return;
    }
    const struct wire_expunge expunge = {
        .grant = s->grant, .watch = s->selected->mailbox->watch, .uids = buf_slice(&pairs)};
    imap_session_ask(s, ROLE_STORE, WIRE_EXPUNGE, &expunge, on_expunged);
}

static void on_expunged(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_expunged expunged;
    err = wire_answer(err, packet, WIRE_EXPUNGED, &expunged);
    if (err || expunged.err)
        imap_session_refused(s, err ? err : expunged.err, expunged.code, expunged.text);
    else if (s->run->state)
        send_next(s);
    else
        finish(s);
}

void imap_cmd_expunge(struct session *s)
{
    struct run *run = s->run;
    if (s->selected->read_only) {
        imap_session_done(s, "NO [NOPERM] Mailbox is read-only");
        return;
    }
    if (!run->command.uid) {
        const struct wire_expunge all = {.grant = s->grant, .watch = s->selected->mailbox->watch};
        imap_session_ask(s, ROLE_STORE, WIRE_EXPUNGE, &all, on_expunged);
        return;
    }
    if (!imap_session_resolve(s, &run->command.expunge.set))
        return;
    struct expunge_work *work = ARENA_NEW(run->arena, struct expunge_work);
    work->uids = imap_view_uids(&s->selected->view, &run->command.expunge.set, true);
    arena_defer(run->arena, work_free, work);
    run->state = work;
    send_next(s);
}
