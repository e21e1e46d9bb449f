/* deliver.c: deliveries and APPEND, as the role has them: the file may be written by any thread while the
 * account is busy; what waits for the same account is committed together; answered after the commit. Requests
 * come from queue (DELIVER) and imap (APPEND under a grant). */
#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/imap_list.h"
#include "settings/metrics.h"
#include "store/context.h"
#include "wire/append_row.h"

/* Files of one account that are written beside its strand: fewer than the ids a restart looks at
 * (ACCOUNT_WINDOW). */
#define DELIVER_BESIDE_MAX 64

struct delivery {
    struct list node;
    struct store *store;
    struct slot *slot;
    struct ipc_link *link;
    enum role role;
    uint64_t epoch;
    uint32_t request;
    enum wire_type type; /* WIRE_DELIVER or WIRE_APPEND */
    struct arena *arena;
    struct slice session;
    struct grant by; /* of APPEND */
    uint64_t begun_ms;
    struct body **bodies;   /* held, one for each addition; none: from the queue's file */
    bool foreign;           /* into another's mailbox: its account is not made by this */
    bool unlist;            /* the bodies are not named again after this */
    struct add_body queued; /* from the queue's file */
    int queued_fd;
    struct account_limits limits;
    struct addition *additions; /* one, or those of an APPEND of several messages */
    size_t count;
};

static void free_delivery(struct delivery *d)
{
    for (size_t i = 0; d->bodies && i < d->count; i++) {
        if (d->unlist)
            body_unlist(d->bodies[i]);
        body_release(d->bodies[i]);
    }
    io_close(&d->queued_fd);
    for (size_t i = 0; i < d->count; i++)
        addition_free(&d->additions[i]);
    d->store->jobs--;
    slot_release(d->slot);
    struct arena *arena = d->arena; /* it lives in it */
    arena_free(&arena);
}

/* ---- answers ---- */

static void log_addition(const struct delivery *d, const struct addition *a)
{
    uint64_t took = loop_now_ms(d->store->loop) - d->begun_ms;
    struct slice mailbox = a->mailbox.len ? a->mailbox : SLICE("INBOX");
    if (a->err)
        log_warn("store.refused", LOG_STR("id", a->queue_id), LOG_STR("session", d->session),
                 LOG_STR("account", d->slot->address), LOG_STR("mailbox", mailbox),
                 LOG_CSTR("err", err_name(a->err)), LOG_WHY(&a->refusal.why), LOG_MS("took", took));
    else if (!a->repeated)
        log_info("store.delivered", LOG_STR("id", a->queue_id), LOG_STR("session", d->session),
                 LOG_STR("account", d->slot->address), LOG_STR("mailbox", mailbox), LOG_U64("uid", a->uid),
                 LOG_U64("message", a->message), LOG_U64("size", a->made.size), LOG_MS("took", took));
}

static void answer(const struct delivery *d)
{
    const struct addition *a = d->additions;
    if (d->epoch != d->store->epochs[d->role])
        return;
    uint32_t err = a->err == ERR_INTERNAL ? ERR_LATER : a->err;
    uint32_t code = a->err && !a->refusal.code ? STORE_CODE_UNAVAILABLE : a->refusal.code;
    struct slice text = a->err == ERR_INTERNAL ? SLICE("internal error") : slice_of(a->refusal.why.text);
    if (d->type == WIRE_APPEND) {
        const struct wire_appended appended = {.err = err,
                                               .code = code,
                                               .uidvalidity = a->uidvalidity,
                                               .uid = a->uid,
                                               .text = a->err ? text : SLICE_EMPTY};
        wire_reply(d->link, d->request, WIRE_APPENDED, false, &appended);
    } else {
        const struct wire_delivered delivered = {.err = err,
                                                 .code = code,
                                                 .uid = a->uid,
                                                 .message = a->message,
                                                 .text = a->err ? text : SLICE_EMPTY};
        wire_reply(d->link, d->request, WIRE_DELIVERED, false, &delivered);
    }
}

static void end_delivery(struct delivery *d)
{
    for (size_t i = 0; i < d->count; i++)
        log_addition(d, &d->additions[i]);
    answer(d);
    free_delivery(d);
}

static void refuse(struct delivery *d, enum err err, enum store_code code, const char *text)
{
    for (size_t i = 0; i < d->count; i++)
        store_fail(&d->additions[i].err, &d->additions[i].refusal, err, code, text);
}

/* ---- the commit, on the strand ---- */

struct batch {
    struct slot *slot;
    struct delivery *deliveries[ADD_GROUP_MAX];
    size_t count;
    struct account_news news;
    bool opened;
};

