/* bodies.c: bodies in flight: gathered in order into a memfd or, when large, a spool file without a name;
 * each belongs to the link it came on.
 *
 * Input: chunks of a stranger's bytes, not looked into; numbers chosen by network roles. A body lives until
 * it is delivered, appended or dropped, or its link goes down; but what smtp has given to queue before it
 * died must survive: whole bodies of a dead smtp are kept for STORE_ORPHAN_MS under their number, and that
 * number is refused to the next smtp meanwhile, so that queue can never be given another message than the one
 * it was told of.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/context.h"

#define SPOOL_MODE 0600
#define BODY_MAX   UINT32_MAX /* RFC822.SIZE is 32 bits; the setting is far below */

static uint64_t size_limit(const struct store *store)
{
    uint64_t limit = role_settings(store->run)->limits.message_size;
    return limit && limit < BODY_MAX ? limit : BODY_MAX;
}

static void count_memory(struct body *body, bool add)
{
    struct bodies *bodies = &body->store->bodies;
    uint64_t *of = body->spooled ? &bodies->spooled : &bodies->memory;
    *of = add ? *of + body->size : *of - body->size;
    metric_set(METRIC_STORE_SPOOL_BYTES, 0, bodies->spooled);
}

static struct body *body_new(struct store *store, enum role role, const struct wire_body_chunk *chunk)
{
    struct body *body = mem_zero(1, sizeof *body);
    *body = (struct body){.number = chunk->body,
                          .role = role,
                          .kind = chunk->kind,
                          .store = store,
                          .refs = 1,
                          .fd = -1,
                          .spool_reader = -1,
                          .epoch = store->epochs[role],
                          .encoded = buf_new(FACTS_MAX_ENCODED)};
    return body;
}

void body_release(struct body *body)
{
    if (--body->refs)
        return;
    count_memory(body, false);
    io_close(&body->fd);
    io_close(&body->spool_reader);
    buf_free(&body->encoded);
    arena_free(&body->arena);
    free(body);
}

static struct idmap *table_of(struct body *body)
{
    struct bodies *bodies = &body->store->bodies;
    return body->epoch == body->store->epochs[body->role] ? bodies->of[body->role] : bodies->orphans;
}

void body_unlist(struct body *body)
{
    if (!body->listed)
        return;
    body->listed = false;
    (void)idmap_remove(table_of(body), body->number);
    body_release(body);
}

struct body *body_take(struct store *store, enum role role, uint64_t number)
{
    if (role == ROLE_SMTP && number & WIRE_BODY_OF_QUEUE)
        role = ROLE_QUEUE;
    struct body *body = store->bodies.of[role] ? idmap_get(store->bodies.of[role], number) : NULL;
    if (!body && role == ROLE_SMTP)
        body = idmap_get(store->bodies.orphans, number);
    if (!body || !body->whole)
        return NULL;
    body->refs++;
    body->used_ms = loop_now_ms(store->loop);
    return body;
}

/* ---- gathering ---- */

static void body_fail(struct body *body, enum err err, const char *text)
{
    if (body->err)
        return;
    body->err = err;
    (void)snprintf(body->why, sizeof body->why, "%s", text);
}

/* The file has a name only for a moment: whatever happens, nothing of it stays. */
static enum err open_spool(struct body *body, struct why *why)
{
    struct store *store = body->store;
    char path[PATHS_FILE_MAX];
    (void)snprintf(path, sizeof path, "spool/%llu", (unsigned long long)++store->bodies.spool_next);
    int writer = -1, reader = -1;
    enum err err = io_open_at(store->root.dir, path, O_WRONLY | O_CREAT | O_TRUNC, SPOOL_MODE, &writer, why);
    if (!err)
        err = io_open_at(store->root.dir, path, O_RDONLY, 0, &reader, why);
    if (writer >= 0)
        (void)!io_unlink(store->root.dir, path, NULL);
    if (err) {
        io_close(&writer);
        return err;
    }
    body->fd = writer;
    body->spool_reader = reader;
    return ERR_OK;
}

static enum err move_to_spool(struct body *body, struct why *why)
{
    int memory = body->fd;
    enum err err = open_spool(body, why);
    if (err)
        return err;
    count_memory(body, false);
    body->spooled = true;
    count_memory(body, true);
    static uint8_t piece[65536]; /* the loop's thread only */
    uint64_t at = 0;
    while (!err && at < body->size) {
        size_t got = 0;
        err = io_pread(memory, piece, sizeof piece, at, &got, why);
        if (!err)
            err = io_write_all(body->fd, slice_make(piece, got), why);
        at += got;
    }
    io_close(&memory);
    return err;
}

