/* cmd_fetch.c: FETCH and UID FETCH: the flow (RFC 9051 section 6.4.5, RFC 7162 sections 3.1.4 and 3.2.6).
 *
 * What the image holds is written at once. Facts are asked for a batch of messages at a time, two batches
 * under way; rows come in order. Files are asked for a few at a time, and written in order. A FETCH that sets
 * \Seen sets it for the next messages before their files are asked for. Everything pauses while the output is
 * full. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/fetch.h"
#include "imap/fetch_section.h"
#include "imap/savedate.h"
#include "imap/vanished.h"
#include "wire/facts_row.h"

static void advance(struct session *s);

static struct fetch *fetch_of(struct session *s)
{
    return s->run->state;
}

static const struct imap_fetch *items_of(const struct session *s)
{
    return &s->run->command.fetch.items;
}

static void slot_free(struct fetch_slot *slot)
{
    io_close(&slot->fd);
    free(slot->facts);
    slot->facts = NULL;
}

static void fetch_free(void *arg)
{
    struct fetch *f = arg;
    for (size_t i = 0; i < f->waiting; i++)
        slot_free(&f->slots[(f->first + i) % FETCH_OPENS]);
    free(f->queue);
    buf_free(&f->scratch);
}

static void finish(struct session *s)
{
    const struct fetch *f = fetch_of(s);
    if (f->some_failed)
        imap_session_done(s, "NO [UNAVAILABLE] Some messages could not be read now");
    else if (f->unknown_cte)
        imap_session_done(s, "NO [UNKNOWN-CTE] The transfer encoding of some part cannot be undone");
    else if (f->some_gone)
        imap_session_done(s, "NO [EXPUNGEISSUED] Some messages were expunged meanwhile");
    else
        imap_session_done(s, "OK Fetch completed");
}

/* ---- messages ---- */

static size_t batch_size(const struct fetch *f)
{
    uint64_t average = f->messages ? f->written / f->messages + 1 : FETCH_BATCH_SIZE / 32;
    uint64_t fit = FETCH_BATCH_SIZE / average;
    return fit < 8 ? 8 : fit > FETCH_BATCH ? FETCH_BATCH : (size_t)fit;
}

/* False when there is no further message. */
static bool next_message(struct session *s, struct imap_message *m)
{
    const struct imap_fetch *items = items_of(s);
    struct fetch *f = fetch_of(s);
    while (imap_view_next(&f->walk, m)) {
        if (!items->has_changed_since)
            return true;
        if (imap_view_state(&s->selected->view, m->index).modseq > items->changed_since)
            return true;
    }
    return false;
}

/* Up to `want` messages into `to`; fewer only at the end. */
static size_t next_messages(struct session *s, struct imap_message *to, size_t want)
{
    struct fetch *f = fetch_of(s);
    size_t count = 0;
    while (count < want && next_message(s, &to[count]))
        count++;
    f->ended = count < want;
    return count;
}

/* Into the queue of those whose files are to be asked for. */
static struct imap_message *queue_room(struct fetch *f, size_t want)
{
    if (f->queue_at == f->queue_count)
        f->queue_at = f->queue_count = 0;
    if (f->queue_count + want > f->queue_cap) {
        f->queue_cap = f->queue_count + want;
        f->queue = mem_realloc(f->queue, f->queue_cap * sizeof *f->queue);
    }
    return f->queue + f->queue_count;
}

/* Counts what one response took. */
static bool write_one(struct session *s, struct fetch_message *m)
{
    struct fetch *f = fetch_of(s);
    size_t before = stream_pending(s->stream);
    if (!imap_fetch_write(s, m))
        return false;
    f->messages++;
    if (!s->closing && stream_pending(s->stream) > before)
        f->written += stream_pending(s->stream) - before;
    return true;
}

/* ---- \Seen ---- */

static void on_seen(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_flags_stored stored;
    fetch_of(s)->marking = false;
    err = wire_answer(err, packet, WIRE_FLAGS_STORED, &stored);
    bool unseen = !err && stored.code == STORE_CODE_NOPERM; /* read all the same (RFC 4314 section 4) */
    if (err || (stored.err && !unseen)) {
        imap_session_refused(s, err ? err : stored.err, stored.code, stored.text);
        return;
    }
    if (!unseen)
        imap_view_own(&s->selected->view, stored.modseq);
    advance(s);
}

