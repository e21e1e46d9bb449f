/* edit.c: cuts and additions at a message's header. Reads strangers' headers; called by scan_message.c. */
#include "scan/edit.h"

#include <string.h>

#include "grammar/header.h"
#include "grammar/mime.h"

enum { MX = 1 << BODY_MX, SUBMISSION = 1 << BODY_SUBMISSION };

/* Fields that go, whatever they say. `prefix`: all names that begin so. */
static const struct {
    struct slice name;
    unsigned kinds;
    bool prefix;
} unwanted[] = {
    {SLICE("Return-Path"), MX | SUBMISSION, false}, /* ours to write at delivery: RFC 5321 section 4.4 */
    {SLICE("X-Spam"), MX | SUBMISSION, true},       {SLICE("Bcc"), SUBMISSION, false},
    {SLICE("Resent-Bcc"), SUBMISSION, false},       {SLICE("Received"), SUBMISSION, false},
    {SLICE("X-Originating-IP"), SUBMISSION, false}, {SLICE("User-Agent"), SUBMISSION, false},
    {SLICE("X-Mailer"), SUBMISSION, false},         {SLICE("X-Enigmail"), SUBMISSION, true},
};

/* authres-header = "Authentication-Results" ":" [CFWS] authserv-id …  (RFC 8601 section 2.2) */
static bool is_in_our_name(struct slice value, struct slice hostname)
{
    struct slice s = header_skip_cfws(value);
    size_t n = 0;
    if (s.len && s.ptr[0] == '"')
        s = slice_from(s, 1);
    while (n < s.len && !ascii_is_space(s.ptr[n]) && !memchr(";(\"", s.ptr[n], 3))
        n++;
    return slice_ieq(slice_sub(s, 0, n), hostname);
}

static bool is_unwanted(const struct wire_scan_task *task, const struct header_field *field)
{
    for (size_t i = 0; i < sizeof unwanted / sizeof *unwanted; i++) {
        struct slice name = unwanted[i].name;
        bool same = unwanted[i].prefix ? slice_istarts(field->name, name) : slice_ieq(field->name, name);
        if (same && (unwanted[i].kinds & 1u << task->kind))
            return true;
    }
    return header_is(field, SLICE("Authentication-Results")) && is_in_our_name(field->value, task->hostname);
}

/* Would be read as the continuation of the last field we put in front. */
static bool is_glue(const struct header_field *field, size_t offset)
{
    return !offset && field->junk && (field->raw.ptr[0] == ' ' || field->raw.ptr[0] == '\t');
}

static bool cut_at(struct edit *edit, uint64_t off, uint64_t len)
{
    if (edit->cut_count) {
        struct facts_cut *last = &edit->cuts[edit->cut_count - 1];
        if (last->off + last->len == off) {
            last->len += len;
            return true;
        }
    }
    if (edit->cut_count == FACTS_MAX_LIST)
        return false;
    edit->cuts[edit->cut_count++] = (struct facts_cut){off, len};
    return true;
}

static void note_field(struct edit *edit, const struct header_field *field)
{
    if (header_is(field, SLICE("Date")))
        edit->flags &= ~(uint32_t)FACTS_NO_DATE_FIELD;
    else if (header_is(field, SLICE("Message-ID")))
        edit->flags &= ~(uint32_t)FACTS_NO_MESSAGE_ID;
    else if (header_is(field, SLICE("Received")))
        edit->received_count++;
}

static size_t end_of_fields(struct slice header)
{
    if (slice_ends(header, SLICE("\r\n\r\n")) || slice_eq(header, SLICE("\r\n")))
        return header.len - 2;
    return slice_ends(header, SLICE("\n\n")) || slice_eq(header, SLICE("\n")) ? header.len - 1 : header.len;
}

/* Goes over all fields, also beyond the number an iterator takes: what forges our name must not hide behind
 * the ten thousandth. When the list of cuts is full, all that follows in the header goes: no honest message
 * is like that. */
