/* envelope.c: builds ENVELOPE from a header. Reads strangers' headers; called by bodystructure.c and scan. */
#include "grammar/envelope.h"

#include "grammar/address.h"
#include "grammar/header.h"
#include "grammar/imap_write.h"

#define ENVELOPE_ARENA_MAX (64 * 1024 * 1024) /* beyond what limits allow for; only here to be finite */
#define MERGED_FIELDS_MAX  16                 /* fields of one name that are read together */

enum slot {
    SLOT_DATE,
    SLOT_SUBJECT,
    SLOT_FROM,
    SLOT_SENDER,
    SLOT_REPLY_TO,
    SLOT_TO,
    SLOT_CC,
    SLOT_BCC,
    SLOT_IN_REPLY_TO,
    SLOT_MESSAGE_ID,
    SLOT_COUNT
};

/* In the order of the text. `merge`: several fields of that name count as one, because people's mail has
 * them. */
static const struct {
    struct slice name;
    bool addresses, merge;
} slots[SLOT_COUNT] = {
    [SLOT_DATE] = {SLICE("Date"), false, false},
    [SLOT_SUBJECT] = {SLICE("Subject"), false, false},
    [SLOT_FROM] = {SLICE("From"), true, false},
    [SLOT_SENDER] = {SLICE("Sender"), true, false},
    [SLOT_REPLY_TO] = {SLICE("Reply-To"), true, false},
    [SLOT_TO] = {SLICE("To"), true, true},
    [SLOT_CC] = {SLICE("Cc"), true, true},
    [SLOT_BCC] = {SLICE("Bcc"), true, true},
    [SLOT_IN_REPLY_TO] = {SLICE("In-Reply-To"), false, false},
    [SLOT_MESSAGE_ID] = {SLICE("Message-ID"), false, false},
};

struct found {
    struct slice values[MERGED_FIELDS_MAX];
    size_t count;
};

static void find_fields(struct slice header, size_t max_bytes, struct found found[SLOT_COUNT])
{
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    while (header_next(&iter, &field)) {
        for (size_t i = 0; i < SLOT_COUNT; i++) {
            struct found *f = &found[i];
            if (field.name.len == slots[i].name.len && header_is(&field, slots[i].name) &&
                f->count < (slots[i].merge ? MERGED_FIELDS_MAX : 1))
                f->values[f->count++] = slice_sub(field.value, 0, max_bytes);
        }
    }
}

static void write_or_nil(struct buf *out, struct slice s)
{
    if (s.len)
        imap_write_string(out, s);
    else
        buf_add_str(out, "NIL");
}

/* address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")" */
static void write_address(struct buf *out, const struct address_item *item)
{
    buf_add_byte(out, '(');
    write_or_nil(out, item->kind == ADDRESS_MAILBOX ? item->display : SLICE_EMPTY);
    buf_add_byte(out, ' ');
    write_or_nil(out, item->route);
    buf_add_byte(out, ' ');
    if (item->kind == ADDRESS_MAILBOX) {
        imap_write_string(out, item->local.len ? item->local : SLICE("MISSING_MAILBOX"));
        buf_add_byte(out, ' ');
        imap_write_string(out, item->domain.len ? item->domain : SLICE("MISSING_DOMAIN"));
    } else if (item->kind == ADDRESS_GROUP_START) {
        imap_write_string(out, item->local);
        buf_add_str(out, " NIL");
    } else {
        buf_add_str(out, "NIL NIL");
    }
    buf_add_byte(out, ')');
}

static void write_list(struct arena *arena, const struct found *found, size_t max, struct buf *out)
{
    size_t begin = out->len, left = max;
    buf_add_byte(out, '(');
    for (size_t i = 0; i < found->count; i++) {
        struct address_list list;
        address_list_parse_in(arena, found->values[i], left, &list);
        for (size_t k = 0; k < list.count; k++)
            write_address(out, &list.items[k]);
        left -= list.count < left ? list.count : left;
        if (!left)
            break;
    }
    if (out->len == begin + 1) {
        buf_truncate(out, begin);
        buf_add_str(out, "NIL");
    } else {
        buf_add_byte(out, ')');
    }
}

static void write_text(struct arena *arena, const struct found *found, struct buf *out)
{
    if (found->count)
        imap_write_string(out, header_unfold_in(arena, found->values[0]));
    else
        buf_add_str(out, "NIL");
}

/* Remembers where the text of From stands, to repeat it for Sender and Reply-To. */
void envelope_write(struct slice header, const struct envelope_limits *limits, struct buf *out)
{
    struct found found[SLOT_COUNT] = {0};
    AUTO_ARENA struct arena *arena = arena_new(ENVELOPE_ARENA_MAX);
    size_t from = 0, from_len = 0;
    find_fields(header, limits->bytes, found);
    for (size_t i = 0; i < SLOT_COUNT; i++) {
        buf_add_byte(out, i ? ' ' : '(');
        size_t begin = out->len;
        if (!slots[i].addresses)
            write_text(arena, &found[i], out);
        else
            write_list(arena, &found[i], limits->addresses, out);
        bool is_nil = slice_eq(slice_from(buf_slice(out), begin), SLICE("NIL"));
        if (is_nil && from_len && (i == SLOT_SENDER || i == SLOT_REPLY_TO)) {
            buf_truncate(out, begin);
            if (buf_reserve(out, from_len)) /* may move the text that is copied */
                buf_add(out, slice_sub(buf_slice(out), from, from_len));
        }
        if (i == SLOT_FROM) {
            from = begin;
            from_len = out->len - begin;
        }
    }
    buf_add_byte(out, ')');
}
