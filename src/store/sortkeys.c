/* sortkeys.c: keys of messages, from memory, from packed rows, from facts: whichever comes first. Input:
 * facts of strangers' messages, bounded when stored. Called by arrange.c; the upkeep lets them go. */
#include "store/sortkeys.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "grammar/collate.h"
#include "grammar/subject.h"
#include "store/strings.h"
#include "wire/facts.h"

#define CHUNKS_MAX  (1u << 21) /* a billion messages */
#define ROW_WORTH   8          /* so many messages of a chunk missing: its row is read, not their facts */
#define BUILD_WORTH 64         /* so many without a row: the whole chunk is read and its rows are made */
#define OPEN_IDS    64         /* ids given out that may still come to the index out of order */
#define RUN_ARENA   (32u << 20)
#define FACTS_ARENA (4u << 20)
#define ID_MAX      1024 /* longer ones are taken as they are */
#define WORDS       (SORTKEY_CHUNK / 64)

/* Texts that are compared with each other share their numbers. */
enum { POOL_SUBJECT, POOL_MAILBOX, POOL_DISPLAY, POOL_COUNT };
static const unsigned pool_of[SORTKEY_COUNT] = {
    [SORTKEY_SUBJECT] = POOL_SUBJECT,     [SORTKEY_FROM] = POOL_MAILBOX,
    [SORTKEY_TO] = POOL_MAILBOX,          [SORTKEY_CC] = POOL_MAILBOX,
    [SORTKEY_DISPLAYFROM] = POOL_DISPLAY, [SORTKEY_DISPLAYTO] = POOL_DISPLAY};

struct ids_column {
    uint64_t id[SORTKEY_CHUNK];
    uint32_t start[SORTKEY_CHUNK], count[SORTKEY_CHUNK]; /* in refs */
    uint64_t *refs;
    size_t ref_count, ref_cap;
};

struct chunk {
    uint64_t have[SORTKEY_COUNT][WORDS];
    uint64_t reply[WORDS];
    uint32_t tried; /* bits: the column's row was looked for */
    int64_t *sent;
    uint32_t *text[SORTKEY_THREAD];
    struct ids_column *ids;
};

struct sortkeys {
    struct chunk **chunks;
    size_t chunk_count;
    struct strings pools[POOL_COUNT];
    size_t memory; /* of the chunks */
};

/* A load under way. */
struct load {
    struct account *account;
    struct sortkeys *keys;
    struct arena *arena, *facts; /* of one chunk, of one message */
    uint32_t wanted;
    bool writing;
};

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

