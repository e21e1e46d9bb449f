/* ears.c: sessions that listen to what other accounts share, by account: whom a mailbox's list names, what
 * they have subscribed and were told, rows on their way to them. Input: our own events; names accounts have
 * subscribed. Called by hearsay.c and watches.c, on the loop's thread. */
#include "store/ears.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/acl.h"
#include "store/context.h"

struct name {
    size_t len;
    char bytes[];
};

/* ---- ears ---- */

/* False: there are too many. */
static bool names_put(struct map *names, struct slice name)
{
    if (map_get(names, name))
        return true;
    struct name *n = mem_zero(1, sizeof *n + name.len);
    n->len = name.len;
    memcpy(n->bytes, name.ptr, name.len);
    if (map_put(names, slice_make(n->bytes, n->len), n))
        return true;
    free(n);
    return false;
}

static bool names_remove(struct map *names, struct slice name)
{
    struct name *n = map_remove(names, name);
    free(n);
    return n != NULL;
}

static void names_free(struct map **names)
{
    size_t at = 0;
    struct name *n;
    while (*names && (n = map_next(*names, &at, NULL)))
        free(n);
    map_free(names);
}

void ear_subscriptions(struct ear *ear, struct slice rows)
{
    struct event_row row;
    while (event_row_take(&rows, &row)) {
        if (!(row.what & MAILBOX_EVENT_SUBSCRIPTION) ||
            !slice_starts(row.row.name, SLICE(MAILBOX_OTHERS "/")))
            continue;
        if (row.row.flags & MAILBOX_SUBSCRIBED)
            (void)!names_put(ear->subscribed, row.row.name); /* as many as an account may have */
        else
            (void)!names_remove(ear->subscribed, row.row.name);
    }
}

void ear_join(struct store *store, struct watch *watch, struct slice subscribed)
{
    struct ear *ear = watch->ear;
    if (!ear) {
        ear = watch->ear = mem_zero(1, sizeof *ear);
        ear->watch = watch;
        ear->told = map_new(EAR_TOLD_MAX);
        list_push_back(&store->ears.all, &ear->node);
        atomic_fetch_add(&store->ears.count, 1);
    }
    names_free(&ear->subscribed);
    ear->subscribed = map_new(ACCOUNT_MAILBOXES_MAX);
    struct slice name;
    while (wire_strings_take(&subscribed, &name))
        (void)!names_put(ear->subscribed, name);
}

void ear_leave(struct store *store, struct watch *watch)
{
    struct ear *ear = watch->ear;
    if (!ear)
        return;
    watch->ear = NULL;
    atomic_fetch_sub(&store->ears.count, 1);
    list_remove(&ear->node);
    list_remove(&ear->due);
    names_free(&ear->subscribed);
    names_free(&ear->told);
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

void ears_send(struct store *store)
{
    LIST_EACH(&store->ears.due, node)
    {
        send_rows(store, CONTAINER_OF(node, struct ear, due));
    }
}

static void mark_due(struct store *store, struct ear *ear)
{
    list_remove(&ear->due);
    list_push_back(&store->ears.due, &ear->due);
}

void ear_lose(struct store *store, struct ear *ear)
{
    ear->watch->lost = true;
    mark_due(store, ear);
}

void ear_add_row(struct store *store, struct ear *ear, const struct event_row *row, const struct grant *by)
{
    AUTO_BUF struct buf one = buf_new(WIRE_BLOB_MAX);
    event_row_add(&one, row);
    if (!buf_ok(&one)) {
        ear_lose(store, ear);
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

void ears_each(struct store *store, const struct acl *acl, ear_hears *fn, void *arg)
{
    for (size_t i = 0; i < acl->count; i++) {
        if (!slice_eq(acl->entries[i].identifier, SLICE("anyone")))
            continue;
        LIST_EACH(&store->ears.all, node)
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

uint32_t ear_rights(const struct slot *owner, const struct acl *acl, const struct ear *ear)
{
    struct slice who = ear->watch->slot->address;
    return slice_eq(who, owner->address) ? 0 : acl_rights(acl, owner->address, who);
}

/* ---- what was told ---- */

/* Of a mailbox and either its name or what is in it. */
static void told_key(const struct slot *owner, uint64_t mailbox, bool name, struct buf *key)
{
    buf_addf(key, "%c%llu/", name ? 'n' : 'm', (unsigned long long)mailbox);
    buf_add(key, owner->address);
}

void ear_remember_told(struct ear *ear, const struct slot *owner, uint64_t mailbox, bool name)
{
    AUTO_BUF struct buf key = buf_new(WIRE_MAILBOX_MAX);
    told_key(owner, mailbox, name, &key);
    if (!ear->told_more && !names_put(ear->told, buf_slice(&key)))
        ear->told_more = true;
}

bool ear_forget_told(struct ear *ear, const struct slot *owner, uint64_t mailbox, bool name)
{
    AUTO_BUF struct buf key = buf_new(WIRE_MAILBOX_MAX);
    told_key(owner, mailbox, name, &key);
    return names_remove(ear->told, buf_slice(&key)) || ear->told_more;
}

bool ear_has_subscribed(const struct ear *ear, struct slice name)
{
    return map_get(ear->subscribed, name) != NULL;
}

/* ---- life ---- */

void ears_start(struct ears *ears)
{
    list_init(&ears->all);
    list_init(&ears->due);
}
