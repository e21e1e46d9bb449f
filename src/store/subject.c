/* subject.c: what a search asks about one message. First the index (facts, text), then, for what it has not
 * kept, the file. Input: facts and text of strangers' messages, bounded when stored. Called by search.c. */
#include "store/subject.h"

#include <stdlib.h>

#include "base/io.h"
#include "base/mem.h"
#include "grammar/base64.h"
#include "grammar/charset.h"
#include "grammar/date.h"
#include "grammar/encoded_word.h"
#include "grammar/header.h"
#include "store/blob.h"
#include "store/fetch.h"
#include "store/sortkeys.h"
#include "store/text.h"

#define SUBJECT_ARENA_MAX   (16u << 20)
#define SUBJECT_SCRATCH_MAX (2 * SUBJECT_ARENA_MAX)
#define SUBJECT_PART_MAX    (64u << 20) /* decoded bytes of one text part that are looked through */
#define SUBJECT_READ        (1u << 20)
#define SUBJECT_FIELD_MAX   (256u * 1024)

struct subject {
    struct arena *arena;   /* reset for each message */
    struct arena *scratch; /* reset for each value */
    struct charset_set *charsets;
    struct text_reader *reader;
    struct fulltext_filter *filter;
    struct sortkeys_finder *finder;
    struct account *account;
    uint64_t message;
    enum err err;
    struct why why;
    bool has_facts, has_text, has_header;
    struct fetch_message row;
    struct facts facts;
    struct text_parts text;
    struct slice header; /* of the message as served, without our block */
    struct find coded;   /* the beginning of encoded words */
};

struct subject *subject_new(struct fulltext_filter *filter)
{
    struct subject *s = mem_zero(1, sizeof *s);
    s->filter = filter;
    s->finder = sortkeys_finder_new();
    s->coded = find_new(SLICE("=?"), false);
    s->arena = arena_new(SUBJECT_ARENA_MAX);
    s->scratch = arena_new(SUBJECT_SCRATCH_MAX);
    s->charsets = charset_set_new();
    s->reader = text_reader_new();
    return s;
}

void subject_free(struct subject **subject)
{
    if (!*subject)
        return;
    sortkeys_finder_free(&(*subject)->finder);
    arena_free(&(*subject)->arena);
    arena_free(&(*subject)->scratch);
    charset_set_free(&(*subject)->charsets);
    text_reader_free(&(*subject)->reader);
    free(*subject);
    *subject = NULL;
}

void subject_begin(struct subject *s, struct account *account, uint64_t message)
{
    arena_reset(s->arena);
    s->account = account;
    s->message = message;
    s->err = ERR_OK;
    s->has_facts = s->has_text = s->has_header = false;
}

enum err subject_error(const struct subject *s, struct why *why)
{
    return s->err ? err_set(why, s->err, "%s", s->why.text) : ERR_OK;
}

/* An expunged message matches nothing and is no error. */
static bool note(struct subject *s, enum err err)
{
    if (err && err != ERR_ABSENT && !s->err)
        s->err = err;
    return !err;
}

static bool need_facts(struct subject *s)
{
    if (s->has_facts)
        return true;
    s->has_facts = note(s, fetch_message_in(s->account, s->arena, s->message, &s->row, &s->why)) &&
                   note(s, facts_decode_front(s->row.facts, &s->facts, &s->why));
    return s->has_facts;
}

static bool need_text(struct subject *s)
{
    if (s->has_text)
        return true;
    struct db_rows rows;
    if (!note(s, db_query(s->account->db, "SELECT text FROM text WHERE id = ?", DB_ARGS(DB_U64(s->message)),
                          &rows, &s->why)))
        return false;
    enum err bad = ERR_ABSENT;
    if (db_next(&rows))
        bad = text_unpack_in(s->reader, s->arena, db_slice(&rows, 0), &s->text, &s->why);
    s->has_text = note(s, db_end(&rows, bad ? NULL : &s->why)) && note(s, bad);
    return s->has_text;
}

static bool read_file(struct subject *s, uint64_t from, uint64_t len, struct slice *bytes)
{
    AUTO_FD int fd = -1;
    uint8_t *room = arena_try(s->arena, (size_t)len + 1);
    size_t got = 0;
    if (!room || !note(s, blob_open(&s->account->root, s->account->folder, s->message, &fd, &s->why)) ||
        !note(s, io_pread(fd, room, (size_t)len, from, &got, &s->why)))
        return false;
    *bytes = slice_make(room, got);
    return true;
}

