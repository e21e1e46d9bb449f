/* sortkeys.c: keys of messages, from memory, from packed rows, from facts: whichever comes first. Input:
 * facts of strangers' messages, bounded when stored. Called by arrange.c and, by way of sortkeys_find.c, by
 * searches; the upkeep lets them go. */
#include "store/sortkeys.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/strings.h"

#define CHUNKS_MAX  (1u << 21) /* a billion messages */
#define ROW_WORTH   8          /* so many messages of a chunk missing: its row is read, not their facts */
#define BUILD_WORTH 64         /* so many without a row: the whole chunk is read and its rows are made */
#define OPEN_IDS    64         /* ids given out that may still come to the index out of order */
#define RUN_ARENA   (32u << 20)
#define ROWS_MAX    96 /* rows that wait to be written, to be synced together */
#define WORDS       (SORTKEY_CHUNK / 64)

/* Texts that are compared with each other share their numbers. */
enum {
    POOL_SUBJECT,
    POOL_MAILBOX,
    POOL_DISPLAY,
    POOL_FIND_FROM,
    POOL_FIND_TO,
    POOL_FIND_CC,
    POOL_FIND_BCC,
    POOL_FIND_SUBJECT,
    POOL_COUNT
};
static const unsigned pool_of[SORTKEY_COUNT] = {
    [SORTKEY_SUBJECT] = POOL_SUBJECT,
    [SORTKEY_FROM] = POOL_MAILBOX,
    [SORTKEY_TO] = POOL_MAILBOX,
    [SORTKEY_CC] = POOL_MAILBOX,
    [SORTKEY_DISPLAYFROM] = POOL_DISPLAY,
    [SORTKEY_DISPLAYTO] = POOL_DISPLAY,
    [SORTKEY_FIND_FROM] = POOL_FIND_FROM,
    [SORTKEY_FIND_TO] = POOL_FIND_TO,
    [SORTKEY_FIND_CC] = POOL_FIND_CC,
    [SORTKEY_FIND_BCC] = POOL_FIND_BCC,
    [SORTKEY_FIND_SUBJECT] = POOL_FIND_SUBJECT,
};

struct ids_column {
    uint64_t id[SORTKEY_CHUNK];
    uint32_t start[SORTKEY_CHUNK], count[SORTKEY_CHUNK]; /* in refs */
    uint64_t *refs;
    size_t ref_count, ref_cap;
};

struct chunk {
    uint64_t have[SORTKEY_COUNT][WORDS];
    uint32_t tried; /* bits: the column's row was looked for */
    uint32_t asked; /* so often a search asked in vain */
    int64_t *number[SORTKEY_NUMBERS];
    uint32_t *text[SORTKEY_THREAD]; /* number of the text, with the flag as the lowest bit */
    struct ids_column *ids;
};

/* A row that was made and is not written yet. */
struct pending {
    uint64_t id;
    struct buf row;
};

/* What is needed while keys are read; given back in between. */
struct loader {
    struct arena *arena; /* of one chunk */
    struct sortkeys_reader *reader;
    struct vec rows; /* struct pending */
};

struct sortkeys {
    struct chunk **chunks;
    size_t chunk_count;
    struct strings pools[POOL_COUNT];
    size_t memory;         /* of the chunks */
    uint64_t built;        /* chunks */
    struct loader *loader; /* NULL in between */
};

/* A load under way. */
struct load {
    struct account *account;
    struct sortkeys *keys;
    struct loader *loader;
    uint32_t wanted;
};

static bool get_bit(const uint64_t *words, unsigned slot)
{
    return words[slot / 64] >> slot % 64 & 1;
}

static void set_bit(uint64_t *words, unsigned slot)
{
    words[slot / 64] |= 1ull << slot % 64;
}

/* ---- memory ---- */

static struct sortkeys *keys_new(void)
{
    struct sortkeys *keys = mem_zero(1, sizeof *keys);
    for (size_t i = 0; i < POOL_COUNT; i++)
        strings_start(&keys->pools[i]);
    return keys;
}

static struct loader *need_loader(struct sortkeys *keys)
{
    if (keys->loader)
        return keys->loader;
    struct loader *loader = keys->loader = mem_zero(1, sizeof *loader);
    loader->arena = arena_new(RUN_ARENA);
    loader->reader = sortkeys_reader_new();
    loader->rows = VEC_NEW(struct pending, ROWS_MAX);
    return loader;
}

