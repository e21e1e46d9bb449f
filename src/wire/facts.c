/* facts.c: encoding and decoding of a message's facts. Decodes what `scan` sent, which may be hijacked:
 * strict and bounded. Called by scan (encoder), store, imap, http (decoders). facts_check.c judges what was
 * decoded. */
#include "wire/facts.h"

#include <string.h>

/* Fields of struct facts by kind, in the order of the record. */
#define AT(member) offsetof(struct facts, member)

static const size_t numbers[] = {AT(size), AT(header_len), AT(lines), AT(text_len)};

static const struct {
    size_t offset, max;
} strings[] = {
    {AT(envelope), FACTS_MAX_FIELD},      {AT(body), FACTS_MAX_FIELD},
    {AT(bodystructure), FACTS_MAX_FIELD}, {AT(headers), FACTS_MAX_FIELD},
    {AT(message_id), FACTS_MAX_FIELD},    {AT(in_reply_to), FACTS_MAX_FIELD},
    {AT(base_subject), FACTS_MAX_FIELD},  {AT(subject), FACTS_MAX_FIELD},
    {AT(search_from), FACTS_MAX_FIELD},   {AT(search_to), FACTS_MAX_FIELD},
    {AT(search_cc), FACTS_MAX_FIELD},     {AT(search_bcc), FACTS_MAX_FIELD},
    {AT(sort_from), FACTS_MAX_FIELD},     {AT(sort_to), FACTS_MAX_FIELD},
    {AT(sort_cc), FACTS_MAX_FIELD},       {AT(sort_display_from), FACTS_MAX_FIELD},
    {AT(preview), FACTS_MAX_FIELD},       {AT(sort_display_to), FACTS_MAX_FIELD},
    {AT(added), FACTS_MAX_FIELD},
};

static const size_t lists[] = {AT(from), AT(references), AT(delivered_to)};

#define PART_AT(member) offsetof(struct facts_part, member)
static const size_t part_numbers[] = {PART_AT(header_off), PART_AT(header_len), PART_AT(body_off),
                                      PART_AT(body_len), PART_AT(inner_header_len)};
static const size_t part_strings[] = {PART_AT(type),        PART_AT(subtype), PART_AT(charset),
                                      PART_AT(disposition), PART_AT(name),    PART_AT(cid)};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* The member at an offset of one of the tables, whose types the tables' names say. */
static const void *member(const void *base, size_t offset)
{
    return (const uint8_t *)base + offset;
}

static void *member_of(void *base, size_t offset)
{
    return (uint8_t *)base + offset;
}

static void add_string(struct buf *out, const struct slice *s)
{
    buf_add_varint(out, s->len);
    buf_add(out, *s);
}

static void add_number(struct buf *out, const uint64_t *number)
{
    buf_add_varint(out, *number);
}

static void add_list(struct buf *out, const struct facts_list *list)
{
    buf_add_varint(out, list->count);
    for (size_t i = 0; i < list->count; i++)
        add_string(out, &list->at[i]);
}

static void add_part(struct buf *out, const struct facts_part *part)
{
    buf_add_varint(out, part->parent);
    buf_add_varint(out, part->number);
    buf_add_byte(out, (uint8_t)part->kind);
    buf_add_byte(out, (uint8_t)part->encoding);
    for (size_t i = 0; i < COUNT(part_numbers); i++)
        add_number(out, member(part, part_numbers[i]));
    for (size_t i = 0; i < COUNT(part_strings); i++)
        add_string(out, member(part, part_strings[i]));
}

/* Signed to unsigned so that small numbers of either sign stay short. */
static uint64_t zigzag(int64_t n)
{
    return n < 0 ? ~((uint64_t)n << 1) : (uint64_t)n << 1;
}

static int64_t unzigzag(uint64_t n)
{
    return n & 1 ? (int64_t) ~(n >> 1) : (int64_t)(n >> 1);
}

