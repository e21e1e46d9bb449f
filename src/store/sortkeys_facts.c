/* sortkeys_facts.c: the keys of one message. Input: facts and header fields of strangers' messages, bounded
 * when stored. Pure. Called by sortkeys.c. */
#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "base/mem.h"
#include "grammar/casefold.h"
#include "grammar/charset.h"
#include "grammar/collate.h"
#include "grammar/date.h"
#include "grammar/encoded_word.h"
#include "grammar/header.h"
#include "grammar/subject.h"
#include "store/sortkeys.h"
#include "wire/facts.h"

#define READER_ARENA (4u << 20)
#define FIELD_MAX    (256u * 1024) /* as subject.c decodes it */
#define ID_MAX       1024          /* longer ones are taken as they are */
#define FIELDS       5             /* that have a column, from SORTKEY_FIND_FROM on */

struct sortkeys_reader {
    struct arena *facts, *value; /* of one message, of one field */
    struct charset_set *charsets;
    struct casefold_memo memo;
    struct buf decoded;
    struct found_field { /* of one message, by column */
        struct buf text;
        bool cut; /* a value was too long */
    } fields[FIELDS];
};

struct sortkeys_reader *sortkeys_reader_new(void)
{
    struct sortkeys_reader *r = mem_zero(1, sizeof *r);
    r->facts = arena_new(READER_ARENA);
    r->value = arena_new(READER_ARENA);
    r->charsets = charset_set_new();
    for (size_t i = 0; i < FIELDS; i++)
        r->fields[i].text = buf_new(SORTKEY_FIND_MAX);
    r->decoded = buf_new(FIELD_MAX);
    casefold_start(&r->memo);
    return r;
}

void sortkeys_reader_free(struct sortkeys_reader **reader)
{
    struct sortkeys_reader *r = *reader;
    if (!r)
        return;
    arena_free(&r->facts);
    arena_free(&r->value);
    charset_set_free(&r->charsets);
    for (size_t i = 0; i < FIELDS; i++)
        buf_free(&r->fields[i].text);
    buf_free(&r->decoded);
    free(r);
    *reader = NULL;
}

/* ---- for SORT and THREAD ---- */

/* For ids on disk: no secret. Who wants two ids to be taken for one need only write the same id twice. */
static const struct hash_key id_key = {0x726f636b646f7665, 0x7468726561647331};

/* RFC 5256 section 3: <"a"@b> is <a@b>. */
static struct slice unquoted(struct slice id, uint8_t room[ID_MAX])
{
    bool quoted = false;
    size_t len = 0;
    if (id.len > ID_MAX || slice_find(id, '"') < 0)
        return id;
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] == '"') {
            quoted = !quoted;
            continue;
        }
        i += quoted && id.ptr[i] == '\\' && i + 1 < id.len;
        room[len++] = id.ptr[i];
    }
    return slice_make(room, len);
}

static uint64_t hash_id(struct slice id)
{
    uint8_t room[ID_MAX];
    uint64_t hash = id.len ? hash_sip(&id_key, unquoted(id, room)) : 0;
    return id.len && !hash ? 1 : hash;
}

static struct slice key_in(struct arena *arena, struct slice text)
{
    AUTO_BUF struct buf key = buf_new(4 * FACTS_MAX_FIELD);
    collate_key(slice_sub(text, 0, SORTKEY_TEXT_MAX), &key);
    return arena_dup(arena, slice_sub(buf_slice(&key), 0, SORTKEY_TEXT_MAX));
}

static bool is_reply(struct slice subject)
{
    AUTO_BUF struct buf base = buf_new(4 * SUBJECT_MAX_BYTES);
    bool reply;
    subject_base(subject, &base, &reply);
    return reply;
}

static void read_ids(struct arena *arena, const struct facts *facts, struct sortkey_values *v)
{
    size_t count = facts->references.count < SORTKEY_REFS_MAX ? facts->references.count : SORTKEY_REFS_MAX;
    v->id = hash_id(facts->message_id);
    v->refs = ARENA_ARRAY(arena, uint64_t, count + 1);
    for (size_t i = 0; i < count; i++)
        v->refs[i] = hash_id(facts->references.at[i]);
    if (!count && facts->in_reply_to.len)
        v->refs[count++] = hash_id(facts->in_reply_to);
    v->ref_count = (uint32_t)count;
}

static void read_order(struct arena *arena, uint32_t wanted, const struct facts *facts,
                       struct sortkey_values *v)
{
    const struct slice texts[SORTKEY_THREAD] = {[SORTKEY_SUBJECT] = facts->base_subject,
                                                [SORTKEY_FROM] = facts->sort_from,
                                                [SORTKEY_TO] = facts->sort_to,
                                                [SORTKEY_CC] = facts->sort_cc,
                                                [SORTKEY_DISPLAYFROM] = facts->sort_display_from,
                                                [SORTKEY_DISPLAYTO] = facts->sort_display_to};
    v->number[SORTKEY_SENT] = facts->sent == FACTS_NO_DATE ? SORTKEY_NO_DATE : facts->sent;
    for (unsigned i = SORTKEY_SUBJECT; i < SORTKEY_FIND_FROM; i++)
        if (wanted & 1u << i)
            v->text[i] = key_in(arena, texts[i]);
    if (wanted & 1u << SORTKEY_SUBJECT && is_reply(facts->subject))
        v->flags |= 1u << SORTKEY_SUBJECT;
    if (wanted & 1u << SORTKEY_THREAD)
        read_ids(arena, facts, v);
}

