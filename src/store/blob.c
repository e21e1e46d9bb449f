/* blob.c: writing, opening and removing message files. Input: bodies as opaque bytes; cuts that were checked
 * with the facts, and are checked again where they are used. Called on pool threads. */
#include "store/blob.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/mem.h"

#define BLOB_BUFFER   (64u * 1024)
#define BLOB_MODE     0600
#define BLOB_DIR_MODE 0700
#define BLOB_PARTS    5 /* of one write: most messages are one */

/* Finds damage, not forgery: the key is no secret. */
static const struct hash_key sum_key = {0x526f636b646f7665, 0x6d657373616765};

/* A file that is being written. */
struct writer {
    int fd;
    struct hash_sum sum;
    uint64_t size;
    struct iovec pending[BLOB_PARTS];
    int count;
    bool buffer_pending; /* one of them is the buffer, which is about to be used again */
};

static enum err flush(struct writer *w, struct why *why)
{
    if (!w->count)
        return ERR_OK;
    int count = w->count;
    w->count = 0;
    w->buffer_pending = false;
    return io_writev(w->fd, w->pending, count, why);
}

/* The bytes must stay until the next flush(). */
static enum err put(struct writer *w, struct slice bytes, struct why *why)
{
    if (!bytes.len)
        return ERR_OK;
    hash_sum_add(&w->sum, bytes);
    w->size += bytes.len;
    w->pending[w->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes.ptr, .iov_len = bytes.len};
    return w->count == BLOB_PARTS ? flush(w, why) : ERR_OK;
}

static enum err put_range(struct writer *w, int fd, uint64_t from, uint64_t to, uint8_t *buffer,
                          struct why *why)
{
    enum err err = ERR_OK;
    while (!err && from < to) {
        size_t want = to - from < BLOB_BUFFER ? (size_t)(to - from) : BLOB_BUFFER, got = 0;
        if (w->buffer_pending)
            err = flush(w, why);
        if (!err)
            err = io_pread(fd, buffer, want, from, &got, why);
        if (!err && got < want)
            err = err_set(why, ERR_INTERNAL, "a body is shorter than it was");
        if (!err) {
            w->buffer_pending = true;
            err = put(w, slice_make(buffer, got), why);
        }
        from += got;
    }
    return err;
}

static enum err put_body(struct writer *w, const struct blob_parts *parts, uint8_t *buffer, struct why *why)
{
    uint64_t at = 0;
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < parts->cut_count; i++) {
        const struct facts_cut *cut = &parts->cuts[i];
        if (cut->off < at || cut->off > parts->size || cut->len > parts->size - cut->off)
            return err_set(why, ERR_BAD, "a cut lies outside the body");
        err = put_range(w, parts->fd, at, cut->off, buffer, why);
        at = cut->off + cut->len;
    }
    return err ? err : put_range(w, parts->fd, at, parts->size, buffer, why);
}

static enum err write_parts(int fd, const struct blob_parts *parts, struct blob_made *made, struct why *why)
{
    struct writer w = {.fd = fd};
    hash_sum_begin(&w.sum, &sum_key);
    uint8_t *buffer = mem_alloc(parts->size < BLOB_BUFFER ? (size_t)parts->size + 1 : BLOB_BUFFER);
    enum err err = put(&w, parts->header, why);
    if (!err)
        err = put(&w, parts->added, why);
    if (!err)
        err = put_body(&w, parts, buffer, why);
    for (size_t i = 0; !err && i < BLOB_BEHIND; i++)
        err = put(&w, parts->behind[i], why);
    if (!err)
        err = flush(&w, why);
    free(buffer);
    hash_sum_end(&w.sum, made->sum);
    made->size = w.size;
    return err;
}

/* What could not be written and synced is removed: after a failed sync the bytes are lost; they are written
 * anew, into another file, when asked again. */
static enum err write_and_sync(const struct store_root *root, const char *path, int fd,
                               const struct blob_parts *parts, struct blob_made *made, struct why *why)
{
    enum err err = write_parts(fd, parts, made, why);
    if (!err)
        err = io_fsync(fd, why);
    if (err)
        (void)!io_unlink(root->dir, path, NULL);
    return err;
}

enum err blob_write(const struct store_root *root, const char *folder, uint64_t id,
                    const struct blob_parts *parts, struct blob_made *made, struct why *why)
{
    char path[PATHS_FILE_MAX];
    AUTO_FD int fd = -1;
    paths_message(folder, id, path);
    enum err err = io_open_at(root->dir, path, O_WRONLY | O_NOFOLLOW, 0, &fd, why);
    if (!err)
        return write_and_sync(root, path, fd, parts, made, why);
    (void)!io_unlink(root->dir, path, NULL);
    return err;
}