static enum err make_room(struct body *body, size_t more, struct why *why)
{
    const struct bodies *bodies = &body->store->bodies;
    if (body->spooled)
        return ERR_OK;
    bool large = body->size + more > STORE_MEMFD_MAX || bodies->memory + more > STORE_MEMORY_MAX;
    if (body->fd < 0 && !large)
        return io_memfd("body", &body->fd, why);
    return large ? move_to_spool(body, why) : ERR_OK;
}

static void add_bytes(struct body *body, struct slice bytes)
{
    struct why why = {0};
    if (body->err || !bytes.len)
        return;
    if (body->size + bytes.len > size_limit(body->store)) {
        body_fail(body, ERR_REFUSED, "the message is too large");
        return;
    }
    enum err err = make_room(body, bytes.len, &why);
    if (!err)
        err = io_write_all(body->fd, bytes, &why);
    if (err) {
        log_warn("store.body", LOG_WHY(&why), LOG_U64("size", body->size));
        body_fail(body, ERR_LATER, "no room for the message");
        return;
    }
    count_memory(body, false);
    body->size += bytes.len;
    count_memory(body, true);
}

/* From here on nobody can write it, we neither. */
static enum err close_body(struct body *body, struct why *why)
{
    if (body->spooled) {
        io_close(&body->fd);
        body->fd = body->spool_reader;
        body->spool_reader = -1;
        return ERR_OK;
    }
    enum err err = body->fd < 0 ? io_memfd("body", &body->fd, why) : ERR_OK;
    return err ? err : io_seal(body->fd, why);
}

void body_done(struct body *body, enum err err, const char *text)
{
    struct ipc_link *link = role_link(body->store->run, body->role);
    const struct wire_body_done done = {
        .err = err, .size = body->size, .hops = err ? 0 : body->facts.received_count, .text = slice_of(text)};
    if (body->epoch == body->store->epochs[body->role])
        wire_reply(link, body->request, WIRE_BODY_DONE, false, &done);
    body->used_ms = loop_now_ms(body->store->loop);
    if (err)
        body_unlist(body);
    else
        body->whole = true;
}

static void finish_body(struct body *body, uint32_t request)
{
    struct why why = {0};
    body->request = request;
    if (!body->err && close_body(body, &why)) {
        log_warn("store.body", LOG_WHY(&why), LOG_U64("size", body->size));
        body_fail(body, ERR_LATER, "no room for the message");
    }
    if (body->err)
        body_done(body, body->err, body->why);
    else
        body_scan(body);
}

static struct body *begin_body(struct store *store, enum role role, const struct wire_body_chunk *chunk)
{
    struct body *body = body_new(store, role, chunk);
    if (store->space_low && chunk->kind == BODY_MX) /* people can still send and file below the reserve */
        body_fail(body, ERR_LATER, "out of disk space");
    if (idmap_get(store->bodies.orphans, chunk->body))
        body_fail(body, ERR_LATER, "the number names another message");
    if (!idmap_put(store->bodies.of[role], chunk->body, body)) {
        body_release(body);
        return NULL;
    }
    body->listed = true;
    return body;
}

static void refuse_chunk(struct ipc_link *link, struct ipc_packet *packet)
{
    const struct wire_body_done done = {.err = ERR_LATER, .text = SLICE("the message was lost")};
    if (packet->request)
        wire_reply(link, packet->request, WIRE_BODY_DONE, false, &done);
}

bool bodies_on_chunk(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_body_chunk *chunk = message;
    enum role role = role_of_link(link);
    bool last = chunk->flags & BODY_LAST;
    if (chunk->flags > (BODY_FIRST | BODY_LAST) || last != (packet->request != 0) ||
        chunk->kind > BODY_APPEND || (role == ROLE_QUEUE) != ((chunk->body & WIRE_BODY_OF_QUEUE) != 0))
        return false;
    struct body *body = idmap_get(store->bodies.of[role], chunk->body);
    if (body && (chunk->flags & BODY_FIRST || body->request))
        return false; /* the number is in use, or the body was whole already */
    if (!body && chunk->flags & BODY_FIRST)
        body = begin_body(store, role, chunk);
    if (!body) { /* begun in an earlier life of ours, or too many */
        refuse_chunk(link, packet);
        return true;
    }
    body->used_ms = loop_now_ms(store->loop);
    add_bytes(body, chunk->data);
    if (last)
        finish_body(body, packet->request);
    return true;
}

