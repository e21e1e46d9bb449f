/* fulltext_build.c: making blocks of the full-text index, in steps short enough for a strand that has
 * deliveries to commit. Input: facts and texts of strangers' messages out of index.db. Called by the role's
 * indexer and by the offline command. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "grammar/charset.h"
#include "grammar/encoded_word.h"
#include "grammar/header.h"
#include "store/fulltext_file.h"
#include "store/text.h"
#include "wire/facts.h"

#define BUILD_ARENA_MAX (16u << 20)
#define BUILD_FIELD_MAX (256u * 1024) /* as subject.c decodes it */
#define BUILD_FEW       32            /* a block of fewer messages is not worth its rows */
#define BUILD_OPEN      64            /* ids given out that may still be on their way into the index */
#define BUILD_ROWS      32            /* rows written between two looks at the clock */
/* A block is made anew when so many of its messages have gone, or when the first of them has gone so long
 * ago. */
#define BUILD_GONE_MANY 128
#define BUILD_GONE_S    3600

struct fulltext_build {
    struct fulltext_block *block; /* as it will be */
    struct trigram_block *bits;
    struct arena *arena, *scratch; /* reset for each message; for each value */
    struct charset_set *charsets;
    struct text_reader *reader;
    uint64_t next;      /* message to look at */
    uint64_t purges;    /* when it was begun */
    uint64_t old_stamp; /* of the making this one takes the place of */
    bool had_one;
    unsigned row, messages;
};

struct fulltext_build *fulltext_build_new(const struct account *account, uint64_t number)
{
    struct fulltext_build *b = mem_zero(1, sizeof *b);
    b->block = mem_zero(1, sizeof *b->block);
    b->block->number = number;
    random_fill(&b->block->stamp, sizeof b->block->stamp);
    const struct fulltext_block *old =
        account->fulltext ? idmap_get(account->fulltext->blocks, number) : NULL;
    b->had_one = old;
    b->old_stamp = old ? old->stamp : 0;
    b->block->stamp = (b->block->stamp & (INT64_MAX - 1)) | (~b->old_stamp & 1);
    b->bits = trigram_block_new();
    b->arena = arena_new(BUILD_ARENA_MAX);
    b->scratch = arena_new(BUILD_ARENA_MAX);
    b->charsets = charset_set_new();
    b->reader = text_reader_new();
    b->next = fulltext_first(number);
    b->purges = account->purges;
    return b;
}

void fulltext_build_free(struct fulltext_build **build)
{
    struct fulltext_build *b = *build;
    if (!b)
        return;
    free(b->block);
    trigram_block_free(&b->bits);
    arena_free(&b->arena);
    arena_free(&b->scratch);
    charset_set_free(&b->charsets);
    text_reader_free(&b->reader);
    free(b);
    *build = NULL;
}

/* ---- one message: every text that subject.c would look through ---- */

static enum trigram_plane plane_of(const struct header_field *field)
{
    enum trigram_plane plane;
    return fulltext_plane(field->name, &plane) ? plane : TRIGRAM_HEADER;
}

static void add_both(struct fulltext_build *b, enum trigram_plane plane, struct slice text)
{
    trigram_add(b->bits, TRIGRAM_HEADER, text);
    if (plane != TRIGRAM_HEADER)
        trigram_add(b->bits, plane, text);
}

static void add_field(struct fulltext_build *b, const struct header_field *field)
{
    arena_reset(b->scratch);
    struct slice line = header_unfold_in(b->scratch, field->value);
    enum trigram_plane plane = plane_of(field);
    if (plane != TRIGRAM_HEADER || !slice_eq(line, slice_trim(field->value))) /* else the block has it */
        add_both(b, plane, line);
    if (slice_search(line, SLICE("=?")) < 0 && slice_is_ascii(line))
        return;
    AUTO_BUF struct buf decoded = buf_new(BUILD_FIELD_MAX);
    encoded_word_decode(b->charsets, line, &decoded);
    add_both(b, plane, buf_slice(&decoded));
}

static void add_block(struct fulltext_build *b, struct slice header)
{
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    trigram_add(b->bits, TRIGRAM_HEADER, header);
    while (header_next(&iter, &field))
        add_field(b, &field);
}

static void add_ready(struct fulltext_build *b, const struct facts *facts)
{
    trigram_add(b->bits, TRIGRAM_FROM, facts->search_from);
    trigram_add(b->bits, TRIGRAM_TO, facts->search_to);
    trigram_add(b->bits, TRIGRAM_TO, facts->search_cc);
    trigram_add(b->bits, TRIGRAM_TO, facts->search_bcc);
    trigram_add(b->bits, TRIGRAM_SUBJECT, facts->subject);
}