static void add_record(struct buf *out, const struct facts *facts)
{
    buf_add_varint(out, facts->flags);
    buf_add_varint(out, facts->received_count);
    buf_add_varint(out, zigzag(facts->sent));
    for (size_t i = 0; i < COUNT(numbers); i++)
        add_number(out, member(facts, numbers[i]));
    for (size_t i = 0; i < COUNT(strings); i++)
        add_string(out, member(facts, strings[i].offset));
    for (size_t i = 0; i < COUNT(lists); i++)
        add_list(out, member(facts, lists[i]));
    buf_add_varint(out, facts->cut_count);
    for (size_t i = 0; i < facts->cut_count; i++) {
        buf_add_varint(out, facts->cuts[i].off);
        buf_add_varint(out, facts->cuts[i].len);
    }
    buf_add_varint(out, facts->part_count);
    for (size_t i = 0; i < facts->part_count; i++)
        add_part(out, &facts->parts[i]);
}

void facts_encode(const struct facts *facts, struct buf *out)
{
    struct facts copy = *facts;
    copy.text_len = facts->text.len;
    AUTO_BUF struct buf record = buf_new(FACTS_MAX_RECORD);
    add_record(&record, &copy);
    if (!buf_ok(&record)) {
        out->overflow = true;
        return;
    }
    buf_add_byte(out, FACTS_VERSION);
    buf_add_varint(out, record.len);
    buf_add(out, buf_slice(&record));
    buf_add(out, facts->text);
}

static bool take_string(struct slice *in, size_t max, struct slice *s)
{
    uint64_t len;
    return slice_take_varint(in, &len) && len <= max && slice_take_bytes(in, len, s);
}

static bool take_u32(struct slice *in, uint32_t max, uint32_t *number)
{
    uint64_t wide;
    if (!slice_take_varint(in, &wide) || wide > max)
        return false;
    *number = (uint32_t)wide;
    return true;
}

static bool take_list_in(struct arena *arena, struct slice *in, struct facts_list *list)
{
    uint32_t count;
    if (!take_u32(in, FACTS_MAX_LIST, &count) || count > in->len)
        return false;
    *list = (struct facts_list){count ? ARENA_ARRAY(arena, struct slice, count) : NULL, count};
    for (size_t i = 0; i < count; i++)
        if (!take_string(in, FACTS_MAX_FIELD, &list->at[i]))
            return false;
    return true;
}

static bool take_cuts_in(struct arena *arena, struct slice *in, struct facts *facts)
{
    uint32_t count;
    if (!take_u32(in, FACTS_MAX_LIST, &count) || count > in->len)
        return false;
    facts->cut_count = count;
    facts->cuts = count ? ARENA_ARRAY(arena, struct facts_cut, count) : NULL;
    for (size_t i = 0; i < count; i++)
        if (!slice_take_varint(in, &facts->cuts[i].off) || !slice_take_varint(in, &facts->cuts[i].len))
            return false;
    return true;
}

static bool take_part(struct slice *in, struct facts_part *part)
{
    uint8_t kind, encoding;
    if (!take_u32(in, FACTS_MAX_PARTS, &part->parent) || !take_u32(in, FACTS_MAX_PARTS, &part->number) ||
        !slice_take_u8(in, &kind) || kind >= FACTS_KIND_COUNT || !slice_take_u8(in, &encoding) ||
        encoding >= FACTS_ENC_COUNT)
        return false;
    part->kind = kind;
    part->encoding = encoding;
    for (size_t i = 0; i < COUNT(part_numbers); i++)
        if (!slice_take_varint(in, member_of(part, part_numbers[i])))
            return false;
    for (size_t i = 0; i < COUNT(part_strings); i++)
        if (!take_string(in, FACTS_MAX_FIELD, member_of(part, part_strings[i])))
            return false;
    return true;
}

static bool take_parts_in(struct arena *arena, struct slice *in, struct facts *facts)
{
    uint32_t count;
    if (!take_u32(in, FACTS_MAX_PARTS, &count) || count > in->len)
        return false;
    facts->part_count = count;
    facts->parts = count ? ARENA_ARRAY(arena, struct facts_part, count) : NULL;
    for (size_t i = 0; i < count; i++)
        if (!take_part(in, &facts->parts[i]))
            return false;
    return true;
}

