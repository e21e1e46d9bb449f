/* handle_mailbox.c: LIST, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE, SELECT and quota: from imap and http,
 * under a grant. Each request is a job: work() on the account's strand, answer() on the loop. */
#include "base/io.h"
#include "grammar/imap_list.h"
#include "store/context.h"
#include "store/names.h"

#define LIST_ROWS_MAX (64u << 20)
#define LIST_PACKET   (48u * 1024) /* rows in one packet, about */

/* ---- LIST, STATUS ---- */

static void answer_rows(struct job *job)
{
    const struct wire_mbox_rows rows = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    wire_reply(job->link, job->request, WIRE_MBOX_ROWS, false, &rows);
}

struct rows_state {
    struct buf rows;
};

static void free_rows(void *arg)
{
    buf_free(&((struct rows_state *)arg)->rows);
}

static struct rows_state *rows_state(struct job *job)
{
    struct rows_state *state = ARENA_NEW(job->arena, struct rows_state);
    state->rows = buf_new(LIST_ROWS_MAX);
    arena_defer(job->arena, free_rows, state);
    job->state = state;
    return state;
}

static void list_work(struct job *job)
{
    names_list(job->account, &rows_state(job)->rows);
}

/* As many whole rows as make a packet. */
static struct slice take_packet(struct slice *rest)
{
    struct slice all = *rest;
    struct mailbox_row row;
    while (all.len - rest->len < LIST_PACKET && mailbox_row_take(rest, &row))
        ;
    return slice_sub(all, 0, all.len - rest->len);
}

static void list_answer(struct job *job)
{
    if (job->err || !job->state) {
        answer_rows(job);
        return;
    }
    struct slice rest = buf_slice(&((struct rows_state *)job->state)->rows);
    do {
        const struct wire_mbox_rows rows = {.rows = take_packet(&rest)};
        wire_reply(job->link, job->request, WIRE_MBOX_ROWS, rest.len > 0, &rows);
    } while (rest.len);
}

static const struct job_op list_op = {.work = list_work, .answer = list_answer};

static struct slice canonical(struct job *job, struct slice name)
{
    return imap_mailbox_canonical_in(job->arena, name, '/');
}

static void status_work(struct job *job)
{
    const struct wire_mbox_name *m = job->message;
    const struct mailbox *mailbox = account_mailbox(job->account, canonical(job, m->name));
    if (!mailbox || mailbox->flags & MAILBOX_NOSELECT) {
        store_fail(&job->err, &job->refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such mailbox");
        return;
    }
    const struct mailbox_row row = names_row(job->account, mailbox);
    mailbox_row_add(&rows_state(job)->rows, &row);
}

static const struct job_op status_op = {.work = status_work, .answer = list_answer};

/* ---- names ---- */

static void create_work(struct job *job)
{
    const struct wire_mbox_create *m = job->message;
    job->err =
        names_create(job->account, canonical(job, m->name), (enum special_use)m->special_use, &job->refusal);
}

static void delete_work(struct job *job)
{
    const struct wire_mbox_name *m = job->message;
    job->err = names_delete(job->account, canonical(job, m->name), &job->refusal);
}

static void rename_work(struct job *job)
{
    const struct wire_mbox_rename *m = job->message;
    job->err = names_rename(job->account, canonical(job, m->from), canonical(job, m->to), &job->refusal);
}

static void subscribe_work(struct job *job)
{
    const struct wire_mbox_subscribe *m = job->message;
    job->err = names_subscribe(job->account, canonical(job, m->name), m->on, &job->refusal);
}

static const struct job_op create_op = {.work = create_work, .answer = job_answer_result};
static const struct job_op delete_op = {.work = delete_work, .answer = job_answer_result};
static const struct job_op rename_op = {.work = rename_work, .answer = job_answer_result};
static const struct job_op subscribe_op = {.work = subscribe_work, .answer = job_answer_result};

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
                                                  .recent_from = mailbox->recent_from};
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

static void select_work(struct job *job)
{
    const struct wire_mbox_select *m = job->message;
    struct mailbox *mailbox = account_mailbox(job->account, canonical(job, m->name));
    if (!mailbox) {
        job->err = err_set(&job->refusal.why, ERR_ABSENT, "no such mailbox");
        return;
    }
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
        selected = state->selected;
        selected.watch = w->id;
    } else if (state) {
        selected.err = ERR_LATER;
        selected.code = STORE_CODE_LIMIT;
    }
    wire_reply_fds(job->link, job->request, WIRE_MBOX_SELECTED, false, &selected, made ? &state->image : NULL,
                   made ? 1 : 0);
}

static const struct job_op select_op = {.work = select_work, .answer = select_answer, .discard = undo_select};

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
static const struct job_op quota_op = {.work = quota_work, .answer = quota_answer};

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

bool mailbox_on_list(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_mbox_list *)message)->grant, &list_op);
}

bool mailbox_on_status(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_mbox_name *)message)->grant, &status_op);
}

bool mailbox_on_create(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_mbox_create *m = message;
    return m->special_use < SPECIAL_COUNT && start(ctx, link, packet, &m->grant, &create_op);
}

bool mailbox_on_delete(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_mbox_name *)message)->grant, &delete_op);
}

bool mailbox_on_rename(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_mbox_rename *)message)->grant, &rename_op);
}

bool mailbox_on_subscribe(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_mbox_subscribe *)message)->grant, &subscribe_op);
}

bool mailbox_on_select(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_mbox_select *)message)->grant, &select_op);
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
    if (w && state == GRANT_ALIVE && !slice_eq(account, w->slot->address))
        return false;
    if (w)
        watch_drop_use(store, w, !m->read_only);
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}