/* Sets \Seen on the queued messages that lack it: goes on in on_seen(). */
static void mark_seen(struct session *s)
{
    struct fetch *f = fetch_of(s);
    AUTO_BUF struct buf pairs = buf_new(WIRE_BLOB_MAX);
    f->flags_too = false;
    if (!items_of(s)->marks_seen || s->selected->read_only)
        return;
    for (size_t i = f->queue_at; i < f->queue_count; i++) {
        uint64_t flags = imap_view_state(&s->selected->view, f->queue[i].index).flags;
        if (!(flags & (IMAGE_SEEN | IMAGE_EXPUNGED)))
            wire_range_add(&pairs, f->queue[i].uid, f->queue[i].uid);
    }
    if (pairs.len == 0)
        return;
    f->flags_too = f->marking = true;
    const struct wire_flags_store store = {.grant = s->grant,
                                           .watch = s->selected->mailbox->watch,
                                           .mode = FLAGS_ADD,
                                           .flags = IMAGE_SEEN,
                                           .uids = buf_slice(&pairs)};
    imap_session_ask(s, ROLE_STORE, WIRE_FLAGS_STORE, &store, on_seen);
}

/* ---- from the image ---- */

static bool write_from_image(struct session *s)
{
    struct fetch_message m = {.fd = -1};
    while (!imap_session_is_full(s)) {
        if (!next_message(s, &m.message))
            return true;
        (void)!imap_fetch_write(s, &m); /* needs nothing that could lack */
    }
    return false;
}

/* ---- facts ---- */

/* The row of the next message of the batch. What it lacks is in the file. */
static void write_row(struct session *s, struct fetch_batch *batch, const struct facts_row *row)
{
    struct fetch *f = fetch_of(s);
    struct fetch_message m = {.message = batch->messages[batch->rows++], .fd = -1, .block = row->header};
    if (image_message(imap_view_entry(&s->selected->view, m.message.index)) != row->message) {
        f->some_failed = true;
        return;
    }
    if (!row->found) {
        f->some_gone = true;
        return;
    }
    m.has_facts = !row->large;
    m.facts.flags = row->front.flags;
    m.facts.envelope = row->front.envelope;
    m.facts.body = row->front.body;
    m.facts.bodystructure = row->front.bodystructure;
    m.facts.headers = row->front.headers;
    m.facts.preview = row->front.preview;
    m.thread = row->thread;
    if (write_one(s, &m))
        return;
    *queue_room(f, 1) = m.message;
    f->queue_count++;
}

static void on_rows(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    struct fetch *f = fetch_of(s);
    struct fetch_batch *batch = arg;
    struct wire_facts_rows rows;
    struct facts_row row;
    err = wire_answer(err, packet, WIRE_FACTS_ROWS, &rows);
    if (err || rows.err) {
        imap_session_refused(s, err ? err : rows.err, rows.code, rows.text);
        return;
    }
    while (!s->closing && batch->rows < batch->count && facts_row_take(&rows.rows, f->want, &row))
        write_row(s, batch, &row);
    if (packet->more || s->closing)
        return;
    f->some_failed = f->some_failed || batch->rows < batch->count;
    batch->waits = false;
    advance(s);
}

static void ask_facts(struct session *s, struct fetch_batch *batch)
{
    struct fetch *f = fetch_of(s);
    AUTO_BUF struct buf ids = buf_new(WIRE_BLOB_MAX);
    if (!batch->messages)
        batch->messages = ARENA_ARRAY(s->run->arena, struct imap_message, FETCH_BATCH);
    batch->count = next_messages(s, batch->messages, batch_size(f));
    batch->rows = 0;
    if (batch->count == 0)
        return;
    for (size_t i = 0; i < batch->count; i++)
        buf_add_le64(&ids, image_message(imap_view_entry(&s->selected->view, batch->messages[i].index)));
    const struct wire_facts_get get = {.grant = s->grant,
                                       .watch = s->selected->mailbox->watch,
                                       .want = f->want,
                                       .messages = buf_slice(&ids)};
    batch->waits = imap_session_call(s, ROLE_STORE, WIRE_FACTS_GET, &get, on_rows, batch);
    f->some_failed = f->some_failed || !batch->waits;
}

