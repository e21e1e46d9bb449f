/* queue_file.c: messages that wait in the queue: the message as it will be served (cuts made, added fields in
 * front) and what scan found in it, each in a file of its own, durable before queue commits its rows.
 * Requests come from queue. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/blob.h"
#include "store/context.h"

struct put {
    struct store *store;
    struct ipc_link *link;
    uint64_t epoch;
    uint32_t request;
    uint8_t id[PATHS_QUEUE_ID];
    size_t id_len;
    struct body *body; /* NULL: drop the files */
    enum err err;
    struct why why;
};

static enum err write_file(const struct store_root *root, struct slice id, const char *suffix,
                           const struct blob_parts *parts, struct why *why)
{
    char temporary[PATHS_FILE_MAX], path[PATHS_FILE_MAX];
    struct blob_made made;
    if (paths_queue(id, "new", temporary) || paths_queue(id, suffix, path))
        return err_set(why, ERR_BAD, "ill-formed queue id");
    return blob_write_at(root, temporary, path, parts, &made, why);
}

static void remove_file(const struct store_root *root, struct slice id, const char *suffix, struct put *put)
{
    char path[PATHS_FILE_MAX];
    enum err err = paths_queue(id, suffix, path);
    if (!err)
        err = io_unlink(root->dir, path, &put->why);
    if (err && err != ERR_ABSENT)
        put->err = err;
}

static void put_files(struct put *put)
{
    const struct store_root *root = &put->store->root;
    const struct add_body *body = &put->body->add;
    struct slice id = slice_make(put->id, put->id_len);
    const struct blob_parts message = {.added = body->facts->added,
                                       .fd = body->fd,
                                       .size = body->size,
                                       .cuts = body->facts->cuts,
                                       .cut_count = body->facts->cut_count};
    const struct blob_parts facts = {.header = buf_slice(&put->body->encoded), .fd = -1};
    put->err = write_file(root, id, "facts", &facts, &put->why);
    if (!put->err)
        put->err = write_file(root, id, "eml", &message, &put->why);
    if (!put->err)
        put->err = io_fsync_dir_at(root->dir, "queue", &put->why);
    if (put->err) {
        struct put ignored = {0};
        remove_file(root, id, "facts", &ignored);
        remove_file(root, id, "eml", &ignored);
    }
}

static void work(void *arg)
{
    struct put *put = arg;
    struct slice id = slice_make(put->id, put->id_len);
    if (put->body) {
        put_files(put);
        return;
    }
    remove_file(&put->store->root, id, "eml", put);
    remove_file(&put->store->root, id, "facts", put);
}

static void done(void *arg)
{
    struct put *put = arg;
    if (put->err)
        log_warn("store.queue-file", LOG_STR("id", slice_make(put->id, put->id_len)), LOG_WHY(&put->why));
    if (put->epoch == put->store->epochs[ROLE_QUEUE] && put->request)
        wire_reply_result(put->link, put->request, put->err == ERR_INTERNAL ? ERR_LATER : put->err,
                          put->err ? STORE_CODE_UNAVAILABLE : STORE_CODE_NONE,
                          put->err ? SLICE("the message could not be written") : SLICE_EMPTY);
    if (put->body) {
        body_unlist(put->body);
        body_release(put->body);
    }
    put->store->jobs--;
    free(put);
}

static bool start(struct store *store, struct ipc_link *link, struct ipc_packet *packet, struct slice id,
                  struct body *body)
{
    struct put *put = mem_zero(1, sizeof *put);
    *put = (struct put){.store = store,
                        .link = link,
                        .epoch = store->epochs[ROLE_QUEUE],
                        .request = packet->request,
                        .id_len = id.len,
                        .body = body};
    for (size_t i = 0; i < id.len; i++)
        put->id[i] = id.ptr[i];
    store->jobs++;
    loop_pool_run(store->pool, work, done, put);
    return true;
}

bool queue_file_on_put(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_queue_file *m = message;
    char path[PATHS_FILE_MAX];
    if (!packet->request || paths_queue(m->queue_id, "eml", path))
        return false;
    struct body *body = body_take(store, ROLE_SMTP, m->body);
    if (body && !(store->space_low && body->kind == BODY_MX))
        return start(store, link, packet, m->queue_id, body);
    if (body) {
        body_unlist(body);
        body_release(body);
    }
    wire_reply_result(link, packet->request, ERR_LATER, STORE_CODE_UNAVAILABLE,
                      store->space_low ? SLICE("out of disk space") : SLICE("the message was lost"));
    return true;
}

bool queue_file_on_drop(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_queue_file *m = message;
    char path[PATHS_FILE_MAX];
    if (paths_queue(m->queue_id, "eml", path))
        return false;
    return start(store, link, packet, m->queue_id, NULL);
}