/* Numbers and strings, which need no memory. */
static bool take_front(struct slice *in, struct facts *facts)
{
    uint64_t sent;
    if (!take_u32(in, FACTS_FLAGS_ALL, &facts->flags) || !take_u32(in, UINT32_MAX, &facts->received_count) ||
        !slice_take_varint(in, &sent))
        return false;
    facts->sent = unzigzag(sent);
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (!slice_take_varint(in, member_of(facts, numbers[i])))
            return false;
    for (size_t i = 0; i < COUNT(strings); i++)
        if (!take_string(in, strings[i].max, member_of(facts, strings[i].offset)))
            return false;
    return true;
}

static bool take_record_in(struct arena *arena, struct slice in, struct facts *facts)
{
    if (!take_front(&in, facts))
        return false;
    for (size_t i = 0; i < COUNT(lists); i++)
        if (!take_list_in(arena, &in, member_of(facts, lists[i])))
            return false;
    return take_cuts_in(arena, &in, facts) && take_parts_in(arena, &in, facts) && !in.len;
}

/* Takes version and record off the front; what is left is the text. */
static bool take_head(struct slice *bytes, struct slice *record)
{
    uint8_t version;
    return slice_take_u8(bytes, &version) && version == FACTS_VERSION &&
           take_string(bytes, FACTS_MAX_RECORD, record);
}

size_t facts_record_len(struct slice bytes)
{
    struct slice rest = bytes, record;
    return take_head(&rest, &record) ? bytes.len - rest.len : 0;
}

/* The record begins: flags, received_count, sent, size, header_len. */
bool facts_peek(struct slice front, uint64_t *size, uint64_t *header_len)
{
    uint8_t version;
    uint64_t skipped;
    if (!slice_take_u8(&front, &version) || version != FACTS_VERSION)
        return false;
    for (int i = 0; i < 4; i++) /* the record's length and three numbers */
        if (!slice_take_varint(&front, &skipped))
            return false;
    return slice_take_varint(&front, size) && slice_take_varint(&front, header_len);
}

/* Strings of the record up to the one that is kept at `offset` of struct facts are stepped over. */
static bool skip_to(struct slice *in, size_t from, size_t offset)
{
    struct slice skipped;
    for (size_t i = from; strings[i].offset != offset; i++)
        if (!take_string(in, strings[i].max, &skipped))
            return false;
    return true;
}

bool facts_front(struct slice bytes, bool with_preview, struct facts_front *front)
{
    struct slice in;
    uint64_t skipped;
    struct facts_front found = {0};
    if (!take_head(&bytes, &in) || !take_u32(&in, FACTS_FLAGS_ALL, &found.flags))
        return false;
    for (size_t i = 0; i < 2 + COUNT(numbers); i++) /* received_count, sent */
        if (!slice_take_varint(&in, &skipped))
            return false;
    struct slice *const ready[] = {&found.envelope, &found.body, &found.bodystructure, &found.headers};
    for (size_t i = 0; i < COUNT(ready); i++)
        if (!take_string(&in, FACTS_MAX_FIELD, ready[i]))
            return false;
    if (with_preview &&
        (!skip_to(&in, COUNT(ready), AT(preview)) || !take_string(&in, FACTS_MAX_FIELD, &found.preview)))
        return false;
    *front = found;
    return true;
}

enum err facts_decode_in(struct arena *arena, struct slice bytes, struct facts *facts, struct why *why)
{
    struct slice record;
    struct facts found = {0};
    if (!take_head(&bytes, &record))
        return err_set(why, ERR_BAD, "facts: no record of version %d", FACTS_VERSION);
    if (!take_record_in(arena, record, &found))
        return err_set(why, ERR_BAD, "facts: malformed record");
    if (found.text_len > FACTS_MAX_TEXT || (bytes.len && bytes.len != found.text_len))
        return err_set(why, ERR_BAD, "facts: text of %zu bytes where %llu were announced", bytes.len,
                       (unsigned long long)found.text_len);
    found.text = bytes;
    *facts = found;
    return ERR_OK;
}