static bool need_header(struct subject *s)
{
    if (s->has_header)
        return true;
    if (need_text(s) && !s->text.header_left_out) {
        s->header = s->text.header;
        s->has_header = true;
    } else if (need_facts(s)) {
        s->has_header = read_file(s, s->row.header.len, s->facts.header_len, &s->header);
    }
    return s->has_header;
}

bool subject_sent_day(struct subject *s, int64_t *day)
{
    if (note(s, sortkeys_day(s->account, s->message, day, &s->why)) && *day != SORTKEY_ASK_DAY)
        return true;
    if (!need_facts(s))
        return false;
    *day = INT64_MIN;
    struct header_field field;
    struct date_time date;
    if (header_find(s->facts.headers, SLICE("Date"), &field) && date_parse_rfc5322(field.value, &date))
        *day = date_local_day(&date);
    return true;
}

struct slice subject_thread_root(struct subject *s)
{
    return need_facts(s) ? facts_thread_root(s->row.facts) : SLICE_EMPTY;
}

/* ---- header fields ---- */

/* May more stand in it once it is decoded? */
static bool decodes(const struct subject *s, struct slice text)
{
    return find_in(&s->coded, text, 0) >= 0 || find_foreign(text, 0) < text.len;
}

static bool match_value(struct subject *s, struct slice value, const struct imap_needle *needle)
{
    arena_reset(s->scratch);
    struct slice line = header_unfold_in(s->scratch, value);
    if (imap_needle_match(needle, line))
        return true;
    if (!decodes(s, line))
        return false;
    AUTO_BUF struct buf decoded = buf_new(SUBJECT_FIELD_MAX);
    encoded_word_decode(s->charsets, line, &decoded);
    return imap_needle_match(needle, buf_slice(&decoded));
}

/* Unfolding takes out only line ends with a blank behind them: what is found in an unfolded value and not in
 * the block holds such a blank. */
static bool has_blank(struct slice text)
{
    return slice_find(text, ' ') >= 0 || slice_find(text, '\t') >= 0;
}

/* No field decodes into anything that is not in the block already. */
static bool is_plain(const struct subject *s, struct slice block, const struct imap_needle *needle)
{
    return !has_blank(needle->folded) && !decodes(s, block);
}

static bool match_fields(struct subject *s, struct slice block, struct slice name,
                         const struct imap_needle *needle)
{
    if (is_plain(s, block, needle) && !imap_needle_match(needle, block))
        return false;
    struct header_iter iter = header_iter_new(block);
    struct header_field field;
    while (header_next(&iter, &field))
        if (header_is(&field, name) && match_value(s, field.value, needle))
            return true;
    return false;
}

/* Decoded names and addresses that the facts hold ready; NULL for other fields. */
static const struct slice *ready_field(const struct facts *facts, struct slice name)
{
    const struct {
        struct slice name;
        const struct slice *value;
    } ready[] = {
        {SLICE("From"), &facts->search_from}, {SLICE("To"), &facts->search_to},
        {SLICE("Cc"), &facts->search_cc},     {SLICE("Bcc"), &facts->search_bcc},
        {SLICE("Subject"), &facts->subject},
    };
    for (size_t i = 0; i < sizeof ready / sizeof *ready; i++)
        if (slice_ieq(ready[i].name, name))
            return ready[i].value;
    return NULL;
}

/* The index knows that it is not there. */
static bool ruled_out(struct subject *s, enum trigram_plane plane, const struct imap_needle *needle)
{
    return fulltext_rules_out(s->filter, s->account, s->message, plane, needle);
}

/* Without columns and index. */
static bool match_header(struct subject *s, struct slice name, const struct imap_needle *needle)
{
    if (!need_facts(s))
        return false;
    const struct slice *ready = ready_field(&s->facts, name);
    if (ready && needle->text.len && imap_needle_match(needle, *ready))
        return true;
    if (match_fields(s, s->row.header, name, needle))
        return true;
    if (s->facts.flags & FACTS_HEADERS_COMPLETE && facts_is_cached(name))
        return match_fields(s, s->facts.headers, name, needle);
    return need_header(s) && match_fields(s, s->header, name, needle);
}

