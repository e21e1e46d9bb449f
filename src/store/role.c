/* role.c: the store process: its table of messages, its start and its end. It parses nothing raw: typed
 * messages, bodies as opaque bytes. Its working folder is data/store and it opens nothing outside. */
#include "store/store.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/zone.h"
#include "grammar/charset.h"
#include "store/asleep.h"
#include "store/context.h"
#include "store/state_file.h"
#include "store/urlkey.h"

#define DRAIN_POLL_MS 20
#define INBOX_ID      1          /* of the first mailbox of a new account */
#define KEPT_FREE     (1u << 20) /* freed memory that stays while the store works */
#define AHEAD_JOBS    2          /* with so many jobs under way none is begun ahead */
#define AHEAD_COUNT   200000     /* messages of an INBOX that is loaded ahead: 7 ms, 7 MB */
#define ARENAS_MAX    2          /* of malloc: more only cost memory, the threads wait for the disk anyway */

/* ---- grants, told by auth ---- */

static void before_session(struct job *job)
{
    char folder[PATHS_FOLDER_MAX];
    paths_account(job->slot->address, folder);
    asleep_ahead(&job->store->root, folder); /* it is needed first, so the disk is asked for it first */
    state_file_ahead(&job->store->root, folder, INBOX_ID);
}

/* The image of a mailbox nobody selects goes when the account falls asleep. */
static void session_work(struct job *job)
{
    struct mailbox *inbox = account_mailbox_by_id(job->account, INBOX_ID);
    struct why why; /* who selects it is told */
    if (inbox && inbox->messages <= AHEAD_COUNT)
        (void)!account_view(job->account, INBOX_ID, &inbox, &why);
}

static const struct job_op session_op = {
    .before = before_session, .work = session_work, .answer = job_nothing, .asleep = true};

/* Who has logged in is about to ask: the account and its INBOX are opened meanwhile. Not when auth tells all
 * grants anew, and not when many log in at once: it would gain nothing, and what is open at the same time is
 * memory. */
static void open_ahead(struct store *store, const struct wire_grant_add *m)
{
    if (m->holder != ROLE_IMAP || !store->grants.replayed || store->draining || store->jobs >= AHEAD_JOBS)
        return;
    struct slot *slot = slot_get(store, m->account);
    if (slot && !slot->awake)
        job_start(store, slot, &session_op, NULL, NULL, 0, 0);
}

static bool on_grant_add(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_grant_add *m = message;
    bool ok = m->holder < ROLE_COUNT && m->account.len && !grant_is_none(&m->grant) &&
              grants_add(&store->grants, &m->grant, (enum role)m->holder, m->account);
    if (packet->request)
        wire_reply_result(link, packet->request, ok ? ERR_OK : ERR_LATER, STORE_CODE_NONE, SLICE_EMPTY);
    if (ok)
        open_ahead(store, m);
    return true;
}

static bool on_grant_drop(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    grants_drop(&store->grants, &((const struct wire_grant_drop *)message)->grant);
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}

static bool on_grant_replayed(void *ctx, struct ipc_link *link, struct ipc_packet *packet,
                              const void *message)
{
    (void)message;
    struct store *store = ctx;
    grants_all_told(&store->grants);
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}

static const struct role_dispatch dispatch[] = {
    {WIRE_GRANT_ADD, on_grant_add},
    {WIRE_GRANT_DROP, on_grant_drop},
    {WIRE_GRANT_REPLAYED, on_grant_replayed},
    {WIRE_BODY_CHUNK, bodies_on_chunk},
    {WIRE_BODY_DROP, bodies_on_drop},
    {WIRE_BODY_INFO, bodies_on_info},
    {WIRE_DELIVER, deliver_on_deliver},
    {WIRE_QUEUE_FILE_PUT, queue_file_on_put},
    {WIRE_QUEUE_FILE_DROP, queue_file_on_drop},
    {WIRE_QUEUE_FILES, queue_file_on_list},
    {WIRE_QUEUE_FILE_OPEN, queue_open_on_open},
    {WIRE_QUOTA_CHECK, deliver_on_quota_check},
    {WIRE_MBOX_LIST, mailbox_on_list},
    {WIRE_MBOX_STATUS, mailbox_on_status},
    {WIRE_MBOX_CREATE, mailbox_on_create},
    {WIRE_MBOX_DELETE, mailbox_on_delete},
    {WIRE_MBOX_RENAME, mailbox_on_rename},
    {WIRE_MBOX_SUBSCRIBE, mailbox_on_subscribe},
    {WIRE_MBOX_SELECT, mailbox_on_select},
    {WIRE_MBOX_UNSELECT, mailbox_on_unselect},
    {WIRE_FACTS_GET, message_on_facts},
    {WIRE_BODY_OPEN, message_on_open},
    {WIRE_URL_OPEN, url_on_open},
    {WIRE_URL_FETCH, url_on_fetch},
    {WIRE_URL_SIGN, url_on_sign},
    {WIRE_URL_RESET, url_on_reset},
    {WIRE_FLAGS_STORE, message_on_flags},
    {WIRE_EXPUNGE, message_on_expunge},
    {WIRE_REMOVE, remove_on_remove},
    {WIRE_COPY, message_on_copy},
    {WIRE_APPEND, deliver_on_append},
    {WIRE_CANCEL, jobs_on_cancel},
    {WIRE_SEARCH, message_on_search},
    {WIRE_SORT, message_on_sort},
    {WIRE_THREAD, message_on_thread},
    {WIRE_VANISHED_GET, message_on_vanished},
    {WIRE_SAVED_GET, message_on_saved},
    {WIRE_QUOTA_GET, mailbox_on_quota},
    {WIRE_QUOTA_SET, mailbox_on_quota_set},
    {WIRE_ACL_GET, acl_on_get},
    {WIRE_ACL_SET, acl_on_set},
    {WIRE_METADATA_GET, metadata_on_get},
    {WIRE_METADATA_SET, metadata_on_set},
    {WIRE_MBOX_LISTEN, listen_on_listen},
    {WIRE_CONTROL, store_control_on_command},
    {WIRE_NONE, NULL},
};

