/* cmd_esearch.c: ESEARCH, one search in many mailboxes (RFC 7377). The names of the sources become mailboxes
 * through store's list; each is opened as EXAMINE would, searched, told, and given back. Input: the command;
 * store's list. */
#include <stdlib.h>

#include "grammar/imap_acl.h"
#include "grammar/imap_list.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/mailbox_open.h"
#include "imap/search.h"
#include "wire/mailbox.h"

#define ROWS_MAX    (32u << 20) /* octets of all rows of one account */
#define PLACE_ARENA (16u << 20) /* the program as it stands for one mailbox */

struct esearch_work {
    struct session *session;
    struct search_work *search;
    struct imap_search_node *root, *strict; /* as the client sent them */
    struct buf bytes;                       /* rows as they came */
    struct slice *names;                    /* of the mailboxes to search */
    size_t count, at;
    struct mailbox_open *opening;
    struct search_place place; /* place.mailbox NULL: none is open */
};

static const struct imap_esearch_args *args_of(const struct session *s)
{
    return &s->run->command.search.esearch;
}

static struct esearch_work *work_of(struct session *s)
{
    return s->run->more;
}

static void close_place(struct esearch_work *e)
{
    if (!e->place.mailbox)
        return;
    imap_view_close(&e->place.view);
    imap_mailbox_release(e->session->imap, e->place.mailbox, &e->session->grant, true);
    e->place.mailbox = NULL;
}

/* Also when the command ends in the midst of a mailbox, or its session does. */
static void work_free(void *arg)
{
    struct esearch_work *e = arg;
    mailbox_open_leave(e->opening);
    close_place(e);
    buf_free(&e->bytes);
    arena_free(&e->search->arena);
}

/* ---- one mailbox after the other ---- */

static void next_place(struct session *s);

static void place_done(struct session *s)
{
    close_place(work_of(s));
    next_place(s);
}

/* Builders and program as new. */
static void renew(struct session *s)
{
    struct esearch_work *e = work_of(s);
    struct search_work *w = e->search;
    imap_set_builder_free(&w->at_store);
    imap_set_builder_free(&w->uids);
    w->at_store = imap_set_builder_new();
    w->uids = imap_set_builder_new();
    w->modseq = 0;
    w->item = 0;
    w->begun = false;
    arena_reset(w->arena);
    imap_search_of(s)->root = imap_search_copy_in(w->arena, e->root);
    imap_search_of(s)->strict = imap_search_copy_in(w->arena, e->strict);
}

static void on_opened(void *ctx, enum err err, struct imap_mailbox *mailbox,
                      const struct wire_mbox_selected *reply)
{
    struct session *s = ctx;
    struct esearch_work *e = work_of(s);
    (void)reply;
    e->opening = NULL;
    imap_session_enter(s);
    if (err == ERR_LATER) {
        imap_session_refused(s, err, reply->code, reply->text);
    } else if (err) { /* gone meanwhile, or not for us (section 2.2) */
        next_place(s);
    } else {
        e->place.mailbox = mailbox;
        imap_view_open(&e->place.view, mailbox->live);
        renew(s);
        if (imap_search_translate(s))
            imap_search_run(s);
    }
    imap_session_leave(s);
}

static void next_place(struct session *s)
{
    struct esearch_work *e = work_of(s);
    s->run->resume = NULL;
    if (e->at == e->count) {
        imap_session_done(s, "OK ESEARCH completed");
        return;
    }
    imap_session_progress(s, (uint32_t)e->at, (uint32_t)e->count);
    e->place.name = e->names[e->at++];
    e->opening = mailbox_open_new(s->imap, &s->grant, e->place.name, true, on_opened, s);
}

/* ---- which mailboxes ---- */

static bool is_below(struct slice name, struct slice parent, bool one)
{
    if (name.len <= parent.len || !slice_starts(name, parent) || name.ptr[parent.len] != '/')
        return false;
    return !one || slice_find(slice_from(name, parent.len + 1), '/') < 0;
}

static bool is_personal(struct slice name)
{
    return !slice_starts(name, SLICE(MAILBOX_OTHERS "/"));
}

static bool is_selected(const struct session *s, struct slice name)
{
    return s->selected && slice_eq(slice_make(s->selected->name, s->selected->name_len), name);
}