/* What the columns say; they are read or made only where the index cannot rule the message out. */
static enum imap_truth ask_columns(struct subject *s, struct slice name, const struct imap_needle *needle,
                                   bool make)
{
    enum imap_truth found = IMAP_UNKNOWN;
    (void)note(s, sortkeys_find(s->finder, s->account, s->message, name, needle, make, &found, &s->why));
    return found;
}

bool subject_header(struct subject *s, struct slice name, const struct imap_needle *needle)
{
    enum trigram_plane plane = TRIGRAM_HEADER;
    enum imap_truth found = ask_columns(s, name, needle, false);
    if (found != IMAP_UNKNOWN)
        return found == IMAP_YES;
    (void)fulltext_plane(name, &plane);
    if (ruled_out(s, plane, needle))
        return false;
    found = ask_columns(s, name, needle, true);
    return found == IMAP_UNKNOWN ? match_header(s, name, needle) : found == IMAP_YES;
}

static bool match_block(struct subject *s, struct slice block, const struct imap_needle *needle)
{
    if (imap_needle_match(needle, block))
        return true;
    if (is_plain(s, block, needle))
        return false;
    bool spans = has_blank(needle->folded);
    struct header_iter iter = header_iter_new(block);
    struct header_field field;
    while (header_next(&iter, &field)) {
        bool folded = spans && slice_find(slice_trim(field.value), '\n') >= 0;
        if ((folded || decodes(s, field.value)) && match_value(s, field.value, needle))
            return true;
    }
    return false;
}

bool subject_any_header(struct subject *s, const struct imap_needle *needle)
{
    if (ruled_out(s, TRIGRAM_HEADER, needle))
        return false;
    if (need_header(s) && match_block(s, s->header, needle))
        return true;
    return need_facts(s) && match_block(s, s->row.header, needle);
}

/* ---- text ---- */

static void decode_transfer(enum facts_encoding encoding, struct slice raw, struct buf *out)
{
    struct base64_decoder base64 = {0};
    struct qp_decoder qp = {0};
    switch (encoding) {
    case FACTS_ENC_BASE64:
        base64_feed(&base64, raw, out);
        base64_finish(&base64, out);
        break;
    case FACTS_ENC_QP:
        qp_feed(&qp, raw, out);
        qp_finish(&qp, out);
        break;
    default:
        buf_add(out, raw);
    }
}

static bool read_part(struct subject *s, const struct facts_part *part, struct buf *raw)
{
    AUTO_FD int fd = -1;
    if (!note(s, blob_open(&s->account->root, s->account->folder, s->message, &fd, &s->why)))
        return false;
    uint64_t at = s->row.header.len + part->body_off, left = part->body_len;
    while (left) {
        size_t want = left < SUBJECT_READ ? (size_t)left : SUBJECT_READ, got = 0;
        uint8_t *room = buf_reserve(raw, want);
        if (!room || !note(s, io_pread(fd, room, want, at, &got, &s->why)) || !got)
            break;
        buf_added(raw, got);
        at += got;
        left -= got;
    }
    return true;
}

static bool match_part(struct subject *s, const struct facts_part *part, const struct imap_needle *needle)
{
    AUTO_BUF struct buf raw = buf_new(SUBJECT_PART_MAX), decoded = buf_new(SUBJECT_PART_MAX),
                        text = buf_new(2 * SUBJECT_PART_MAX);
    if (!read_part(s, part, &raw))
        return false;
    decode_transfer(part->encoding, buf_slice(&raw), &decoded);
    (void)!charset_to_utf8(s->charsets, part->charset, buf_slice(&decoded), &text);
    return imap_needle_match(needle, buf_slice(&text));
}

bool subject_body(struct subject *s, const struct imap_needle *needle)
{
    if (ruled_out(s, TRIGRAM_BODY, needle))
        return false;
    if (need_text(s) && imap_needle_match(needle, s->text.text))
        return true;
    if (!need_facts(s) || s->facts.flags & FACTS_TEXT_COMPLETE)
        return false;
    struct facts whole;
    if (!note(s, facts_decode_in(s->arena, s->row.facts, &whole, &s->why)))
        return false;
    for (size_t i = 0; i < whole.part_count; i++) {
        const struct facts_part *part = &whole.parts[i];
        if (part->kind == FACTS_LEAF && slice_eq(part->type, SLICE("text")) && match_part(s, part, needle))
            return true;
    }
    return false;
}
