/* cmd_metadata.c: GETMETADATA, SETMETADATA (RFC 5464) and the annotations of LIST (RFC 9590). Input: rows of
 * store; values are whatever clients have put there. */
#include <stdlib.h>

#include "grammar/imap_write.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/metadata.h"

#define ROWS_MAX (40u << 20) /* octets of all annotations of one account */

/* value = nstring / literal8, which alone may hold NUL */
static void write_value(struct buf *out, struct slice value)
{
    if (slice_find(value, 0) < 0) {
        imap_write_string(out, value);
        return;
    }
    buf_add_byte(out, '~');
    imap_write_literal_head(out, value.len);
    buf_add(out, value);
}

static void add_entries(struct buf *list, const struct slice *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wire_strings_add(list, entries[i]);
}

/* ---- GETMETADATA ---- */

struct get_work {
    struct imap_annotations found;
    size_t at;
    uint64_t longest;
};

static void free_work(void *arg)
{
    imap_annotations_free(&((struct get_work *)arg)->found);
}

/* Two passes over the bytes: count, then keep. */
static bool parse_rows(struct session *s, struct imap_annotations *a)
{
    struct slice bytes = buf_slice(&a->bytes), part;
    size_t strings = 0;
    while (wire_strings_take(&bytes, &part))
        strings++;
    if (bytes.len || strings % 3 || !buf_ok(&a->bytes))
        return false;
    a->rows = arena_try(s->run->arena, (strings / 3 + 1) * sizeof *a->rows);
    bytes = buf_slice(&a->bytes);
    for (; a->rows && a->count < strings / 3; a->count++) {
        struct imap_annotation *row = &a->rows[a->count];
        if (!wire_strings_take(&bytes, &row->mailbox) || !wire_strings_take(&bytes, &row->entry) ||
            !wire_strings_take(&bytes, &row->value))
            return false;
    }
    return a->rows != NULL;
}

static void begin_response(struct session *s, struct slice mailbox)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* METADATA ");
    if (mailbox.len)
        imap_write_mailbox(out, mailbox, s->utf8);
    else
        buf_add_str(out, "\"\"");
}

static void write_one(struct session *s, struct slice entry, const struct slice *value)
{
    struct buf *out = imap_session_output(s);
    imap_write_astring(out, entry);
    buf_add_byte(out, ' ');
    if (value)
        write_value(out, *value);
    else
        buf_add_str(out, "NIL");
}

static const struct slice *value_of(const struct imap_annotations *a, struct slice entry)
{
    for (size_t i = 0; i < a->count; i++)
        if (slice_eq(a->rows[i].entry, entry))
            return &a->rows[i].value;
    return NULL;
}

/* The next annotation of the answer: those named, in the order of the client, with NIL for what is not there
 * (one that is too long is only in LONGENTRIES); with a depth all that were found. */
static bool next_one(struct session *s, struct slice *entry, const struct slice **value)
{
    struct get_work *w = s->run->state;
    const struct imap_metadata_args *a = &s->run->command.metadata;
    if (a->depth != IMAP_METADATA_ENTRY) {
        if (w->at == w->found.count)
            return false;
        *entry = w->found.rows[w->at].entry;
        *value = &w->found.rows[w->at++].value;
        return true;
    }
    while (w->at < a->count) {
        *entry = a->entries[w->at++];
        *value = value_of(&w->found, *entry);
        if (*value || !w->longest)
            return true;
    }
    return false;
}

/* As much as the output has room for in each response. */
static void write_found(struct session *s)
{
    struct get_work *w = s->run->state;
    struct slice entry;
    const struct slice *value;
    while (!imap_session_is_full(s)) {
        bool any = false;
        while (!imap_session_is_full(s) && next_one(s, &entry, &value)) {
            if (!any)
                begin_response(s, s->run->command.metadata.mailbox);
            buf_add_str(imap_session_output(s), any ? " " : " (");
            write_one(s, entry, value);
            any = true;
        }
        if (any)
            buf_add_str(imap_session_output(s), ")\r\n");
        else
            break;
    }
    if (imap_session_is_full(s))
        s->run->resume = write_found;
    else if (w->longest)
        imap_session_done(s, "OK [METADATA LONGENTRIES %llu] Getmetadata completed",
                          (unsigned long long)w->longest);
    else
        imap_session_done(s, "OK Getmetadata completed");
}

static void on_found(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_metadata_rows rows;
    struct get_work *w = s->run->state;
    err = wire_answer(err, packet, WIRE_METADATA_ROWS, &rows);
    if (err || rows.err) {
        imap_session_refused(s, err ? err : rows.err, rows.code, rows.text);
        return;
    }
    buf_add(&w->found.bytes, rows.rows);
    w->longest = rows.longest;
    if (packet->more)
        return;
    if (!parse_rows(s, &w->found)) {
        imap_session_done(s, "NO [LIMIT] Too many annotations");
        return;
    }
    write_found(s);
}

/* Annotations of mailboxes, or those of the server alone. */
static bool may_use(struct session *s)
{
    bool server = !s->run->command.metadata.mailbox.len;
    if (imap_capability_has(s, CAP_METADATA) || (server && imap_capability_has(s, CAP_METADATA_SERVER)))
        return true;
    imap_session_done(s, "BAD Unknown command");
    return false;
}

