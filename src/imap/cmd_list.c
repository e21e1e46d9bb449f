/* cmd_list.c: LIST and LSUB (RFC 9051 section 6.3.9, RFC 5258, RFC 5819, RFC 6154, RFC 3501 section 6.3.9).
 * Store gives all mailboxes of the account; choosing and writing is done here. */
#include <stdlib.h>
#include <string.h>

#include "grammar/imap_write.h"
#include "grammar/imap_acl.h"
#include "imap/acl.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/metadata.h"
#include "imap/status.h"

#define ROWS_MAX (32u << 20) /* octets of all rows of one account */

struct list_work {
    struct buf bytes; /* rows as they came */
    struct mailbox_row *rows;
    size_t count, at;
    struct slice *patterns;
    size_t pattern_count;
    struct slice last_parent; /* LSUB: written last */
    struct imap_annotations annotations;
};

static struct list_work *work_of(struct session *s)
{
    return s->run->state;
}

static const struct imap_list_args *args_of(const struct session *s)
{
    return &s->run->command.list;
}

/* Children directly behind their parents: the delimiter sorts before everything. INBOX first. */
static int compare_names(const void *a, const void *b)
{
    struct slice x = ((const struct mailbox_row *)a)->name, y = ((const struct mailbox_row *)b)->name;
    bool x_inbox = imap_mailbox_is_inbox(x), y_inbox = imap_mailbox_is_inbox(y);
    if (x_inbox != y_inbox)
        return x_inbox ? -1 : 1;
    for (size_t i = 0; i < x.len && i < y.len; i++) {
        if (x.ptr[i] == y.ptr[i])
            continue;
        int cx = x.ptr[i] == '/' ? -1 : x.ptr[i], cy = y.ptr[i] == '/' ? -1 : y.ptr[i];
        return cx - cy;
    }
    return x.len < y.len ? -1 : x.len > y.len;
}

static bool is_below(struct slice name, struct slice parent)
{
    return name.len > parent.len && slice_starts(name, parent) && name.ptr[parent.len] == '/';
}

static bool matches(const struct list_work *w, struct slice name)
{
    for (size_t i = 0; i < w->pattern_count; i++)
        if (imap_pattern_match(w->patterns[i], name, '/'))
            return true;
    return false;
}

/* Whether a row below row `i` has one of `flags` (0: exists), and is not shown itself where it must be
 * `hidden`. Its descendants stand right behind it, but INBOX's may stand apart. */
static bool has_below(const struct list_work *w, size_t i, uint32_t flags, bool hidden)
{
    struct slice name = w->rows[i].name;
    bool inbox = imap_mailbox_is_inbox(name);
    for (size_t k = i + 1; k < w->count; k++) {
        const struct mailbox_row *row = &w->rows[k];
        if (!is_below(row->name, name)) {
            if (inbox)
                continue;
            return false;
        }
        bool has = flags ? row->flags & flags : !(row->flags & MAILBOX_NONEXISTENT);
        if (has && !(hidden && matches(w, row->name)))
            return true;
    }
    return false;
}

const char *imap_status_special_use(uint32_t use)
{
    static const char *const names[SPECIAL_COUNT] = {
        [SPECIAL_ALL] = "\\All",         [SPECIAL_ARCHIVE] = "\\Archive", [SPECIAL_DRAFTS] = "\\Drafts",
        [SPECIAL_FLAGGED] = "\\Flagged", [SPECIAL_JUNK] = "\\Junk",       [SPECIAL_SENT] = "\\Sent",
        [SPECIAL_TRASH] = "\\Trash",
    };
    return use < SPECIAL_COUNT ? names[use] : NULL;
}

void imap_list_write(struct session *s, const char *attributes, struct slice name, struct slice old)
{
    struct buf *out = imap_session_output(s);
    buf_addf(out, "* LIST (%s) \"/\" ", attributes);
    imap_write_mailbox(out, name, s->utf8);
    if (old.len) {
        buf_add_str(out, " (\"OLDNAME\" (");
        imap_write_mailbox(out, old, s->utf8);
        buf_add_str(out, "))");
    }
    buf_add_str(out, "\r\n");
}

struct slice imap_list_supplied(const struct session *s, struct slice name)
{
    struct slice supplied = s->run->command.supplied;
    bool other = !slice_is_ascii(supplied) && !slice_eq(supplied, name);
    return other ? supplied : SLICE_EMPTY;
}