/* Keeps batches under way; true when all rows are written. */
static bool move_facts(struct session *s)
{
    struct fetch *f = fetch_of(s);
    bool waits = false;
    for (size_t i = 0; i < FETCH_BATCHES; i++) {
        struct fetch_batch *batch = &f->batches[i];
        if (!batch->waits && !f->ended && !imap_session_is_full(s))
            ask_facts(s, batch);
        waits = waits || batch->waits;
    }
    return f->ended && !waits;
}

/* ---- files ---- */

static void take_file(struct fetch *f, struct fetch_slot *slot, struct wire_body_file *file,
                      struct ipc_packet *packet)
{
    slot->waits = false;
    slot->failed = true;
    if (!file || file->err) {
        bool gone = file && (file->err == ERR_ABSENT || file->code == STORE_CODE_EXPUNGEISSUED);
        f->some_gone = f->some_gone || gone;
        f->some_failed = f->some_failed || !gone;
        return;
    }
    slot->fd = ipc_take_fd(packet, 0);
    slot->size = file->size;
    slot->block_len = file->header_len;
    slot->failed = slot->fd < 0 || !fetch_take_facts(file->facts, packet->fd_count > 1 ? packet->fds[1] : -1,
                                                     &slot->facts, &slot->facts_len);
    f->some_failed = f->some_failed || slot->failed;
}

/* The last answer ends the request, whatever is missing. */
static void on_file(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    struct fetch *f = fetch_of(s);
    struct fetch_open *open = arg;
    struct wire_body_file file;
    err = wire_answer(err, packet, WIRE_BODY_FILE, &file);
    bool more = !err && packet->more;
    for (bool first = true; open->left > 0 && (first || !more); first = false, open->left--)
        take_file(f, &f->slots[open->slot++ % FETCH_OPENS], first && !err ? &file : NULL, packet);
    if (!more || f->slots[f->first].fd >= 0)
        advance(s);
}

/* Asks for the files of the next messages of the queue, many at once as long as there are many. */
static bool open_some(struct session *s)
{
    struct fetch *f = fetch_of(s);
    size_t left = f->queue_count - f->queue_at, free_slots = FETCH_OPENS - f->waiting;
    size_t count = left < WIRE_OPEN_MAX ? left : WIRE_OPEN_MAX;
    if (f->marking || count == 0 || count > free_slots)
        return false;
    AUTO_BUF struct buf ids = buf_new((size_t)WIRE_OPEN_MAX * 8);
    struct fetch_open *open = &f->opens[f->open_at++ % FETCH_OPENS];
    *open = (struct fetch_open){.slot = (f->first + f->waiting) % FETCH_OPENS, .left = count};
    for (size_t i = 0; i < count; i++) {
        struct imap_message message = f->queue[f->queue_at++];
        f->slots[(f->first + f->waiting++) % FETCH_OPENS] =
            (struct fetch_slot){.message = message, .waits = true, .fd = -1, .flags_too = f->flags_too};
        buf_add_le64(&ids, image_message(imap_view_entry(&s->selected->view, message.index)));
    }
    const struct wire_body_open get = {
        .grant = s->grant, .watch = s->selected->mailbox->watch, .messages = buf_slice(&ids)};
    if (imap_session_call(s, ROLE_STORE, WIRE_BODY_OPEN, &get, on_file, open))
        return true;
    for (; open->left > 0; open->left--)
        take_file(f, &f->slots[open->slot++ % FETCH_OPENS], NULL, NULL);
    return true;
}

static void write_slot(struct session *s, struct fetch_slot *slot)
{
    struct fetch *f = fetch_of(s);
    struct arena *arena AUTO_ARENA = arena_new(IMAP_RUN_ARENA);
    struct fetch_message m = {.message = slot->message,
                              .fd = slot->fd,
                              .size = slot->size,
                              .block_len = slot->block_len,
                              .flags_too = slot->flags_too};
    struct why why;
    m.has_facts = facts_decode_in(arena, slice_make(slot->facts, slot->facts_len), &m.facts, &why) == ERR_OK;
    if (!m.has_facts)
        log_error("imap.facts", LOG_CSTR("session", s->caller.id), LOG_U64("uid", m.message.uid),
                  LOG_WHY(&why));
    if (!write_one(s, &m))
        f->some_failed = true;
}