/* What cannot be read as a whole is left out: it is searched without the index then. */
static void add_message(struct fulltext_build *b, const struct db_rows *rows)
{
    struct facts facts;
    struct text_parts text;
    struct why why;
    unsigned number = (unsigned)(db_u64(rows, 0) % TRIGRAM_MESSAGES);
    arena_reset(b->arena);
    if (facts_decode_front(db_slice(rows, 2), &facts, &why) || db_is_null(rows, 3) ||
        text_unpack_in(b->reader, b->arena, db_slice(rows, 3), &text, &why) || text.header_left_out)
        return;
    trigram_begin(b->bits, number);
    add_block(b, db_slice(rows, 1));
    add_block(b, text.header);
    add_ready(b, &facts);
    trigram_add(b->bits, TRIGRAM_BODY, text.text);
    trigram_put(&b->block->known, number);
    if (!(facts.flags & FACTS_TEXT_COMPLETE))
        trigram_put(&b->block->open, number);
    b->messages++;
}

static enum err collect(struct fulltext_build *b, struct account *account, uint64_t end_ns, struct why *why)
{
    uint64_t last = fulltext_first(b->block->number + 1);
    struct db_rows rows;
    enum err err = db_query(account->db,
                            "SELECT message.id, message.header, message.facts, text.text FROM message"
                            " LEFT JOIN text ON text.id = message.id"
                            " WHERE message.id >= ? AND message.id < ? ORDER BY message.id",
                            DB_ARGS(DB_U64(b->next), DB_U64(last)), &rows, why);
    if (err)
        return err;
    bool more;
    do {
        more = db_next(&rows);
        if (more) {
            add_message(b, &rows);
            b->next = db_u64(&rows, 0) + 1;
        }
    } while (more && clock_mono_ns() < end_ns);
    if (!more)
        b->next = last;
    return db_end(&rows, why);
}

/* ---- its rows ---- */

static enum err put_rows(struct fulltext_build *b, struct fulltext *f, uint64_t end_ns, struct why *why)
{
    AUTO_BUF struct buf row = buf_new(FULLTEXT_ROW_MAX);
    const unsigned together = fulltext_rows_in_one(b->block->number);
    enum err err = ERR_OK;
    bool more = true;
    while (!err && more && b->row < TRIGRAM_ROWS) {
        unsigned number = b->row / together;
        buf_clear(&row);
        for (unsigned i = 0; i < together && b->row < TRIGRAM_ROWS; i++)
            trigram_pack(b->bits, b->row++, &row);
        err = fulltext_put(f, b->block, number, buf_slice(&row), why);
        more = b->row % BUILD_ROWS || clock_mono_ns() < end_ns;
    }
    return err;
}

static enum err write_some(struct fulltext_build *b, struct fulltext *f, uint64_t end_ns, struct why *why)
{
    enum err err = db_begin(f->db, why);
    if (err)
        return err;
    if (b->messages < BUILD_FEW) { /* only the head, which says that nothing is known */
        memset(&b->block->known, 0, sizeof b->block->known);
        b->row = TRIGRAM_ROWS;
    } else {
        err = put_rows(b, f, end_ns, why);
    }
    if (!err && b->row == TRIGRAM_ROWS)
        err = fulltext_put_head(f, b->block, why);
    err = err ? err : db_commit(f->db, why);
    if (err)
        db_rollback(f->db);
    return err;
}

/* Messages removed while the block was made may still stand in it. */
static enum err finish(struct fulltext_build *b, struct account *account, struct fulltext *f, struct why *why)
{
    struct fulltext_block *block = b->block;
    uint64_t number = block->number;
    b->block = NULL;
    block->gone = account->purges != b->purges && b->messages >= BUILD_FEW;
    block->since = block->gone ? clock_unix_s() : 0;
    block->loaded = true;
    enum err err = fulltext_list(account, block, why);
    if (!err && b->had_one)
        err = fulltext_clear(f, number, b->old_stamp, why);
    if (!err && number < FULLTEXT_YOUNG)
        err = fulltext_grow_up(account, number, why);
    return err ? err : db_checkpoint(f->db, why);
}

enum err fulltext_build_step(struct fulltext_build *b, struct account *account, uint64_t budget_ns,
                             bool *done, struct why *why)
{
    uint64_t end_ns = clock_mono_ns() + budget_ns;
    *done = false;
    if (b->next < fulltext_first(b->block->number + 1))
        return collect(b, account, end_ns, why);
    struct fulltext *f;
    enum err err = fulltext_open(account, true, &f, why);
    if (err)
        return err;
    *done = b->row == TRIGRAM_ROWS;
    err = *done ? finish(b, account, f, why) : write_some(b, f, end_ns, why);
    f->damaged = f->damaged || err == ERR_INTERNAL;
    return err;
}

/* ---- what is to be made ---- */

/* Blocks whose ids were all given out, and whose last deliveries are done. */
static uint64_t whole_blocks(const struct account *account)
{
    uint64_t next = atomic_load(&account->next_message);
    return next > ACCOUNT_WINDOW ? (next - ACCOUNT_WINDOW) >> FULLTEXT_BLOCK_SHIFT : 0;
}

