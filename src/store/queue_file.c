/* queue_file.c: messages that wait in the queue, each in a file: the message as it will be served (cuts made,
 * added fields in front), behind it what scan found in it, and at the end where that begins. Durable before
 * queue commits its rows. Requests come from queue. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/blob.h"
#include "store/context.h"

/* At the end of a file: length of the facts, 8 bytes; these. */
#define END_LEN 16
static const uint8_t end_mark[8] = {'r', 'd', 'q', 'u', 'e', 'u', 'e', '1'};

struct put {
    struct store *store;
    struct ipc_link *link;
    uint64_t epoch;
    uint32_t request;
    uint8_t id[PATHS_QUEUE_ID];
    size_t id_len;
    struct body *body; /* NULL: drop the file */
    enum err err;
    struct why why;
};

void queue_names_start(struct queue_names *names)
{
    *names = (struct queue_names){0};
    (void)pthread_mutex_init(&names->lock, NULL);
    (void)pthread_cond_init(&names->ended_one, NULL);
}

void queue_names_stop(struct queue_names *names)
{
    (void)pthread_cond_destroy(&names->ended_one);
    (void)pthread_mutex_destroy(&names->lock);
}

/* The names of all files made until now. Those who ask while a sync runs share the next one. */
static enum err sync_names(struct store *store, struct why *why)
{
    struct queue_names *n = &store->queue_names;
    (void)pthread_mutex_lock(&n->lock);
    uint64_t mine = n->begun + 1;
    while (n->ended < mine) {
        if (n->begun > n->ended) {
            (void)pthread_cond_wait(&n->ended_one, &n->lock);
            continue;
        }
        n->begun++;
        (void)pthread_mutex_unlock(&n->lock);
        enum err err = io_fsync_dir_at(store->root.dir, "queue", why);
        (void)pthread_mutex_lock(&n->lock);
        n->ended++;
        n->failed = err ? n->ended : n->failed;
        (void)pthread_cond_broadcast(&n->ended_one);
    }
    bool lost = n->failed >= mine; /* a later one that worked says nothing about ours */
    (void)pthread_mutex_unlock(&n->lock);
    return lost ? err_set(why, ERR_LATER, "the names of queued messages could not be synced") : ERR_OK;
}

static void remove_file(struct put *put)
{
    char path[PATHS_FILE_MAX];
    enum err err = paths_queue(slice_make(put->id, put->id_len), path);
    if (!err)
        err = io_unlink(put->store->root.dir, path, &put->why);
    if (err && err != ERR_ABSENT)
        put->err = err;
}

static void write_file(struct put *put)
{
    const struct add_body *body = &put->body->add;
    struct slice facts = buf_slice(&put->body->encoded);
    AUTO_BUF struct buf end = buf_new(END_LEN);
    buf_add_le64(&end, facts.len);
    buf_add(&end, slice_make(end_mark, sizeof end_mark));
    const struct blob_parts parts = {.added = body->facts->added,
                                     .fd = body->fd,
                                     .size = body->size,
                                     .cuts = body->facts->cuts,
                                     .cut_count = body->facts->cut_count,
                                     .behind = {facts, buf_slice(&end)}};
    char path[PATHS_FILE_MAX];
    struct blob_made made;
    put->err = paths_queue(slice_make(put->id, put->id_len), path);
    if (!put->err)
        put->err = blob_write_at(&put->store->root, path, &parts, &made, &put->why);
    if (put->err)
        return;
    put->err = sync_names(put->store, &put->why);
    if (put->err)
        (void)!io_unlink(put->store->root.dir, path, NULL);
}

static void work(void *arg)
{
    struct put *put = arg;
    if (put->body)
        write_file(put);
    else
        remove_file(put);
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
    if (!packet->request || paths_queue(m->queue_id, path))
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
    if (paths_queue(m->queue_id, path))
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
    struct slice id = slice_sub(name, 0, name.len - (sizeof ".eml" - 1));
    return slice_ends(name, SLICE(".eml")) && id.len == l->before_len &&
           slice_cmp(id, slice_make(l->before, l->before_len)) < 0 && !map_get(l->live, id);
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
    if (paths_queue(m->before, path))
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

enum err queue_file_open(const struct store_root *root, struct slice queue_id, int *out, uint64_t *size,
                         uint64_t *facts_len, struct why *why)
{
    char path[PATHS_FILE_MAX];
    uint8_t end[END_LEN];
    size_t got = 0;
    uint64_t len = 0;
    struct stat st = {0};
    AUTO_FD int fd = -1;
    if (paths_queue(queue_id, path))
        return err_set(why, ERR_BAD, "ill-formed queue id");
    enum err err = io_open_at(root->dir, path, O_RDONLY, 0, &fd, why);
    if (!err)
        err = io_fstat(fd, &st, why);
    if (!err && st.st_size >= END_LEN)
        err = io_pread(fd, end, END_LEN, (uint64_t)st.st_size - END_LEN, &got, why);
    if (err)
        return err;
    struct slice rest = slice_make(end, got);
    if (!slice_take_le64(&rest, &len) || !slice_eq(rest, slice_make(end_mark, sizeof end_mark)) ||
        len > FACTS_MAX_ENCODED || len > (uint64_t)st.st_size - END_LEN)
        return err_set(why, ERR_INTERNAL, "the file of a queued message is damaged");
    *size = (uint64_t)st.st_size - END_LEN - len;
    *facts_len = len;
    *out = fd;
    fd = -1;
    return ERR_OK;
}

static enum err read_facts_in(struct arena *arena, int fd, uint64_t at, uint64_t len, struct slice *encoded,
                              struct why *why)
{
    uint8_t *room = arena_try(arena, (size_t)len);
    size_t got = 0;
    if (!room)
        return err_set(why, ERR_LATER, "too much was found in a queued message");
    enum err err = io_pread(fd, room, (size_t)len, at, &got, why);
    *encoded = slice_make(room, got);
    return err;
}

enum err queue_file_load_in(struct arena *arena, const struct store_root *root, struct slice queue_id,
                            int *out, struct add_body *body, struct why *why)
{
    struct slice encoded = SLICE_EMPTY;
    struct facts *facts = ARENA_NEW(arena, struct facts);
    AUTO_FD int fd = -1;
    uint64_t size, facts_len;
    enum err err = queue_file_open(root, queue_id, &fd, &size, &facts_len, why);
    if (!err)
        err = read_facts_in(arena, fd, size, facts_len, &encoded, why);
    if (!err)
        err = facts_decode_in(arena, encoded, facts, why);
    if (!err && size != facts->size)
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