/* ---- files without rows ---- */

/* A crash between the file and the rows of a message leaves the file. */
struct leftover {
    struct store *store;
    uint8_t before[PATHS_QUEUE_ID];
    size_t before_len;
    uint8_t *ids; /* wire_strings */
    size_t ids_len;
    struct map *live;
    uint64_t removed;
    enum err err;
    struct why why;
};

/* True: a file of a message that is not in the queue any more, and was there before the queue started. */
static bool is_leftover(const struct leftover *l, struct slice name)
{
    size_t ending = slice_ends(name, SLICE(".eml")) ? 4 : slice_ends(name, SLICE(".facts")) ? 6 : 0;
    struct slice id = slice_sub(name, 0, name.len - ending);
    return ending && id.len == l->before_len && slice_cmp(id, slice_make(l->before, l->before_len)) < 0 &&
           !map_get(l->live, id);
}

static bool look_at_file(void *arg, const char *name, int type)
{
    struct leftover *l = arg;
    char path[PATHS_FILE_MAX];
    (void)type;
    int len = snprintf(path, sizeof path, "queue/%s", name);
    if (len > 0 && (size_t)len < sizeof path && is_leftover(l, slice_of(name)) &&
        io_unlink(l->store->root.dir, path, NULL) == ERR_OK)
        l->removed++;
    return true;
}

static void remove_leftovers(void *arg)
{
    struct leftover *l = arg;
    struct slice ids = slice_make(l->ids, l->ids_len), id;
    l->live = map_new(STORE_QUEUED_IDS);
    while (!l->err && ids.len) {
        if (!wire_strings_take(&ids, &id) || !map_put(l->live, id, l))
            l->err = err_set(&l->why, ERR_LATER, "the list of queued messages cannot be used");
    }
    if (!l->err)
        l->err = io_list_dir(l->store->root.dir, "queue", look_at_file, l, &l->why);
    map_free(&l->live);
}

static void leftovers_done(void *arg)
{
    struct leftover *l = arg;
    if (l->err)
        log_warn("store.queue-files", LOG_WHY(&l->why));
    if (l->removed)
        log_info("store.queue-files", LOG_U64("removed", l->removed));
    l->store->jobs--;
    free(l->ids);
    free(l);
}

bool queue_file_on_list(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_queue_files *m = message;
    char path[PATHS_FILE_MAX];
    (void)link;
    (void)packet;
    if (paths_queue(m->before, "eml", path))
        return false;
    buf_add(&store->queued, m->ids);
    if (m->more)
        return true;
    if (!buf_ok(&store->queued)) {
        buf_clear(&store->queued); /* not all are known: nothing is removed */
        return true;
    }
    struct leftover *l = mem_zero(1, sizeof *l);
    l->store = store;
    l->before_len = m->before.len;
    memcpy(l->before, m->before.ptr, m->before.len);
    l->ids = buf_take(&store->queued, &l->ids_len);
    store->jobs++;
    loop_pool_run(store->pool, remove_leftovers, leftovers_done, l);
    return true;
}

enum err queue_file_load_in(struct arena *arena, const struct store_root *root, struct slice queue_id,
                            int *out, struct add_body *body, struct why *why)
{
    char path[PATHS_FILE_MAX], facts_path[PATHS_FILE_MAX];
    if (paths_queue(queue_id, "eml", path) || paths_queue(queue_id, "facts", facts_path))
        return err_set(why, ERR_BAD, "ill-formed queue id");
    struct slice encoded;
    struct facts *facts = ARENA_NEW(arena, struct facts);
    AUTO_FD int fd = -1;
    struct stat st;
    enum err err = io_read_file_in(arena, root->dir, facts_path, FACTS_MAX_ENCODED, &encoded, why);
    if (!err)
        err = facts_decode_in(arena, encoded, facts, why);
    if (!err)
        err = io_open_at(root->dir, path, O_RDONLY, 0, &fd, why);
    if (!err)
        err = io_fstat(fd, &st, why);
    if (!err && (uint64_t)st.st_size != facts->size)
        err = err_set(why, ERR_INTERNAL, "a queued message has a wrong size");
    if (err)
        return err == ERR_ABSENT ? err_set(why, ERR_INTERNAL, "a queued message is missing") : err;
    facts->added = SLICE_EMPTY; /* the file has them */
    facts->cut_count = 0;
    *body = (struct add_body){.fd = fd,
                              .size = facts->size,
                              .record = slice_sub(encoded, 0, facts_record_len(encoded)),
                              .facts = facts};
    *out = fd;
    fd = -1;
    return ERR_OK;
}