static void write_attributes(struct session *s, size_t i)
{
    const struct list_work *w = work_of(s);
    const struct imap_list_args *a = args_of(s);
    const struct mailbox_row *row = &w->rows[i];
    struct buf *out = imap_session_output(s);
    bool lsub = s->run->command.verb == IMAP_LSUB;
    const char *use = imap_status_special_use(row->special_use);
    buf_add_str(out, has_below(w, i, 0, false) ? "\\HasChildren" : "\\HasNoChildren");
    if (row->flags & MAILBOX_NONEXISTENT)
        buf_add_str(out, lsub ? " \\Noselect" : " \\NonExistent");
    else if (row->flags & MAILBOX_NOSELECT)
        buf_add_str(out, " \\Noselect");
    if ((row->flags & MAILBOX_SUBSCRIBED) &&
        ((a->select & IMAP_LIST_SUBSCRIBED) || (a->returns & IMAP_LIST_RETURN_SUBSCRIBED)))
        buf_add_str(out, " \\Subscribed");
    if (use && !lsub && imap_capability_has(s, CAP_SPECIAL_USE))
        buf_addf(out, " %s", use);
}

static void write_row(struct session *s, size_t i, bool child_info)
{
    const struct mailbox_row *row = &work_of(s)->rows[i];
    const struct imap_list_args *a = args_of(s);
    struct buf *out = imap_session_output(s);
    buf_addf(out, "* %s (", imap_verb_name(s->run->command.verb));
    write_attributes(s, i);
    buf_add_str(out, ") \"/\" ");
    imap_write_mailbox(out, row->name, s->utf8);
    buf_add_str(out, child_info ? " (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n" : "\r\n");
    bool selectable = !(row->flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT));
    if ((a->returns & IMAP_LIST_RETURN_MYRIGHTS) && row->rights)
        imap_myrights_write(s, row->name, row->rights);
    if ((a->returns & IMAP_LIST_RETURN_STATUS) && selectable && row->rights & RIGHT_READ)
        imap_status_write(s, row, row->name, a->status);
    if ((a->returns & IMAP_LIST_RETURN_METADATA) && !(row->flags & MAILBOX_NONEXISTENT))
        imap_annotations_write(s, &work_of(s)->annotations, row->name);
}

static void list_row(struct session *s, size_t i)
{
    struct list_work *w = work_of(s);
    const struct imap_list_args *a = args_of(s);
    const struct mailbox_row *row = &w->rows[i];
    bool subscribed = row->flags & MAILBOX_SUBSCRIBED;
    /* Who is not subscribed is shown for the sake of somebody below who is not (RFC 9051 section 6.3.9.6). */
    bool below = (a->select & IMAP_LIST_RECURSIVE) && has_below(w, i, MAILBOX_SUBSCRIBED, !subscribed);
    bool chosen =
        a->select & IMAP_LIST_SUBSCRIBED ? subscribed || below : !(row->flags & MAILBOX_NONEXISTENT);
    if ((a->select & IMAP_LIST_SPECIAL_USE) && !imap_status_special_use(row->special_use))
        chosen = false;
    if (chosen && matches(w, row->name))
        write_row(s, i, below);
}

/* LSUB "" "%" shows the parents of subscribed mailboxes too, as \Noselect (RFC 3501 section 6.3.9). */
static void list_parent(struct session *s, struct slice name)
{
    struct list_work *w = work_of(s);
    for (ptrdiff_t cut; (cut = slice_rfind(name, '/')) > 0;) {
        name.len = (size_t)cut;
        if (!matches(w, name))
            continue;
        if (slice_eq(name, w->last_parent))
            return;
        w->last_parent = name;
        struct buf *out = imap_session_output(s);
        buf_add_str(out, "* LSUB (\\Noselect \\HasChildren) \"/\" ");
        imap_write_mailbox(out, name, s->utf8);
        buf_add_str(out, "\r\n");
        return;
    }
}

static void lsub_row(struct session *s, size_t i)
{
    struct list_work *w = work_of(s);
    const struct mailbox_row *row = &w->rows[i];
    if (!(row->flags & MAILBOX_SUBSCRIBED))
        return;
    if (matches(w, row->name)) {
        w->last_parent = row->name; /* a parent that is subscribed itself is not written twice */
        write_row(s, i, false);
    } else {
        list_parent(s, row->name);
    }
}

/* Others' mailboxes are left out where the client is not to know of them. */
static bool is_hidden(const struct session *s, struct slice name)
{
    return !imap_capability_has(s, CAP_ACL) && slice_starts(name, SLICE(MAILBOX_OTHERS)) &&
           (name.len == strlen(MAILBOX_OTHERS) || name.ptr[strlen(MAILBOX_OTHERS)] == '/');
}

static void write_rows(struct session *s)
{
    struct list_work *w = work_of(s);
    bool lsub = s->run->command.verb == IMAP_LSUB;
    for (; w->at < w->count; w->at++) {
        if (imap_session_is_full(s)) {
            s->run->resume = write_rows;
            return;
        }
        if (is_hidden(s, w->rows[w->at].name))
            continue;
        if (lsub)
            lsub_row(s, w->at);
        else
            list_row(s, w->at);
    }
    imap_session_done(s, "OK %s completed", lsub ? "Lsub" : "List");
}