/* ---- life ---- */

/* Packets of facts are half a megabyte for each request: without this the C library gives them back to the
 * system each time, and every page of them is a fault again. It keeps twice the largest piece that came from
 * the system and was freed (mallopt(3), M_MMAP_THRESHOLD); what a quiet store has, shrink_done() gives back.
 */
static void keep_free_memory(void)
{
    free(mem_alloc(KEPT_FREE / 2));
}

static void *load(struct role_run *run, struct why *why)
{
    (void)mallopt(M_ARENA_MAX, ARENAS_MAX);
    keep_free_memory();
    charset_load();
    zone_load();
    if (!urlkey_load()) {
        (void)err_set(why, ERR_INTERNAL, "HMAC-SHA256 does not work");
        return NULL;
    }
    struct store *store = mem_zero(1, sizeof *store);
    store->run = run;
    store->loop = role_loop(run);
    store->root = (struct store_root){.dir = -1, .path = "."};
    store->quotas = quotas_new(run, false);
    for (size_t i = 0; i < ROLE_COUNT; i++)
        list_init(&store->parked[i]);
    list_init(&store->stoppable);
    store->queued = buf_new(STORE_QUEUED_MAX);
    return store;
}

static enum err start(void *ctx, struct why *why)
{
    struct store *store = ctx;
    enum err err = io_open_dir(AT_FDCWD, ".", &store->root.dir, why);
    if (err)
        return err;
    store->pool = loop_pool_new(store->loop, "store", STORE_THREADS);
    slots_start(store);
    indexer_start(store);
    queue_names_start(&store->queue_names);
    grants_start(&store->grants);
    bodies_start(store);
    watches_start(store);
    err = shares_new(&store->root, &store->shares, why); /* before any account is opened */
    if (!err)
        err = start_sweep(store, why);
    if (err)
        return err;
    space_start(store);
    account_rehearse();
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    (void)why;
    struct store *store = ctx;
    quotas_free(&store->next_quotas);
    store->next_quotas = quotas_new(store->run, true);
    return ERR_OK;
}

static void commit(void *ctx)
{
    struct store *store = ctx;
    quotas_free(&store->quotas);
    store->quotas = store->next_quotas;
    store->next_quotas = NULL;
    indexer_settings(store);
}

static void cancel(void *ctx)
{
    quotas_free(&((struct store *)ctx)->next_quotas);
}

static void peer(void *ctx, enum role role, bool up)
{
    struct store *store = ctx;
    if (up) {
        if (role == ROLE_QUEUE || role == ROLE_IMAP)
            space_tell(store, role);
        return;
    }
    store->epochs[role]++;
    if (role == ROLE_QUEUE)
        buf_clear(&store->queued); /* the next one begins anew */
    jobs_resume(store, role);      /* they find that nobody asks any more */
    bodies_link_down(store, role);
    watches_link_down(store, role);
}

static void drained(void *ctx, enum role role)
{
    jobs_resume(ctx, role);
}

/* Accounts are folded and closed by their strands, many at a time; what is not done in time is in the
 * write-ahead logs and done at the next start. */
static void drain_poll(void *arg)
{
    struct store *store = arg;
    if (store->jobs || !slots_sleep_all(store))
        loop_timer_set(store->drain_timer, DRAIN_POLL_MS);
    else
        role_drained(store->run);
}

static void drain(void *ctx, uint64_t ms)
{
    (void)ms;
    struct store *store = ctx;
    store->draining = true;
    store->drain_timer = loop_timer_new(store->loop, drain_poll, store);
    drain_poll(store);
}

static void end(void *ctx)
{
    struct store *store = ctx;
    space_stop(store);
    loop_timer_free(&store->drain_timer);
    if (store->pool)
        loop_pool_free(&store->pool);
    watches_stop(store);
    indexer_stop(store);
    slots_stop(store);
    queue_names_stop(&store->queue_names);
    bodies_stop(store);
    grants_stop(&store->grants);
    shares_free(&store->shares);
    quotas_free(&store->quotas);
    quotas_free(&store->next_quotas);
    for (size_t i = 0; i < store->unclean.len; i++)
        free(*VEC_AT(&store->unclean, char *, i));
    vec_free(&store->unclean);
    buf_free(&store->queued);
    io_close(&store->root.dir);
    free(store);
}

const struct role_ops store_role = {
    .role = ROLE_STORE,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = cancel,
    .peer = peer,
    .drained = drained,
    .drain = drain,
    .free = end,
};