static void find_cuts(const struct wire_scan_task *task, struct slice header, struct edit *edit)
{
    size_t base = 0;
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    while (header_next(&iter, &field)) {
        size_t at = base + field.offset;
        if (iter.count > HEADER_FIELDS_MAX) {
            base = at;
            iter = header_iter_new(slice_from(header, base));
            continue;
        }
        bool cut = task->kind != BODY_APPEND && (is_unwanted(task, &field) || is_glue(&field, at));
        if (!cut) {
            note_field(edit, &field);
        } else if (!cut_at(edit, at, field.raw.len)) {
            struct facts_cut *last = &edit->cuts[edit->cut_count - 1];
            last->len = end_of_fields(header) - last->off;
            return;
        }
    }
}

/* RFC 6409 sections 8.1 and 8.2. */
static void make_added_in(struct arena *arena, const struct wire_scan_task *task, struct slice header,
                          struct edit *edit)
{
    AUTO_BUF struct buf added = buf_new(2 * (WIRE_TEXT_MAX + 32));
    if (task->kind == BODY_SUBMISSION && (edit->flags & FACTS_NO_DATE_FIELD) && task->date.len)
        buf_addf(&added, "Date: %.*s\r\n", SLICE_ARG(task->date));
    if (task->kind == BODY_SUBMISSION && (edit->flags & FACTS_NO_MESSAGE_ID) && task->message_id.len)
        buf_addf(&added, "Message-ID: %.*s\r\n", SLICE_ARG(task->message_id));
    if (task->kind != BODY_APPEND && !header.len)
        buf_add_str(&added, "\r\n");
    edit->added = added.len ? arena_dup(arena, buf_slice(&added)) : SLICE_EMPTY;
}

static uint64_t count_lines(struct slice s)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < s.len; i++)
        lines += s.ptr[i] == '\n';
    return lines;
}

static void measure(struct slice header, struct edit *edit)
{
    edit->header_len = edit->added.len + header.len;
    edit->lines = count_lines(edit->added) + count_lines(header);
    for (size_t i = 0; i < edit->cut_count; i++) {
        edit->header_len -= edit->cuts[i].len;
        edit->lines -= count_lines(slice_sub(header, edit->cuts[i].off, edit->cuts[i].len));
    }
}

/* `added` and the header without the cuts, as far as it is looked at. */
static struct slice edited_header_in(struct arena *arena, struct slice header, const struct edit *edit)
{
    AUTO_BUF struct buf text = buf_new(MIME_MAX_HEADER);
    size_t at = 0;
    buf_add(&text, edit->added);
    for (size_t i = 0; i <= edit->cut_count; i++) {
        size_t end = i < edit->cut_count ? edit->cuts[i].off : header.len;
        struct slice kept = slice_sub(header, at, end - at);
        buf_add(&text, slice_sub(kept, 0, text.max - text.len));
        at = i < edit->cut_count ? end + edit->cuts[i].len : end;
    }
    return arena_dup(arena, buf_slice(&text));
}

void edit_header_in(struct arena *arena, const struct wire_scan_task *task, struct slice header,
                    struct edit *edit)
{
    struct facts_cut cuts[FACTS_MAX_LIST];
    *edit = (struct edit){.cuts = cuts, .flags = FACTS_NO_DATE_FIELD | FACTS_NO_MESSAGE_ID};
    find_cuts(task, header, edit);
    edit->cuts = edit->cut_count ? ARENA_ARRAY(arena, struct facts_cut, edit->cut_count) : NULL;
    if (edit->cut_count)
        memcpy(edit->cuts, cuts, edit->cut_count * sizeof *cuts);
    make_added_in(arena, task, header, edit);
    measure(header, edit);
    if (edit->cut_count || edit->added.len)
        edit->header = edited_header_in(arena, header, edit);
    else
        edit->header = slice_sub(header, 0, MIME_MAX_HEADER);
}
