/* fulltext.c: the file of the full-text index, and what a search asks it. Input: our own file, which may be
 * damaged, torn by a crash or older than index.db: every row is checked before it is believed. Called by
 * subject.c and fulltext_build.c. */
#include "store/fulltext.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "grammar/casefold.h"
#include "store/fulltext_file.h"

#define FULLTEXT_PATH_MAX  4096
#define FULLTEXT_CACHE_KIB 512
#define FULLTEXT_NEEDLES   16   /* texts of one search that are filtered; more are only searched */
#define FULLTEXT_ROW_SHIFT 13   /* rows of a block, as a power of two */
#define FULLTEXT_HEAD      8191 /* number of the row that holds a block's sets */
#define FULLTEXT_CHECK     8    /* bytes of checksum in front of a row */

/* bits   rows of blocks: id = block << 13 | row; bytes: checksum, then trigram.h's row
 * file   version of Unicode whose case folding the texts went through */
static const char version_1[] = "CREATE TABLE bits (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
                                "CREATE TABLE file (key INTEGER PRIMARY KEY CHECK (key = 1),"
                                " fold INTEGER NOT NULL);";
static const struct db_step steps[] = {{.sql = version_1}};
static const struct db_schema schema = {
    .name = "full-text index", .steps = steps, .count = sizeof steps / sizeof *steps};

/* ---- the file ---- */

static void free_blocks(struct fulltext *f)
{
    size_t at = 0;
    struct fulltext_block *block;
    while ((block = idmap_next(f->blocks, &at, NULL)))
        free(block);
    idmap_free(&f->blocks);
}

void fulltext_close(struct account *account)
{
    struct fulltext *f = account->fulltext;
    if (!f)
        return;
    account->fulltext_damaged = account->fulltext_damaged || f->damaged;
    db_close(&f->db);
    free_blocks(f);
    free(f);
    account->fulltext = NULL;
}

static enum err check_fold(struct fulltext *f, struct why *why)
{
    uint64_t fold = 0, ours = casefold_version();
    enum err err = db_number(f->db, "SELECT fold FROM file", DB_NO_ARGS, 0, &fold, why);
    if (!err && !fold)
        err = db_run(f->db, "INSERT INTO file (key, fold) VALUES (1, ?)", DB_ARGS(DB_U64(ours)), why);
    else if (!err && fold != ours)
        err = err_set(why, ERR_ABSENT, "made with another version of Unicode");
    return err;
}

static enum err open_file(struct account *account, struct fulltext *f, bool make, struct why *why)
{
    char path[PATHS_FILE_MAX], full[FULLTEXT_PATH_MAX];
    paths_search(account->folder, path);
    enum err err = paths_full(&account->root, path, full, sizeof full);
    if (!err)
        err = db_open(full, DB_EXCLUSIVE | DB_DISPOSABLE | (make ? 0 : DB_EXISTING), &schema, NULL, &f->db,
                      why);
    if (err)
        return err;
    db_cache_size(f->db, FULLTEXT_CACHE_KIB);
    err = check_fold(f, why);
    if (err)
        db_close(&f->db);
    return err;
}

static enum err list_blocks(struct account *account, struct fulltext *f, struct why *why)
{
    struct db_rows rows;
    enum err err =
        db_query(account->db, "SELECT block, stamp, gone, since FROM fulltext", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct fulltext_block *block = mem_zero(1, sizeof *block);
        *block = (struct fulltext_block){.number = db_u64(&rows, 0),
                                         .stamp = db_u64(&rows, 1),
                                         .gone = db_u64(&rows, 2),
                                         .since = db_i64(&rows, 3)};
        if (!idmap_put(f->blocks, block->number, block))
            free(block);
    }
    return db_end(&rows, why);
}