static void loader_free(struct loader **loader)
{
    struct loader *l = *loader;
    if (!l)
        return;
    for (size_t i = 0; i < l->rows.len; i++)
        buf_free(&VEC_AT(&l->rows, struct pending, i)->row);
    vec_free(&l->rows);
    arena_free(&l->arena);
    sortkeys_reader_free(&l->reader);
    free(l);
    *loader = NULL;
}

void sortkeys_free(struct sortkeys **keys)
{
    struct sortkeys *k = *keys;
    if (!k)
        return;
    for (size_t i = 0; i < k->chunk_count; i++) {
        struct chunk *c = k->chunks[i];
        if (!c)
            continue;
        for (size_t n = 0; n < SORTKEY_NUMBERS; n++)
            free(c->number[n]);
        for (size_t n = 0; n < SORTKEY_THREAD; n++)
            free(c->text[n]);
        if (c->ids)
            free(c->ids->refs);
        free(c->ids);
        free(c);
    }
    free(k->chunks);
    for (size_t i = 0; i < POOL_COUNT; i++)
        strings_stop(&k->pools[i]);
    loader_free(&k->loader);
    free(k);
    *keys = NULL;
}

size_t sortkeys_memory(const struct sortkeys *keys)
{
    size_t sum = keys ? keys->memory + keys->chunk_count * sizeof(struct chunk *) : 0;
    for (size_t i = 0; keys && i < POOL_COUNT; i++)
        sum += strings_memory(&keys->pools[i]);
    return sum;
}

/* NULL: an id no account ever gives out. */
static struct chunk *chunk_at(struct sortkeys *keys, uint64_t number)
{
    if (number >= CHUNKS_MAX)
        return NULL;
    if (number >= keys->chunk_count) {
        size_t count = (size_t)number + number / 4 + 16;
        keys->chunks = mem_realloc(keys->chunks, count * sizeof(struct chunk *));
        memset(keys->chunks + keys->chunk_count, 0, (count - keys->chunk_count) * sizeof(struct chunk *));
        keys->chunk_count = count;
    }
    if (!keys->chunks[number]) {
        keys->chunks[number] = mem_zero(1, sizeof(struct chunk));
        keys->memory += sizeof(struct chunk);
    }
    return keys->chunks[number];
}

static void *column(struct sortkeys *keys, void *at, size_t size)
{
    if (at)
        return at;
    keys->memory += size;
    return mem_zero(1, size);
}

static void put_ids(struct sortkeys *keys, struct ids_column *ids, unsigned slot,
                    const struct sortkey_values *v)
{
    if (ids->ref_count + v->ref_count > ids->ref_cap) {
        size_t cap = 2 * ids->ref_cap + v->ref_count + SORTKEY_CHUNK;
        keys->memory += (cap - ids->ref_cap) * sizeof *ids->refs;
        ids->refs = mem_realloc(ids->refs, cap * sizeof *ids->refs);
        ids->ref_cap = cap;
    }
    ids->id[slot] = v->id;
    ids->start[slot] = (uint32_t)ids->ref_count;
    ids->count[slot] = v->ref_count;
    if (v->ref_count)
        memcpy(ids->refs + ids->ref_count, v->refs, v->ref_count * sizeof *v->refs);
    ids->ref_count += v->ref_count;
}

/* Too many texts: those SEARCH looks through must be asked, those that are compared count as empty. */
static uint32_t text_number(struct sortkeys *keys, enum sortkey which, const struct sortkey_values *v)
{
    struct slice text = v->text[which];
    uint32_t number = strings_number(&keys->pools[pool_of[which]], text);
    bool lost = !number && text.len && SORTKEY_FOR_SEARCH & 1u << which;
    return number << 1 | (lost || v->flags & 1u << which);
}

static void put(struct sortkeys *keys, struct chunk *c, enum sortkey which, unsigned slot,
                const struct sortkey_values *v)
{
    if (get_bit(c->have[which], slot))
        return;
    set_bit(c->have[which], slot);
    if (which < SORTKEY_NUMBERS) {
        c->number[which] = column(keys, c->number[which], SORTKEY_CHUNK * sizeof **c->number);
        c->number[which][slot] = v->number[which];
    } else if (which == SORTKEY_THREAD) {
        c->ids = column(keys, c->ids, sizeof *c->ids);
        put_ids(keys, c->ids, slot, v);
    } else {
        c->text[which] = column(keys, c->text[which], SORTKEY_CHUNK * sizeof **c->text);
        c->text[which][slot] = text_number(keys, which, v);
    }
}