enum err facts_decode_front(struct slice bytes, struct facts *facts, struct why *why)
{
    struct slice record;
    struct facts found = {0};
    if (!take_head(&bytes, &record) || !take_front(&record, &found))
        return err_set(why, ERR_BAD, "facts: malformed record");
    *facts = found;
    return ERR_OK;
}

struct slice facts_root(const struct facts *facts)
{
    if (facts->references.count && facts->references.at[0].len)
        return facts->references.at[0];
    return facts->in_reply_to.len ? facts->in_reply_to : facts->message_id;
}

static bool skip_list(struct slice *in)
{
    uint32_t count;
    struct slice skipped;
    bool ok = take_u32(in, FACTS_MAX_LIST, &count);
    for (uint32_t i = 0; ok && i < count; i++)
        ok = take_string(in, FACTS_MAX_FIELD, &skipped);
    return ok;
}

/* Behind the front come the lists `from` and `references`. */
struct slice facts_thread_root(struct slice bytes)
{
    struct slice record, first = SLICE_EMPTY;
    struct facts front = {0};
    uint32_t count;
    if (!take_head(&bytes, &record) || !take_front(&record, &front))
        return SLICE_EMPTY;
    if (skip_list(&record) && take_u32(&record, FACTS_MAX_LIST, &count) && count &&
        take_string(&record, FACTS_MAX_FIELD, &first) && first.len)
        return first;
    return front.in_reply_to.len ? front.in_reply_to : front.message_id;
}

/* What Roundcube, Thunderbird, mutt, mbsync and Apple's programs ask for when they list messages. */
static const struct slice cached[] = {
    SLICE("Date"),
    SLICE("From"),
    SLICE("To"),
    SLICE("Cc"),
    SLICE("Bcc"),
    SLICE("Subject"),
    SLICE("Sender"),
    SLICE("Reply-To"),
    SLICE("Message-ID"),
    SLICE("In-Reply-To"),
    SLICE("References"),
    SLICE("Content-Type"),
    SLICE("Content-Description"),
    SLICE("Received"),
    SLICE("Return-Path"),
    SLICE("Delivered-To"),
    SLICE("X-Original-To"),
    SLICE("List-Id"),
    SLICE("List-Post"),
    SLICE("List-Subscribe"),
    SLICE("List-Unsubscribe"),
    SLICE("Priority"),
    SLICE("X-Priority"),
    SLICE("Importance"),
    SLICE("Disposition-Notification-To"),
    SLICE("Newsgroups"),
    SLICE("Lines"),
    SLICE("Mail-Followup-To"),
    SLICE("X-Spam"),
    SLICE("X-Spam-Flag"),
    SLICE("X-Label"),
    SLICE("X-TUID"),
    SLICE("X-Uniform-Type-Identifier"),
    SLICE("X-Universally-Unique-Identifier"),
};

bool facts_is_cached(struct slice field_name)
{
    for (size_t i = 0; i < COUNT(cached); i++)
        if (cached[i].len == field_name.len && slice_ieq(cached[i], field_name))
            return true;
    return false;
}

/* The child of row `parent` with that number, or NULL. */
static const struct facts_part *find_child(const struct facts *facts, size_t parent, uint64_t number)
{
    for (size_t i = parent + 1; i < facts->part_count; i++)
        if (facts->parts[i].parent == parent && facts->parts[i].number == number)
            return &facts->parts[i];
    return NULL;
}

const struct facts_part *facts_find_part(const struct facts *facts, struct slice path)
{
    const struct facts_part *part = facts->part_count ? facts->parts : NULL;
    struct slice token;
    uint64_t number;
    if (path.len && path.ptr[path.len - 1] == '.')
        return NULL;
    while (part && slice_token(&path, '.', &token)) {
        if (!slice_u64(token, FACTS_MAX_PARTS, &number) || !number)
            return NULL;
        part = find_child(facts, (size_t)(part - facts->parts), number);
    }
    return part;
}