void imap_cmd_getmetadata(struct session *s)
{
    const struct imap_metadata_args *a = &s->run->command.metadata;
    if (!may_use(s))
        return;
    struct get_work *w = ARENA_NEW(s->run->arena, struct get_work);
    w->found = imap_annotations_new(a->entries, a->count);
    arena_defer(s->run->arena, free_work, w);
    s->run->state = w;
    AUTO_BUF struct buf entries = buf_new(WIRE_BLOB_MAX);
    add_entries(&entries, a->entries, a->count);
    const struct wire_metadata_get get = {.grant = s->grant,
                                          .depth = a->depth,
                                          .max_size = a->has_max_size ? a->max_size : UINT64_MAX,
                                          .mailbox = a->mailbox,
                                          .entries = buf_slice(&entries)};
    imap_session_ask(s, ROLE_STORE, WIRE_METADATA_GET, &get, on_found);
}

/* ---- SETMETADATA ---- */

static void on_set(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    if (imap_session_result(s, err, packet))
        imap_session_done(s, "OK Setmetadata completed");
}

static bool add_changes(struct session *s, struct buf *changes)
{
    const struct imap_metadata_args *a = &s->run->command.metadata;
    for (size_t i = 0; i < a->count; i++) {
        if (a->values[i].len > WIRE_METADATA_VALUE_MAX) {
            imap_session_refused(s, ERR_REFUSED, STORE_CODE_METADATA_MAXSIZE, SLICE_EMPTY);
            return false;
        }
        wire_strings_add(changes, a->entries[i]);
        buf_add_varint(changes, a->values[i].len + 1);
        buf_add_byte(changes, a->values[i].ptr ? '=' : '-');
        buf_add(changes, a->values[i]);
    }
    if (!buf_ok(changes))
        imap_session_done(s, "NO [LIMIT] Too much in one SETMETADATA");
    return buf_ok(changes);
}

void imap_cmd_setmetadata(struct session *s)
{
    AUTO_BUF struct buf changes = buf_new(WIRE_BLOB_MAX);
    if (!may_use(s) || !add_changes(s, &changes))
        return;
    const struct wire_metadata_set set = {
        .grant = s->grant, .mailbox = s->run->command.metadata.mailbox, .changes = buf_slice(&changes)};
    imap_session_ask(s, ROLE_STORE, WIRE_METADATA_SET, &set, on_set);
}

/* ---- LIST ---- */

struct imap_annotations imap_annotations_new(const struct slice *entries, size_t count)
{
    return (struct imap_annotations){.entries = entries, .entry_count = count, .bytes = buf_new(ROWS_MAX)};
}

void imap_annotations_free(struct imap_annotations *a)
{
    buf_free(&a->bytes);
}

static int by_mailbox(const void *a, const void *b)
{
    return slice_cmp(((const struct imap_annotation *)a)->mailbox,
                     ((const struct imap_annotation *)b)->mailbox);
}

static void on_every(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    struct imap_annotations *a = arg;
    struct wire_metadata_rows rows;
    err = wire_answer(err, packet, WIRE_METADATA_ROWS, &rows);
    if (err || rows.err) {
        imap_session_refused(s, err ? err : rows.err, rows.code, rows.text);
        return;
    }
    buf_add(&a->bytes, rows.rows);
    if (packet->more)
        return;
    if (!parse_rows(s, a)) {
        imap_session_done(s, "NO [LIMIT] Too many annotations");
        return;
    }
    qsort(a->rows, a->count, sizeof *a->rows, by_mailbox);
    a->done(s);
}

void imap_annotations_ask(struct session *s, struct imap_annotations *a, void (*done)(struct session *s))
{
    AUTO_BUF struct buf entries = buf_new(WIRE_BLOB_MAX);
    add_entries(&entries, a->entries, a->entry_count);
    a->done = done;
    const struct wire_metadata_get get = {
        .grant = s->grant, .every = 1, .max_size = UINT64_MAX, .entries = buf_slice(&entries)};
    if (!imap_session_call(s, ROLE_STORE, WIRE_METADATA_GET, &get, on_every, a))
        imap_session_done(s, "NO [SERVERBUG] Too many requests of one command");
}

/* The first row of the mailbox. */
static size_t find_mailbox(const struct imap_annotations *a, struct slice mailbox)
{
    size_t low = 0, high = a->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_cmp(a->rows[middle].mailbox, mailbox) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void imap_annotations_write(struct session *s, const struct imap_annotations *a, struct slice mailbox)
{
    size_t first = find_mailbox(a, mailbox);
    begin_response(s, mailbox);
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct slice *value = NULL;
        for (size_t k = first; !value && k < a->count && slice_eq(a->rows[k].mailbox, mailbox); k++)
            if (slice_eq(a->rows[k].entry, a->entries[i]))
                value = &a->rows[k].value;
        buf_add_str(imap_session_output(s), i ? " " : " (");
        write_one(s, a->entries[i], value);
    }
    buf_add_str(imap_session_output(s), ")\r\n");
}
