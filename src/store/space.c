/* space.c: free space below the reserve: new mail is refused, people go on reading, deleting and sending.
 * Looked at every few seconds; queue and imap are told. */
#include "base/io.h"
#include "base/log.h"
#include "settings/metrics.h"
#include "store/context.h"

void space_tell(struct store *store, enum role role)
{
    const struct wire_store_state state = {.space_low = store->space_low};
    struct ipc_link *link = role_link(store->run, role);
    if (link && ipc_link_is_up(link))
        (void)!wire_send(link, WIRE_STORE_STATE, &state); /* told again when the link comes up */
}

static void change_state(struct store *store, bool low, uint64_t free_bytes)
{
    store->space_low = low;
    metric_state_set(METRIC_SPACE_LOW, low);
    if (low)
        log_error("store.space-low", LOG_U64("free", free_bytes),
                  LOG_U64("reserve", role_settings(store->run)->free_space_reserve));
    else
        log_info("store.space-enough", LOG_U64("free", free_bytes));
    space_tell(store, ROLE_QUEUE);
    space_tell(store, ROLE_IMAP);
}

static void look(void *arg)
{
    struct store *store = arg;
    struct io_space space;
    struct why why;
    if (io_statvfs(store->root.dir, &space, &why) == ERR_OK) {
        bool low = space.free < role_settings(store->run)->free_space_reserve;
        metric_set(METRIC_STORE_FREE_BYTES, 0, space.free);
        if (low != store->space_low)
            change_state(store, low, space.free);
    } else {
        log_warn("store.space", LOG_WHY(&why));
    }
    loop_timer_set(store->space_timer, STORE_SPACE_MS);
}

void space_start(struct store *store)
{
    store->space_timer = loop_timer_new(store->loop, look, store);
    look(store);
}

void space_stop(struct store *store)
{
    loop_timer_free(&store->space_timer);
}
