/* cmd_store.c: STORE and UID STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3). */
#include "imap/command.h"

struct store_work {
    struct imap_set_builder uids;     /* for store */
    size_t at;                        /* ranges sent */
    struct imap_set_builder modified; /* left alone by UNCHANGEDSINCE */
    struct imap_view_walk walk;       /* of the answers */
};

static void work_free(void *arg)
{
    struct store_work *work = arg;
    imap_set_builder_free(&work->uids);
    imap_set_builder_free(&work->modified);
}

/* The messages UNCHANGEDSINCE left alone, as the client names messages. */
static void finish_modified(struct session *s)
{
    struct store_work *work = s->run->state;
    struct imap_set uids = imap_set_builder_view(&work->modified);
    struct imap_set_builder named = imap_set_builder_new();
    struct imap_message m;
    for (struct imap_view_walk w = imap_view_walk(&s->selected->view, &uids, true); imap_view_next(&w, &m);)
        imap_set_builder_add(&named, s->run->command.uid ? m.uid : m.seq);
    struct imap_set set = imap_set_builder_view(&named);
    AUTO_BUF struct buf answer = buf_new(IMAP_SET_BUILT_MAX);
    buf_add_str(&answer, "OK [MODIFIED ");
    imap_set_write(&answer, &set);
    buf_add_str(&answer, "] Conditional store failed for some messages");
    imap_set_builder_free(&named);
    imap_session_answer(s, set.count > 0 ? buf_slice(&answer) : SLICE("OK Store completed"));
}

static void write_modseq(struct session *s, const struct imap_message *m, uint64_t modseq)
{
    struct buf *out = imap_session_output(s);
    imap_write_fetch_head(s, m);
    if (!s->uidonly && (s->run->command.uid || s->qresync))
        buf_addf(out, "UID %u ", m->uid);
    buf_addf(out, "MODSEQ (%llu))\r\n", (unsigned long long)modseq);
}

/* "* n FETCH (FLAGS (…))" for each message; after a silent one only what CONDSTORE demands (RFC 7162
 * section 3.1.3). */
static void write_results(struct session *s)
{
    struct run *run = s->run;
    struct store_work *work = run->state;
    struct imap_set modified = imap_set_builder_view(&work->modified);
    struct imap_message m;
    bool silent = run->command.store.silent;
    while (!silent || s->condstore) {
        if (imap_session_is_full(s)) {
            run->resume = write_results;
            return;
        }
        if (!imap_view_next(&work->walk, &m))
            break;
        struct image_state state = imap_view_state(&s->selected->view, m.index);
        if ((state.flags & IMAGE_EXPUNGED) || imap_set_contains(&modified, m.uid))
            continue;
        if (silent)
            write_modseq(s, &m, state.modseq);
        else
            imap_write_fetch_flags(s, &m, run->command.uid);
    }
    if (modified.count > 0)
        finish_modified(s);
    else
        imap_session_done(s, "OK Store completed");
}

static void begin_results(struct session *s)
{
    struct store_work *work = s->run->state;
    struct imap_view *view = &s->selected->view;
    imap_write_new_keywords(s);
    work->walk = imap_view_walk(view, &s->run->command.store.set, s->run->command.uid);
    write_results(s);
}

static void on_stored(struct session *s, void *arg, enum err err, struct ipc_packet *packet);

/* The next ranges to store, or the answers when all are done. */
static void send_next(struct session *s)
{
    struct imap_command *c = &s->run->command;
    struct store_work *work = s->run->state;
    static const enum flags_mode modes[] = {FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE};
    struct imap_set uids = imap_set_builder_view(&work->uids);
    AUTO_BUF struct buf pairs = buf_new(WIRE_BLOB_MAX), keywords = buf_new(WIRE_BLOB_MAX);
    if (!imap_session_take_pairs(&uids, &work->at, &pairs)) {
        begin_results(s);
        return;
    }
    imap_session_progress(s, (uint32_t)work->at, (uint32_t)uids.count);
    imap_session_keywords(&keywords, &c->store.flags);
    const struct wire_flags_store message = {.grant = s->grant,
                                             .watch = s->selected->mailbox->watch,
                                             .told = s->selected->view.modseq,
                                             .mode = modes[c->store.mode],
                                             .conditional = c->store.has_unchanged_since,
                                             .unchanged_since = c->store.unchanged_since,
                                             .flags = c->store.flags.system,
                                             .keywords = buf_slice(&keywords),
                                             .uids = buf_slice(&pairs)};
    imap_session_ask(s, ROLE_STORE, WIRE_FLAGS_STORE, &message, on_stored);
}

static void on_stored(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct store_work *work = s->run->state;
    struct wire_flags_stored stored;
    err = wire_answer(err, packet, WIRE_FLAGS_STORED, &stored);
    if (err || stored.err) {
        imap_session_refused(s, err ? err : stored.err, stored.code, stored.text);
        return;
    }
    /* .SILENT lets the client work out the flags itself: it cannot, where somebody else changed them before
     * (RFC 9051 section 6.4.6, RFC 3501 the same). */
    if (!(stored.overtaken && s->run->command.store.silent))
        imap_view_own(&s->selected->view, stored.modseq);
    uint32_t first, last;
    while (wire_range_take(&stored.modified, &first, &last))
        imap_set_builder_add_range(&work->modified, first, last);
    send_next(s);
}

void imap_cmd_store(struct session *s)
{
    struct run *run = s->run;
    if (s->selected->read_only) {
        imap_session_done(s, "NO [NOPERM] Mailbox is read-only");
        return;
    }
    if (run->command.store.has_unchanged_since)
        imap_session_use_condstore(s);
    if (!imap_session_resolve(s, &run->command.store.set))
        return;
    struct store_work *work = ARENA_NEW(run->arena, struct store_work);
    work->uids = imap_view_uids(&s->selected->view, &run->command.store.set, run->command.uid);
    work->modified = imap_set_builder_new();
    arena_defer(run->arena, work_free, work);
    run->state = work;
    send_next(s);
}
