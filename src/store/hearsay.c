/* hearsay.c: who hears of the shared mailboxes of other accounts, and what. Input: events of our own strands;
 * who may hear what follows from the mailboxes' lists alone. Called by watches.c and the handlers, on the
 * loop's thread. */
#include "store/hearsay.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/imap_list.h"
#include "store/acl.h"
#include "store/context.h"
#include "wire/objectid.h"

#define RIGHT_HEARS    (RIGHT_LOOKUP | RIGHT_READ)
#define MESSAGE_EVENTS ((uint32_t)(MAILBOX_EVENT_NEW | MAILBOX_EVENT_EXPUNGE | MAILBOX_EVENT_FLAGS))

struct ear {
    struct list node, due;
    struct watch *watch;
    struct map *subscribed; /* struct subscribed */
    struct buf rows;        /* to be sent, all of them done by: */
    struct grant by;
};
struct subscribed {
    size_t len;
    char name[];
};
/* An account that has been told of, and what is not told yet. */
struct hearsay {
    struct list node;
    struct slot *slot;
    struct list events; /* struct overheard */
    size_t count;
    bool lost;
};

/* ---- ears ---- */

static void subscribe(struct ear *ear, struct slice name)
{
    struct subscribed *s = mem_zero(1, sizeof *s + name.len);
    s->len = name.len;
    memcpy(s->name, name.ptr, name.len);
    struct slice key = slice_make(s->name, s->len);
    if (map_get(ear->subscribed, key) || !map_put(ear->subscribed, key, s))
        free(s);
}

static void forget_subscribed(struct ear *ear)
{
    size_t at = 0;
    struct subscribed *s;
    while (ear->subscribed && (s = map_next(ear->subscribed, &at, NULL)))
        free(s);
    map_free(&ear->subscribed);
}

void hearsay_subscriptions(struct ear *ear, struct slice rows)
{
    struct event_row row;
    while (event_row_take(&rows, &row)) {
        if (!(row.what & MAILBOX_EVENT_SUBSCRIPTION) ||
            !slice_starts(row.row.name, SLICE(MAILBOX_OTHERS "/")))
            continue;
        if (row.row.flags & MAILBOX_SUBSCRIBED)
            subscribe(ear, row.row.name);
        else
            free(map_remove(ear->subscribed, row.row.name));
    }
}

void hearsay_join(struct store *store, struct watch *watch, struct slice subscribed)
{
    struct ear *ear = watch->ear;
    if (!ear) {
        ear = watch->ear = mem_zero(1, sizeof *ear);
        ear->watch = watch;
        list_push_back(&store->hearsay.ears, &ear->node);
        atomic_fetch_add(&store->hearsay.ears_count, 1);
    }
    forget_subscribed(ear);
    ear->subscribed = map_new(ACCOUNT_MAILBOXES_MAX);
    struct slice name;
    while (wire_strings_take(&subscribed, &name))
        subscribe(ear, name);
}

void hearsay_leave(struct store *store, struct watch *watch)
{
    struct ear *ear = watch->ear;
    if (!ear)
        return;
    watch->ear = NULL;
    atomic_fetch_sub(&store->hearsay.ears_count, 1);
    list_remove(&ear->node);
    list_remove(&ear->due);
    forget_subscribed(ear);
    buf_free(&ear->rows);
    free(ear);
}

/* ---- sending ---- */

static void send_rows(struct store *store, struct ear *ear)
{
    if (ear->rows.len || ear->watch->lost)
        watch_tell_rows(store, ear->watch, buf_slice(&ear->rows), &ear->by);
    buf_free(&ear->rows);
    ear->rows = (struct buf){0};
    list_remove(&ear->due);
}

static void send_due(struct store *store)
{
    LIST_EACH(&store->hearsay.due, node)
    {
        send_rows(store, CONTAINER_OF(node, struct ear, due));
    }
}

static void mark_due(struct store *store, struct ear *ear)
{
    list_remove(&ear->due);
    list_push_back(&store->hearsay.due, &ear->due);
}

static void lose(struct store *store, struct ear *ear)
{
    ear->watch->lost = true;
    mark_due(store, ear);
}

static void add_row(struct store *store, struct ear *ear, const struct event_row *row, const struct grant *by)
{
    AUTO_BUF struct buf one = buf_new(WIRE_BLOB_MAX);
    event_row_add(&one, row);
    if (!buf_ok(&one)) {
        lose(store, ear);
        return;
    }
    if (ear->rows.len && (!grant_eq(by, &ear->by) || ear->rows.len + one.len > WIRE_BLOB_MAX))
        send_rows(store, ear);
    if (!ear->rows.max)
        ear->rows = buf_new(WIRE_BLOB_MAX);
    ear->by = *by;
    buf_add(&ear->rows, buf_slice(&one));
    mark_due(store, ear);
}