/* A file that cannot be opened is as good as none: its blocks are made again. */
enum err fulltext_open(struct account *account, bool make, struct fulltext **out, struct why *why)
{
    struct fulltext *f = account->fulltext;
    enum err err = ERR_OK;
    if (!f) {
        f = account->fulltext = mem_zero(1, sizeof *f);
        f->blocks = idmap_new(FULLTEXT_BLOCKS_MAX);
        f->damaged = account->fulltext_damaged;
        err = list_blocks(account, f, why);
        if (!err && !f->damaged && idmap_count(f->blocks))
            f->damaged = open_file(account, f, false, why) != ERR_OK;
    }
    if (!err && make && !f->db) {
        err = open_file(account, f, true, why);
        f->damaged = err && err != ERR_LATER; /* a file that is none: out of the way, next time */
    }
    if (err)
        fulltext_close(account);
    else
        *out = f;
    return err;
}

enum err fulltext_drop(struct account *account, struct why *why)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    fulltext_close(account);
    enum err err = db_begin(account->db, why);
    if (!err)
        err = db_run(account->db, "DELETE FROM fulltext", DB_NO_ARGS, why);
    err = err ? err : db_commit(account->db, why);
    if (err)
        db_rollback(account->db);
    for (size_t i = 0; !err && i < ARRAY_LEN(suffixes); i++) {
        char path[PATHS_FILE_MAX];
        paths_search(account->folder, path);
        strncat(path, suffixes[i], sizeof path - strlen(path) - 1);
        err = io_unlink(account->root.dir, path, why);
        err = err == ERR_ABSENT ? ERR_OK : err;
    }
    account->fulltext_damaged = err != ERR_OK;
    return err;
}

/* ---- rows ---- */

uint64_t fulltext_first(uint64_t number)
{
    return number < FULLTEXT_YOUNG ? number << FULLTEXT_BLOCK_SHIFT
                                   : (number - FULLTEXT_YOUNG) << FULLTEXT_YOUNG_SHIFT;
}

unsigned fulltext_rows_in_one(uint64_t number)
{
    return number < FULLTEXT_YOUNG ? 1 : FULLTEXT_YOUNG_ROWS;
}

static uint64_t row_id(uint64_t block, uint64_t stamp, unsigned row)
{
    return (block << 1 | (stamp & 1)) << FULLTEXT_ROW_SHIFT | row;
}

static uint64_t checksum(uint64_t id, uint64_t stamp, struct slice bytes)
{
    const struct hash_key key = {stamp, id};
    return hash_sip(&key, bytes);
}

bool fulltext_row(struct fulltext *f, const struct fulltext_block *block, unsigned row, struct db_rows *rows,
                  struct slice *bytes)
{
    uint64_t id = row_id(block->number, block->stamp, row), sum;
    if (!f->db || f->damaged)
        return false;
    f->damaged = true;
    if (db_query(f->db, "SELECT bytes FROM bits WHERE id = ?", DB_ARGS(DB_U64(id)), rows, NULL))
        return false;
    struct slice found = db_next(rows) ? db_slice(rows, 0) : SLICE_EMPTY;
    if (!slice_take_le64(&found, &sum) || sum != checksum(id, block->stamp, found)) {
        (void)!db_end(rows, NULL);
        return false;
    }
    *bytes = found;
    f->damaged = false;
    return true;
}

enum err fulltext_put(struct fulltext *f, const struct fulltext_block *block, unsigned row,
                      struct slice bytes, struct why *why)
{
    uint64_t id = row_id(block->number, block->stamp, row);
    AUTO_BUF struct buf whole = buf_new(FULLTEXT_ROW_MAX + FULLTEXT_CHECK);
    buf_add_le64(&whole, checksum(id, block->stamp, bytes));
    buf_add(&whole, bytes);
    return db_run(f->db, "INSERT OR REPLACE INTO bits (id, bytes) VALUES (?, ?)",
                  DB_ARGS(DB_U64(id), DB_BLOB(buf_slice(&whole))), why);
}

enum err fulltext_put_head(struct fulltext *f, const struct fulltext_block *block, struct why *why)
{
    uint8_t head[2 * TRIGRAM_BYTES];
    memcpy(head, block->known.bits, TRIGRAM_BYTES);
    memcpy(head + TRIGRAM_BYTES, block->open.bits, TRIGRAM_BYTES);
    return fulltext_put(f, block, FULLTEXT_HEAD, slice_make(head, sizeof head), why);
}

