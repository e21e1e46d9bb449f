/* header_facts.c: reads a stranger's header once into facts. Called by scan_message.c. */
#include "scan/header_facts.h"

#include <string.h>

#include "grammar/address.h"
#include "grammar/date.h"
#include "grammar/domain.h"
#include "grammar/encoded_word.h"
#include "grammar/envelope.h"
#include "grammar/header.h"
#include "grammar/subject.h"

#define MERGED_MAX           16          /* fields of one name that are read together */
#define VALUE_MAX            (16 * 1024) /* of one field for search; what is behind is not indexed */
#define SUBJECT_MAX          2000        /* bytes of a decoded subject */
#define SORT_MAX             255         /* bytes of a sort key */
#define ID_MAX               998         /* bytes of a message id (HEADER_MSGID_MAX) */
#define SEARCH_ADDRESSES_MAX 200         /* of one field that are made plain for search */
#define FROM_MAX             64          /* addresses of From that are checked */
#define ENVELOPE_MAX         (128 * 1024)
#define REFERENCES_TOP       64 /* of too many references the first ones that stay; the others are the last */

/* Tried in this order until the text fits. */
static const struct envelope_limits envelope_limits[] = {{ADDRESS_LIST_MAX, 32 * 1024}, {32, 1024}};

enum slot {
    SLOT_DATE,
    SLOT_SUBJECT,
    SLOT_FROM,
    SLOT_TO,
    SLOT_CC,
    SLOT_BCC,
    SLOT_MESSAGE_ID,
    SLOT_IN_REPLY_TO,
    SLOT_REFERENCES,
    SLOT_DELIVERED_TO,
    SLOT_COUNT
};

static const struct {
    struct slice name;
    size_t max; /* fields that are kept */
} slots[SLOT_COUNT] = {
    [SLOT_DATE] = {SLICE("Date"), 1},
    [SLOT_SUBJECT] = {SLICE("Subject"), 1},
    [SLOT_FROM] = {SLICE("From"), MERGED_MAX},
    [SLOT_TO] = {SLICE("To"), MERGED_MAX},
    [SLOT_CC] = {SLICE("Cc"), MERGED_MAX},
    [SLOT_BCC] = {SLICE("Bcc"), MERGED_MAX},
    [SLOT_MESSAGE_ID] = {SLICE("Message-ID"), 1},
    [SLOT_IN_REPLY_TO] = {SLICE("In-Reply-To"), 1},
    [SLOT_REFERENCES] = {SLICE("References"), 1},
    [SLOT_DELIVERED_TO] = {SLICE("Delivered-To"), MERGED_MAX},
};

struct values {
    struct slice at[MERGED_MAX];
    size_t count;
    bool more; /* there were further ones */
};

struct reader {
    struct arena *arena;
    struct charset_set *set;
    struct values values[SLOT_COUNT];
    struct buf cached;
    bool cache_full;
    bool complete; /* every field was looked at */
};

static void cache_field(struct reader *r, const struct header_field *field)
{
    if (!facts_is_cached(field->name))
        return;
    bool whole = slice_ends(field->raw, SLICE("\n"));
    if (field->raw.len + 2 > r->cached.max - r->cached.len) {
        r->cache_full = true;
        return;
    }
    buf_add(&r->cached, field->raw);
    if (!whole)
        buf_add_str(&r->cached, "\r\n");
}

static void read_fields(struct reader *r, struct slice header)
{
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    while (header_next(&iter, &field)) {
        if (iter.count > HEADER_FIELDS_MAX)
            r->complete = false;
        if (field.junk)
            continue;
        cache_field(r, &field);
        for (size_t i = 0; i < SLOT_COUNT; i++) {
            struct values *v = &r->values[i];
            if (field.name.len != slots[i].name.len || !header_is(&field, slots[i].name))
                continue;
            if (v->count < slots[i].max)
                v->at[v->count++] = field.value;
            else
                v->more = true;
        }
    }
}

struct slice header_text_in(struct arena *arena, struct charset_set *set, struct slice value, size_t max)
{
    AUTO_BUF struct buf text = buf_new(max);
    encoded_word_decode(set, header_unfold_in(arena, slice_sub(value, 0, VALUE_MAX)), &text);
    return arena_dup(arena, buf_slice(&text));
}

/* All fields of a slot as one text. */
static struct slice slot_text_in(struct reader *r, enum slot slot, size_t max)
{
    const struct values *v = &r->values[slot];
    if (!v->count)
        return SLICE_EMPTY;
    if (v->count == 1)
        return header_text_in(r->arena, r->set, v->at[0], max);
    AUTO_BUF struct buf text = buf_new(max);
    for (size_t i = 0; i < v->count && text.max - text.len > 2; i++) {
        if (i)
            buf_add_str(&text, ", ");
        encoded_word_decode(r->set, header_unfold_in(r->arena, slice_sub(v->at[i], 0, VALUE_MAX)), &text);
    }
    return arena_dup(r->arena, buf_slice(&text));
}

