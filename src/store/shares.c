/* shares.c: who shares with whom, kept in one file. Input: our own file, possibly damaged (checksum), and our
 * own indexes. Called by the role: read on the loop, changed on strands. */
#include "store/shares.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/coll.h"
#include "base/io.h"
#include "base/mem.h"
#include "db/db.h"
#include "grammar/imap_acl.h"
#include "store/schema.h"
#include "wire/wire.h"

#define FILE_NAME  "shares"
#define FILE_MAGIC SLICE("rockdove shares 1\n")

struct sharer {
    struct slice owner;     /* owned */
    struct buf identifiers; /* wire_strings */
};
/* An identifier and who names it. */
struct audience {
    struct slice identifier; /* owned */
    struct vec owners;       /* struct sharer * */
};

struct shares {
    struct store_root root;
    pthread_mutex_t writing; /* one change of the file at a time; taken before `lock` */
    pthread_mutex_t lock;    /* of what follows; never held while the disk is waited for */
    struct map *sharers;     /* by owner */
    struct map *audiences;   /* by identifier */
};

static struct slice own(struct slice s)
{
    return slice_make(mem_dup(s.ptr, s.len), s.len);
}

static void disown(struct slice s)
{
    free((void *)(uintptr_t)s.ptr);
}

/* ---- in memory ---- */

static void leave_audience(struct shares *shares, const struct sharer *sharer, struct slice identifier)
{
    struct audience *a = map_get(shares->audiences, identifier);
    for (size_t i = 0; a && i < a->owners.len; i++)
        if (*VEC_AT(&a->owners, struct sharer *, i) == sharer) {
            vec_remove_swap(&a->owners, i);
            break;
        }
    if (!a || a->owners.len)
        return;
    (void)map_remove(shares->audiences, identifier);
    vec_free(&a->owners);
    disown(a->identifier);
    free(a);
}

static bool join_audience(struct shares *shares, struct sharer *sharer, struct slice identifier)
{
    struct audience *a = map_get(shares->audiences, identifier);
    if (!a) {
        a = mem_zero(1, sizeof *a);
        *a = (struct audience){own(identifier), VEC_NEW(struct sharer *, SHARES_MAX)};
        if (!map_put(shares->audiences, a->identifier, a)) {
            disown(a->identifier);
            free(a);
            return false;
        }
    }
    struct sharer **place = vec_push(&a->owners);
    if (place)
        *place = sharer;
    return place != NULL;
}

static void free_sharer(struct sharer *s)
{
    disown(s->owner);
    buf_free(&s->identifiers);
    free(s);
}

static void forget(struct shares *shares, struct slice owner)
{
    struct sharer *s = map_remove(shares->sharers, owner);
    if (!s)
        return;
    struct slice rest = buf_slice(&s->identifiers), identifier;
    while (wire_strings_take(&rest, &identifier))
        leave_audience(shares, s, identifier);
    free_sharer(s);
}

/* False: there are too many. */
static bool put(struct shares *shares, struct slice owner, struct slice identifiers)
{
    forget(shares, owner);
    if (!identifiers.len)
        return true;
    struct sharer *s = mem_zero(1, sizeof *s);
    *s = (struct sharer){own(owner), buf_new(SHARES_BYTES_MAX)};
    buf_add(&s->identifiers, identifiers);
    if (!map_put(shares->sharers, s->owner, s)) {
        free_sharer(s);
        return false;
    }
    struct slice identifier;
    bool ok = true;
    while (ok && wire_strings_take(&identifiers, &identifier))
        ok = join_audience(shares, s, identifier);
    return ok;
}

/* ---- the file ---- */

static void encode(struct shares *shares, struct buf *bytes)
{
    size_t at = 0;
    const struct sharer *s;
    AUTO_BUF struct buf body = buf_new(SHARES_BYTES_MAX);
    while ((s = map_next(shares->sharers, &at, NULL))) {
        wire_strings_add(&body, s->owner);
        wire_strings_add(&body, buf_slice(&s->identifiers));
    }
    buf_add(bytes, FILE_MAGIC);
    buf_add_le32(bytes, hash_crc32c(0, buf_slice(&body)));
    buf_add(bytes, buf_slice(&body));
}

