/* hearsay.c: what is told of the shared mailboxes of other accounts, and when. Input: events of our own
 * strands; who may hear what follows from the mailboxes' lists alone. Called by watches.c and the handlers,
 * on the loop's thread. */
#include "store/hearsay.h"

#include <stdlib.h>

#include "base/mem.h"
#include "grammar/imap_list.h"
#include "store/acl.h"
#include "store/context.h"
#include "wire/objectid.h"

#define RIGHT_HEARS    (RIGHT_LOOKUP | RIGHT_READ)
#define MESSAGE_EVENTS ((uint32_t)(MAILBOX_EVENT_NEW | MAILBOX_EVENT_EXPUNGE | MAILBOX_EVENT_FLAGS))

/* An account that has been told of, and what is not told yet. */
struct hearsay {
    struct list node;
    struct slot *slot;
    struct list events; /* struct overheard */
    size_t count;
    bool lost;
};

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
    row.row.flags |= ear_has_subscribed(ear, name) ? MAILBOX_SUBSCRIBED : 0;
    return row;
}

static void tell_ear(void *arg, struct ear *ear)
{
    struct telling *t = arg;
    uint32_t rights = ear_rights(t->owner, t->event->acl, ear);
    uint32_t needed = t->event->what & MAILBOX_EVENT_NAME ? RIGHT_LOOKUP : RIGHT_HEARS;
    const struct acl *knew = t->event->knew;
    if ((rights & needed) != needed || (knew && ear_rights(t->owner, knew, ear) & RIGHT_LOOKUP))
        return;
    if (t->told++ >= HEARSAY_EARS_MAX) {
        ear_lose(t->store, ear);
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
    ear_add_row(t->store, ear, &row, &t->event->by);
    ear_remember_told(ear, t->owner, t->event->mailbox, t->event->what & MAILBOX_EVENT_NAME);
}

static void tell_event(struct store *store, struct slot *owner, const struct overheard *event)
{
    AUTO_BUF struct buf prefix = buf_new(2 * WIRE_MAILBOX_MAX);
    struct telling t = {.store = store, .owner = owner, .event = event};
    struct slice row = event->row;
    access_prefix(owner->address, &prefix);
    t.prefix = buf_slice(&prefix);
    if (event_row_take(&row, &t.row))
        ears_each(store, event->acl, tell_ear, &t);
}

static void lose_all(struct store *store, const struct slot *owner)
{
    LIST_EACH(&store->ears.all, node)
    {
        struct ear *ear = CONTAINER_OF(node, struct ear, node);
        if (shares_has(store->shares, owner->address, ear->watch->slot->address))
            ear_lose(store, ear);
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
    ears_send(store);
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

/* Given again before anybody was told: told once, to those to whom it is new since the first time. */
static void merge_shared(struct hearsay *h, struct overheard *event)
{
    LIST_EACH(&h->events, node)
    {
        struct overheard *older = CONTAINER_OF(node, struct overheard, node);
        if (older->mailbox != event->mailbox || !older->knew)
            continue;
        acl_free(&event->knew);
        event->knew = older->knew;
        older->knew = NULL;
        drop_event(h, older);
    }
}

/* What was in it is nobody's business any more. */
static void drop_contents(struct hearsay *h, uint64_t mailbox)
{
    LIST_EACH(&h->events, node)
    {
        struct overheard *event = CONTAINER_OF(node, struct overheard, node);
        if (event->mailbox == mailbox && !(event->what & MAILBOX_EVENT_NAME))
            drop_event(h, event);
    }
}

static void keep(struct hearsay *h, struct overheard *event)
{
    list_remove(&event->node);
    if (event->gone)
        drop_contents(h, event->mailbox);
    if (event->what & MESSAGE_EVENTS)
        merge_older(h, event);
    if (event->knew)
        merge_shared(h, event);
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
    if (n && !list_empty(&store->ears.all)) {
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

/* Only who was told of it since the last time: who gives and takes rights in turns wakes nobody. */
static void silence(void *arg, struct ear *ear)
{
    const struct silencing *s = arg;
    uint32_t had = ear_rights(s->owner, s->before, ear), has = ear_rights(s->owner, s->after, ear);
    uint32_t lost = had & ~has;
    bool contents = lost & RIGHT_HEARS && ear_forget_told(ear, s->owner, s->mailbox, false);
    bool name = lost & RIGHT_LOOKUP && ear_forget_told(ear, s->owner, s->mailbox, true);
    if (!contents && !name)
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
    ears_each(store, before, silence, &s);
}

/* ---- life ---- */

void hearsay_start(struct store *store)
{
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
