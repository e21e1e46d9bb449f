/* queue_open.c: queued messages on their way out: their files as read-only descriptors, as they are or in the
 * 7-bit form scan makes of them. Requests come from queue, converted messages from scan, which may have been
 * taken over. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/context.h"

struct opening {
    struct store *store;
    struct ipc_link *link;
    uint64_t epoch;
    uint32_t request;
    bool seven_bit;
    uint8_t id[PATHS_QUEUE_ID];
    size_t id_len;
    int fd;
    uint64_t size, header_len;
    enum err err;
    struct why why;
};

static struct slice id_of(const struct opening *o)
{
    return slice_make(o->id, o->id_len);
}

/* ---- on a pool thread ---- */

static enum err open_sized(struct opening *o, struct why *why)
{
    uint8_t front[FACTS_PEEK];
    size_t got = 0;
    uint64_t size, facts_len;
    enum err err = queue_file_open(&o->store->root, id_of(o), &o->fd, &size, &facts_len, why);
    if (!err)
        err = io_pread(o->fd, front, facts_len < sizeof front ? (size_t)facts_len : sizeof front, size, &got,
                       why);
    if (!err && !facts_peek(slice_make(front, got), &o->size, &o->header_len))
        err = err_set(why, ERR_INTERNAL, "the facts of a queued message cannot be read");
    if (!err && (size != o->size || o->header_len > o->size))
        err = err_set(why, ERR_INTERNAL, "a queued message has a wrong size");
    return err;
}

static void open_file(void *arg)
{
    struct opening *o = arg;
    o->err = open_sized(o, &o->why);
}

/* ---- on the loop ---- */

/* ERR_ABSENT: the file is gone; a file that is damaged will not get better, but a person may repair it. */
static void answer(struct opening *o, struct wire_queue_file_fd *reply)
{
    reply->err = o->err == ERR_INTERNAL || o->err == ERR_BAD ? ERR_LATER : o->err;
    reply->size = o->err ? 0 : o->size;
    reply->header_len = o->err ? 0 : o->header_len;
    if (o->err)
        reply->text = slice_of(o->why.text);
    if (o->err && o->err != ERR_REFUSED)
        log_warn("store.queue-open", LOG_STR("id", id_of(o)), LOG_CSTR("err", err_name(o->err)),
                 LOG_WHY(&o->why));
    if (o->epoch == o->store->epochs[ROLE_QUEUE])
        wire_reply_fds(o->link, o->request, WIRE_QUEUE_FILE_FD, false, reply, &o->fd, o->err == ERR_OK);
    o->store->jobs--;
    io_close(&o->fd);
    free(o);
}

static enum err take_converted(struct opening *o, const struct wire_scan_facts *reply,
                               struct ipc_packet *packet, struct why *why)
{
    struct stat st;
    io_close(&o->fd);
    o->fd = ipc_take_fd(packet, 0);
    if (o->fd < 0 || !io_is_sealed(o->fd))
        return err_set(why, ERR_BAD, "scan sent a message it can still change");
    enum err err = io_fstat(o->fd, &st, why);
    if (err)
        return err;
    o->size = (uint64_t)st.st_size;
    o->header_len = reply->header_len;
    return o->header_len <= o->size ? ERR_OK : err_set(why, ERR_BAD, "scan sent a wrong length");
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_print(text.ptr[i]))
            return false;
    return true;
}

static void on_converted(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct opening *o = ctx;
    struct wire_scan_facts facts;
    struct wire_queue_file_fd reply = {0};
    o->err = wire_answer(err, packet, WIRE_SCAN_FACTS, &facts);
    if (!o->err && facts.err)
        o->err = err_set(&o->why, facts.err == ERR_REFUSED ? ERR_REFUSED : ERR_LATER, "%.*s",
                         SLICE_ARG(is_printable(facts.text) ? facts.text : SLICE_EMPTY));
    if (!o->err)
        o->err = take_converted(o, &facts, packet, &o->why);
    if (!o->err) {
        reply.dkim_hash = facts.dkim_hash;
        reply.dkim_names = facts.dkim_names;
        reply.dkim_fields = facts.dkim_fields;
    }
    answer(o, &reply);
}

static void opened(void *arg)
{
    struct opening *o = arg;
    struct wire_queue_file_fd reply = {0};
    if (o->err || !o->seven_bit) {
        answer(o, &reply);
        return;
    }
    const struct wire_scan_task task = {.kind = BODY_SEVEN_BIT, .size = o->size};
    (void)wire_call_fds(role_link(o->store->run, ROLE_SCAN), WIRE_SCAN_TASK, &task, &o->fd, 1, STORE_SCAN_MS,
                        on_converted, o);
}

bool queue_open_on_open(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_queue_file_open *m = message;
    char path[PATHS_FILE_MAX];
    if (!packet->request || m->seven_bit > 1 || paths_queue(m->queue_id, path))
        return false;
    struct opening *o = mem_zero(1, sizeof *o);
    *o = (struct opening){.store = store,
                          .link = link,
                          .epoch = store->epochs[ROLE_QUEUE],
                          .request = packet->request,
                          .seven_bit = m->seven_bit,
                          .id_len = m->queue_id.len,
                          .fd = -1};
    memcpy(o->id, m->queue_id.ptr, m->queue_id.len);
    store->jobs++;
    loop_pool_run(store->pool, open_file, opened, o);
    return true;
}
