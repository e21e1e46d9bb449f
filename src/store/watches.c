/* watches.c: who has which mailbox open, by link, and what they are told: changes at most every
 * STORE_NOTICE_MS per link and mailbox, a moved image at once, because the next answer may rely on it. On the
 * loop's thread but where said. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "store/acl.h"
#include "store/context.h"

#define WATCHES_MAX 200000 /* open mailboxes of all links */

/* An image with many expunged entries and nobody looking is not worth keeping. */
#define VIEW_WASTE_MIN 1000

static void send_events(struct store *store, struct watch *watch, struct slice rows, const struct grant *by)
{
    struct wire_mbox_events events = {.watch = watch->id, .lost = watch->lost, .rows = rows};
    if (by)
        events.grant = *by;
    struct ipc_link *link = role_link(store->run, watch->role);
    watch->lost = wire_send(link, WIRE_MBOX_EVENTS, &events) != ERR_OK;
    watch->pending = watch->lost; /* a full queue: with the timer */
}

/* A link that ends takes its watches along, so it ends when nobody walks them. */
void watch_break_link(struct store *store, const struct watch *watch)
{
    store->watches.broken |= 1u << watch->role;
}

static void close_broken(struct store *store)
{
    unsigned broken = store->watches.broken;
    store->watches.broken = 0;
    for (unsigned role = 0; broken >> role; role++)
        if (broken >> role & 1)
            ipc_link_close(role_link(store->run, (enum role)role));
}

static void send_notice(struct store *store, struct watch *watch, int image)
{
    if (!watch->mailbox) {
        send_events(store, watch, SLICE_EMPTY, NULL);
        return;
    }
    const struct wire_mbox_changed changed = {
        .watch = watch->id, .modseq = watch->modseq, .gone = watch->gone};
    struct ipc_link *link = role_link(store->run, watch->role);
    enum err err = image >= 0 ? wire_send_fds(link, WIRE_MBOX_CHANGED, &changed, &image, 1)
                              : wire_send(link, WIRE_MBOX_CHANGED, &changed);
    watch->pending = err != ERR_OK && image < 0; /* a full queue: again with the timer */
    watch->told_ms = loop_now_ms(store->loop);
    if (err != ERR_OK && image >= 0)
        watch_break_link(store, watch); /* who missed a new image would read the old one for ever */
}

static void arm(struct store *store)
{
    if (!store->watches.armed)
        loop_timer_set(store->watches.timer, STORE_NOTICE_MS);
    store->watches.armed = true;
}

static void on_timer(void *arg)
{
    struct store *store = arg;
    store->watches.armed = false;
    size_t at = 0;
    struct watch *w;
    bool left = false;
    while ((w = idmap_next(store->watches.by_id, &at, NULL))) {
        if (w->pending)
            send_notice(store, w, -1);
        left = left || w->pending;
    }
    if (left)
        arm(store);
}

/* ---- readers ---- */

static struct watch_reader *find_reader(const struct watch *watch, struct slice account)
{
    LIST_EACH(&((struct watch *)(uintptr_t)watch)->readers, node)
    {
        struct watch_reader *r = CONTAINER_OF(node, struct watch_reader, node);
        if (slice_eq(slice_make(r->account, r->len), account))
            return r;
    }
    return NULL;
}

static void free_reader(struct watch_reader *r)
{
    list_remove(&r->node);
    free(r);
}

void watch_add_reader(struct watch *watch, struct slice account)
{
    struct watch_reader *r = find_reader(watch, account);
    if (!r) {
        r = mem_zero(1, sizeof *r + account.len);
        r->len = account.len;
        memcpy(r->account, account.ptr, account.len);
        list_push_back(&watch->readers, &r->node);
    }
    r->uses++;
}

bool watch_has_reader(const struct watch *watch, struct slice account)
{
    return find_reader(watch, account) != NULL;
}

bool watch_drop_reader(struct watch *watch, struct slice account)
{
    struct watch_reader *r = find_reader(watch, account);
    if (r && --r->uses == 0)
        free_reader(r);
    return r != NULL;
}