/* ---- who hears ---- */

typedef void ear_told(void *arg, struct ear *ear);

/* Every ear the list may give something to, once. */
static void each_ear(struct store *store, const struct acl *acl, ear_told *fn, void *arg)
{
    for (size_t i = 0; i < acl->count; i++) {
        if (!slice_eq(acl->entries[i].identifier, SLICE("anyone")))
            continue;
        LIST_EACH(&store->hearsay.ears, node)
        {
            fn(arg, CONTAINER_OF(node, struct ear, node));
        }
        return;
    }
    for (size_t i = 0; i < acl->count; i++) {
        struct slot *slot = map_get(store->slots, acl->entries[i].identifier);
        if (!slot)
            continue;
        LIST_EACH(&slot->watching, node)
        {
            struct watch *w = CONTAINER_OF(node, struct watch, node);
            if (w->ear)
                fn(arg, w->ear);
        }
    }
}

/* Of an account that is not the ear's own; its own it hears as its owner. */
static uint32_t rights_of(const struct slot *owner, const struct acl *acl, const struct ear *ear)
{
    struct slice who = ear->watch->slot->address;
    return slice_eq(who, owner->address) ? 0 : acl_rights(acl, owner->address, who);
}

/* ---- telling ---- */

struct telling {
    struct store *store;
    struct slot *owner;
    const struct overheard *event;
    struct event_row row;
    struct slice prefix;
    unsigned told;
};

/* As LIST and STATUS would tell the reader of it now. */
static struct event_row row_for(const struct telling *t, const struct ear *ear, uint32_t rights,
                                struct slice name, struct slice old)
{
    struct event_row row = t->row;
    row.what = t->event->what;
    row.old = old;
    if (!(rights & RIGHT_READ))
        row.row = (struct mailbox_row){.id = row.row.id, .tag = row.row.tag, .flags = row.row.flags};
    row.row.name = name;
    row.row.rights = rights;
    row.row.special_use = SPECIAL_NONE;
    row.row.flags &= MAILBOX_NOSELECT | MAILBOX_NONEXISTENT;
    row.row.flags |= map_get(ear->subscribed, name) ? MAILBOX_SUBSCRIBED : 0;
    return row;
}

static void tell_ear(void *arg, struct ear *ear)
{
    struct telling *t = arg;
    uint32_t rights = rights_of(t->owner, t->event->acl, ear);
    uint32_t needed = t->event->what & MAILBOX_EVENT_NAME ? RIGHT_LOOKUP : RIGHT_HEARS;
    if ((rights & needed) != needed)
        return;
    if (t->told++ >= HEARSAY_EARS_MAX) {
        lose(t->store, ear);
        return;
    }
    AUTO_BUF struct buf name = buf_new(2 * WIRE_MAILBOX_MAX), old = buf_new(2 * WIRE_MAILBOX_MAX);
    buf_add(&name, t->prefix);
    buf_add(&name, t->row.row.name);
    if (t->row.old.len) {
        buf_add(&old, t->prefix);
        buf_add(&old, t->row.old);
    }
    if (name.len > IMAP_MAILBOX_NAME_MAX || old.len > IMAP_MAILBOX_NAME_MAX)
        return; /* a name it cannot use: LIST leaves it out, too */
    struct event_row row = row_for(t, ear, rights, buf_slice(&name), buf_slice(&old));
    add_row(t->store, ear, &row, &t->event->by);
}

static void tell_event(struct store *store, struct slot *owner, const struct overheard *event)
{
    AUTO_BUF struct buf prefix = buf_new(2 * WIRE_MAILBOX_MAX);
    struct telling t = {.store = store, .owner = owner, .event = event};
    struct slice row = event->row;
    access_prefix(owner->address, &prefix);
    t.prefix = buf_slice(&prefix);
    if (event_row_take(&row, &t.row))
        each_ear(store, event->acl, tell_ear, &t);
}

static void lose_all(struct store *store, const struct slot *owner)
{
    LIST_EACH(&store->hearsay.ears, node)
    {
        struct ear *ear = CONTAINER_OF(node, struct ear, node);
        if (shares_has(store->shares, owner->address, ear->watch->slot->address))
            lose(store, ear);
    }
}

static void drop_event(struct hearsay *h, struct overheard *event)
{
    h->count--;
    overheard_free(event);
}

static void tell(struct store *store, struct hearsay *h)
{
    LIST_EACH(&h->events, node)
    {
        struct overheard *event = CONTAINER_OF(node, struct overheard, node);
        if (!h->lost)
            tell_event(store, h->slot, event);
        drop_event(h, event);
    }
    if (h->lost)
        lose_all(store, h->slot);
    h->lost = false;
    send_due(store);
}

/* ---- gathering ---- */

