/* handle_mailbox.c: CREATE, DELETE, RENAME, SUBSCRIBE, SELECT and quota: from imap and http, under a grant.
 * Each request is a job: work() on the account's strand, answer() on the loop. */
#include "base/io.h"
#include "store/acl.h"
#include "store/context.h"
#include "store/names.h"

/* ---- names ---- */

/* A new name stands below one on which there is a right to make it (RFC 4314 section 4). Only the owner makes
 * names at the top. */
static bool may_make(struct job *job, struct slice name)
{
    const struct mailbox *above = names_above(job->account, name);
    if (!above && !job->reader.len)
        return true;
    if (above)
        return job_may(job, above, RIGHT_CREATE);
    job_absent(job);
    return false;
}

/* What is there already and may not be looked up is not told of. */
static void hide_existing(struct job *job, struct slice name)
{
    const struct mailbox *m = account_mailbox(job->account, name);
    if (job->err && job->refusal.code == STORE_CODE_ALREADYEXISTS && m &&
        !(job_rights(job, m) & RIGHT_LOOKUP))
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_CANNOT, "not possible here");
}

static void create_work(struct job *job)
{
    const struct wire_mbox_create *m = job->message;
    struct slice name = job_name(job, m->name);
    if (m->special_use && job->reader.len)
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_CANNOT, "special uses are the owner's");
    else if (may_make(job, name))
        job->err = names_create(job->account, name, (enum special_use)m->special_use, &job->refusal);
    hide_existing(job, name);
}

/* Whom an account shares with may be fewer now. */
static void update_shares(struct job *job)
{
    AUTO_BUF struct buf identifiers = buf_new(SHARES_BYTES_MAX);
    struct why ignored; /* then it is more than needed until it is opened again */
    acl_sharers(job->account, &identifiers);
    (void)!shares_set(job->store->shares, job->account->address, buf_slice(&identifiers), &ignored);
}

static void delete_work(struct job *job)
{
    const struct wire_mbox_name *m = job->message;
    const struct mailbox *mailbox = job_mailbox(job, m->name, RIGHT_DELETE);
    if (!mailbox)
        return;
    bool shared = mailbox->acl;
    job->err = names_delete(job->account, job_name(job, m->name), &job->refusal);
    if (!job->err && shared)
        update_shares(job);
}

static void rename_work(struct job *job)
{
    const struct wire_mbox_rename *m = job->message;
    struct slice from = job_name(job, m->from), to = job_name(job, m->to);
    if (!job_mailbox(job, m->from, RIGHT_DELETE) || !may_make(job, to))
        return;
    if (job->reader.len && slice_eq(from, SLICE("INBOX")))
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_CANNOT,
                   "INBOX is its owner's to rename");
    else
        job->err = names_rename(job->account, from, to, &job->refusal);
    hide_existing(job, to);
}

/* In the account that shares it: is it there for the asker? Then in the asker's own, whose subscription it
 * is.
 */
static void subscribe_work(struct job *job)
{
    const struct wire_mbox_subscribe *m = job->message;
    if (job->reader.len)
        (void)!job_mailbox(job, m->name, RIGHT_LOOKUP);
    else
        job->err = names_subscribe(job->account, job_name(job, m->name), m->on, &job->refusal);
}

static void subscribe_answer(struct job *job)
{
    struct slot *own = job->reader.len && !job->err ? slot_get(job->store, job->reader) : NULL;
    if (own)
        job_move(job, own, SLICE_EMPTY);
    else
        job_answer_result(job);
}

static const struct job_op create_op = {.work = create_work, .answer = job_answer_result};
static const struct job_op delete_op = {.work = delete_work, .answer = job_answer_result};
static const struct job_op rename_op = {.work = rename_work, .answer = job_answer_result};
static const struct job_op subscribe_op = {.work = subscribe_work, .answer = subscribe_answer};

/* ---- SELECT ---- */

struct select_state {
    struct wire_mbox_selected selected;
    int image;
    bool taker;
};

static void close_image(void *arg)
{
    io_close(&((struct select_state *)arg)->image);
}