/* Raw text as UTF-8 on one line, without decoding encoded words. */
static struct slice clean_in(struct reader *r, struct slice raw, size_t max)
{
    AUTO_BUF struct buf text = buf_new(max);
    (void)charset_to_utf8(r->set, SLICE_EMPTY, raw, &text);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] == 0x7f)
            text.data[i] = ' ';
    return arena_dup(r->arena, buf_slice(&text));
}

/* Comments and blanks inside an address, or escapes, hide it from who looks for it as it is. */
static bool hides_addresses(struct slice text)
{
    return slice_find(text, '(') >= 0 || slice_find(text, '\\') >= 0 ||
           slice_search(text, SLICE(" @")) >= 0 || slice_search(text, SLICE("@ ")) >= 0;
}

/* SEARCH FROM looks into the envelope's field (RFC 9051 section 6.4.4): the text as it was written, and the
 * addresses in it that are not to be found there letter by letter. */
static struct slice address_text_in(struct reader *r, enum slot slot)
{
    const struct values *v = &r->values[slot];
    struct slice written = slot_text_in(r, slot, VALUE_MAX);
    if (!hides_addresses(written))
        return written;
    AUTO_BUF struct buf text = buf_new(VALUE_MAX);
    buf_add(&text, written);
    for (size_t i = 0; i < v->count; i++) {
        struct address_list list;
        address_list_parse_in(r->arena, slice_sub(v->at[i], 0, VALUE_MAX), SEARCH_ADDRESSES_MAX, &list);
        for (size_t k = 0; k < list.count; k++) {
            struct slice address = clean_in(r, address_item_text_in(r->arena, &list.items[k]), SORT_MAX);
            bool fits = list.items[k].kind == ADDRESS_MAILBOX && text.max - text.len > address.len + 2;
            if (fits && slice_isearch(written, address) < 0)
                buf_addf(&text, ", %.*s", SLICE_ARG(address));
        }
    }
    return arena_dup(r->arena, buf_slice(&text));
}

static struct slice fold_in(struct reader *r, struct slice text)
{
    AUTO_BUF struct buf folded = buf_new(SORT_MAX);
    utf8_fold(utf8_cut(text, SORT_MAX / 2), &folded);
    return arena_dup(r->arena, buf_slice(&folded));
}

/* ---- addresses ---- */

/* local@domain for the sender check: domain as A-label where it is one. */
static struct slice identity_in(struct reader *r, struct address_item *item)
{
    struct slice alabel;
    if (item->domain.len && domain_to_alabel_in(r->arena, item->domain, &alabel, NULL) == ERR_OK)
        item->domain = alabel;
    return clean_in(r, address_item_text_in(r->arena, item), FACTS_MAX_HEADERS);
}

/* Every address of every From field: none must slip past the sender check. Where some could not be looked at,
 * an entry that is nobody's address stands for them. */
static void read_from(struct reader *r, struct facts *facts)
{
    const struct values *v = &r->values[SLOT_FROM];
    struct slice at[FROM_MAX + 1];
    size_t count = 0;
    bool all = r->complete && !v->more;
    for (size_t i = 0; i < v->count; i++) {
        struct address_list list;
        address_list_parse_in(r->arena, v->at[i], FROM_MAX, &list);
        all = all && !list.truncated;
        for (size_t k = 0; k < list.count; k++) {
            if (list.items[k].kind != ADDRESS_MAILBOX || !list.items[k].local.len)
                continue;
            if (count < FROM_MAX)
                at[count++] = identity_in(r, &list.items[k]);
            else
                all = false;
        }
    }
    if (!count)
        facts->flags |= FACTS_NO_FROM;
    if (!all)
        at[count++] = SLICE(FACTS_FROM_UNREAD);
    facts->from = (struct facts_list){count ? ARENA_ARRAY(r->arena, struct slice, count) : NULL, count};
    if (count)
        memcpy(facts->from.at, at, count * sizeof *at);
}

/* RFC 5256 section 3: the mailbox of the first address; RFC 5957 section 3: its display name, else the
 * address. */
static void read_sort_keys(struct reader *r, enum slot slot, struct slice *mailbox, struct slice *display)
{
    struct address_list list = {0};
    if (r->values[slot].count)
        address_list_parse_in(r->arena, slice_sub(r->values[slot].at[0], 0, VALUE_MAX), 1, &list);
    if (!list.count)
        return;
    const struct address_item *first = &list.items[0];
    *mailbox = fold_in(r, clean_in(r, first->local, SORT_MAX));
    if (!display)
        return;
    if (first->display.len)
        *display = fold_in(r, header_text_in(r->arena, r->set, first->display, SORT_MAX));
    else if (first->kind == ADDRESS_MAILBOX)
        *display = fold_in(r, clean_in(r, address_item_text_in(r->arena, first), SORT_MAX));
    else
        *display = *mailbox;
}