static struct hearsay *hearsay_new(struct store *store, struct slot *slot)
{
    struct hearsay *h = mem_zero(1, sizeof *h);
    h->slot = slot;
    list_init(&h->events);
    list_push_back(&store->hearsay.owners, &h->node);
    slot->hearsay = h;
    slot->watches++; /* it stays */
    return h;
}

static void hearsay_free(struct hearsay *h)
{
    LIST_EACH(&h->events, node)
    {
        drop_event(h, CONTAINER_OF(node, struct overheard, node));
    }
    h->slot->hearsay = NULL;
    h->slot->watches--;
    list_remove(&h->node);
    free(h);
}

static void arm(struct store *store)
{
    if (!store->hearsay.armed)
        loop_timer_set(store->hearsay.timer, HEARSAY_MS);
    store->hearsay.armed = true;
}

static void on_timer(void *arg)
{
    struct store *store = arg;
    store->hearsay.armed = false;
    LIST_EACH(&store->hearsay.owners, node)
    {
        struct hearsay *h = CONTAINER_OF(node, struct hearsay, node);
        if (h->count || h->lost)
            tell(store, h);
        else
            hearsay_free(h);
    }
    if (!list_empty(&store->hearsay.owners))
        arm(store);
}

/* Of a mailbox's messages only the newest state is worth telling. */
static void merge_older(struct hearsay *h, struct overheard *event)
{
    LIST_EACH(&h->events, node)
    {
        struct overheard *older = CONTAINER_OF(node, struct overheard, node);
        if (older->mailbox != event->mailbox || !(older->what & MESSAGE_EVENTS))
            continue;
        event->what |= older->what;
        if (!grant_eq(&older->by, &event->by))
            event->by = (struct grant){{0}};
        drop_event(h, older);
    }
}

static void keep(struct hearsay *h, struct overheard *event)
{
    list_remove(&event->node);
    if (event->what & MESSAGE_EVENTS)
        merge_older(h, event);
    list_push_back(&h->events, &event->node);
    if (++h->count <= HEARSAY_EVENTS_MAX)
        return;
    h->lost = true;
    drop_event(h, event);
}

void hearsay_take(struct store *store, struct slot *slot, struct overheard_news **news,
                  const struct grant *by)
{
    struct overheard_news *n = *news;
    if (n && !list_empty(&store->hearsay.ears)) {
        bool quiet = !slot->hearsay;
        struct hearsay *h = quiet ? hearsay_new(store, slot) : slot->hearsay;
        LIST_EACH(&n->events, node)
        {
            struct overheard *event = CONTAINER_OF(node, struct overheard, node);
            if (by)
                event->by = *by;
            keep(h, event);
        }
        h->lost = h->lost || n->lost;
        if (quiet)
            tell(store, h);
        arm(store);
    }
    overheard_news_free(news);
}

/* ---- rights ---- */

struct silencing {
    struct store *store;
    struct slot *owner;
    uint64_t mailbox;
    const struct acl *before, *after;
};

static void silence(void *arg, struct ear *ear)
{
    const struct silencing *s = arg;
    uint32_t had = rights_of(s->owner, s->before, ear), has = rights_of(s->owner, s->after, ear);
    if (!(had & ~has & RIGHT_HEARS))
        return;
    const struct event_row row = {
        .what = MAILBOX_EVENT_LOST,
        .row = {.id = s->mailbox, .tag = object_tag(s->owner->address), .rights = has & RIGHT_HEARS}};
    AUTO_BUF struct buf rows = buf_new(WIRE_BLOB_MAX);
    event_row_add(&rows, &row);
    watch_tell_rows(s->store, ear->watch, buf_slice(&rows), NULL);
    if (ear->watch->lost) /* it could not be said */
        watch_break_link(s->store, ear->watch);
}

void hearsay_rights(struct store *store, struct slot *slot, uint64_t mailbox, const struct acl *before,
                    const struct acl *after)
{
    struct silencing s = {store, slot, mailbox, before, after};
    if (slot->hearsay) {
        LIST_EACH(&slot->hearsay->events, node)
        {
            struct overheard *event = CONTAINER_OF(node, struct overheard, node);
            if (event->mailbox != mailbox)
                continue;
            acl_free(&event->acl);
            event->acl = acl_dup(after);
        }
    }
    each_ear(store, before, silence, &s);
}

/* ---- life ---- */

void hearsay_start(struct store *store)
{
    list_init(&store->hearsay.ears);
    list_init(&store->hearsay.due);
    list_init(&store->hearsay.owners);
    store->hearsay.timer = loop_timer_new(store->loop, on_timer, store);
}

void hearsay_stop(struct store *store)
{
    LIST_EACH(&store->hearsay.owners, node)
    {
        hearsay_free(CONTAINER_OF(node, struct hearsay, node));
    }
    loop_timer_free(&store->hearsay.timer);
}