void sortkeys_free(struct sortkeys **keys)
{
    struct sortkeys *k = *keys;
    if (!k)
        return;
    for (size_t i = 0; i < k->chunk_count; i++) {
        struct chunk *c = k->chunks[i];
        if (!c)
            continue;
        free(c->sent);
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

static void put(struct sortkeys *keys, struct chunk *c, enum sortkey which, unsigned slot,
                const struct sortkey_values *v)
{
    if (get_bit(c->have[which], slot))
        return;
    set_bit(c->have[which], slot);
    if (which == SORTKEY_SENT) {
        c->sent = column(keys, c->sent, SORTKEY_CHUNK * sizeof *c->sent);
        c->sent[slot] = v->sent;
    } else if (which == SORTKEY_THREAD) {
        c->ids = column(keys, c->ids, sizeof *c->ids);
        put_ids(keys, c->ids, slot, v);
    } else {
        c->text[which] = column(keys, c->text[which], SORTKEY_CHUNK * sizeof **c->text);
        c->text[which][slot] = strings_number(&keys->pools[pool_of[which]], v->text[which]);
        if (which == SORTKEY_SUBJECT && v->reply)
            set_bit(c->reply, slot);
    }
}

/* ---- from facts ---- */

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

static void read_facts(struct arena *arena, uint32_t wanted, const struct facts *facts,
                       struct sortkey_values *v)
{
    const struct slice texts[SORTKEY_THREAD] = {[SORTKEY_SUBJECT] = facts->base_subject,
                                                [SORTKEY_FROM] = facts->sort_from,
                                                [SORTKEY_TO] = facts->sort_to,
                                                [SORTKEY_CC] = facts->sort_cc,
                                                [SORTKEY_DISPLAYFROM] = facts->sort_display_from,
                                                [SORTKEY_DISPLAYTO] = facts->sort_display_to};
    v->present = true;
    v->sent = facts->sent == FACTS_NO_DATE ? SORTKEY_NO_DATE : facts->sent;
    for (unsigned i = SORTKEY_SUBJECT; i < SORTKEY_THREAD; i++)
        if (wanted & 1u << i)
            v->text[i] = key_in(arena, texts[i]);
    if (wanted & 1u << SORTKEY_SUBJECT)
        v->reply = is_reply(facts->subject);
    if (wanted & 1u << SORTKEY_THREAD)
        read_ids(arena, facts, v);
}

/* Facts that cannot be read give empty keys: a damaged row must not hide all the others. */
static void read_record(struct load *load, uint32_t wanted, struct slice record, struct sortkey_values *v)
{
    struct facts facts;
    struct why why;
    arena_reset(load->facts);
    *v = (struct sortkey_values){.present = true, .sent = SORTKEY_NO_DATE};
    if (facts_decode_in(load->facts, record, &facts, &why) == ERR_OK)
        read_facts(load->arena, wanted, &facts, v);
}

static enum err fill_one(struct load *load, struct chunk *c, uint64_t id, struct why *why)
{
    struct db_rows rows;
    struct sortkey_values v = {.sent = SORTKEY_NO_DATE};
    enum err err = db_query(load->account->db, "SELECT facts FROM message WHERE id = ?", DB_ARGS(DB_U64(id)),
                            &rows, why);
    if (err)
        return err;
    if (db_next(&rows))
        read_record(load, load->wanted, db_slice(&rows, 0), &v);
    for (unsigned i = 0; i < SORTKEY_COUNT; i++)
        if (load->wanted & 1u << i)
            put(load->keys, c, (enum sortkey)i, (unsigned)(id % SORTKEY_CHUNK), &v);
    return db_end(&rows, why);
}

/* ---- rows ---- */

static uint64_t row_id(uint64_t number, unsigned which)
{
    return number << 4 | which;
}

static struct sortkey_values *values_in(struct load *load)
{
    return ARENA_ARRAY(load->arena, struct sortkey_values, SORTKEY_CHUNK);
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
    if (db_next(&rows) &&
        sortkeys_row_decode_in(load->arena, (enum sortkey)which, db_slice(&rows, 0), values))
        put_all(load, c, which, values);
    return db_end(&rows, why);
}

static enum err read_chunk(struct load *load, uint64_t number, struct sortkey_values *values, struct why *why)
{
    struct db_rows rows;
    uint64_t first = number * SORTKEY_CHUNK;
    enum err err = db_query(load->account->db, "SELECT id, facts FROM message WHERE id BETWEEN ? AND ?",
                            DB_ARGS(DB_U64(first), DB_U64(first + SORTKEY_CHUNK - 1)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows))
        read_record(load, UINT32_MAX, db_slice(&rows, 1), &values[db_u64(&rows, 0) % SORTKEY_CHUNK]);
    return db_end(&rows, why);
}

static enum err write_row(struct load *load, uint64_t number, unsigned which,
                          const struct sortkey_values *values, struct why *why)
{
    AUTO_BUF struct buf row = buf_new(SORTKEY_ROW_MAX + 64);
    sortkeys_row_encode((enum sortkey)which, values, &row);
    return db_run(load->account->db, "INSERT OR REPLACE INTO sortkey (id, keys) VALUES (?, ?)",
                  DB_ARGS(DB_U64(row_id(number, which)), DB_BLOB(buf_slice(&row))), why);
}

/* Rows are a copy: when they cannot be written (no space), the keys are had from the facts again. */
static void write_rows(struct load *load, uint64_t number, const struct sortkey_values *values)
{
    struct why why;
    if (!load->writing && db_begin(load->account->db, &why))
        return;
    load->writing = true;
    for (unsigned i = 0; load->writing && i < SORTKEY_COUNT; i++)
        if (write_row(load, number, i, values, &why))
            load->writing = false; /* rolled back */
}

static enum err build_chunk(struct load *load, struct chunk *c, uint64_t number, struct why *why)
{
    struct sortkey_values *values = values_in(load);
    enum err err = read_chunk(load, number, values, why);
    if (err)
        return err;
    write_rows(load, number, values);
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
    arena_reset(load->arena);
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

enum err sortkeys_load(struct account *account, uint32_t wanted, const uint64_t *ids, size_t count,
                       uint64_t budget_ns, size_t *at, struct why *why)
{
    if (!account->sortkeys) {
        account->sortkeys = keys_new();
        account->sortkeys_made++;
    }
    struct load load = {.account = account,
                        .keys = account->sortkeys,
                        .arena = arena_new(RUN_ARENA),
                        .facts = arena_new(FACTS_ARENA),
                        .wanted = wanted};
    uint64_t end = clock_mono_ns() + budget_ns;
    enum err err = ERR_OK;
    while (!err && *at < count) {
        size_t n = run_length(ids + *at, count - *at);
        err = load_run(&load, ids + *at, n, why);
        *at += n;
        if (clock_mono_ns() > end)
            break;
    }
    struct why ignored;
    if (load.writing && db_commit(account->db, &ignored))
        db_rollback(account->db);
    arena_free(&load.arena);
    arena_free(&load.facts);
    return err;
}

/* ---- answers ---- */

static const struct chunk *chunk_of(const struct sortkeys *keys, uint64_t message)
{
    return keys->chunks[message / SORTKEY_CHUNK];
}

int64_t sortkeys_sent(const struct sortkeys *keys, uint64_t message)
{
    return chunk_of(keys, message)->sent[message % SORTKEY_CHUNK];
}

uint32_t sortkeys_text(const struct sortkeys *keys, enum sortkey which, uint64_t message)
{
    return chunk_of(keys, message)->text[which][message % SORTKEY_CHUNK];
}

const uint32_t *sortkeys_ranks(struct sortkeys *keys, enum sortkey which)
{
    return strings_ranks(&keys->pools[pool_of[which]]);
}

bool sortkeys_reply(const struct sortkeys *keys, uint64_t message)
{
    return get_bit(chunk_of(keys, message)->reply, (unsigned)(message % SORTKEY_CHUNK));
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
