/* start.c: what a start finds: folders made, rests of the spool removed,
 * owners and modes looked at, and accounts whose index was not closed opened once, so that what a crash has
 * left goes. On the loop's thread, before anything else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/context.h"

#define FOLDER_MODE 0700
#define UNCLEAN_MAX 100000
#define OTHERS_MASK 077 /* bits of a mode that let others at the mail */

static enum err make_folder(struct store *store, const char *name, struct why *why)
{
    enum err err = io_mkdir(store->root.dir, name, FOLDER_MODE, why);
    if (err && err != ERR_REFUSED)
        return err;
    return io_fsync_dir_at(store->root.dir, ".", why); /* also what a process made that died before this */
}

static void look_at_owner(struct store *store, const char *path)
{
    struct stat st;
    if (io_stat_at(store->root.dir, path, &st, NULL))
        return;
    if (st.st_uid != geteuid())
        log_warn("store.owner", LOG_CSTR("path", path), LOG_U64("uid", st.st_uid),
                 LOG_U64("expected", geteuid()));
    if (st.st_mode & OTHERS_MASK)
        log_warn("store.mode", LOG_CSTR("path", path), LOG_U64("mode", st.st_mode & 0777),
                 LOG_U64("expected", FOLDER_MODE));
}

struct sweep {
    struct store *store;
    const char *folder;
    uint64_t removed;
};

static void remove_rest(struct sweep *sweep, const char *name)
{
    char path[PATHS_FILE_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", sweep->folder, name);
    if (len > 0 && (size_t)len < sizeof path && io_unlink(sweep->store->root.dir, path, NULL) == ERR_OK)
        sweep->removed++;
}

static bool spool_rest(void *arg, const char *name, int type)
{
    (void)type;
    remove_rest(arg, name);
    return true;
}

/* A write-ahead log that was not moved into its database: the account was open when the server ended. */
static bool account_rest(void *arg, const char *name, int type)
{
    (void)type;
    struct store *store = arg;
    char path[PATHS_FILE_MAX];
    struct stat st;
    int len = snprintf(path, sizeof path, "accounts/%s", name);
    if (len < 0 || (size_t)len >= sizeof path - sizeof "/index.db-wal")
        return true;
    look_at_owner(store, path);
    memcpy(path + len, "/index.db-wal", sizeof "/index.db-wal");
    if (io_stat_at(store->root.dir, path, &st, NULL))
        return true;
    char **place = vec_push(&store->unclean);
    if (place)
        *place = mem_dup(name, strlen(name));
    return true;
}

static void next_unclean(struct store *store);

static void after_unclean(struct job *job)
{
    if (job->err)
        log_error("store.account", LOG_STR("account", job->slot->address), LOG_WHY(&job->refusal.why));
    next_unclean(job->store);
}

/* Opening sweeps; the next one when this is done, so that mail comes first. */
static const struct job_op unclean_op = {.work = job_nothing, .answer = after_unclean};

static void next_unclean(struct store *store)
{
    while (store->unclean.len && !store->draining) {
        char *name = *VEC_AT(&store->unclean, char *, store->unclean.len - 1);
        store->unclean.len--;
        uint8_t address[PATHS_FOLDER_MAX];
        size_t len = 0;
        bool known = paths_address(slice_of(name), address, &len);
        free(name);
        struct slot *slot = known ? slot_get(store, slice_make(address, len)) : NULL;
        if (slot) {
            job_start(store, slot, &unclean_op, NULL, NULL, 0, 0);
            return;
        }
    }
}

enum err start_sweep(struct store *store, struct why *why)
{
    static const char *const folders[] = {"accounts", "spool", "queue"};
    enum err err = ERR_OK;
    look_at_owner(store, ".");
    for (size_t i = 0; !err && i < ARRAY_LEN(folders); i++) {
        err = make_folder(store, folders[i], why);
        look_at_owner(store, folders[i]);
    }
    struct sweep spool = {store, "spool", 0};
    if (!err)
        err = io_list_dir(store->root.dir, "spool", spool_rest, &spool, why);
    store->unclean = VEC_NEW(char *, UNCLEAN_MAX);
    if (!err)
        err = io_list_dir(store->root.dir, "accounts", account_rest, store, why);
    if (err)
        return err;
    if (spool.removed || store->unclean.len)
        log_info("store.swept", LOG_U64("spool", spool.removed), LOG_U64("unclean", store->unclean.len));
    next_unclean(store);
    return ERR_OK;
}