/* ---- from facts ---- */

static enum err fill_one(struct load *load, struct chunk *c, uint64_t id, struct why *why)
{
    struct db_rows rows;
    struct sortkey_values v;
    enum err err = db_query(load->account->db, "SELECT header, facts FROM message WHERE id = ?",
                            DB_ARGS(DB_U64(id)), &rows, why);
    if (err)
        return err;
    if (db_next(&rows))
        sortkeys_read_in(load->loader->arena, load->loader->reader, load->wanted, db_slice(&rows, 0),
                         db_slice(&rows, 1), &v);
    else
        sortkeys_read_none(&v);
    err = db_end(&rows, why);
    for (unsigned i = 0; !err && i < SORTKEY_COUNT; i++)
        if (load->wanted & 1u << i)
            put(load->keys, c, (enum sortkey)i, (unsigned)(id % SORTKEY_CHUNK), &v);
    return err;
}

/* ---- rows ---- */

static uint64_t row_id(uint64_t number, unsigned which)
{
    return number << 4 | which;
}

static struct sortkey_values *values_in(struct load *load)
{
    return ARENA_ARRAY(load->loader->arena, struct sortkey_values, SORTKEY_CHUNK);
}

static void put_all(struct load *load, struct chunk *c, unsigned which, const struct sortkey_values *values)
{
    for (unsigned slot = 0; slot < SORTKEY_CHUNK; slot++)
        if (values[slot].present)
            put(load->keys, c, (enum sortkey)which, slot, &values[slot]);
}

static enum err load_row(struct load *load, struct chunk *c, uint64_t number, unsigned which, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(load->account->db, "SELECT keys FROM sortkey WHERE id = ?",
                            DB_ARGS(DB_U64(row_id(number, which))), &rows, why);
    if (err)
        return err;
    c->tried |= 1u << which;
    struct sortkey_values *values = values_in(load);
    bool good = db_next(&rows) &&
                sortkeys_row_decode_in(load->loader->arena, (enum sortkey)which, db_slice(&rows, 0), values);
    err = db_end(&rows, why);
    if (!err && good)
        put_all(load, c, which, values);
    return err;
}

static enum err read_chunk(struct load *load, uint64_t number, uint32_t wanted, struct sortkey_values *values,
                           struct why *why)
{
    struct db_rows rows;
    uint64_t first = number * SORTKEY_CHUNK;
    enum err err =
        db_query(load->account->db, "SELECT id, header, facts FROM message WHERE id BETWEEN ? AND ?",
                 DB_ARGS(DB_U64(first), DB_U64(first + SORTKEY_CHUNK - 1)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows))
        sortkeys_read_in(load->loader->arena, load->loader->reader, wanted, db_slice(&rows, 1),
                         db_slice(&rows, 2), &values[db_u64(&rows, 0) % SORTKEY_CHUNK]);
    return db_end(&rows, why);
}

static void add_rows(struct load *load, uint64_t number, uint32_t wanted, const struct sortkey_values *values)
{
    for (unsigned i = 0; i < SORTKEY_COUNT; i++) {
        struct pending *p = wanted & 1u << i ? vec_push(&load->loader->rows) : NULL;
        if (!p)
            continue;
        *p = (struct pending){.id = row_id(number, i), .row = buf_new(SORTKEY_ROW_MAX + 64)};
        sortkeys_row_encode((enum sortkey)i, values, &p->row);
    }
}

static enum err write_row(struct account *account, const struct pending *p, struct why *why)
{
    return db_run(account->db, "INSERT OR REPLACE INTO sortkey (id, keys) VALUES (?, ?)",
                  DB_ARGS(DB_U64(p->id), DB_BLOB(buf_slice(&p->row))), why);
}

/* Rows are a copy: when they cannot be written (no space), the keys are had from the facts again. */
static void write_rows(struct account *account, const struct vec *rows)
{
    struct why why;
    enum err err = db_begin(account->db, &why);
    for (size_t i = 0; !err && i < rows->len; i++)
        err = write_row(account, VEC_AT(rows, struct pending, i), &why);
    if (err || db_commit(account->db, &why))
        db_rollback(account->db);
}

static bool rows_are_many(const struct loader *loader)
{
    return loader->rows.len + SORTKEY_COUNT > ROWS_MAX;
}

