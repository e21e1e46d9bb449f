/* notify.c: telling a client of events it has asked for (RFC 5465). Input: events of store; what the client
 * asked for was parsed and bounded by the grammar. Called by cmd_notify.c, the session and the role. */
#include "imap/notify.h"

#include <stdlib.h>

#include "base/mem.h"
#include "grammar/imap_acl.h"
#include "grammar/imap_notify.h"
#include "grammar/imap_write.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/status.h"

_Static_assert((int)MAILBOX_EVENT_NEW == IMAP_NOTIFY_MESSAGE_NEW &&
                   (int)MAILBOX_EVENT_EXPUNGE == IMAP_NOTIFY_MESSAGE_EXPUNGE &&
                   (int)MAILBOX_EVENT_FLAGS == IMAP_NOTIFY_FLAG_CHANGE &&
                   (int)MAILBOX_EVENT_NAME == IMAP_NOTIFY_MAILBOX_NAME &&
                   (int)MAILBOX_EVENT_SUBSCRIPTION == IMAP_NOTIFY_SUBSCRIPTION &&
                   (int)MAILBOX_EVENT_METADATA == IMAP_NOTIFY_MAILBOX_METADATA,
               "store's events are the client's");

#define EVENT_ROW_MAX (64u << 10) /* bytes of one event */

struct notify_event {
    struct list node;
    uint32_t what;
    uint64_t mailbox;
    uint32_t tag;       /* of its account */
    struct slice bytes; /* its row, owned */
};

/* ---- which mailboxes ---- */

static bool is_below(struct slice name, struct slice top)
{
    return slice_starts(name, top) && (name.len == top.len || name.ptr[top.len] == '/');
}

static bool is_named(const struct imap_notify_group *g, struct slice name)
{
    for (size_t i = 0; i < g->name_count; i++)
        if (g->filter == IMAP_NOTIFY_SUBTREE ? is_below(name, g->names[i]) : slice_eq(name, g->names[i]))
            return true;
    return false;
}

static bool is_others(struct slice name)
{
    return is_below(name, SLICE(MAILBOX_OTHERS));
}

/* Mail may be delivered to any mailbox, so INBOXES are all of one's own (RFC 5465 section 6.3). */
static bool covers(const struct imap_notify_group *g, const struct mailbox_row *row, struct slice old)
{
    switch (g->filter) {
    case IMAP_NOTIFY_SELECTED:
    case IMAP_NOTIFY_SELECTED_DELAYED:
        return false;
    case IMAP_NOTIFY_SUBSCRIBED:
        return row->flags & MAILBOX_SUBSCRIBED;
    case IMAP_NOTIFY_INBOXES:
    case IMAP_NOTIFY_PERSONAL:
        return !is_others(row->name);
    default:
        return is_named(g, row->name) || (old.len && is_named(g, old));
    }
}

uint32_t imap_notify_wants(const struct imap_notify_args *args, const struct mailbox_row *row,
                           struct slice old)
{
    uint32_t events = 0;
    for (size_t i = 0; args && i < args->group_count; i++) {
        const struct imap_notify_group *g = &args->groups[i];
        if (!row->name.len && (g->events & IMAP_NOTIFY_SERVER_METADATA))
            events |= MAILBOX_EVENT_METADATA;
        else if (row->name.len && covers(g, row, old))
            events |= g->events & ~(uint32_t)IMAP_NOTIFY_SERVER_METADATA;
    }
    return events;
}

bool imap_notify_wants_others(const struct imap_notify_args *args)
{
    for (size_t i = 0; i < args->group_count; i++) {
        const struct imap_notify_group *g = &args->groups[i];
        if (!g->events)
            continue;
        if (g->filter == IMAP_NOTIFY_SUBSCRIBED)
            return true;
        for (size_t k = 0; g->filter > IMAP_NOTIFY_SUBSCRIBED && k < g->name_count; k++)
            if (is_others(g->names[k]))
                return true;
    }
    return false;
}

/* ---- life ---- */

static void event_free(struct notify *n, struct notify_event *event)
{
    list_remove(&event->node);
    n->pending_count--;
    free((void *)(uintptr_t)event->bytes.ptr);
    free(event);
}

static void forget_pending(struct notify *n)
{
    LIST_EACH(&n->pending, node)
    {
        event_free(n, CONTAINER_OF(node, struct notify_event, node));
    }
}

static void leave_ear(struct notify *n)
{
    struct ear *ear = n->ear;
    struct imap *imap = n->session->imap;
    if (!ear)
        return;
    n->ear = NULL;
    list_remove(&n->node);
    const struct wire_mbox_unselect unselect = {
        .grant = n->session->grant, .watch = ear->watch, .read_only = true};
    enum err err = wire_send(role_link(imap->run, ROLE_STORE), WIRE_MBOX_UNSELECT, &unselect);
    (void)err; /* store away: it holds nothing of us any more */
    if (!list_empty(&ear->sessions))
        return;
    (void)idmap_remove(imap->ears, ear->watch);
    free(ear);
}