static enum err write_file(struct shares *shares, struct slice bytes, struct why *why)
{
    char full[PATHS_FILE_MAX * 2];
    enum err err = paths_full(&shares->root, FILE_NAME, full, sizeof full);
    if (!err)
        err = io_replace_file(full, bytes, why);
    return err ? err : io_fsync_dir(shares->root.dir, why);
}

static bool decode(struct shares *shares, struct slice bytes)
{
    uint32_t sum;
    if (!slice_starts(bytes, FILE_MAGIC))
        return false;
    bytes = slice_from(bytes, FILE_MAGIC.len);
    if (!slice_take_le32(&bytes, &sum) || sum != hash_crc32c(0, bytes))
        return false;
    struct slice owner, identifiers;
    while (wire_strings_take(&bytes, &owner))
        if (!wire_strings_take(&bytes, &identifiers) || !put(shares, owner, identifiers))
            return false;
    return bytes.len == 0;
}

static enum err read_file(struct shares *shares, bool *found, struct why *why)
{
    AUTO_ARENA struct arena *arena = arena_new(SHARES_BYTES_MAX * 2ull);
    struct slice bytes;
    enum err err = io_read_file_in(arena, shares->root.dir, FILE_NAME, SHARES_BYTES_MAX, &bytes, why);
    *found = !err && decode(shares, bytes);
    return err == ERR_ABSENT ? ERR_OK : err;
}

/* ---- made anew ---- */

static enum err read_sharers(struct db *db, struct buf *owner, struct buf *identifiers, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, "SELECT address FROM account", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    if (db_next(&rows))
        buf_add(owner, db_slice(&rows, 0));
    err = db_end(&rows, why);
    if (!err)
        err = db_query(db, "SELECT DISTINCT identifier FROM acl ORDER BY identifier", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct slice identifier = db_slice(&rows, 0);
        if (!slice_starts(identifier, SLICE("-")) && !slice_eq(identifier, buf_slice(owner)))
            wire_strings_add(identifiers, identifier);
    }
    return db_end(&rows, why);
}

/* An index that cannot be read so (an older version, in which nobody shared; one a crash has left open) is
 * looked at when its account is opened. */
static bool add_account(void *arg, const char *name, int type)
{
    (void)type;
    struct shares *shares = arg;
    char path[PATHS_FILE_MAX], full[PATHS_FILE_MAX * 2];
    struct why why;
    struct db *db = NULL;
    AUTO_BUF struct buf owner = buf_new(WIRE_NAME_MAX), identifiers = buf_new(SHARES_BYTES_MAX);
    int len = snprintf(path, sizeof path, "accounts/%s/index.db", name);
    if (len < 0 || (size_t)len >= sizeof path || paths_full(&shares->root, path, full, sizeof full))
        return true;
    if (db_open(full, DB_EXISTING | DB_READ_ONLY, &schema_index, NULL, &db, &why))
        return true;
    if (!read_sharers(db, &owner, &identifiers, &why) && owner.len)
        (void)!put(shares, buf_slice(&owner), buf_slice(&identifiers));
    db_close(&db);
    return true;
}

/* Not synced: whatever a crash leaves of it, nothing or a damaged file, is made anew again. */
static enum err leave_file(const struct shares *shares, struct slice bytes, struct why *why)
{
    AUTO_FD int fd = -1;
    enum err err = io_open_at(shares->root.dir, FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, why);
    return err ? err : io_write_all(fd, bytes, why);
}

static enum err rebuild(struct shares *shares, struct why *why)
{
    AUTO_BUF struct buf bytes = buf_new(SHARES_BYTES_MAX);
    enum err err = io_list_dir(shares->root.dir, "accounts", add_account, shares, why);
    if (err && err != ERR_ABSENT)
        return err;
    encode(shares, &bytes);
    return leave_file(shares, buf_slice(&bytes), why);
}

static void clear(struct shares *shares)
{
    size_t at = 0;
    struct sharer *s;
    while ((s = map_next(shares->sharers, &at, NULL)))
        free_sharer(s);
    map_free(&shares->sharers);
    at = 0;
    struct audience *a;
    while ((a = map_next(shares->audiences, &at, NULL))) {
        vec_free(&a->owners);
        disown(a->identifier);
        free(a);
    }
    map_free(&shares->audiences);
}

