/* ban_store.c: the tables of bans and owners. Reads what it wrote; a damaged row is left out. Called by
 * ban_image.c and cli/cmd_ban.c. */
#include "auth/ban_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "db/db.h"
#include "wire/wire.h"

#define EVIDENCE_MAX 4096
#define TIDY_BYTES   (4u << 20) /* of log; then it is moved into the file, and what is too much deleted */

struct ban_store {
    struct db *db;
};

static const struct db_step steps[] = {
    {.sql = "CREATE TABLE ban (network BLOB NOT NULL, source INTEGER NOT NULL, simulated INTEGER NOT NULL,"
            " over INTEGER NOT NULL, rule INTEGER NOT NULL, number INTEGER NOT NULL, begun INTEGER NOT NULL,"
            " made INTEGER NOT NULL, until INTEGER NOT NULL, total INTEGER NOT NULL, reason TEXT NOT NULL,"
            " evidence BLOB NOT NULL, PRIMARY KEY (network, source)) WITHOUT ROWID;"
            "CREATE TABLE owner (network BLOB PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID"},
};
static const struct db_schema schema = {.name = "ban database", .steps = steps, .count = ARRAY_LEN(steps)};

enum err ban_store_open(const char *path, bool existing, struct ban_store **store, struct why *why)
{
    struct db *db = NULL;
    uint32_t before;
    enum err err =
        db_open(path, DB_EXCLUSIVE | (existing ? (unsigned)DB_EXISTING : 0), &schema, &before, &db, why);
    if (err)
        return err;
    *store = mem_zero(1, sizeof **store);
    (*store)->db = db;
    return ERR_OK;
}

void ban_store_close(struct ban_store **store)
{
    if (!*store)
        return;
    db_close(&(*store)->db);
    free(*store);
    *store = NULL;
}

/* ---- evidence: oldest event first; at, count, points, kind as varints, then two strings ---- */

static void write_evidence(const struct ban *ban, struct buf *out)
{
    uint32_t kept = ban->event_count < BANS_EVENTS ? ban->event_count : BANS_EVENTS;
    for (uint32_t i = 0; i < kept; i++) {
        const struct ban_event *e = &ban->events[(ban->event_count - kept + i) % BANS_EVENTS];
        buf_add_varint(out, e->at);
        buf_add_varint(out, e->count);
        buf_add_varint(out, e->points);
        buf_add_varint(out, e->kind);
        wire_strings_add(out, slice_of(e->where));
        wire_strings_add(out, slice_of(e->detail));
    }
}

static void read_text(char *to, size_t size, struct slice text)
{
    text = slice_sub(text, 0, size - 1);
    if (text.len)
        memcpy(to, text.ptr, text.len);
}

static bool read_event(struct slice *in, struct ban_event *e)
{
    uint64_t count, points, kind;
    struct slice where, detail;
    if (!slice_take_varint(in, &e->at) || !slice_take_varint(in, &count) || !slice_take_varint(in, &points) ||
        !slice_take_varint(in, &kind) || !wire_strings_take(in, &where) || !wire_strings_take(in, &detail))
        return false;
    e->count = (uint32_t)count;
    e->points = (uint16_t)points;
    e->kind = (uint8_t)kind;
    read_text(e->where, sizeof e->where, where);
    read_text(e->detail, sizeof e->detail, detail);
    return true;
}

static void read_evidence(struct slice in, struct ban *ban)
{
    while (in.len && ban->event_count < BANS_EVENTS) {
        struct ban_event event = {0};
        if (!read_event(&in, &event))
            return;
        ban->events[ban->event_count++] = event;
    }
}

/* ---- rows ---- */

static bool read_network(struct slice key, struct conf_network *network)
{
    if (key.len != sizeof *network)
        return false;
    memcpy(network, key.ptr, sizeof *network);
    return network->bits <= 128;
}