enum err blob_write_at(const struct store_root *root, const char *path, const struct blob_parts *parts,
                       struct blob_made *made, struct why *why)
{
    AUTO_FD int fd = -1;
    enum err err = io_open_at(root->dir, path, O_WRONLY | O_CREAT | O_TRUNC, BLOB_MODE, &fd, why);
    if (!err)
        err = write_and_sync(root, path, fd, parts, made, why);
    return err;
}

/* msg/XX does not exist yet; its own name must last too. */
static enum err make_message_folder(const struct store_root *root, const char *folder, uint64_t id,
                                    struct why *why)
{
    char path[PATHS_FILE_MAX], parent[PATHS_FILE_MAX];
    paths_message_folder(folder, id, path);
    (void)snprintf(parent, sizeof parent, "%s/msg", folder);
    enum err err = io_mkdir(root->dir, path, BLOB_DIR_MODE, why);
    if (err && err != ERR_REFUSED) /* refused: another thread was faster */
        return err;
    return io_fsync_dir_at(root->dir, parent, why);
}

enum err blob_make(const struct store_root *root, const char *folder, uint64_t id, struct why *why)
{
    char path[PATHS_FILE_MAX];
    AUTO_FD int fd = -1;
    paths_message(folder, id, path);
    enum err err = io_open_at(root->dir, path, O_WRONLY | O_CREAT | O_EXCL, BLOB_MODE, &fd, why);
    if (err == ERR_ABSENT)
        err = make_message_folder(root, folder, id, why);
    if (!err && fd < 0)
        err = io_open_at(root->dir, path, O_WRONLY | O_CREAT | O_EXCL, BLOB_MODE, &fd, why);
    return err;
}

enum err blob_sync_folder(const struct store_root *root, const char *folder, uint64_t id, struct why *why)
{
    char path[PATHS_FILE_MAX];
    paths_message_folder(folder, id, path);
    return io_fsync_dir_at(root->dir, path, why);
}

enum err blob_open(const struct store_root *root, const char *folder, uint64_t id, int *fd, struct why *why)
{
    char path[PATHS_FILE_MAX];
    paths_message(folder, id, path);
    return io_open_at(root->dir, path, O_RDONLY | O_NOFOLLOW, 0, fd, why);
}

enum err blob_remove(const struct store_root *root, const char *folder, uint64_t id, struct why *why)
{
    char path[PATHS_FILE_MAX];
    paths_message(folder, id, path);
    enum err err = io_unlink(root->dir, path, why);
    return err == ERR_ABSENT ? ERR_OK : err;
}

enum err blob_sum(int fd, struct blob_made *made, struct why *why)
{
    struct hash_sum sum;
    hash_sum_begin(&sum, &sum_key);
    uint8_t *buffer = mem_alloc(BLOB_BUFFER);
    uint64_t at = 0;
    size_t got = BLOB_BUFFER;
    enum err err = ERR_OK;
    while (!err && got == BLOB_BUFFER) {
        err = io_pread(fd, buffer, BLOB_BUFFER, at, &got, why);
        if (!err) {
            hash_sum_add(&sum, slice_make(buffer, got));
            at += got;
        }
    }
    free(buffer);
    if (err)
        return err;
    hash_sum_end(&sum, made->sum);
    made->size = at;
    return ERR_OK;
}

/* What exists may have been made by a process that died before it synced: the name is synced in any case. */
static enum err make_folder(const struct store_root *root, const char *path, const char *parent,
                            struct why *why)
{
    enum err err = io_mkdir(root->dir, path, BLOB_DIR_MODE, why);
    if (err && err != ERR_REFUSED)
        return err;
    return io_fsync_dir_at(root->dir, parent, why);
}

/* The folder of all accounts is there since the role's start; only tools without one make it here. */
static enum err make_accounts(const struct store_root *root, struct why *why)
{
    struct stat st;
    return io_stat_at(root->dir, "accounts", &st, NULL) == ERR_OK ? ERR_OK
                                                                  : make_folder(root, "accounts", ".", why);
}

enum err blob_make_folders(const struct store_root *root, const char *folder, struct why *why)
{
    char path[PATHS_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s/msg", folder);
    enum err err = make_accounts(root, why);
    if (!err)
        err = make_folder(root, folder, "accounts", why);
    return err ? err : make_folder(root, path, folder, why);
}