void imap_notify_free(struct session *s)
{
    struct notify *n = s->notify;
    if (!n)
        return;
    leave_ear(n);
    forget_pending(n);
    imap_set_builder_free(&n->own);
    arena_free(&n->arena);
    free(n);
    s->notify = NULL;
}

static const struct imap_notify_group *selected_group(const struct imap_notify_args *args)
{
    for (size_t i = 0; args && i < args->group_count; i++)
        if (args->groups[i].filter <= IMAP_NOTIFY_SELECTED_DELAYED)
            return &args->groups[i];
    return NULL;
}

void imap_notify_install(struct session *s, struct arena *arena, const struct imap_notify_args *args)
{
    imap_notify_free(s);
    struct notify *n = mem_zero(1, sizeof *n);
    n->session = s;
    n->arena = arena;
    n->args = args;
    n->selected = selected_group(args);
    n->own = imap_set_builder_new();
    list_init(&n->pending);
    s->notify = n;
    imap_notify_selected(s);
}

void imap_notify_join(struct session *s, uint64_t watch)
{
    struct imap *imap = s->imap;
    struct ear *ear = idmap_get(imap->ears, watch);
    if (!ear) {
        ear = mem_zero(1, sizeof *ear);
        ear->watch = watch;
        list_init(&ear->sessions);
        if (!idmap_put(imap->ears, watch, ear)) { /* as many as sessions: there is room */
            free(ear);
            return;
        }
    }
    s->notify->ear = ear;
    list_push_back(&ear->sessions, &s->notify->node);
}

/* The client is told, and is as if it had said NOTIFY NONE (section 5.8). */
static void overflow(struct session *s)
{
    imap_notify_install(s, NULL, NULL);
    s->notify->overflow = true;
    imap_notify_flush(s);
}

void imap_notify_lost(struct session *s)
{
    if (!s->notify || !s->notify->ear)
        return;
    imap_session_enter(s);
    overflow(s);
    imap_session_leave(s);
}

/* ---- other mailboxes ---- */

static bool is_of_messages(uint32_t what)
{
    return (what & IMAP_NOTIFY_MESSAGES) != 0;
}

static bool is_of(const struct notify_event *event, const struct mailbox_row *row)
{
    return event->mailbox == row->id && event->tag == row->tag;
}

/* Only the newest state of a mailbox is worth telling. */
static uint32_t take_older(struct notify *n, const struct mailbox_row *row)
{
    uint32_t what = 0;
    LIST_EACH(&n->pending, node)
    {
        struct notify_event *event = CONTAINER_OF(node, struct notify_event, node);
        if (!is_of(event, row) || !is_of_messages(event->what))
            continue;
        what |= event->what;
        event_free(n, event);
    }
    return what;
}

/* What was not told yet never will be: the owner has taken rights away, or the mailbox is gone. */
static void forget_lost(struct notify *n, const struct mailbox_row *row, bool names)
{
    LIST_EACH(&n->pending, node)
    {
        struct notify_event *event = CONTAINER_OF(node, struct notify_event, node);
        if (is_of(event, row) && (names || event->what != MAILBOX_EVENT_NAME))
            event_free(n, event);
    }
}

static void keep_event(struct notify *n, const struct event_row *row, uint32_t what)
{
    if (is_of_messages(what))
        what |= take_older(n, &row->row);
    AUTO_BUF struct buf bytes = buf_new(EVENT_ROW_MAX);
    event_row_add(&bytes, row);
    struct notify_event *event = mem_zero(1, sizeof *event);
    event->what = what;
    event->mailbox = row->row.id;
    event->tag = row->row.tag;
    event->bytes = slice_make(mem_dup(bytes.data, bytes.len), bytes.len);
    list_push_back(&n->pending, &event->node);
    n->pending_count++;
}

static void hear(struct session *s, const struct wire_mbox_events *events)
{
    struct slice rows = events->rows;
    struct event_row row;
    if (events->lost) {
        overflow(s);
        return;
    }
    if (grant_eq(&events->grant, &s->grant))
        return; /* the session's own doing (section 5) */
    while (s->notify->pending_count < NOTIFY_PENDING_MAX && event_row_take(&rows, &row)) {
        uint32_t what = row.what & imap_notify_wants(s->notify->args, &row.row, row.old);
        if (row.what & MAILBOX_EVENT_LOST)
            forget_lost(s->notify, &row.row, !(row.row.rights & RIGHT_LOOKUP));
        else if (row.row.id && row.row.flags & MAILBOX_NONEXISTENT)
            forget_lost(s->notify, &row.row, false);
        if (imap_notify_is_selected(s, &row.row))
            what &= ~(uint32_t)IMAP_NOTIFY_MESSAGES;
        if (what)
            keep_event(s->notify, &row, what);
    }
    if (s->notify->pending_count == NOTIFY_PENDING_MAX)
        overflow(s);
    else
        imap_notify_flush(s);
}

