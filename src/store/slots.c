/* slots.c: accounts in memory, each with its strand; a bounded number of open index handles, closed when
 * idle. On the loop's thread but where said. */
#include <malloc.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/acl.h"
#include "store/context.h"

static void free_slot(struct slot *slot)
{
    struct store *store = slot->store;
    indexer_forget(slot);
    map_remove(store->slots, slot->address);
    list_remove(&slot->lru);
    account_free(&slot->account);
    loop_strand_free(&slot->strand);
    pthread_mutex_destroy(&slot->lock);
    free((void *)(uintptr_t)slot->address.ptr);
    free(slot);
}

static struct slot *new_slot(struct store *store, struct slice address)
{
    struct slot *slot = mem_zero(1, sizeof *slot);
    slot->store = store;
    slot->address = slice_make(mem_dup(address.ptr, address.len), address.len);
    if (!map_put(store->slots, slot->address, slot)) {
        free((void *)(uintptr_t)slot->address.ptr);
        free(slot);
        return NULL;
    }
    slot->strand = loop_strand_new(store->pool);
    list_init(&slot->ready);
    list_init(&slot->watching);
    list_push_back(&store->lru, &slot->lru);
    pthread_mutex_init(&slot->lock, NULL);
    return slot;
}

/* ---- sleeping ---- */

static void sleep_work(void *arg)
{
    struct slot *slot = arg;
    struct account *account = slot->account;
    if (!account)
        return;
    account_sleep(account);
    size_t at = 0;
    struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL)))
        account_release_view(m);
}

static void sleep_done(void *arg)
{
    struct slot *slot = arg;
    slot->jobs--;
    if (!slot->jobs && !slot->watches && !slot->awake)
        free_slot(slot);
}

static void put_to_sleep(struct slot *slot)
{
    slot->awake = false;
    slot->store->awake--;
    slot->jobs++;
    metric_set(METRIC_STORE_ACCOUNTS_OPEN, 0, slot->store->awake);
    loop_strand_run(slot->strand, sleep_work, sleep_done, slot);
}

/* The handle that was not used for the longest time goes; none when all are busy. */
static void make_room(struct store *store)
{
    LIST_EACH(&store->lru, node)
    {
        struct slot *slot = CONTAINER_OF(node, struct slot, lru);
        if (slot->awake && !slot->jobs) {
            put_to_sleep(slot);
            return;
        }
    }
}

struct slot *slot_get(struct store *store, struct slice address)
{
    struct slot *slot = map_get(store->slots, address);
    return slot ? slot : new_slot(store, address);
}

void slot_touch(struct slot *slot)
{
    struct store *store = slot->store;
    slot->used_ms = loop_now_ms(store->loop);
    slot->small = false;
    list_remove(&slot->lru);
    list_push_back(&store->lru, &slot->lru);
    if (slot->awake)
        return;
    if (store->awake >= STORE_AWAKE_MAX)
        make_room(store);
    slot->awake = true;
    store->awake++;
    metric_set(METRIC_STORE_ACCOUNTS_OPEN, 0, store->awake);
}

void slot_hold(struct slot *slot)
{
    slot->jobs++;
    slot_touch(slot);
}

void slot_release(struct slot *slot)
{
    slot->jobs--;
    slot->used_ms = loop_now_ms(slot->store->loop);
}

/* What stands in the index counts; the list of who shares may come from an older copy. */
static void update_shares(struct slot *slot)
{
    AUTO_BUF struct buf identifiers = buf_new(SHARES_BYTES_MAX);
    struct why why;
    acl_sharers(slot->account, &identifiers);
    if (shares_set(slot->store->shares, slot->address, buf_slice(&identifiers), &why))
        log_warn("store.shares", LOG_STR("account", slot->address), LOG_WHY(&why));
}