static enum err load_bans(struct ban_store *store, struct bans *bans, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(store->db,
                            "SELECT network, source, simulated, over, rule, number, begun, made, until,"
                            " total, reason, evidence FROM ban ORDER BY made",
                            DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct ban ban = {.source = db_u64(&rows, 1) ? BAN_HAND : BAN_OURS,
                          .simulated = db_u64(&rows, 2),
                          .over = db_u64(&rows, 3),
                          .rule = (uint8_t)db_u64(&rows, 4),
                          .number = (uint32_t)db_u64(&rows, 5),
                          .begun = db_u64(&rows, 6),
                          .made = db_u64(&rows, 7),
                          .until = db_u64(&rows, 8),
                          .total = db_u64(&rows, 9)};
        read_text(ban.reason, sizeof ban.reason, db_slice(&rows, 10));
        read_evidence(db_slice(&rows, 11), &ban);
        bool fits = read_network(db_slice(&rows, 0), &ban.network) && bans_restore(bans, &ban);
        (void)fits;
    }
    return db_end(&rows, why);
}

/* The register forgets the oldest when it is full, without a word to the database. */
static enum err delete_surplus(struct db *db, struct why *why)
{
    enum err err = db_run(db,
                          "DELETE FROM ban WHERE source = ?1 AND made < (SELECT made FROM ban"
                          " WHERE source = ?1 ORDER BY made DESC LIMIT 1 OFFSET ?2)",
                          DB_ARGS(DB_U64(BAN_OURS), DB_U64(BANS_OURS_MAX - 1)), why);
    if (!err)
        err = db_run(db,
                     "DELETE FROM owner WHERE seen < (SELECT seen FROM owner ORDER BY seen DESC LIMIT 1"
                     " OFFSET ?1)",
                     DB_ARGS(DB_U64(BANS_OWNERS_MAX - 1)), why);
    return err;
}

static enum err delete_old(struct ban_store *store, const struct bans *bans, uint64_t now_s, struct why *why)
{
    uint64_t memory_s = bans->settings->ban_policy.owner_memory / 1000, max_s = bans->rules.max_s;
    enum err err = db_run(store->db, "DELETE FROM ban WHERE source = ? AND until < ?",
                          DB_ARGS(DB_U64(BAN_OURS), DB_U64(now_s > max_s ? now_s - max_s : 0)), why);
    if (!err)
        err = db_run(store->db, "DELETE FROM owner WHERE seen < ?",
                     DB_ARGS(DB_U64(now_s > memory_s ? now_s - memory_s : 0)), why);
    return err ? err : delete_surplus(store->db, why);
}

static enum err load_owners(struct ban_store *store, struct bans *bans, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(store->db,
                            "SELECT network, seen FROM (SELECT network, seen FROM owner"
                            " ORDER BY seen DESC LIMIT ?) ORDER BY seen",
                            DB_ARGS(DB_U64(BANS_OWNERS_MAX)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct conf_network network;
        bool fits = read_network(db_slice(&rows, 0), &network) &&
                    bans_restore_owner(bans, &network, db_u64(&rows, 1));
        (void)fits;
    }
    return db_end(&rows, why);
}

enum err ban_store_load(struct ban_store *store, struct bans *bans, uint64_t now_s, struct why *why)
{
    struct why further; /* the first one is told */
    enum err err = delete_old(store, bans, now_s, why);
    enum err read = load_bans(store, bans, err ? &further : why);
    err = err ? err : read;
    read = load_owners(store, bans, err ? &further : why);
    return err ? err : read;
}

static enum err put(struct db *db, const struct ban *ban, struct why *why)
{
    AUTO_BUF struct buf evidence = buf_new(EVIDENCE_MAX);
    write_evidence(ban, &evidence);
    return db_run(db,
                  "INSERT OR REPLACE INTO ban (network, source, simulated, over, rule, number, begun, made,"
                  " until, total, reason, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  DB_ARGS(DB_BLOB(slice_make(&ban->network, sizeof ban->network)), DB_U64(ban->source),
                          DB_U64(ban->simulated), DB_U64(ban->over), DB_U64(ban->rule), DB_U64(ban->number),
                          DB_U64(ban->begun), DB_U64(ban->made), DB_U64(ban->until), DB_U64(ban->total),
                          DB_TEXT(slice_of(ban->reason)), DB_BLOB(buf_slice(&evidence))),
                  why);
}