static void fill_selected(struct select_state *state, struct mailbox *mailbox)
{
    state->selected = (struct wire_mbox_selected){.mailbox = mailbox->id,
                                                  .modseq = mailbox->modseq,
                                                  .uidvalidity = mailbox->uidvalidity,
                                                  .uidnext = mailbox->uidnext,
                                                  .recent_from = mailbox->recent_from,
                                                  .tag = mailbox->tag};
    mailbox->watches++;
    if (!state->taker || mailbox->recent_from == mailbox->uidnext) {
        mailbox->takers += state->taker;
        return;
    }
    mailbox->takers++;
    mailbox->recent_from =
        mailbox->uidnext; /* written with the next fold: after a crash they are \Recent once more */
    mailbox->touched = true;
}

/* A session that had it selected before a restart: it may have been renamed since. */
static struct mailbox *mailbox_again(struct job *job, uint64_t id)
{
    struct mailbox *mailbox = account_mailbox_by_id(job->account, id);
    if (mailbox && !(mailbox->flags & MAILBOX_NOSELECT) && (job_rights(job, mailbox) & RIGHT_READ))
        return mailbox;
    store_fail(&job->err, &job->refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such mailbox");
    return NULL;
}

static void select_work(struct job *job)
{
    const struct wire_mbox_select *m = job->message;
    struct mailbox *mailbox =
        m->mailbox ? mailbox_again(job, m->mailbox) : job_mailbox(job, m->name, RIGHT_READ);
    if (!mailbox)
        return;
    uint32_t rights = job_rights(job, mailbox);
    job->err = account_view(job->account, mailbox->id, &mailbox, &job->refusal.why);
    if (job->err)
        return;
    struct select_state *state = ARENA_NEW(job->arena, struct select_state);
    state->taker = !m->read_only;
    state->image = fcntl(mailbox->view->fd, F_DUPFD_CLOEXEC, 0);
    arena_defer(job->arena, close_image, state);
    if (state->image < 0) {
        store_fail(&job->err, &job->refusal, ERR_LATER, STORE_CODE_UNAVAILABLE, "too many open files");
        return;
    }
    fill_selected(state, mailbox);
    state->selected.rights = rights;
    job->state = state;
}

static void undo_select(struct job *job)
{
    const struct select_state *state = job->state;
    if (!state)
        return;
    bool made;
    struct watch *w = watch_get(job->store, job->role, job->slot, state->selected.mailbox, &made);
    if (!w)
        return;
    w->uses++;
    w->takers += state->taker;
    watch_drop_use(job->store, w, state->taker);
}

static void select_answer(struct job *job)
{
    struct select_state *state = job->state;
    struct wire_mbox_selected selected = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    bool made = false;
    struct watch *w =
        state ? watch_get(job->store, job->role, job->slot, state->selected.mailbox, &made) : NULL;
    if (w) {
        w->uses++;
        w->takers += state->taker;
        if (job->reader.len)
            watch_add_reader(w, job->reader);
        selected = state->selected;
        selected.watch = w->id;
    } else if (state) {
        selected.err = ERR_LATER;
        selected.code = STORE_CODE_LIMIT;
    }
    wire_reply_fds(job->link, job->request, WIRE_MBOX_SELECTED, false, &selected, made ? &state->image : NULL,
                   made ? 1 : 0);
    job_wake(job); /* what comes next reads more than the image */
}

/* Somebody has it open, or had until a moment ago. */
static bool select_in_memory(struct job *job)
{
    const struct wire_mbox_select *m = job->message;
    const struct mailbox *mailbox = m->mailbox ? account_mailbox_by_id(job->account, m->mailbox)
                                               : account_mailbox(job->account, job_name(job, m->name));
    return mailbox && mailbox->view;
}

static const struct job_op select_op = {.work = select_work,
                                        .answer = select_answer,
                                        .discard = undo_select,
                                        .asleep = true,
                                        .in_memory = select_in_memory};

/* ---- quota ---- */

static void quota_answer(struct job *job)
{
    struct wire_quota quota = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    if (job->state)
        quota = *(const struct wire_quota *)job->state;
    wire_reply(job->link, job->request, WIRE_QUOTA, false, &quota);
}

static void fill_quota(struct job *job)
{
    struct change_counts total = account_totals(job->account);
    struct account_limits limits = account_limits(job->account);
    struct wire_quota *quota = ARENA_NEW(job->arena, struct wire_quota);
    *quota = (struct wire_quota){.used_bytes = (uint64_t)total.bytes,
                                 .limit_bytes = limits.bytes,
                                 .used_messages = (uint64_t)total.messages,
                                 .limit_messages = limits.messages};
    job->state = quota;
}

static void quota_work(struct job *job)
{
    fill_quota(job);
}

/* Whoever lowers his own limit may raise it again, up to the administrator's. */
static void quota_set_work(struct job *job)
{
    const struct wire_quota_set *m = job->message;
    const struct account_limits own = {.bytes = m->bytes, .messages = m->messages};
    if ((job->limits.bytes && own.bytes > job->limits.bytes) ||
        (job->limits.messages && own.messages > job->limits.messages))
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_NOPERM,
                   "the administrator's limit is lower");
    else
        job->err = account_set_own_limits(job->account, own, &job->refusal.why);
    if (!job->err)
        fill_quota(job);
}