enum err slot_account(struct slot *slot, unsigned how, struct account **account, struct why *why)
{
    bool fresh = !slot->account;
    enum err err = ERR_OK;
    if (fresh)
        err = account_open_asleep(&slot->store->root, slot->address, how & SLOT_MAKE, &slot->account, why);
    if (err)
        return err;
    if (fresh && slot->account->strays)
        log_error("store.strays", LOG_STR("account", slot->address), LOG_U64("files", slot->account->strays),
                  LOG_CSTR("why", "the index does not know these messages: run store rebuild"));
    if (fresh)
        update_shares(slot);
    if (!(how & SLOT_ASLEEP))
        err = account_wake(slot->account, why);
    if (err) /* it stays in memory, and the next one tries again */
        return err;
    slot->account->overhearers = &slot->store->ears.count;
    slot->account->fulltext_off = !atomic_load(&slot->store->indexer.wanted);
    *account = slot->account;
    return ERR_OK;
}

/* ---- upkeep ---- */

struct upkeep {
    struct slot *slot;
    bool idle;
    enum err err;
    struct why why;
};

static void upkeep_work(void *arg)
{
    struct upkeep *u = arg;
    if (u->slot->account && u->slot->account->db)
        u->err = account_upkeep(u->slot->account, clock_unix_s(), u->idle, &u->why);
}

static void upkeep_done(void *arg)
{
    struct upkeep *u = arg;
    if (u->err) {
        log_warn("store.upkeep", LOG_STR("account", u->slot->address), LOG_WHY(&u->why));
        metric_inc(METRIC_STORE_ERRORS);
    }
    u->slot->jobs--; /* not a use: an idle account stays idle */
    free(u);
}

static void run_upkeep(struct slot *slot, bool idle)
{
    struct upkeep *u = mem_zero(1, sizeof *u);
    u->slot = slot;
    u->idle = idle;
    slot->jobs++;
    slot->upkeep_ms = loop_now_ms(slot->store->loop);
    loop_strand_run(slot->strand, upkeep_work, upkeep_done, u);
}

static void shrink_work(void *arg)
{
    struct slot *slot = arg;
    if (slot->account)
        account_shrink(slot->account);
}

/* What was freed lies in pieces between what was not: the system gets it back only when told. */
static void shrink_done(void *arg)
{
    struct slot *slot = arg;
    struct store *store = slot->store;
    slot->jobs--;
    if (!--store->shrinking && !store->jobs)
        (void)malloc_trim(0);
}

static void run_shrink(struct slot *slot)
{
    slot->small = true;
    slot->jobs++;
    slot->store->shrinking++;
    loop_strand_run(slot->strand, shrink_work, shrink_done, slot);
}

/* Only while no job touches the account. */
static void look_after(struct slot *slot, uint64_t now)
{
    bool quiet = now - slot->used_ms >= STORE_QUIET_MS;
    if (slot->awake && now - slot->used_ms >= STORE_IDLE_MS && slot->store->indexer.slot != slot)
        put_to_sleep(slot);
    else if (slot->account && account_upkeep_due(slot->account, clock_unix_s(), quiet))
        run_upkeep(slot, quiet);
    else if (indexer_look_at(slot, now))
        return;
    else if (slot->awake && !slot->small && now - slot->used_ms >= STORE_SHRINK_MS)
        run_shrink(slot);
    else if (!slot->awake && !slot->watches && !slot->account)
        free_slot(slot);
}

bool slots_sleep_all(struct store *store)
{
    bool left = false;
    LIST_EACH(&store->lru, node)
    {
        struct slot *slot = CONTAINER_OF(node, struct slot, lru);
        if (slot->awake && !slot->jobs)
            put_to_sleep(slot);
        left = left || slot->jobs;
    }
    return !left;
}

static void tick(void *arg)
{
    struct store *store = arg;
    uint64_t now = loop_now_ms(store->loop);
    LIST_EACH(&store->lru, node)
    {
        struct slot *slot = CONTAINER_OF(node, struct slot, lru);
        if (!slot->jobs)
            look_after(slot, now);
    }
    bodies_tick(store);
    loop_timer_set(store->tick, STORE_TICK_MS);
}

void slots_start(struct store *store)
{
    store->slots = map_new(STORE_SLOTS_MAX);
    list_init(&store->lru);
    store->tick = loop_timer_new(store->loop, tick, store);
    loop_timer_set(store->tick, STORE_TICK_MS);
}

void slots_stop(struct store *store)
{
    loop_timer_free(&store->tick);
    if (!store->slots)
        return;
    LIST_EACH(&store->lru, node)
    {
        free_slot(CONTAINER_OF(node, struct slot, lru));
    }
    map_free(&store->slots);
}