static bool is_source(const struct session *s, const struct imap_source *source,
                      const struct mailbox_row *row)
{
    bool listed = row->rights & RIGHT_LOOKUP;
    switch (source->kind) {
    case IMAP_SOURCE_SELECTED:
        return is_selected(s, row->name);
    case IMAP_SOURCE_INBOXES:
        return imap_mailbox_is_inbox(row->name);
    case IMAP_SOURCE_PERSONAL:
        return is_personal(row->name);
    case IMAP_SOURCE_SUBSCRIBED:
        return row->flags & MAILBOX_SUBSCRIBED && listed;
    case IMAP_SOURCE_SUBTREE:
    case IMAP_SOURCE_SUBTREE_ONE:
        return slice_eq(row->name, source->name) ||
               (listed && is_below(row->name, source->name, source->kind == IMAP_SOURCE_SUBTREE_ONE));
    case IMAP_SOURCE_MAILBOXES:
        return slice_eq(row->name, source->name);
    }
    return false;
}

/* Each mailbox once, in the order of the list (section 2.2). */
static bool is_wanted(const struct session *s, const struct mailbox_row *row)
{
    const struct imap_esearch_args *a = args_of(s);
    if (row->flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT) || !(row->rights & RIGHT_READ))
        return false;
    for (size_t i = 0; i < a->source_count; i++)
        if (is_source(s, &a->sources[i], row))
            return true;
    return false;
}

static void choose(struct session *s)
{
    struct esearch_work *e = work_of(s);
    struct slice rows = buf_slice(&e->bytes);
    struct mailbox_row row;
    size_t count = 0;
    while (mailbox_row_take(&rows, &row))
        count += is_wanted(s, &row);
    e->names = ARENA_ARRAY(s->run->arena, struct slice, count + 1);
    for (rows = buf_slice(&e->bytes); mailbox_row_take(&rows, &row);)
        if (is_wanted(s, &row))
            e->names[e->count++] = row.name;
}

static void on_rows(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct esearch_work *e = work_of(s);
    struct wire_mbox_rows rows;
    err = wire_answer(err, packet, WIRE_MBOX_ROWS, &rows);
    if (err || rows.err) {
        imap_session_refused(s, err ? err : rows.err, rows.code, rows.text);
        return;
    }
    buf_add(&e->bytes, rows.rows);
    if (packet->more)
        return;
    if (!buf_ok(&e->bytes)) {
        imap_session_done(s, "NO [LIMIT] Too many mailboxes");
        return;
    }
    choose(s);
    next_place(s);
}

/* ---- the command ---- */

static void search_places(struct session *s)
{
    struct esearch_work *e = ARENA_NEW(s->run->arena, struct esearch_work);
    const struct wire_mbox_list message = {.grant = s->grant};
    e->session = s;
    e->search = imap_search_work(s);
    e->search->arena = arena_new(PLACE_ARENA);
    e->search->place = &e->place;
    e->search->finished = place_done;
    e->root = imap_search_of(s)->root;
    e->strict = imap_search_of(s)->strict;
    e->bytes = buf_new(ROWS_MAX);
    arena_defer(s->run->arena, work_free, e);
    s->run->more = e;
    imap_session_ask(s, ROLE_STORE, WIRE_MBOX_LIST, &message, on_rows);
}

static bool uses_saved(struct imap_search_node *node, void *ctx)
{
    *(bool *)ctx = *(bool *)ctx || node->set.saved;
    return true;
}

/* NULL, or why the command may not be given so. */
static const char *wrong_sources(struct session *s, bool selected, bool others)
{
    const struct imap_search *search = imap_search_of(s);
    bool saved = false;
    (void)imap_search_walk(search->root, uses_saved, &saved);
    if (selected && !s->selected)
        return "No mailbox selected";
    if (others && search->returns & (IMAP_RETURN_SAVE | IMAP_RETURN_UPDATE))
        return "SAVE and UPDATE are for the selected mailbox";
    return others && saved ? "A saved result is of the selected mailbox" : NULL;
}

void imap_cmd_esearch(struct session *s)
{
    const struct imap_esearch_args *a = args_of(s);
    bool selected = a->source_count == 0, others = false;
    for (size_t i = 0; i < a->source_count; i++) {
        selected = selected || a->sources[i].kind == IMAP_SOURCE_SELECTED;
        others = others || a->sources[i].kind != IMAP_SOURCE_SELECTED;
    }
    const char *wrong = wrong_sources(s, selected, others);
    if (wrong) {
        imap_session_done(s, "BAD %s", wrong);
        return;
    }
    if (others ? !imap_search_check(s) : !imap_search_begin(s))
        return;
    imap_search_work(s)->correlate = true;
    if (others)
        search_places(s);
    else
        imap_search_run(s);
}