static const struct job_op quota_set_op = {.work = quota_set_work, .answer = quota_answer};
static const struct job_op quota_op = {.work = quota_work, .answer = quota_answer, .asleep = true};

/* ---- handlers ---- */

static bool start(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                  const struct grant *grant, const struct job_op *op)
{
    struct slot *slot;
    if (!packet->request || !store_check_grant(store, link, packet, grant, op, &slot))
        return false;
    if (slot)
        job_start(store, slot, op, link, packet, 0, 0);
    return true;
}

bool mailbox_on_create(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_mbox_create *m = message;
    return m->special_use < SPECIAL_COUNT &&
           store_start_named(ctx, link, packet, &m->grant, m->name, &create_op);
}

bool mailbox_on_delete(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_mbox_name *m = message;
    return store_start_named(ctx, link, packet, &m->grant, m->name, &delete_op);
}

bool mailbox_on_rename(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_mbox_rename *m = message;
    struct slot *own;
    bool absent = false;
    if (!packet->request || !store_check_grant(store, link, packet, &m->grant, &rename_op, &own))
        return false;
    if (!own)
        return true;
    struct slot *from = access_slot(store, own, m->from, &absent);
    struct slot *to = from ? access_slot(store, own, m->to, &absent) : NULL;
    if (from && from == to)
        job_start(store, from, &rename_op, link, packet, 0, 0);
    else if (to)
        job_answer_now(store, link, packet, &rename_op, ERR_REFUSED, STORE_CODE_CANNOT,
                       "mailboxes do not move between accounts");
    else
        access_refuse(store, link, packet, &rename_op, absent);
    return true;
}

bool mailbox_on_subscribe(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_mbox_subscribe *m = message;
    return m->on ? store_start_named(ctx, link, packet, &m->grant, m->name, &subscribe_op)
                 : start(ctx, link, packet, &m->grant, &subscribe_op);
}

bool mailbox_on_select(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_mbox_select *m = message;
    return store_run_named(ctx, link, packet, &m->grant, m->name, &select_op, job_run_here);
}

bool mailbox_on_quota(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_quota_get *)message)->grant, &quota_op);
}

bool mailbox_on_quota_set(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_quota_set *m = message;
    return m->bytes <= INT64_MAX && m->messages <= INT64_MAX &&
           start(ctx, link, packet, &m->grant, &quota_set_op);
}

/* No job: the watch is the loop's. */
bool mailbox_on_unselect(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_mbox_unselect *m = message;
    struct watch *w = watch_find(store, m->watch);
    struct slice account = SLICE_EMPTY;
    enum grant_state state = grants_find(&store->grants, &m->grant, role_of_link(link), &account);
    if (state == GRANT_FORGED || (w && w->role != role_of_link(link)))
        return false;
    bool other = w && state == GRANT_ALIVE && !slice_eq(account, w->slot->address);
    if (other && !watch_drop_reader(w, account))
        return false;
    if (w)
        watch_drop_use(store, w, !m->read_only);
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}