/* As many deliveries as one commit may bring messages. */
static void take_ready(struct batch *batch)
{
    struct slot *slot = batch->slot;
    size_t messages = 0;
    pthread_mutex_lock(&slot->lock);
    while (slot->ready_count) {
        struct delivery *d = CONTAINER_OF(slot->ready.next, struct delivery, node);
        if (messages + d->count > ADD_GROUP_MAX)
            break;
        messages += d->count;
        batch->deliveries[batch->count++] = CONTAINER_OF(list_pop_front(&slot->ready), struct delivery, node);
        slot->ready_count--;
    }
    pthread_mutex_unlock(&slot->lock);
}

/* The body of a queued message is read here, on a thread that may block. */
static bool load_body(struct delivery *d)
{
    struct addition *a = d->additions;
    if (a->body || a->err)
        return !a->err;
    struct why why;
    enum err err =
        queue_file_load_in(d->arena, &d->store->root, a->queue_id, &d->queued_fd, &d->queued, &why);
    if (err)
        refuse(d, err, STORE_CODE_UNAVAILABLE, why.text);
    else
        a->body = &d->queued;
    return !err;
}

/* Those of one delivery into the list of the commit; when one could not be written, none, and the others go.
 */
static size_t take_additions(struct account *account, struct delivery *d, struct addition **list)
{
    bool good = load_body(d);
    for (size_t i = 0; i < d->count; i++)
        if (good)
            list[i] = &d->additions[i];
        else
            add_drop(account, &d->additions[i]);
    return good ? d->count : 0;
}

static void batch_work(void *arg)
{
    struct batch *batch = arg;
    struct account *account = NULL;
    struct why why;
    take_ready(batch);
    struct addition *additions[ADD_GROUP_MAX];
    size_t count = 0;
    bool make = false;
    for (size_t i = 0; i < batch->count; i++)
        make = make || !batch->deliveries[i]->foreign;
    enum err err = slot_account(batch->slot, make ? SLOT_MAKE : 0, &account, &why);
    for (size_t i = 0; i < batch->count; i++) {
        struct delivery *d = batch->deliveries[i];
        if (err == ERR_ABSENT && d->foreign)
            refuse(d, err, STORE_CODE_TRYCREATE, ACCESS_ABSENT);
        else if (err)
            refuse(d, err, STORE_CODE_UNAVAILABLE, why.text);
        else
            count += take_additions(account, d, additions + count);
        if (account)
            account->limits = d->limits;
    }
    if (err)
        return;
    batch->opened = true;
    add_commit(account, additions, count);
    batch->news = account_take_news(account);
}

static void schedule(struct slot *slot);

static void batch_done(void *arg)
{
    struct batch *batch = arg;
    struct slot *slot = batch->slot;
    slot->opened = slot->opened || batch->opened;
    slot->committing = false;
    watches_tell(slot->store, slot, &batch->news, batch->count == 1 ? &batch->deliveries[0]->by : NULL);
    schedule(slot);
    for (size_t i = 0; i < batch->count; i++)
        end_delivery(batch->deliveries[i]);
    slot_release(slot);
    free(batch);
}

/* One job at a time takes all that is ready; what comes while it waits for the disk makes the next group. */
static void schedule(struct slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    bool wanted = slot->ready_count > 0;
    pthread_mutex_unlock(&slot->lock);
    if (!wanted || slot->committing)
        return;
    struct batch *batch = mem_zero(1, sizeof *batch);
    batch->slot = slot;
    slot->committing = true;
    slot_hold(slot);
    loop_strand_run(slot->strand, batch_work, batch_done, batch);
}

static void make_ready(struct delivery *d)
{
    pthread_mutex_lock(&d->slot->lock);
    list_push_back(&d->slot->ready, &d->node);
    d->slot->ready_count++;
    pthread_mutex_unlock(&d->slot->lock);
    schedule(d->slot);
}

/* ---- the file, beside the strand while that is busy ---- */

static void write_work(void *arg)
{
    struct delivery *d = arg;
    struct why why;
    enum err err = ERR_OK;
    if (!load_body(d))
        return;
    for (size_t i = 0; !err && i < d->count; i++)
        err = add_write(d->slot->account, &d->additions[i], &why);
    if (err)
        refuse(d, err, STORE_CODE_UNAVAILABLE, why.text);
}

/* A set of which some are written goes to the strand also when another failed: there they are removed. */
static void write_done(void *arg)
{
    struct delivery *d = arg;
    bool written = false;
    d->slot->beside -= d->count;
    for (size_t i = 0; i < d->count; i++)
        written = written || d->additions[i].written;
    if (d->additions->err && !written)
        end_delivery(d);
    else
        make_ready(d);
}