/* Two passes over the bytes: count, then keep. */
static bool parse_rows(struct session *s)
{
    struct list_work *w = work_of(s);
    struct mailbox_row row;
    struct slice bytes = buf_slice(&w->bytes);
    size_t count = 0;
    while (mailbox_row_take(&bytes, &row))
        count++;
    if (bytes.len > 0 || !buf_ok(&w->bytes))
        return false;
    w->rows = arena_try(s->run->arena, (count + 1) * sizeof *w->rows);
    bytes = buf_slice(&w->bytes);
    while (w->rows && mailbox_row_take(&bytes, &w->rows[w->count]))
        w->count++;
    if (w->rows)
        qsort(w->rows, w->count, sizeof *w->rows, compare_names);
    return w->rows != NULL;
}

static void annotate_rows(struct session *s)
{
    if (args_of(s)->returns & IMAP_LIST_RETURN_METADATA)
        imap_annotations_ask(s, &work_of(s)->annotations, write_rows);
    else
        write_rows(s);
}

static void on_rows(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_mbox_rows rows;
    err = wire_answer(err, packet, WIRE_MBOX_ROWS, &rows);
    if (err || rows.err) {
        imap_session_refused(s, err ? err : rows.err, rows.code, rows.text);
        return;
    }
    buf_add(&work_of(s)->bytes, rows.rows);
    if (packet->more)
        return;
    struct list_work *w = work_of(s);
    bool status = args_of(s)->returns & IMAP_LIST_RETURN_STATUS;
    if (!parse_rows(s))
        imap_session_done(s, "NO [LIMIT] Too many mailboxes");
    else if (status && args_of(s)->status & IMAP_STATUS_DELETED_STORAGE)
        imap_deleted_storage_ask(s, w->rows, w->count, annotate_rows);
    else
        annotate_rows(s);
}

static void work_free(void *arg)
{
    struct list_work *w = arg;
    buf_free(&w->bytes);
    imap_annotations_free(&w->annotations);
}

/* LIST "" "" asks for the delimiter only. */
static bool asks_delimiter(const struct session *s)
{
    const struct imap_list_args *a = args_of(s);
    return s->run->command.verb == IMAP_LIST && !a->extended && a->pattern_count == 1 &&
           a->patterns[0].len == 0;
}

static bool joined(struct session *s)
{
    const struct imap_list_args *a = args_of(s);
    struct list_work *w = work_of(s);
    w->patterns = ARENA_ARRAY(s->run->arena, struct slice, a->pattern_count);
    w->pattern_count = a->pattern_count;
    for (size_t i = 0; i < a->pattern_count; i++) {
        struct slice pattern = imap_pattern_join_in(s->run->arena, a->reference, a->patterns[i], '/');
        if (pattern.len > IMAP_PATTERN_MAX)
            return false;
        w->patterns[i] = imap_mailbox_canonical_in(s->run->arena, pattern, '/');
    }
    return true;
}

void imap_cmd_list(struct session *s)
{
    struct run *run = s->run;
    const struct imap_list_args *a = args_of(s);
    if (asks_delimiter(s)) {
        buf_add_str(imap_session_output(s), "* LIST (\\Noselect) \"/\" \"\"\r\n");
        imap_session_done(s, "OK List completed");
        return;
    }
    if (a->extended && !imap_capability_has(s, CAP_LIST_EXTENDED)) {
        imap_session_done(s, "BAD Unexpected LIST options");
        return;
    }
    bool rights = a->returns & IMAP_LIST_RETURN_MYRIGHTS;
    if ((rights && !imap_capability_has(s, CAP_LIST_MYRIGHTS)) || !imap_status_known(s, a->status)) {
        imap_session_done(s, "BAD Unknown LIST return option");
        return;
    }
    if ((a->returns & IMAP_LIST_RETURN_METADATA) &&
        !imap_capability_has(s, CAP_METADATA | CAP_LIST_METADATA)) {
        imap_session_done(s, "BAD Unknown LIST return option");
        return;
    }
    struct list_work *w = ARENA_NEW(run->arena, struct list_work);
    w->bytes = buf_new(ROWS_MAX);
    w->annotations = imap_annotations_new(a->entries, a->entry_count);
    arena_defer(run->arena, work_free, w);
    run->state = w;
    if (!joined(s)) {
        imap_session_done(s, "NO [CANNOT] Pattern too long");
        return;
    }
    const struct wire_mbox_list message = {.grant = s->grant};
    imap_session_ask(s, ROLE_STORE, WIRE_MBOX_LIST, &message, on_rows);
}