void sortkeys_rest(struct account *account, bool end)
{
    struct loader *loader = account->sortkeys ? account->sortkeys->loader : NULL;
    if (!loader || (!end && !rows_are_many(loader)))
        return;
    if (loader->rows.len)
        write_rows(account, &loader->rows);
    loader_free(&account->sortkeys->loader);
}

/* What a search wants is made with the other columns for searches, and so with those for orders. */
static uint32_t made_together(uint32_t wanted)
{
    return (wanted & SORTKEY_FOR_SEARCH ? SORTKEY_FOR_SEARCH : 0) |
           (wanted & SORTKEY_FOR_SORT ? SORTKEY_FOR_SORT : 0);
}

static enum err build_chunk(struct load *load, struct chunk *c, uint64_t number, struct why *why)
{
    struct sortkey_values *values = values_in(load);
    uint32_t made = made_together(load->wanted);
    enum err err = read_chunk(load, number, made, values, why);
    if (err)
        return err;
    load->keys->built++;
    add_rows(load, number, made, values);
    for (unsigned i = 0; i < SORTKEY_COUNT; i++)
        if (load->wanted & 1u << i)
            put_all(load, c, i, values);
    return ERR_OK;
}

/* ---- loading ---- */

static size_t count_missing(const struct chunk *c, unsigned which, const uint64_t *ids, size_t count)
{
    size_t missing = 0;
    for (size_t i = 0; i < count; i++)
        missing += !get_bit(c->have[which], (unsigned)(ids[i] % SORTKEY_CHUNK));
    return missing;
}

/* The most that one column lacks. */
static size_t most_missing(const struct load *load, const struct chunk *c, const uint64_t *ids, size_t count)
{
    size_t most = 0;
    for (unsigned i = 0; i < SORTKEY_COUNT; i++) {
        size_t missing = load->wanted & 1u << i ? count_missing(c, i, ids, count) : 0;
        most = missing > most ? missing : most;
    }
    return most;
}

static bool is_full(const struct account *account, uint64_t number)
{
    return atomic_load(&account->next_message) > (number + 1) * SORTKEY_CHUNK + OPEN_IDS;
}

static bool lacks(const struct load *load, const struct chunk *c, uint64_t id)
{
    for (unsigned i = 0; i < SORTKEY_COUNT; i++)
        if (load->wanted & 1u << i && !get_bit(c->have[i], (unsigned)(id % SORTKEY_CHUNK)))
            return true;
    return false;
}

/* `ids` of one chunk. */
static enum err load_run(struct load *load, const uint64_t *ids, size_t count, struct why *why)
{
    uint64_t number = ids[0] / SORTKEY_CHUNK;
    struct chunk *c = chunk_at(load->keys, number);
    enum err err = ERR_OK;
    if (!c)
        return err_set(why, ERR_INTERNAL, "message %llu is beyond all bounds", (unsigned long long)ids[0]);
    if (!most_missing(load, c, ids, count))
        return ERR_OK;
    arena_reset(load->loader->arena);
    for (unsigned i = 0; !err && i < SORTKEY_COUNT; i++)
        if (load->wanted & 1u << i && !(c->tried & 1u << i) && count_missing(c, i, ids, count) >= ROW_WORTH)
            err = load_row(load, c, number, i, why);
    if (!err && most_missing(load, c, ids, count) >= BUILD_WORTH && is_full(load->account, number))
        err = build_chunk(load, c, number, why);
    for (size_t i = 0; !err && i < count; i++)
        if (lacks(load, c, ids[i]))
            err = fill_one(load, c, ids[i], why);
    return err;
}

static size_t run_length(const uint64_t *ids, size_t count)
{
    size_t n = 1;
    while (n < count && ids[n] / SORTKEY_CHUNK == ids[0] / SORTKEY_CHUNK)
        n++;
    return n;
}

static struct sortkeys *need_keys(struct account *account)
{
    if (!account->sortkeys) {
        account->sortkeys = keys_new();
        account->sortkeys_made++;
    }
    return account->sortkeys;
}

static struct load load_begin(struct account *account, uint32_t wanted)
{
    struct sortkeys *keys = need_keys(account);
    return (struct load){.account = account, .keys = keys, .loader = need_loader(keys), .wanted = wanted};
}