/* The same for young ones. Who comes later is not in them, and looked through. */
static uint64_t young_blocks(const struct account *account)
{
    uint64_t next = atomic_load(&account->next_message);
    uint64_t young = next > BUILD_OPEN ? (next - BUILD_OPEN) >> FULLTEXT_YOUNG_SHIFT : 0;
    return young < FULLTEXT_YOUNG ? young : 0;
}

static bool is_damaged(const struct account *account)
{
    return account->fulltext_damaged || (account->fulltext && account->fulltext->damaged);
}

bool fulltext_due(const struct account *account, bool young)
{
    return account->fulltext_stale & (young ? ACCOUNT_STALE : ACCOUNT_STALE_WHOLE) || is_damaged(account) ||
           whole_blocks(account) > account->fulltext_blocks ||
           (young && young_blocks(account) > account->fulltext_young);
}

static bool is_due(const struct fulltext_block *block, int64_t now)
{
    return block->gone >= BUILD_GONE_MANY || (block->gone && now - block->since >= BUILD_GONE_S);
}

/* The first of [from, end) that is to be made; `end`: none. Counts those that will have to be. */
static uint64_t find_due(const struct fulltext *f, uint64_t from, uint64_t end, int64_t now,
                         uint64_t *waiting)
{
    for (uint64_t i = from; i < end; i++) {
        const struct fulltext_block *block = idmap_get(f->blocks, i);
        *waiting += block && block->gone;
        if (!block || is_due(block, now))
            return i;
    }
    return end;
}

static void set_stale(struct account *account, unsigned bit, bool stale)
{
    account->fulltext_stale = (account->fulltext_stale & ~bit) | (stale ? bit : 0);
}

/* Nothing is left to make; `waiting`: for another time. */
static void whole_are_made(struct account *account, bool waiting)
{
    account->fulltext_blocks = whole_blocks(account);
    set_stale(account, ACCOUNT_STALE_WHOLE, waiting);
}

static void young_are_made(struct account *account, bool waiting)
{
    account->fulltext_young = young_blocks(account);
    set_stale(account, ACCOUNT_STALE_YOUNG, waiting);
}

/* False: there is none. */
static bool take_due(const struct fulltext *f, struct account *account, int64_t now, bool young,
                     uint64_t *number)
{
    uint64_t whole = whole_blocks(account), end = FULLTEXT_YOUNG + young_blocks(account), waiting = 0;
    *number = find_due(f, 0, whole, now, &waiting);
    if (*number < whole)
        return true;
    whole_are_made(account, waiting > 0);
    if (!young)
        return false;
    waiting = 0;
    *number = find_due(f, FULLTEXT_YOUNG + whole * FULLTEXT_YOUNG_EACH, end, now, &waiting);
    if (*number < end)
        return true;
    young_are_made(account, waiting > 0);
    return false;
}

enum err fulltext_next(struct account *account, int64_t now, bool young, uint64_t *number, bool *found,
                       struct why *why)
{
    struct fulltext *f;
    *found = false;
    if (account->fulltext_off || is_damaged(account)) {
        enum err err = fulltext_drop(account, why);
        if (err || account->fulltext_off) {
            whole_are_made(account, false);
            young_are_made(account, false);
            return err;
        }
    }
    enum err err = fulltext_open(account, false, &f, why);
    if (err)
        return err;
    if (f->damaged)
        return fulltext_next(account, now, young, number, found, why); /* once: nothing is listed then */
    *found = take_due(f, account, now, young, number);
    return ERR_OK;
}

enum err fulltext_note_gone(struct account *account, const uint64_t *messages, size_t count, struct why *why)
{
    enum err err = ERR_OK;
    uint64_t now = (uint64_t)clock_unix_s();
    for (size_t i = 0; !err && i < count;) {
        uint64_t young = messages[i] >> FULLTEXT_YOUNG_SHIFT, first = i;
        while (i < count && messages[i] >> FULLTEXT_YOUNG_SHIFT == young)
            i++;
        err = db_run(account->db,
                     "UPDATE fulltext SET gone = gone + ?, since = iif(gone, since, ?) WHERE block IN (?, ?)",
                     DB_ARGS(DB_U64(i - first), DB_U64(now), DB_U64(young / FULLTEXT_YOUNG_EACH),
                             DB_U64(FULLTEXT_YOUNG + young)),
                     why);
    }
    return err;
}

enum err fulltext_rebuild(struct account *account, uint64_t *messages, struct why *why)
{
    bool found = true;
    *messages = 0;
    enum err err = fulltext_drop(account, why);
    while (!err && found) {
        uint64_t number;
        err = fulltext_next(account, clock_unix_s(), true, &number, &found, why);
        if (err || !found)
            break;
        struct fulltext_build *build = fulltext_build_new(account, number);
        for (bool done = false; !err && !done;)
            err = fulltext_build_step(build, account, UINT32_MAX, &done, why);
        fulltext_build_free(&build);
        *messages += err ? 0 : fulltext_first(number + 1) - fulltext_first(number);
    }
    return err;
}