/* Who misses this would go on reading: then the link ends. */
static void tell_lost(struct store *store, const struct watch *watch, const struct watch_reader *r)
{
    const struct wire_mbox_changed changed = {
        .watch = watch->id, .modseq = watch->modseq, .lost = slice_make(r->account, r->len)};
    if (wire_send(role_link(store->run, watch->role), WIRE_MBOX_CHANGED, &changed))
        watch_break_link(store, watch);
}

void watches_tell_rights(struct store *store, struct slot *slot, uint64_t mailbox, const struct acl *acl)
{
    LIST_EACH(&slot->watching, node)
    {
        struct watch *w = CONTAINER_OF(node, struct watch, node);
        if (w->mailbox != mailbox || w->gone)
            continue;
        LIST_EACH(&w->readers, at)
        {
            const struct watch_reader *r = CONTAINER_OF(at, struct watch_reader, node);
            if (!(acl_rights(acl, slot->address, slice_make(r->account, r->len)) & RIGHT_READ))
                tell_lost(store, w, r);
        }
    }
    close_broken(store);
}

void watches_start(struct store *store)
{
    store->watches.by_id = idmap_new(WATCHES_MAX);
    role_random(&store->watches.next, sizeof store->watches.next);
    store->watches.next >>= 16; /* names of an earlier life of ours are not met again */
    store->watches.timer = loop_timer_new(store->loop, on_timer, store);
    ears_start(&store->ears);
    hearsay_start(store);
}

void watches_stop(struct store *store)
{
    loop_timer_free(&store->watches.timer);
    if (!store->watches.by_id)
        return;
    size_t at = 0;
    struct watch *w;
    while ((w = idmap_next(store->watches.by_id, &at, NULL))) {
        LIST_EACH(&w->readers, node)
        {
            free_reader(CONTAINER_OF(node, struct watch_reader, node));
        }
        ear_leave(store, w);
        free(w);
    }
    hearsay_stop(store);
    idmap_free(&store->watches.by_id);
}

static struct watch *find(struct store *store, enum role role, const struct slot *slot, uint64_t mailbox)
{
    LIST_EACH(&((struct slot *)(uintptr_t)slot)->watching, node)
    {
        struct watch *w = CONTAINER_OF(node, struct watch, node);
        if (w->role == role && w->mailbox == mailbox && !w->gone)
            return w;
    }
    (void)store;
    return NULL;
}

struct watch *watch_get(struct store *store, enum role role, struct slot *slot, uint64_t mailbox, bool *made)
{
    struct watch *w = find(store, role, slot, mailbox);
    *made = !w;
    if (w)
        return w;
    w = mem_zero(1, sizeof *w);
    *w = (struct watch){.id = ++store->watches.next, .role = role, .slot = slot, .mailbox = mailbox};
    if (!idmap_put(store->watches.by_id, w->id, w)) {
        free(w);
        return NULL;
    }
    list_init(&w->readers);
    list_push_back(&slot->watching, &w->node);
    slot->watches++;
    return w;
}

struct watch *watch_find(struct store *store, uint64_t id)
{
    return id == UINT64_MAX ? NULL : idmap_get(store->watches.by_id, id);
}

static void remove_watch(struct store *store, struct watch *watch)
{
    LIST_EACH(&watch->readers, node)
    {
        free_reader(CONTAINER_OF(node, struct watch_reader, node));
    }
    ear_leave(store, watch);
    (void)idmap_remove(store->watches.by_id, watch->id);
    list_remove(&watch->node);
    watch->slot->watches--;
    free(watch);
}

/* ---- giving up, on the strand ---- */

void watch_release_view(struct account *account, uint64_t mailbox, unsigned uses, unsigned takers)
{
    if (!mailbox)
        account->listeners -= uses < account->listeners ? uses : account->listeners;
    struct mailbox *m = account_mailbox_by_id(account, mailbox);
    if (!m)
        return;
    m->watches -= uses < m->watches ? uses : m->watches;
    m->takers -= takers < m->takers ? takers : m->takers;
    if (m->watches || !m->view)
        return;
    uint64_t waste = m->view->image->expunged;
    if (waste > VIEW_WASTE_MIN && waste > view_count(m->view) / 2)
        account_release_view(m);
}