enum err sortkeys_load(struct account *account, uint32_t wanted, const uint64_t *ids, size_t count,
                       uint64_t budget_ns, size_t *at, struct why *why)
{
    struct load load = load_begin(account, wanted);
    uint64_t end = clock_mono_ns() + budget_ns;
    enum err err = ERR_OK;
    while (!err && *at < count) {
        size_t n = run_length(ids + *at, count - *at);
        err = load_run(&load, ids + *at, n, why);
        *at += n;
        if (clock_mono_ns() > end || rows_are_many(load.loader))
            break;
    }
    return err;
}

/* ---- one message of a search ---- */

/* Searches ask for one message after the other: the first few of a chunk are had from their facts, so that
 * who asks for few reads little; who asks for more gets the row, or has it made. */
enum err sortkeys_need(struct account *account, enum sortkey which, uint64_t message, bool *ready,
                       struct why *why)
{
    uint64_t number = message / SORTKEY_CHUNK;
    unsigned slot = (unsigned)(message % SORTKEY_CHUNK);
    struct chunk *c = chunk_at(need_keys(account), number);
    bool full = is_full(account, number);
    *ready = c && get_bit(c->have[which], slot);
    if (*ready || !c || (++c->asked <= ROW_WORTH && full))
        return ERR_OK;
    struct load load = load_begin(account, SORTKEY_FOR_SEARCH);
    enum err err = ERR_OK;
    arena_reset(load.loader->arena);
    if (!(c->tried & 1u << which))
        err = load_row(&load, c, number, which, why);
    bool worth = c->asked >= BUILD_WORTH && full && !rows_are_many(load.loader);
    if (!err && !get_bit(c->have[which], slot) && worth)
        err = build_chunk(&load, c, number, why);
    if (!err && !get_bit(c->have[which], slot))
        err = fill_one(&load, c, message, why);
    *ready = !err;
    return err;
}

uint64_t sortkeys_built(const struct account *account)
{
    return account->sortkeys ? account->sortkeys->built : 0;
}

/* ---- answers ---- */

static const struct chunk *chunk_of(const struct sortkeys *keys, uint64_t message)
{
    return keys->chunks[message / SORTKEY_CHUNK];
}

bool sortkeys_ready(const struct sortkeys *keys, enum sortkey which, uint64_t message)
{
    const struct chunk *c =
        message / SORTKEY_CHUNK < keys->chunk_count ? keys->chunks[message / SORTKEY_CHUNK] : NULL;
    return c && get_bit(c->have[which], (unsigned)(message % SORTKEY_CHUNK));
}

int64_t sortkeys_number(const struct sortkeys *keys, enum sortkey which, uint64_t message)
{
    return chunk_of(keys, message)->number[which][message % SORTKEY_CHUNK];
}

bool sortkeys_flag(const struct sortkeys *keys, enum sortkey which, uint64_t message)
{
    return chunk_of(keys, message)->text[which][message % SORTKEY_CHUNK] & 1;
}

const struct strings *sortkeys_pool(const struct sortkeys *keys, enum sortkey which)
{
    return &keys->pools[pool_of[which]];
}

int64_t sortkeys_sent(const struct sortkeys *keys, uint64_t message)
{
    return sortkeys_number(keys, SORTKEY_SENT, message);
}

uint32_t sortkeys_text(const struct sortkeys *keys, enum sortkey which, uint64_t message)
{
    return chunk_of(keys, message)->text[which][message % SORTKEY_CHUNK] >> 1;
}

const uint32_t *sortkeys_ranks(struct sortkeys *keys, enum sortkey which)
{
    return strings_ranks(&keys->pools[pool_of[which]]);
}

bool sortkeys_reply(const struct sortkeys *keys, uint64_t message)
{
    return sortkeys_flag(keys, SORTKEY_SUBJECT, message);
}

struct sortkey_ids sortkeys_ids(const struct sortkeys *keys, uint64_t message)
{
    const struct ids_column *ids = chunk_of(keys, message)->ids;
    size_t slot = message % SORTKEY_CHUNK;
    return (struct sortkey_ids){
        .id = ids->id[slot], .refs = ids->refs + ids->start[slot], .count = ids->count[slot]};
}

enum err sortkeys_purge(struct account *account, uint64_t message, struct why *why)
{
    uint64_t number = message / SORTKEY_CHUNK;
    return db_run(account->db, "DELETE FROM sortkey WHERE id BETWEEN ? AND ?",
                  DB_ARGS(DB_U64(row_id(number, 0)), DB_U64(row_id(number, 15))), why);
}