/* ---- for SEARCH: every text that subject.c would look through ---- */

static const struct slice names[FIELDS] = {SLICE("From"), SLICE("To"), SLICE("Cc"), SLICE("Bcc"),
                                           SLICE("Subject")};

static void add_folded(struct casefold_memo *memo, struct slice text, struct buf *out)
{
    for (size_t at = 0; at < text.len && buf_ok(out);) {
        size_t foreign = find_foreign(text, at);
        uint8_t *room = buf_reserve(out, foreign - at);
        for (size_t i = at; room && i < foreign; i++)
            *room++ = ascii_lower(text.ptr[i]);
        buf_added(out, room ? foreign - at : 0);
        at = foreign;
        if (at < text.len)
            buf_add(out, casefold_take(memo, text, &at));
    }
}

/* Folded, with a NUL behind it, which no needle spans; left out when a piece before holds it already. */
static void add_piece(struct sortkeys_reader *r, struct buf *out, struct slice text)
{
    size_t start = out->len;
    add_folded(&r->memo, text, out);
    struct slice piece = slice_from(buf_slice(out), start);
    if (!piece.len || (start && slice_search(slice_sub(buf_slice(out), 0, start), piece) >= 0))
        buf_truncate(out, start);
    else
        buf_add_byte(out, 0);
}

static void add_value(struct sortkeys_reader *r, struct found_field *found, struct slice value)
{
    arena_reset(r->value);
    struct slice line = header_unfold_in(r->value, value);
    add_piece(r, &found->text, line);
    if (find_foreign(line, 0) == line.len && slice_search(line, SLICE("=?")) < 0)
        return;
    buf_clear(&r->decoded);
    encoded_word_decode(r->charsets, line, &r->decoded);
    found->cut = found->cut || !buf_ok(&r->decoded);
    add_piece(r, &found->text, buf_slice(&r->decoded));
}

static void add_fields(struct sortkeys_reader *r, struct slice block)
{
    struct header_iter iter = header_iter_new(block);
    struct header_field field;
    while (header_next(&iter, &field))
        for (size_t i = 0; i < FIELDS; i++)
            if (header_is(&field, names[i]))
                add_value(r, &r->fields[i], field.value);
}

static void read_day(const struct facts *facts, struct sortkey_values *v)
{
    struct header_field field;
    struct date_time date;
    v->number[SORTKEY_DAY] = SORTKEY_NO_DATE;
    if (header_find(facts->headers, SLICE("Date"), &field) && date_parse_rfc5322(field.value, &date))
        v->number[SORTKEY_DAY] = date_local_day(&date);
}

static void read_fields(struct arena *arena, struct sortkeys_reader *r, struct slice header,
                        const struct facts *facts, struct sortkey_values *v)
{
    const struct slice ready[FIELDS] = {facts->search_from, facts->search_to, facts->search_cc,
                                        facts->search_bcc, facts->subject};
    for (size_t i = 0; i < FIELDS; i++) {
        buf_clear(&r->fields[i].text);
        r->fields[i].cut = false;
        add_piece(r, &r->fields[i].text, ready[i]);
    }
    add_fields(r, header);
    add_fields(r, facts->headers);
    for (size_t i = 0; i < FIELDS; i++) {
        bool all = facts->flags & FACTS_HEADERS_COMPLETE && facts_is_cached(names[i]) && !r->fields[i].cut &&
                   buf_ok(&r->fields[i].text);
        if (all)
            v->text[SORTKEY_FIND_FROM + i] = arena_dup(arena, buf_slice(&r->fields[i].text));
        else
            v->flags |= 1u << (SORTKEY_FIND_FROM + i);
    }
}

void sortkeys_read_none(struct sortkey_values *v)
{
    *v = (struct sortkey_values){.present = true, .flags = SORTKEY_FOR_SEARCH};
    v->number[SORTKEY_SENT] = SORTKEY_NO_DATE;
    v->number[SORTKEY_DAY] = SORTKEY_ASK_DAY;
}

void sortkeys_read_in(struct arena *arena, struct sortkeys_reader *r, uint32_t wanted, struct slice header,
                      struct slice record, struct sortkey_values *v)
{
    struct facts facts;
    struct why why;
    arena_reset(r->facts);
    sortkeys_read_none(v);
    bool lists = wanted & SORTKEY_FOR_SORT;
    if (lists ? facts_decode_in(r->facts, record, &facts, &why) : facts_decode_front(record, &facts, &why))
        return;
    v->flags = 0;
    if (lists)
        read_order(arena, wanted, &facts, v);
    if (!(wanted & SORTKEY_FOR_SEARCH))
        return;
    read_day(&facts, v);
    read_fields(arena, r, header, &facts, v);
}