bool imap_notify_is_selected(const struct session *s, const struct mailbox_row *row)
{
    return s->selected && s->selected->mailbox_id == row->id && s->selected->tag == row->tag;
}

void imap_notify_hear(struct ear *ear, const struct wire_mbox_events *events)
{
    uint64_t watch = ear->watch;
    struct list *node = ear->sessions.next, *next;
    struct imap *imap = CONTAINER_OF(node, struct notify, node)->session->imap;
    for (; idmap_get(imap->ears, watch) == ear && node != &ear->sessions; node = next) {
        struct session *s = CONTAINER_OF(node, struct notify, node)->session;
        next = node->next;
        imap_session_enter(s);
        if (!s->closing)
            hear(s, events);
        imap_session_leave(s);
    }
}

void imap_notify_write_status(struct session *s, const struct mailbox_row *row, uint32_t what)
{
    uint32_t items = IMAP_STATUS_UIDVALIDITY;
    if (what & (MAILBOX_EVENT_NEW | MAILBOX_EVENT_EXPUNGE))
        items |= IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT;
    if (what & MAILBOX_EVENT_FLAGS)
        items |= IMAP_STATUS_UNSEEN;
    /* Without it a change of flags that leaves UNSEEN as it was would say nothing. */
    if (s->condstore || (what & MAILBOX_EVENT_FLAGS && imap_capability_has(s, CAP_CONDSTORE)))
        items |= IMAP_STATUS_HIGHESTMODSEQ;
    imap_status_write(s, row, row->name, items);
}

static void add_attribute(struct buf *attributes, const char *name)
{
    buf_addf(attributes, "%s%s", attributes->len ? " " : "", name);
}

static void write_name(struct session *s, const struct event_row *row)
{
    AUTO_BUF struct buf attributes = buf_new(200);
    const char *use = imap_status_special_use(row->row.special_use);
    if (!is_others(row->row.name)) /* there nobody has looked which names below it are to be seen */
        add_attribute(&attributes, row->children ? "\\HasChildren" : "\\HasNoChildren");
    if (row->row.flags & MAILBOX_NONEXISTENT)
        add_attribute(&attributes, "\\NonExistent");
    else if (row->row.flags & MAILBOX_NOSELECT)
        add_attribute(&attributes, "\\Noselect");
    if (row->row.flags & MAILBOX_SUBSCRIBED)
        add_attribute(&attributes, "\\Subscribed");
    if (use && imap_capability_has(s, CAP_SPECIAL_USE))
        add_attribute(&attributes, use);
    buf_add_byte(&attributes, 0);
    imap_list_write(s, (const char *)attributes.data, row->row.name, row->old);
}

/* RFC 5464 section 4.4.2 */
static void write_metadata(struct session *s, const struct event_row *row)
{
    struct buf *out = imap_session_output(s);
    struct slice rest = row->entries, entry;
    buf_add_str(out, "* METADATA ");
    if (row->row.name.len)
        imap_write_mailbox(out, row->row.name, s->utf8);
    else
        buf_add_str(out, "\"\"");
    while (wire_strings_take(&rest, &entry)) {
        buf_add_byte(out, ' ');
        imap_write_astring(out, entry);
    }
    buf_add_str(out, "\r\n");
}

static void write_event(struct session *s, const struct notify_event *event)
{
    struct slice bytes = event->bytes;
    struct event_row row;
    if (!event_row_take(&bytes, &row))
        return;
    if (event->what & (MAILBOX_EVENT_NAME | MAILBOX_EVENT_SUBSCRIPTION))
        write_name(s, &row);
    if (event->what & MAILBOX_EVENT_METADATA)
        write_metadata(s, &row);
    if (is_of_messages(event->what))
        imap_notify_write_status(s, &row.row, event->what);
}

void imap_notify_flush(struct session *s)
{
    struct notify *n = s->notify;
    bool busy = s->run && !s->run->ending && !s->run->changed;
    if (!n || s->closing || busy || (n->pending_count == 0 && !n->overflow))
        return;
    while (n->pending_count > 0 && !imap_session_is_full(s)) {
        struct notify_event *event = CONTAINER_OF(n->pending.next, struct notify_event, node);
        write_event(s, event);
        event_free(n, event);
    }
    if (n->overflow) {
        buf_add_str(imap_session_output(s), "* OK [NOTIFICATIONOVERFLOW] Notifications are off\r\n");
        n->overflow = false;
    }
    stream_flush(s->stream);
}