static void begin(struct delivery *d)
{
    struct slot *slot = d->slot;
    bool busy = slot->committing && slot->opened && slot->awake;
    if (busy && slot->beside + d->count <= DELIVER_BESIDE_MAX) {
        slot->beside += d->count;
        loop_pool_run(slot->store->pool, write_work, write_done, d);
    } else {
        make_ready(d);
    }
}

/* ---- requests ---- */

static struct delivery *new_delivery(struct store *store, struct slot *slot, struct ipc_link *link,
                                     const struct ipc_packet *packet, size_t count)
{
    struct arena *arena = arena_new(STORE_REQUEST_ARENA);
    struct delivery *d = ARENA_NEW(arena, struct delivery);
    struct addition *additions = ARENA_ARRAY(arena, struct addition, count);
    *d = (struct delivery){.store = store,
                           .slot = slot,
                           .link = link,
                           .role = role_of_link(link),
                           .request = packet->request,
                           .type = (enum wire_type)packet->type,
                           .arena = arena,
                           .begun_ms = loop_now_ms(store->loop),
                           .queued_fd = -1,
                           .additions = additions,
                           .count = count,
                           .limits = quotas_of(store->quotas, slot->address)};
    d->epoch = store->epochs[d->role];
    store->jobs++;
    slot_hold(slot);
    return d;
}

static void use_body(struct delivery *d, size_t i, struct body *body)
{
    if (!d->bodies)
        d->bodies = ARENA_ARRAY(d->arena, struct body *, d->count);
    d->bodies[i] = body;
    d->additions[i].body = &body->add;
}

static void answer_early(struct ipc_link *link, struct ipc_packet *packet, const char *text)
{
    const struct wire_delivered delivered = {
        .err = ERR_LATER, .code = STORE_CODE_UNAVAILABLE, .text = slice_of(text)};
    wire_reply(link, packet->request, WIRE_DELIVERED, false, &delivered);
}

static void fill_deliver(struct delivery *d, const struct wire_deliver *m)
{
    d->session = arena_dup(d->arena, m->session);
    d->additions->queue_id = arena_dup(d->arena, m->queue_id);
    d->additions->mailbox = arena_dup(d->arena, m->mailbox);
    d->additions->header = arena_dup(d->arena, m->header);
    d->additions->date = (uint32_t)clock_unix_s();
}

bool deliver_on_deliver(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_deliver *m = message;
    if (!packet->request || !m->queue_id.len || !m->account.len)
        return false;
    struct body *body = m->body ? body_take(store, ROLE_SMTP, m->body) : NULL;
    struct slot *slot = store->jobs < STORE_JOBS_MAX ? slot_get(store, m->account) : NULL;
    const char *problem = NULL;
    if (m->body && !body)
        problem = "the message was lost";
    else if (!slot)
        problem = "too much to do";
    else if (store->space_low && (!body || body->kind == BODY_MX))
        problem = "out of disk space";
    if (problem) {
        answer_early(link, packet, problem);
        if (body && !m->keep)
            body_unlist(body);
        if (body)
            body_release(body);
        return true;
    }
    struct delivery *d = new_delivery(store, slot, link, packet, 1);
    fill_deliver(d, m);
    d->unlist = !m->keep;
    if (body)
        use_body(d, 0, body);
    begin(d);
    return true;
}

/* ---- APPEND ---- */

static void append_answer(struct job *job)
{
    const struct wire_appended appended = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    wire_reply(job->link, job->request, WIRE_APPENDED, false, &appended);
}

static const struct job_op append_op = {.answer = append_answer, .absent = STORE_CODE_TRYCREATE};

struct append_request {
    const struct wire_append *message;
    struct append_row rows[APPEND_ROWS_MAX];
    struct body *bodies[APPEND_ROWS_MAX];
    size_t count;
};

static bool read_rows(struct append_request *r)
{
    struct slice rest = r->message->messages;
    while (r->count < APPEND_ROWS_MAX && append_row_take(&rest, &r->rows[r->count]))
        r->count++;
    return r->count > 0 && rest.len == 0;
}

/* All bodies, or none. */
static bool take_bodies(struct store *store, enum role role, struct append_request *r)
{
    for (size_t i = 0; i < r->count; i++) {
        r->bodies[i] = body_take(store, role, r->rows[i].body);
        if (r->bodies[i])
            continue;
        while (i > 0)
            body_release(r->bodies[--i]);
        return false;
    }
    return true;
}