static void load_head(struct fulltext *f, struct fulltext_block *block)
{
    struct db_rows rows;
    struct slice head;
    if (!fulltext_row(f, block, FULLTEXT_HEAD, &rows, &head))
        return;
    block->loaded = head.len == sizeof block->known.bits + sizeof block->open.bits;
    if (block->loaded) {
        memcpy(block->known.bits, head.ptr, TRIGRAM_BYTES);
        memcpy(block->open.bits, head.ptr + TRIGRAM_BYTES, TRIGRAM_BYTES);
    }
    f->damaged = db_end(&rows, NULL) || !block->loaded;
}

static const struct fulltext_block *usable_block(struct fulltext *f, uint64_t number)
{
    struct fulltext_block *block = f->damaged ? NULL : idmap_get(f->blocks, number);
    if (block && !block->loaded)
        load_head(f, block);
    return f->damaged ? NULL : block;
}

/* ---- the list ---- */

enum err fulltext_list(struct account *account, struct fulltext_block *block, struct why *why)
{
    enum err err = db_begin(account->db, why);
    if (!err)
        err = db_run(
            account->db, "INSERT OR REPLACE INTO fulltext (block, stamp, gone, since) VALUES (?, ?, ?, ?)",
            DB_ARGS(DB_U64(block->number), DB_U64(block->stamp), DB_U64(block->gone), DB_I64(block->since)),
            why);
    err = err ? err : db_commit(account->db, why);
    if (err)
        db_rollback(account->db);
    if (!err) {
        free(idmap_remove(account->fulltext->blocks, block->number));
        if (idmap_put(account->fulltext->blocks, block->number, block))
            return ERR_OK;
    }
    free(block);
    return err;
}

enum err fulltext_clear(struct fulltext *f, uint64_t block, uint64_t stamp, struct why *why)
{
    uint64_t first = row_id(block, stamp, 0);
    return db_run(f->db, "DELETE FROM bits WHERE id >= ? AND id <= ?",
                  DB_ARGS(DB_U64(first), DB_U64(first + FULLTEXT_HEAD)), why);
}

static uint64_t first_young_of(uint64_t number)
{
    return FULLTEXT_YOUNG + number * FULLTEXT_YOUNG_EACH;
}

/* They are asked no more: rows may go before the list says so. */
enum err fulltext_grow_up(struct account *account, uint64_t number, struct why *why)
{
    struct fulltext *f = account->fulltext;
    uint64_t first = first_young_of(number);
    enum err err = ERR_OK;
    bool any = false;
    for (uint64_t i = first; !err && i < first + FULLTEXT_YOUNG_EACH; i++) {
        struct fulltext_block *young = idmap_remove(f->blocks, i);
        any = any || young;
        err = young ? fulltext_clear(f, i, young->stamp, why) : ERR_OK;
        free(young);
    }
    if (err || !any)
        return err;
    return db_run(account->db, "DELETE FROM fulltext WHERE block >= ? AND block < ?",
                  DB_ARGS(DB_U64(first), DB_U64(first + FULLTEXT_YOUNG_EACH)), why);
}

/* ---- the filter ---- */

bool fulltext_plane(struct slice name, enum trigram_plane *plane)
{
    static const struct {
        struct slice name;
        enum trigram_plane plane;
    } own[] = {
        {SLICE("From"), TRIGRAM_FROM}, {SLICE("To"), TRIGRAM_TO},           {SLICE("Cc"), TRIGRAM_TO},
        {SLICE("Bcc"), TRIGRAM_TO},    {SLICE("Subject"), TRIGRAM_SUBJECT},
    };
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (slice_ieq(own[i].name, name)) {
            *plane = own[i].plane;
            return true;
        }
    return false;
}

struct question {
    const struct imap_needle *needle;
    enum trigram_plane plane;
    struct trigram_query query;
    struct idmap *answers; /* by block: struct trigram_set of messages that may hold it */
};

struct fulltext_filter {
    struct arena *arena;
    struct question questions[FULLTEXT_NEEDLES];
    size_t count;
};

#define FILTER_ARENA_MAX (64u << 20)

struct fulltext_filter *fulltext_filter_new(void)
{
    struct fulltext_filter *filter = mem_zero(1, sizeof *filter);
    filter->arena = arena_new(FILTER_ARENA_MAX);
    return filter;
}

