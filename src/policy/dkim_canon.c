/* dkim_canon.c: canonical header fields, which fields we sign, and the summary of a message (RFC 6376
 * sections 3.4.1, 3.4.2, 5.4). Reads any bytes; called by scan for what is sent, by dkim_verify.c for what
 * came. */
#include "policy/dkim_inside.h"

/* `always`: signed also when absent, so that none can be added; the others only when there is one, because
 * lists and relays on the way add them. */
static const struct {
    struct slice name;
    bool always;
} listed[] = {
    {SLICE("from"), true},
    {SLICE("to"), true},
    {SLICE("cc"), true},
    {SLICE("subject"), true},
    {SLICE("date"), true},
    {SLICE("message-id"), true},
    {SLICE("reply-to"), true},
    {SLICE("in-reply-to"), true},
    {SLICE("references"), true},
    {SLICE("mime-version"), true},
    {SLICE("content-type"), true},
    {SLICE("content-transfer-encoding"), true},
    {SLICE("sender"), false},
    {SLICE("list-id"), false},
    {SLICE("list-help"), false},
    {SLICE("list-unsubscribe"), false},
    {SLICE("list-unsubscribe-post"), false},
    {SLICE("list-subscribe"), false},
    {SLICE("list-post"), false},
    {SLICE("list-owner"), false},
    {SLICE("list-archive"), false},
    {SLICE("autocrypt"), false},
    {SLICE("feedback-id"), false},
    {SLICE("tls-required"), false},
};

#define LISTED (sizeof listed / sizeof *listed)

struct dkim_fields dkim_fields_in(struct arena *arena, struct slice header)
{
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    size_t count = 0;
    while (header_next(&iter, &field))
        count++;
    struct dkim_fields fields = {.at = ARENA_ARRAY(arena, struct dkim_field, count + 1)};
    iter = header_iter_new(header);
    while (fields.count < count && header_next(&iter, &field))
        if (!field.junk)
            fields.at[fields.count++] = (struct dkim_field){field, slice_ihash(field.name, 0), false};
    return fields;
}

const struct header_field *dkim_fields_take(struct dkim_fields *fields, struct slice name)
{
    uint64_t hash = slice_ihash(name, 0);
    for (size_t i = fields->count; i-- > 0;) {
        struct dkim_field *at = &fields->at[i];
        if (at->hash != hash || at->taken || !slice_ieq(at->field.name, name))
            continue;
        at->taken = true;
        return &at->field;
    }
    return NULL;
}

void dkim_canon_value(struct slice value, struct buf *out)
{
    bool blank = false, any = false;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        if (ascii_is_space(c)) {
            blank = true;
            continue;
        }
        if (blank && any)
            buf_add_byte(out, ' ');
        buf_add_byte(out, c);
        blank = false;
        any = true;
    }
}

void dkim_canon_field(enum dkim_canon canon, const struct header_field *field, struct buf *out)
{
    if (canon == DKIM_SIMPLE) {
        buf_add(out, field->raw);
        if (!slice_ends(field->raw, SLICE("\r\n")))
            buf_add(out, SLICE("\r\n"));
        return;
    }
    for (size_t i = 0; i < field->name.len; i++)
        buf_add_byte(out, ascii_lower(field->name.ptr[i]));
    buf_add_byte(out, ':');
    dkim_canon_value(field->value, out);
    buf_add(out, SLICE("\r\n"));
}

static void add_names(struct slice name, size_t times, struct buf *names)
{
    for (size_t i = 0; i < times; i++) {
        if (names->len)
            buf_add_byte(names, ':');
        buf_add(names, name);
    }
}

static void take_back(struct buf *out, size_t len)
{
    out->overflow = false;
    buf_truncate(out, len);
}

/* Adds all instances of a name, the lowest first, and one more that is not there. Of too many the lowest are
 * signed, and no more is named: a verifier would find the next one. A name that does not fit is left out
 * altogether. Answers whether there is one and it is signed. */
static bool sign_name(struct dkim_fields *header, struct slice name, bool always, struct buf *names,
                      struct buf *fields)
{
    const struct header_field *field;
    size_t fields_before = fields->len, names_before = names->len, count = 0;
    while (count < DKIM_INSTANCES_MAX && (field = dkim_fields_take(header, name))) {
        dkim_canon_field(DKIM_RELAXED, field, fields);
        count++;
    }
    bool all = count < DKIM_INSTANCES_MAX || !dkim_fields_take(header, name);
    add_names(name, count || always ? count + all : 0, names);
    if (buf_ok(fields) && buf_ok(names))
        return count > 0;
    take_back(fields, fields_before);
    take_back(names, names_before);
    return false;
}

enum err dkim_summarize_in(struct arena *arena, struct slice header, const struct slice *pieces, size_t count,
                           struct dkim_summary *summary, struct why *why)
{
    AUTO_BUF struct buf names = buf_new(DKIM_NAMES_MAX), canonical = buf_new(DKIM_FIELDS_MAX);
    struct dkim_fields fields = dkim_fields_in(arena, header);
    for (size_t i = 0; i < LISTED; i++) {
        bool found = sign_name(&fields, listed[i].name, listed[i].always, &names, &canonical);
        if (i == 0 && !found)
            return err_set(why, ERR_REFUSED, "the message has no From field that can be signed");
    }
    *summary = (struct dkim_summary){.names = arena_dup(arena, buf_slice(&names)),
                                     .fields = arena_dup(arena, buf_slice(&canonical))};
    dkim_body_hash(DKIM_RELAXED, pieces, count, summary->hash);
    return ERR_OK;
}