bool bodies_on_drop(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_body_drop *drop = message;
    struct body *body = idmap_get(store->bodies.of[role_of_link(link)], drop->body);
    (void)packet;
    if (body && !(body->request && !body->whole)) /* a body at scan is dropped when its answer comes */
        body_unlist(body);
    else if (body)
        body_fail(body, ERR_REFUSED, "dropped");
    return true;
}

/* ---- what queue asks ---- */

static void add_list(struct buf *out, const struct facts_list *list, size_t max)
{
    for (size_t i = 0; i < list->count && out->len + list->at[i].len + 10 < max; i++)
        wire_strings_add(out, list->at[i]);
}

bool bodies_on_info(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_body_info *info = message;
    struct body *body = body_take(store, ROLE_SMTP, info->body);
    struct wire_body_facts facts = {.err = ERR_LATER};
    AUTO_BUF struct buf from = buf_new(16384), delivered = buf_new(16384);
    if (body) {
        add_list(&from, &body->facts.from, 16384);
        add_list(&delivered, &body->facts.delivered_to, 16384);
        facts = (struct wire_body_facts){.size = body->facts.size,
                                         .hops = body->facts.received_count,
                                         .eightbit = body->eightbit,
                                         .utf8_header = body->utf8_header,
                                         .from = buf_slice(&from),
                                         .delivered_to = buf_slice(&delivered),
                                         .message_id = slice_sub(body->facts.message_id, 0, 2048),
                                         .subject = slice_sub(body->facts.subject, 0, WIRE_TEXT_MAX),
                                         .dkim_hash = body->dkim_hash,
                                         .dkim_names = body->dkim_names,
                                         .dkim_fields = body->dkim_fields};
    }
    wire_reply(link, packet->request, WIRE_BODY_FACTS, false, &facts);
    if (body)
        body_release(body);
    return packet->request != 0;
}

/* ---- life ---- */

void bodies_start(struct store *store)
{
    store->bodies.of[ROLE_SMTP] = idmap_new(STORE_BODIES_MAX);
    store->bodies.of[ROLE_IMAP] = idmap_new(STORE_BODIES_MAX);
    store->bodies.of[ROLE_QUEUE] = idmap_new(STORE_BODIES_MAX);
    store->bodies.orphans = idmap_new(STORE_BODIES_MAX);
}

static void drop_all(struct idmap *map)
{
    size_t at = 0;
    struct body *body;
    while ((body = idmap_next(map, &at, NULL))) {
        body->listed = false;
        body_release(body);
    }
}

void bodies_stop(struct store *store)
{
    struct idmap **maps[] = {&store->bodies.of[ROLE_SMTP], &store->bodies.of[ROLE_IMAP],
                             &store->bodies.of[ROLE_QUEUE], &store->bodies.orphans};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        if (*maps[i]) {
            drop_all(*maps[i]);
            idmap_free(maps[i]);
        }
}

/* Called after the link's epoch has changed. */
void bodies_link_down(struct store *store, enum role role)
{
    struct idmap *old = store->bodies.of[role];
    if (!old)
        return;
    store->bodies.of[role] = idmap_new(STORE_BODIES_MAX);
    size_t at = 0;
    struct body *body;
    while ((body = idmap_next(old, &at, NULL))) {
        bool keep = role == ROLE_SMTP && body->whole && idmap_put(store->bodies.orphans, body->number, body);
        body->used_ms = loop_now_ms(store->loop);
        body->listed = keep;
        if (!keep)
            body_release(body);
    }
    idmap_free(&old);
}

static void expire(struct store *store, struct idmap *map, uint64_t after)
{
    uint64_t now = loop_now_ms(store->loop);
    struct body *old[64]; /* the others with the next tick: nothing may be taken out during the walk */
    size_t count = 0, at = 0;
    struct body *body;
    while (count < ARRAY_LEN(old) && (body = idmap_next(map, &at, NULL)))
        if (body->whole && body->refs == 1 && now - body->used_ms > after)
            old[count++] = body;
    for (size_t i = 0; i < count; i++)
        body_unlist(old[i]);
}

void bodies_tick(struct store *store)
{
    expire(store, store->bodies.orphans, STORE_ORPHAN_MS);
    expire(store, store->bodies.of[ROLE_SMTP], STORE_BODY_IDLE_MS);
    expire(store, store->bodies.of[ROLE_IMAP], STORE_BODY_IDLE_MS);
    expire(store, store->bodies.of[ROLE_QUEUE], STORE_BODY_IDLE_MS);
}