void fulltext_filter_free(struct fulltext_filter **filter)
{
    if (!*filter)
        return;
    for (size_t i = 0; i < (*filter)->count; i++)
        idmap_free(&(*filter)->questions[i].answers);
    arena_free(&(*filter)->arena);
    free(*filter);
    *filter = NULL;
}

static struct question *find_question(struct fulltext_filter *filter, enum trigram_plane plane,
                                      const struct imap_needle *needle)
{
    for (size_t i = 0; i < filter->count; i++)
        if (filter->questions[i].needle == needle && filter->questions[i].plane == plane)
            return &filter->questions[i];
    if (filter->count == FULLTEXT_NEEDLES)
        return NULL;
    struct question *q = &filter->questions[filter->count++];
    *q = (struct question){.needle = needle,
                           .plane = plane,
                           .query = trigram_query(plane, needle->folded),
                           .answers = idmap_new(FULLTEXT_BLOCKS_MAX)};
    return q;
}

static bool is_empty(const struct trigram_set *set)
{
    for (size_t i = 0; i < TRIGRAM_BYTES; i++)
        if (set->bits[i])
            return false;
    return true;
}

/* False: the block cannot be asked. */
static bool ask_block(struct fulltext *f, const struct fulltext_block *block, const struct question *q,
                      struct trigram_set *maybe)
{
    const uint32_t together = fulltext_rows_in_one(block->number) * TRIGRAM_ROW_BUCKETS;
    *maybe = block->known;
    for (size_t i = 0; i < q->query.count && !is_empty(maybe); i++) {
        struct db_rows rows;
        struct slice row;
        uint32_t bucket = q->query.buckets[i];
        if (!fulltext_row(f, block, bucket / together, &rows, &row))
            return false;
        bool whole = trigram_narrow(row, bucket % together, maybe);
        f->damaged = db_end(&rows, NULL) || !whole;
        if (f->damaged)
            return false;
    }
    for (size_t i = 0; i < TRIGRAM_BYTES; i++)
        maybe->bits[i] |=
            (uint8_t)(~block->known.bits[i] | (q->plane == TRIGRAM_BODY ? block->open.bits[i] : 0));
    return true;
}

static void fill_set(struct trigram_set *set)
{
    memset(set, 0xff, sizeof *set);
}

/* The young ones each say something of their own messages. */
static bool ask_young(struct fulltext *f, uint64_t number, const struct question *q,
                      struct trigram_set *maybe)
{
    uint64_t first = first_young_of(number);
    fill_set(maybe);
    for (uint64_t i = first; i < first + FULLTEXT_YOUNG_EACH; i++) {
        struct trigram_set these;
        const struct fulltext_block *young = usable_block(f, i);
        if (young && !ask_block(f, young, q, &these))
            return false;
        for (size_t k = 0; young && k < TRIGRAM_BYTES; k++)
            maybe->bits[k] &= these.bits[k];
    }
    return !f->damaged;
}

static const struct trigram_set *answer(struct fulltext_filter *filter, struct account *account,
                                        struct question *q, uint64_t number)
{
    const struct trigram_set *known = idmap_get(q->answers, number);
    if (known)
        return known;
    struct trigram_set *set = arena_try(filter->arena, sizeof *set);
    struct fulltext *f;
    struct why why;
    if (!set || fulltext_open(account, false, &f, &why))
        return NULL;
    const struct fulltext_block *block = usable_block(f, number);
    if (!(block ? ask_block(f, block, q, set) : ask_young(f, number, q, set)))
        fill_set(set);
    return idmap_put(q->answers, number, set) ? set : NULL;
}

bool fulltext_rules_out(struct fulltext_filter *filter, struct account *account, uint64_t message,
                        enum trigram_plane plane, const struct imap_needle *needle)
{
    if (account->fulltext_off || needle->folded.len < 3)
        return false;
    struct question *q = find_question(filter, plane, needle);
    if (!q || !q->query.count)
        return false;
    const struct trigram_set *maybe = answer(filter, account, q, message >> FULLTEXT_BLOCK_SHIFT);
    return maybe && !trigram_has(maybe, (unsigned)(message % TRIGRAM_MESSAGES));
}