/* The name in the account the message goes to, which may be another's. */
static struct slice target_name(struct delivery *d, struct slice name)
{
    AUTO_BUF struct buf owner = buf_new(WIRE_NAME_MAX);
    struct slice rest;
    if (!access_split(name, &owner, &rest))
        return arena_dup(d->arena, name);
    return imap_mailbox_canonical_in(d->arena, arena_dup(d->arena, rest), '/');
}

static void fill_append(struct delivery *d, const struct append_request *r, uint64_t replaces_in)
{
    struct slice mailbox = target_name(d, r->message->mailbox), by = arena_dup(d->arena, d->store->asker);
    d->foreign = !slice_eq(by, d->slot->address);
    uint32_t now = (uint32_t)clock_unix_s();
    d->unlist = true;
    d->by = r->message->grant;
    for (size_t i = 0; i < d->count; i++) {
        const struct append_row *row = &r->rows[i];
        struct addition *a = &d->additions[i];
        a->mailbox = mailbox;
        a->by = by;
        a->keywords = arena_dup(d->arena, row->keywords);
        a->flags = row->flags & IMAGE_SYSTEM_FLAGS;
        a->date = !row->date ? now : row->date < UINT32_MAX ? (uint32_t)row->date : UINT32_MAX;
        a->joined = i > 0;
        use_body(d, i, r->bodies[i]);
    }
    d->additions->replaces = r->message->replaces;
    d->additions->replaces_in = replaces_in;
}

/* True: answered, or `*slot` and with REPLACE the mailbox of the message. False: the sender was taken over.
 */
static bool check_append(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                         const struct wire_append *m, struct slot **slot, uint64_t *mailbox)
{
    *slot = NULL;
    *mailbox = 0;
    if (!m->replaces)
        return store_check_grant(store, link, packet, &m->grant, &append_op, slot);
    struct watch *w;
    if (!store_check_watch(store, link, packet, &m->grant, m->watch, &append_op, &w))
        return false;
    if (w) {
        *slot = w->slot;
        *mailbox = w->mailbox;
    }
    return true;
}

/* Where the name leads. REPLACE takes away and puts in with one commit, so both are of one account. */
static struct slot *find_target(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                                const struct wire_append *m, struct slot *slot)
{
    bool absent = false;
    struct slot *own = slot_get(store, store->asker);
    struct slot *target = own ? access_slot(store, own, m->mailbox, &absent) : NULL;
    if (!target)
        access_refuse(store, link, packet, &append_op, absent);
    else if (m->replaces && target != slot)
        job_answer_now(store, link, packet, &append_op, ERR_REFUSED, STORE_CODE_CANNOT,
                       "a message is not replaced by one of another account");
    else
        return target;
    return NULL;
}

bool deliver_on_append(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    struct append_request request = {.message = message};
    struct slot *slot;
    uint64_t mailbox;
    if (!packet->request || !read_rows(&request) ||
        !check_append(store, link, packet, request.message, &slot, &mailbox))
        return false;
    if (slot)
        slot = find_target(store, link, packet, request.message, slot);
    if (!slot)
        return true;
    if (!take_bodies(store, role_of_link(link), &request)) {
        const struct wire_appended lost = {
            .err = ERR_LATER, .code = STORE_CODE_UNAVAILABLE, .text = SLICE("the message was lost")};
        wire_reply(link, packet->request, WIRE_APPENDED, false, &lost);
        return true;
    }
    struct delivery *d = new_delivery(store, slot, link, packet, request.count);
    fill_append(d, &request, mailbox);
    begin(d);
    return true;
}

/* ---- would it fit? ---- */

static void quota_work(struct job *job)
{
    const struct wire_quota_check *m = job->message;
    if (!account_fits(job->account, 1, m->size))
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_OVERQUOTA, "the mailbox is full");
}

static const struct job_op quota_op = {.work = quota_work, .answer = job_answer_result};

bool deliver_on_quota_check(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_quota_check *m = message;
    struct account_limits limits = quotas_of(store->quotas, m->account);
    if (!packet->request || !m->account.len)
        return false;
    if (store->space_low) {
        wire_reply_result(link, packet->request, ERR_LATER, STORE_CODE_UNAVAILABLE,
                          SLICE("out of disk space"));
    } else if (!limits.bytes && !limits.messages) {
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    } else {
        struct slot *slot = store->jobs < STORE_JOBS_MAX ? slot_get(store, m->account) : NULL;
        if (slot)
            job_start(store, slot, &quota_op, link, packet, 0, 0);
        else
            wire_reply_result(link, packet->request, ERR_LATER, STORE_CODE_UNAVAILABLE,
                              SLICE("too much to do"));
    }
    return true;
}
