/* indexer.c: the full-text indexes are made here, in the background: one account at a time, a few
 * milliseconds on its strand, then a pause; nothing while somebody waits for the account. Called by the
 * role's tick. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/context.h"
#include "store/fulltext.h"

#define INDEXER_STEP_NS  3000000 /* what a delivery may have to wait for */
#define INDEXER_PAUSE_MS 6       /* a third of one processor at most */
#define INDEXER_BUSY_MS  60      /* the pause while the store has other things to do */
#define INDEXER_QUIET_MS 1000    /* an account nobody has used for so long */
#define INDEXER_YOUNG_MS 5000    /* the same for young blocks, which are made for the time being */
#define INDEXER_LONG_MS  60000   /* or any, when nothing was made for so long */
#define INDEXER_ERROR_MS 60000   /* after an error */

/* One step, on its way through the strand. */
struct indexer_step {
    struct slot *slot;
    struct fulltext_build *build; /* taken and given back */
    bool off, young, done;        /* done: nothing is left to make */
    enum err err;
    struct why why;
};

static enum err go_on(struct indexer_step *step, struct account *account)
{
    bool found = true, made = false;
    if (!step->build) {
        uint64_t block;
        enum err err = fulltext_next(account, clock_unix_s(), step->young, &block, &found, &step->why);
        step->done = err || !found;
        if (step->done)
            return err;
        step->build = fulltext_build_new(account, block);
    }
    enum err err = fulltext_build_step(step->build, account, INDEXER_STEP_NS, &made, &step->why);
    if (err || made)
        fulltext_build_free(&step->build);
    return err;
}

static void step_work(void *arg)
{
    struct indexer_step *step = arg;
    struct account *account = step->slot->account;
    if (account && account->db) {
        account->fulltext_off = step->off;
        step->err = go_on(step, account);
    }
    step->done = step->done || step->err || !account || !account->db;
    if (step->done && account)
        fulltext_close(account);
}

static void stop(struct store *store)
{
    struct indexer *indexer = &store->indexer;
    fulltext_build_free(&indexer->build);
    indexer->slot = NULL;
    indexer->ended_ms = loop_now_ms(store->loop);
}

static void step_done(void *arg)
{
    struct indexer_step *step = arg;
    struct store *store = step->slot->store;
    struct indexer *indexer = &store->indexer;
    step->slot->jobs--; /* not a use */
    indexer->build = step->build;
    indexer->stepping = false;
    if (step->err) {
        log_warn("store.index", LOG_STR("account", step->slot->address), LOG_WHY(&step->why));
        metric_inc(METRIC_STORE_ERRORS);
        indexer->not_before_ms = loop_now_ms(store->loop) + INDEXER_ERROR_MS;
    }
    if (step->done || store->draining)
        stop(store);
    else
        loop_timer_set(indexer->timer, store->jobs ? INDEXER_BUSY_MS : INDEXER_PAUSE_MS);
    free(step);
}

static bool is_young_time(const struct slot *slot)
{
    return loop_now_ms(slot->store->loop) - slot->used_ms >= INDEXER_YOUNG_MS;
}

static void run_step(struct store *store)
{
    struct indexer *indexer = &store->indexer;
    struct indexer_step *step = mem_zero(1, sizeof *step);
    step->slot = indexer->slot;
    step->build = indexer->build;
    step->off = !indexer->wanted;
    step->young = is_young_time(indexer->slot);
    indexer->build = NULL;
    indexer->stepping = true;
    step->slot->jobs++;
    loop_strand_run(step->slot->strand, step_work, step_done, step);
}

/* The account may have gone to sleep meanwhile: then it is another time's work. */
static void on_time(void *arg)
{
    struct store *store = arg;
    struct indexer *indexer = &store->indexer;
    if (!indexer->slot || indexer->stepping)
        return;
    if (store->draining || !indexer->slot->awake || store->space_low)
        stop(store);
    else if (indexer->slot->jobs)
        loop_timer_set(indexer->timer, INDEXER_BUSY_MS);
    else
        run_step(store);
}

/* A busy account has its turn too, when no other has had one for long. */
static bool may_begin(const struct slot *slot, uint64_t now)
{
    const struct store *store = slot->store;
    const struct indexer *indexer = &store->indexer;
    bool quiet = now - slot->used_ms >= INDEXER_QUIET_MS || now - indexer->ended_ms >= INDEXER_LONG_MS;
    return !indexer->slot && quiet && now >= indexer->not_before_ms && !store->draining &&
           !store->space_low && slot->awake && slot->account && slot->account->db &&
           fulltext_due(slot->account, is_young_time(slot));
}

bool indexer_look_at(struct slot *slot, uint64_t now)
{
    struct indexer *indexer = &slot->store->indexer;
    if (indexer->slot == slot)
        return true;
    if (!may_begin(slot, now))
        return false;
    indexer->slot = slot;
    run_step(slot->store);
    return true;
}

void indexer_forget(struct slot *slot)
{
    if (slot->store->indexer.slot == slot)
        stop(slot->store);
}

void indexer_start(struct store *store)
{
    store->indexer.timer = loop_timer_new(store->loop, on_time, store);
    store->indexer.ended_ms = loop_now_ms(store->loop);
    indexer_settings(store);
}

void indexer_settings(struct store *store)
{
    atomic_store(&store->indexer.wanted, role_settings(store->run)->search_index);
}

void indexer_stop(struct store *store)
{
    stop(store);
    loop_timer_free(&store->indexer.timer);
}