/* Asks for the files of the queue and writes what came, in order. True when the queue is empty and all is
 * written. */
static bool move_files(struct session *s)
{
    struct fetch *f = fetch_of(s);
    for (;;) {
        while (open_some(s))
            ;
        if (f->waiting == 0)
            return f->queue_at == f->queue_count;
        struct fetch_slot *slot = &f->slots[f->first];
        if (slot->waits || imap_session_is_full(s))
            return false;
        if (!slot->failed)
            write_slot(s, slot);
        if (s->closing)
            return false;
        slot_free(slot);
        f->first = (f->first + 1) % FETCH_OPENS;
        f->waiting--;
    }
}

/* ---- the flow ---- */

/* Keeps the queue of files filled; true when every message is written. */
static bool move_queue(struct session *s)
{
    struct fetch *f = fetch_of(s);
    for (;;) {
        if (!f->marking && !f->ended && f->queue_at == f->queue_count) {
            f->queue_count += next_messages(s, queue_room(f, FETCH_MARKED), FETCH_MARKED);
            mark_seen(s);
        }
        if (!move_files(s))
            return false;
        if (f->ended)
            return true;
    }
}

static void advance(struct session *s)
{
    struct fetch *f = fetch_of(s);
    bool done = false;
    s->run->resume = advance;
    switch (f->need) {
    case NEED_IMAGE:
        done = write_from_image(s);
        break;
    case NEED_FACTS:
        done = move_facts(s); /* may queue some for whom the facts at hand do not suffice */
        done = move_files(s) && done;
        break;
    case NEED_FILE:
        done = move_queue(s);
        break;
    }
    if (done && !s->closing)
        finish(s);
}

/* The UIDs asked for, "*" being any that was ever used: what is gone may have been the last (RFC 7162 section
 * 3.2.6). */
static struct imap_set *asked_in(struct arena *arena, const struct imap_set *set)
{
    struct imap_set *asked = ARENA_NEW(arena, struct imap_set);
    struct slice ranges = arena_dup(arena, slice_make(set->ranges, set->count * sizeof *set->ranges));
    *asked = (struct imap_set){.ranges = (struct imap_range *)(uintptr_t)ranges.ptr, .count = set->count};
    imap_set_normalise(asked, UINT32_MAX);
    return asked;
}

static void begin(struct session *s)
{
    const struct fetch *f = fetch_of(s);
    if (f->vanished)
        imap_vanished_ask(s, s->run->command.fetch.items.changed_since, f->vanished, advance);
    else
        advance(s);
}

void imap_cmd_fetch(struct session *s)
{
    struct run *run = s->run;
    struct imap_command *c = &run->command;
    enum fetch_need need;
    if (imap_fetch_needs(s, &c->fetch.items, &need) != ERR_OK) {
        imap_session_done(s, "BAD Unknown FETCH item");
        return;
    }
    if (c->fetch.items.has_partial && !imap_capability_has(s, CAP_PARTIAL)) {
        imap_session_done(s, "BAD Unknown FETCH modifier");
        return;
    }
    if (c->fetch.items.vanished && !s->qresync) {
        imap_session_done(s, "BAD QRESYNC was not enabled");
        return;
    }
    if (c->fetch.items.simple & IMAP_FETCH_MODSEQ)
        imap_session_use_condstore(s);
    struct imap_set *asked = c->fetch.items.vanished ? asked_in(run->arena, &c->fetch.set) : NULL;
    if (!imap_session_resolve(s, &c->fetch.set))
        return;
    struct fetch *f = ARENA_NEW(run->arena, struct fetch);
    f->need = need == NEED_FACTS && c->fetch.items.marks_seen ? NEED_FILE : need;
    f->want = imap_fetch_wants(&c->fetch.items);
    f->names = imap_fetch_names_in(run->arena, &c->fetch.items);
    f->scratch = buf_new(FETCH_HEADER_MAX + 2);
    f->walk = imap_view_walk(&s->selected->view, &c->fetch.set, c->uid);
    arena_defer(run->arena, fetch_free, f);
    run->state = f;
    f->vanished = asked;
    if (c->fetch.items.simple & IMAP_FETCH_SAVEDATE)
        imap_savedate_ask(s, &f->saved, begin);
    else
        begin(s);
}