enum err shares_new(const struct store_root *root, struct shares **out, struct why *why)
{
    struct shares *shares = mem_zero(1, sizeof *shares);
    shares->root = *root;
    pthread_mutex_init(&shares->writing, NULL);
    pthread_mutex_init(&shares->lock, NULL);
    shares->sharers = map_new(SHARES_MAX);
    shares->audiences = map_new(SHARES_MAX);
    bool found = false;
    enum err err = read_file(shares, &found, why);
    if (!err && !found) {
        clear(shares); /* what was read of a damaged one */
        shares->sharers = map_new(SHARES_MAX);
        shares->audiences = map_new(SHARES_MAX);
        err = rebuild(shares, why);
    }
    if (err)
        shares_free(&shares);
    else
        *out = shares;
    return err;
}

void shares_free(struct shares **shares)
{
    struct shares *s = *shares;
    if (!s)
        return;
    clear(s);
    pthread_mutex_destroy(&s->writing);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *shares = NULL;
}

/* ---- changes ---- */

static bool is_same(struct shares *shares, struct slice owner, struct slice identifiers)
{
    const struct sharer *s = map_get(shares->sharers, owner);
    return slice_eq(s ? buf_slice(&s->identifiers) : SLICE_EMPTY, identifiers);
}

enum err shares_set(struct shares *shares, struct slice owner, struct slice identifiers, struct why *why)
{
    AUTO_BUF struct buf bytes = buf_new(SHARES_BYTES_MAX);
    pthread_mutex_lock(&shares->writing);
    pthread_mutex_lock(&shares->lock);
    bool same = is_same(shares, owner, identifiers), fits = same || put(shares, owner, identifiers);
    if (!same)
        encode(shares, &bytes);
    pthread_mutex_unlock(&shares->lock);
    enum err err = ERR_OK;
    if (!fits || !buf_ok(&bytes))
        err = err_set(why, ERR_LATER, "too many shared mailboxes on this server");
    else if (!same)
        err = write_file(shares, buf_slice(&bytes), why);
    pthread_mutex_unlock(&shares->writing);
    return err;
}

enum err shares_add(struct shares *shares, struct slice owner, struct slice identifier, struct why *why)
{
    AUTO_BUF struct buf all = buf_new(SHARES_BYTES_MAX);
    struct slice rest, one;
    bool there = false;
    pthread_mutex_lock(&shares->lock);
    const struct sharer *s = map_get(shares->sharers, owner);
    for (rest = s ? buf_slice(&s->identifiers) : SLICE_EMPTY; wire_strings_take(&rest, &one);) {
        if (!there && slice_cmp(identifier, one) <= 0) {
            there = true;
            wire_strings_add(&all, identifier);
        }
        if (!slice_eq(identifier, one))
            wire_strings_add(&all, one);
    }
    pthread_mutex_unlock(&shares->lock);
    if (!there)
        wire_strings_add(&all, identifier);
    return shares_set(shares, owner, buf_slice(&all), why);
}

/* ---- questions ---- */

static bool shares_with(struct shares *shares, struct slice owner, struct slice identifier)
{
    const struct sharer *s = map_get(shares->sharers, owner);
    struct slice rest = s ? buf_slice(&s->identifiers) : SLICE_EMPTY, one;
    while (wire_strings_take(&rest, &one))
        if (slice_eq(one, identifier))
            return true;
    return false;
}

bool shares_has(struct shares *shares, struct slice owner, struct slice who)
{
    pthread_mutex_lock(&shares->lock);
    bool has = !slice_eq(owner, who) &&
               (shares_with(shares, owner, who) || shares_with(shares, owner, SLICE("anyone")));
    pthread_mutex_unlock(&shares->lock);
    return has;
}

static void add_owners(struct shares *shares, struct slice identifier, struct slice who, struct buf *owners)
{
    const struct audience *a = map_get(shares->audiences, identifier);
    bool anyone = slice_eq(identifier, SLICE("anyone"));
    for (size_t i = 0; a && i < a->owners.len; i++) {
        struct slice owner = (*VEC_AT(&a->owners, struct sharer *, i))->owner;
        if (!slice_eq(owner, who) && !(anyone && shares_with(shares, owner, who)))
            wire_strings_add(owners, owner);
    }
}

void shares_owners(struct shares *shares, struct slice who, struct buf *owners)
{
    pthread_mutex_lock(&shares->lock);
    add_owners(shares, who, who, owners);
    add_owners(shares, SLICE("anyone"), who, owners);
    pthread_mutex_unlock(&shares->lock);
}