struct release {
    struct slot *slot;
    uint64_t mailbox;
    unsigned uses, takers;
};

static void release_work(void *arg)
{
    struct release *r = arg;
    if (r->slot->account)
        watch_release_view(r->slot->account, r->mailbox, r->uses, r->takers);
}

static void release_done(void *arg)
{
    struct release *r = arg;
    r->slot->jobs--;
    free(r);
}

static void tell_strand(struct slot *slot, uint64_t mailbox, unsigned uses, unsigned takers)
{
    if (slot->jobs == 0) { /* the strand is idle: here and now, so that the next SELECT finds it idle too */
        if (slot->account)
            watch_release_view(slot->account, mailbox, uses, takers);
        return;
    }
    struct release *r = mem_zero(1, sizeof *r);
    *r = (struct release){slot, mailbox, uses, takers};
    slot->jobs++; /* needs no handle, so it wakes nobody */
    loop_strand_run(slot->strand, release_work, release_done, r);
}

void watch_drop_use(struct store *store, struct watch *watch, bool taker)
{
    taker = taker && watch->takers;
    if (!watch->gone) /* the mailbox itself has forgotten, then */
        tell_strand(watch->slot, watch->mailbox, 1, taker);
    watch->takers -= taker;
    if (--watch->uses == 0)
        remove_watch(store, watch);
}

void watches_link_down(struct store *store, enum role role)
{
    struct vec mine = VEC_NEW(struct watch *, WATCHES_MAX);
    size_t at = 0;
    struct watch *w;
    while ((w = idmap_next(store->watches.by_id, &at, NULL))) {
        struct watch **place = w->role == role ? vec_push(&mine) : NULL;
        if (place)
            *place = w;
    }
    for (size_t i = 0; i < mine.len; i++) {
        w = *VEC_AT(&mine, struct watch *, i);
        if (!w->gone)
            tell_strand(w->slot, w->mailbox, w->uses, w->takers);
        remove_watch(store, w);
    }
    vec_free(&mine);
}

/* ---- telling ---- */

static void tell_one(struct store *store, struct watch *watch, const struct account_event *event)
{
    watch->modseq = event->modseq > watch->modseq ? event->modseq : watch->modseq;
    watch->gone = watch->gone || event->gone;
    if (event->image >= 0 || event->gone || loop_now_ms(store->loop) - watch->told_ms >= STORE_NOTICE_MS) {
        send_notice(store, watch, event->image);
    } else {
        watch->pending = true;
    }
    if (watch->pending)
        arm(store);
}

void watch_tell_rows(struct store *store, struct watch *watch, struct slice rows, const struct grant *by)
{
    send_events(store, watch, rows, by);
    if (watch->pending)
        arm(store);
}

static void tell_listeners(struct store *store, struct slot *slot, const struct account_news *news,
                           const struct grant *by)
{
    if (!news->heard_len && !news->lost)
        return;
    LIST_EACH(&slot->watching, node)
    {
        struct watch *w = CONTAINER_OF(node, struct watch, node);
        if (w->mailbox)
            continue;
        struct slice rows = slice_make(news->heard, news->heard_len);
        if (w->ear)
            ear_subscriptions(w->ear, rows);
        w->lost = w->lost || news->lost;
        watch_tell_rows(store, w, rows, by);
    }
}

void watches_tell(struct store *store, struct slot *slot, struct account_news *news, const struct grant *by)
{
    struct account_event *events = news->events;
    for (size_t i = 0; i < news->count; i++) {
        LIST_EACH(&slot->watching, node)
        {
            struct watch *w = CONTAINER_OF(node, struct watch, node);
            if (w->mailbox == events[i].mailbox && !w->gone)
                tell_one(store, w, &events[i]);
        }
        io_close(&events[i].image);
    }
    tell_listeners(store, slot, news, by);
    hearsay_take(store, slot, &news->overheard, by);
    close_broken(store);
    free(events);
    free(news->heard);
}