static enum err write_one(struct db *db, const struct ban_write *w, struct why *why)
{
    const struct db_value network = DB_BLOB(slice_make(&w->ban.network, sizeof w->ban.network));
    switch (w->kind) {
    case BAN_WRITE_PUT:
        return put(db, &w->ban, why);
    case BAN_WRITE_DROP:
        return db_run(db, "DELETE FROM ban WHERE network = ? AND source = ?",
                      DB_ARGS(network, DB_U64(w->ban.source)), why);
    case BAN_WRITE_OWNER:
        return db_run(db, "INSERT OR REPLACE INTO owner (network, seen) VALUES (?, ?)",
                      DB_ARGS(network, DB_U64(w->seen)), why);
    case BAN_WRITE_FORGET:
        return db_run(db, "DELETE FROM owner WHERE network = ?", DB_ARGS(network), why);
    }
    return ERR_OK;
}

enum err ban_store_write(struct ban_store *store, const struct ban_write *writes, size_t count,
                         struct why *why)
{
    enum err err = db_begin(store->db, why);
    for (size_t i = 0; i < count && !err; i++)
        err = write_one(store->db, &writes[i], why);
    if (!err)
        err = db_commit(store->db, why);
    if (err)
        db_rollback(store->db);
    if (!err && db_wal_bytes(store->db) > TIDY_BYTES) {
        enum err later = delete_surplus(store->db, NULL);
        if (!later)
            later = db_checkpoint(store->db, NULL);
        (void)later; /* the next write tries again */
    }
    return err;
}

/* ---- a damaged database ---- */

#define PATH_MAX_HERE 4096

static enum err move_aside(const char *path, struct why *why)
{
    static const char *const parts[] = {"-wal", ""}; /* the log first: it must not stay for the new file */
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char from[PATH_MAX_HERE], to[PATH_MAX_HERE];
        (void)snprintf(from, sizeof from, "%s%s", path, parts[i]);
        (void)snprintf(to, sizeof to, "%s" BAN_STORE_ASIDE "%s", path, parts[i]);
        enum err err = io_unlink(AT_FDCWD, to, why);
        if (!err || err == ERR_ABSENT)
            err = io_rename(AT_FDCWD, from, AT_FDCWD, to, why);
        if (err && err != ERR_ABSENT)
            return err;
    }
    return ERR_OK;
}

static enum err write_list(struct ban_store *store, const struct list *order, struct why *why)
{
    enum err err = ERR_OK;
    for (const struct list *node = order->next; node != order && !err; node = node->next)
        err = put(store->db, CONTAINER_OF(node, const struct ban, node), why);
    return err;
}

static enum err write_owners(struct ban_store *store, const struct bans *bans, struct why *why)
{
    enum err err = ERR_OK;
    const struct list *order = &bans->owner_order;
    for (const struct list *node = order->next; node != order && !err; node = node->next) {
        const struct ban_owner *owner = CONTAINER_OF(node, const struct ban_owner, node);
        const struct ban_write write = {
            .kind = BAN_WRITE_OWNER, .ban = {.network = owner->network}, .seen = owner->seen};
        err = write_one(store->db, &write, why);
    }
    return err;
}

static enum err write_all(struct ban_store *store, const struct bans *bans, struct why *why)
{
    enum err err = db_begin(store->db, why);
    if (!err)
        err = write_list(store, &bans->our_order, why);
    if (!err)
        err = write_list(store, &bans->hand_order, why);
    if (!err)
        err = write_owners(store, bans, why);
    if (!err)
        err = db_commit(store->db, why);
    if (err)
        db_rollback(store->db);
    return err;
}

enum err ban_store_begin(const char *path, struct bans *bans, uint64_t now_s, struct ban_store **store,
                         struct why *damage, struct why *why)
{
    struct why found;
    enum err err = ban_store_open(path, false, store, &found);
    if (!err)
        err = ban_store_load(*store, bans, now_s, &found);
    *damage = (struct why){0};
    if (err && err != ERR_INTERNAL)
        return err_set(why, err, "%s", found.text);
    if (!err)
        return ERR_OK;
    *damage = found;
    ban_store_close(store);
    err = move_aside(path, why);
    if (!err)
        err = ban_store_open(path, false, store, why);
    return err ? err : write_all(*store, bans, why);
}