/* ---- ids ---- */

static struct slice first_id_in(struct reader *r, enum slot slot)
{
    struct slice rest = r->values[slot].count ? r->values[slot].at[0] : SLICE_EMPTY, id;
    return header_msgid_take_in(r->arena, &rest, &id) ? clean_in(r, id, ID_MAX) : SLICE_EMPTY;
}

/* RFC 5256 section 2.2: of too many references the oldest and the newest matter. */
static void read_references(struct reader *r, struct facts *facts)
{
    struct slice at[FACTS_MAX_LIST], id;
    size_t count = 0;
    struct slice rest = r->values[SLOT_REFERENCES].count ? r->values[SLOT_REFERENCES].at[0] : SLICE_EMPTY;
    while (header_msgid_take_in(r->arena, &rest, &id)) {
        if (count == FACTS_MAX_LIST) {
            memmove(at + REFERENCES_TOP, at + REFERENCES_TOP + 1,
                    (FACTS_MAX_LIST - REFERENCES_TOP - 1) * sizeof *at);
            count--;
        }
        at[count++] = id;
    }
    facts->references = (struct facts_list){count ? ARENA_ARRAY(r->arena, struct slice, count) : NULL, count};
    for (size_t i = 0; i < count; i++)
        facts->references.at[i] = clean_in(r, at[i], ID_MAX);
}

static void read_delivered(struct reader *r, struct facts *facts)
{
    const struct values *v = &r->values[SLOT_DELIVERED_TO];
    facts->delivered_to =
        (struct facts_list){v->count ? ARENA_ARRAY(r->arena, struct slice, v->count) : NULL, v->count};
    for (size_t i = 0; i < v->count; i++)
        facts->delivered_to.at[i] =
            clean_in(r, header_unfold_in(r->arena, slice_sub(v->at[i], 0, ID_MAX)), ID_MAX);
}

/* ---- the rest ---- */

static void read_subject(struct reader *r, struct facts *facts)
{
    AUTO_BUF struct buf base = buf_new(SUBJECT_MAX_BYTES * 3);
    facts->subject = slot_text_in(r, SLOT_SUBJECT, SUBJECT_MAX);
    subject_base(facts->subject, &base, NULL);
    facts->base_subject = arena_dup(r->arena, buf_slice(&base));
}

static void read_date(struct reader *r, struct facts *facts)
{
    struct date_time date;
    bool found = r->values[SLOT_DATE].count && date_parse_rfc5322(r->values[SLOT_DATE].at[0], &date);
    facts->sent = found ? date.seconds : FACTS_NO_DATE;
}

static void write_envelope(struct reader *r, struct slice header, struct facts *facts)
{
    AUTO_BUF struct buf text = buf_new(ENVELOPE_MAX);
    for (size_t i = 0; i < sizeof envelope_limits / sizeof *envelope_limits; i++) {
        buf_clear(&text);
        envelope_write(header, &envelope_limits[i], &text);
        if (buf_ok(&text))
            break;
    }
    facts->envelope = arena_dup(r->arena, buf_slice(&text));
}

void header_facts_in(struct arena *arena, struct charset_set *set, struct slice header, bool complete,
                     struct facts *facts)
{
    struct reader r = {
        .arena = arena, .set = set, .cached = buf_new(FACTS_MAX_HEADERS), .complete = complete};
    read_fields(&r, header);
    facts->headers = arena_dup(arena, buf_slice(&r.cached));
    if (r.complete && !r.cache_full)
        facts->flags |= FACTS_HEADERS_COMPLETE;
    buf_free(&r.cached);
    write_envelope(&r, header, facts);
    read_date(&r, facts);
    read_subject(&r, facts);
    read_from(&r, facts);
    read_references(&r, facts);
    read_delivered(&r, facts);
    facts->message_id = first_id_in(&r, SLOT_MESSAGE_ID);
    facts->in_reply_to = first_id_in(&r, SLOT_IN_REPLY_TO);
    facts->search_from = address_text_in(&r, SLOT_FROM);
    facts->search_to = address_text_in(&r, SLOT_TO);
    facts->search_cc = address_text_in(&r, SLOT_CC);
    facts->search_bcc = address_text_in(&r, SLOT_BCC);
    read_sort_keys(&r, SLOT_FROM, &facts->sort_from, &facts->sort_display_from);
    read_sort_keys(&r, SLOT_TO, &facts->sort_to, &facts->sort_display_to);
    read_sort_keys(&r, SLOT_CC, &facts->sort_cc, NULL);
}
