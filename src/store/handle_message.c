/* handle_message.c: what sessions do with the messages of an open mailbox: facts, files, flags, expunge,
 * copy, vanished. From imap and http, under a grant and a watch. Long answers come in pieces; between
 * two pieces others get at the account. */
#include "base/io.h"
#include "store/acl.h"
#include "store/alter.h"
#include "store/blob.h"
#include "store/context.h"
#include "store/copy_across.h"
#include "store/fetch.h"

#define OPEN_AHEAD      (64u << 10)          /* octets of a file the disk may begin with when it is opened */
#define FETCH_ROWS_FULL (40u * 1024)         /* of a reader's rows: then the packet is sent */
#define FETCH_ROOM_FROM 32                   /* for so many messages the packet is made whole */
#define PIECES_AT_ONCE  8                    /* packets of rows made before others get at the account */
#define UIDS_PACKET     (48u * 1024 / 8 * 8) /* bytes of UID pairs in one packet */
#define MODIFIED_MAX    (56u * 1024)
#define COPIED_MAX      (WIRE_BLOB_MAX / 2) /* each of the two lists of a copy */

/* The mailbox of the watch with its image. */
static struct mailbox *open_mailbox(struct job *job)
{
    struct mailbox *mailbox = NULL;
    job->err = account_view(job->account, job->mailbox, &mailbox, &job->refusal.why);
    return job->err ? NULL : mailbox;
}

static void free_buf(void *arg)
{
    buf_free(arg);
}

static struct buf *job_buf(struct job *job, size_t max)
{
    struct buf *b = ARENA_NEW(job->arena, struct buf);
    *b = buf_new(max);
    arena_defer(job->arena, free_buf, b);
    return b;
}

/* ---- facts ---- */

struct facts_state {
    struct slice left; /* ids not answered yet */
    uint64_t at;       /* of the last one in the mailbox: access_holds() */
    struct buf *rows[PIECES_AT_ONCE];
    size_t count;
};

/* A reader gets at the messages of this mailbox; others of the account are as good as gone. */
static enum err rows_for_reader(struct job *job, struct facts_state *state, struct buf *rows)
{
    const uint32_t want = ((const struct wire_facts_get *)job->message)->want;
    enum err err = ERR_OK;
    uint64_t id;
    for (struct slice rest = state->left; !err && rows->len < FETCH_ROWS_FULL && slice_take_le64(&rest, &id);
         state->left = rest) {
        struct slice one = slice_sub(state->left, 0, sizeof id);
        if (access_holds(job, id, &state->at)) {
            err = fetch_rows(job->account, want, &one, rows, &job->refusal.why);
            if (one.len) /* no more room */
                break;
        } else {
            const struct facts_row none = {.message = id};
            facts_row_add(rows, want, &none);
        }
    }
    return err;
}

static void facts_work(struct job *job)
{
    const struct wire_facts_get *m = job->message;
    struct facts_state *state = job->state;
    if (!state) {
        job->state = state = ARENA_NEW(job->arena, struct facts_state);
        state->left = m->messages;
        for (size_t i = 0; i < PIECES_AT_ONCE; i++)
            state->rows[i] = job_buf(job, IPC_BODY_MAX);
    }
    state->count = 0;
    while (!job->err && state->left.len && state->count < PIECES_AT_ONCE) {
        struct buf *rows = state->rows[state->count];
        buf_clear(rows);
        if (state->left.len >= FETCH_ROOM_FROM * sizeof(uint64_t))
            (void)buf_reserve(rows, IPC_BODY_MAX); /* else it grows by copying */
        job->err = job->reader.len ? rows_for_reader(job, state, rows)
                                   : fetch_rows(job->account, m->want, &state->left, rows, &job->refusal.why);
        state->count += rows->len > 0;
        if (!rows->len)
            break;
    }
    job->again = !job->err && state->left.len > 0;
}

static void facts_answer(struct job *job)
{
    const struct facts_state *state = job->state;
    for (size_t i = 0; state && !job->err && i < state->count; i++) {
        bool more = job->again || i + 1 < state->count;
        const struct wire_facts_rows rows = {.rows = buf_slice(state->rows[i])};
        wire_reply(job->link, job->request, WIRE_FACTS_ROWS, more, &rows);
    }
    if (state && !job->err && state->count)
        return;
    const struct wire_facts_rows rows = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    wire_reply(job->link, job->request, WIRE_FACTS_ROWS, false, &rows);
}

static const struct job_op facts_op = {.work = facts_work, .answer = facts_answer};

/* ---- files ---- */

struct open_file {
    struct fetch_message message;
    enum err err;
    int fds[2]; /* the file; facts that are too long for the packet */
};

struct open_state {
    size_t count;
    struct open_file files[WIRE_OPEN_MAX];
};

static void close_files(void *arg)
{
    struct open_state *state = arg;
    for (size_t i = 0; i < state->count; i++) {
        io_close(&state->files[i].fds[0]);
        io_close(&state->files[i].fds[1]);
    }
}

static enum err facts_aside(struct open_file *file, struct why *why)
{
    enum err err = io_memfd("facts", &file->fds[1], why);
    if (!err)
        err = io_write_all(file->fds[1], file->message.facts, why);
    return err ? err : io_seal(file->fds[1], why);
}

/* at: access_holds() */
static void open_one(struct job *job, struct open_file *file, uint64_t id, uint64_t *at)
{
    struct why *why = &job->refusal.why;
    file->fds[0] = file->fds[1] = -1;
    if (job->reader.len && !access_holds(job, id, at))
        file->err = err_set(why, ERR_ABSENT, "the message is gone");
    else
        file->err = fetch_message_in(job->account, job->arena, id, &file->message, why);
    if (!file->err)
        file->err = blob_open(&job->account->root, job->account->folder, id, &file->fds[0], why);
    if (!file->err) /* while the peer still sends those before */
        io_read_ahead(file->fds[0], 0, OPEN_AHEAD);
    if (!file->err && file->message.facts.len > WIRE_BLOB_MAX)
        file->err = facts_aside(file, why);
    if (file->err && file->err != ERR_ABSENT)
        job->err = file->err; /* for the log */
}

void message_open(struct job *job, struct slice ids)
{
    struct open_state *state = ARENA_NEW(job->arena, struct open_state);
    uint64_t id, at = 0;
    arena_defer(job->arena, close_files, state);
    while (state->count < WIRE_OPEN_MAX && slice_take_le64(&ids, &id))
        open_one(job, &state->files[state->count++], id, &at);
    job->state = state;
}

static void answer_file(struct job *job, const struct open_file *file, bool more)
{
    struct wire_body_file answer = {.err = file->err == ERR_INTERNAL ? ERR_LATER : file->err};
    unsigned count = 0;
    if (file->err) {
        answer.code = file->err == ERR_ABSENT ? STORE_CODE_EXPUNGEISSUED : STORE_CODE_UNAVAILABLE;
    } else {
        count = file->fds[1] >= 0 ? 2 : 1;
        answer.size = file->message.size;
        answer.header_len = (uint32_t)file->message.header.len;
        if (count == 1)
            answer.facts = file->message.facts;
    }
    wire_reply_fds(job->link, job->request, WIRE_BODY_FILE, more, &answer, file->fds, count);
}

void message_answer_open(struct job *job)
{
    const struct open_state *state = job->state;
    for (size_t i = 0; state && i < state->count; i++)
        answer_file(job, &state->files[i], i + 1 < state->count);
    if (state && state->count)
        return;
    const struct wire_body_file file = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    wire_reply(job->link, job->request, WIRE_BODY_FILE, false, &file);
}

static void open_work(struct job *job)
{
    message_open(job, ((const struct wire_body_open *)job->message)->messages);
}

static const struct job_op open_op = {.work = open_work, .answer = message_answer_open};

/* ---- flags ---- */

struct flags_state {
    uint64_t modseq;
    bool overtaken;
    struct buf *modified;
};

/* What is named and may not be changed stays as it is; when none of it may, that is refused (RFC 4314 section
 * 4, STORE). */
static bool may_flag(struct job *job, const struct mailbox *mailbox, struct alter_flags *how)
{
    uint32_t rights = job_rights(job, mailbox);
    uint64_t may = acl_flags(rights), named = how->flags;
    how->kept = ~may;
    bool some = named & may || (how->keywords.len && rights & RIGHT_WRITE);
    bool nothing = how->mode != FLAGS_SET && !named && !how->keywords.len;
    if (how->mode == FLAGS_SET ? may != 0 : some || nothing) {
        how->keywords = rights & RIGHT_WRITE ? how->keywords : SLICE_EMPTY;
        return true;
    }
    store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_NOPERM, "the owner does not allow it");
    return false;
}

static void flags_work(struct job *job)
{
    const struct wire_flags_store *m = job->message;
    struct mailbox *mailbox = open_mailbox(job);
    if (!mailbox)
        return;
    struct flags_state *state = ARENA_NEW(job->arena, struct flags_state);
    state->modified = job_buf(job, MODIFIED_MAX);
    struct alter_flags how = {.mode = (enum flags_mode)m->mode,
                              .flags = m->flags,
                              .keywords = m->keywords,
                              .uids = m->uids,
                              .conditional = m->conditional,
                              .unchanged_since = m->unchanged_since,
                              .told = m->told,
                              .overtaken = &state->overtaken};
    if (!may_flag(job, mailbox, &how))
        return;
    job->err = alter_flags(job->account, mailbox, &how, &state->modseq, state->modified, &job->refusal);
    job->state = state;
}

static void flags_answer(struct job *job)
{
    struct wire_flags_stored stored = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    const struct flags_state *state = job->state;
    if (!job->err && state) {
        stored.modseq = state->modseq;
        stored.overtaken = state->overtaken;
        stored.modified = buf_slice(state->modified);
    }
    wire_reply(job->link, job->request, WIRE_FLAGS_STORED, false, &stored);
}

static const struct job_op flags_op = {.work = flags_work, .answer = flags_answer};

/* ---- expunge ---- */

static void expunge_work(struct job *job)
{
    const struct wire_expunge *m = job->message;
    struct mailbox *mailbox = open_mailbox(job);
    if (!mailbox)
        return;
    struct wire_expunged *expunged = ARENA_NEW(job->arena, struct wire_expunged);
    job->err = alter_expunge(job->account, mailbox, m->uids, &expunged->count, &job->refusal);
    expunged->modseq = mailbox->modseq;
    job->state = expunged;
}

static void expunge_answer(struct job *job)
{
    struct wire_expunged expunged = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    if (!job->err && job->state)
        expunged = *(const struct wire_expunged *)job->state;
    wire_reply(job->link, job->request, WIRE_EXPUNGED, false, &expunged);
}

static const struct job_op expunge_op = {
    .work = expunge_work, .answer = expunge_answer, .rights = RIGHT_EXPUNGE};

/* ---- copy and move ---- */

struct copy_state {
    uint32_t uidvalidity;
    struct buf *source, *target;
};

static void copy_work(struct job *job)
{
    const struct wire_copy *m = job->message;
    struct mailbox *from = open_mailbox(job);
    if (!from)
        return;
    struct mailbox *to = job_mailbox(job, m->target, RIGHT_INSERT);
    if (!to || (m->move && !job_may(job, from, RIGHT_DELETED_FLAG | RIGHT_EXPUNGE)))
        return;
    if (to->flags & MAILBOX_NOSELECT) {
        job_absent(job);
        return;
    }
    struct copy_state *state = ARENA_NEW(job->arena, struct copy_state);
    *state = (struct copy_state){.uidvalidity = to->uidvalidity,
                                 .source = job_buf(job, ALTER_RANGES_MAX),
                                 .target = job_buf(job, ALTER_RANGES_MAX)};
    job->err = alter_copy_flags(job->account, from, to, m->uids, m->expect, m->move,
                                acl_flags(job_rights(job, to)), state->source, state->target, &job->refusal);
    job->state = state;
}

/* Lists too long for the packet are left out: COPYUID is a SHOULD (RFC 4315 section 3). */
static void copy_answer(struct job *job)
{
    struct wire_copied copied = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    const struct copy_state *state = job->state;
    if (!job->err && state) {
        copied.uidvalidity = state->uidvalidity;
        if (state->source->len <= COPIED_MAX && state->target->len <= COPIED_MAX) {
            copied.source = buf_slice(state->source);
            copied.target = buf_slice(state->target);
        }
    }
    wire_reply(job->link, job->request, WIRE_COPIED, false, &copied);
}

static const struct job_op copy_op = {
    .work = copy_work, .answer = copy_answer, .absent = STORE_CODE_TRYCREATE};

/* ---- lists of UIDs, in packets ---- */

static struct slice take_uids(struct slice *rest)
{
    struct slice piece = slice_sub(*rest, 0, UIDS_PACKET);
    *rest = slice_from(*rest, piece.len);
    return piece;
}

/* ---- vanished ---- */

static void vanished_work(struct job *job)
{
    const struct wire_vanished_get *m = job->message;
    struct mailbox *mailbox = open_mailbox(job);
    if (!mailbox)
        return;
    struct buf *uids = job_buf(job, ALTER_RANGES_MAX);
    job->err = fetch_vanished(job->account, mailbox, m->modseq, uids, &job->refusal.why);
    job->state = uids;
}

static void vanished_answer(struct job *job)
{
    struct wire_vanished vanished = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    struct slice rest = !job->err && job->state ? buf_slice(job->state) : SLICE_EMPTY;
    do {
        vanished.uids = take_uids(&rest);
        wire_reply(job->link, job->request, WIRE_VANISHED, rest.len > 0, &vanished);
    } while (rest.len);
}

static const struct job_op vanished_op = {.work = vanished_work, .answer = vanished_answer};

/* ---- handlers ---- */

bool message_start(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                   const struct grant *grant, uint64_t id, const struct job_op *op)
{
    struct watch *w;
    if (!packet->request || !store_check_watch(store, link, packet, grant, id, op, &w))
        return false;
    if (w)
        job_start(store, w->slot, op, link, packet, w->id, w->mailbox);
    return true;
}

bool message_uids_are_sane(struct slice uids)
{
    uint32_t first, last, before = 0;
    while (wire_range_take(&uids, &first, &last)) {
        if (first <= before || last < first)
            return false;
        before = last;
    }
    return uids.len == 0;
}

bool message_on_facts(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_facts_get *m = message;
    return m->messages.len % 8 == 0 && !(m->want & ~(uint32_t)FACTS_WANT_ALL) &&
           message_start(ctx, link, packet, &m->grant, m->watch, &facts_op);
}

bool message_on_open(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_body_open *m = message;
    return m->messages.len && m->messages.len % 8 == 0 &&
           message_start(ctx, link, packet, &m->grant, m->watch, &open_op);
}

bool message_on_flags(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_flags_store *m = message;
    return m->mode <= FLAGS_REMOVE && message_uids_are_sane(m->uids) &&
           message_start(ctx, link, packet, &m->grant, m->watch, &flags_op);
}

bool message_on_expunge(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_expunge *m = message;
    return message_uids_are_sane(m->uids) &&
           message_start(ctx, link, packet, &m->grant, m->watch, &expunge_op);
}

bool message_on_copy(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_copy *m = message;
    struct store *store = ctx;
    struct watch *w;
    bool absent = false;
    if (!packet->request || !message_uids_are_sane(m->uids) ||
        !store_check_watch(store, link, packet, &m->grant, m->watch, &copy_op, &w))
        return false;
    if (!w)
        return true;
    struct slot *own = slot_get(store, store->asker);
    struct slot *target = own ? access_slot(store, own, m->target, &absent) : NULL;
    if (!target)
        access_refuse(store, link, packet, &copy_op, absent);
    else if (target == w->slot)
        job_start(store, target, &copy_op, link, packet, w->id, w->mailbox);
    else
        copy_across_start(store, link, packet, w, target);
    return true;
}

bool message_on_vanished(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_vanished_get *m = message;
    return message_start(ctx, link, packet, &m->grant, m->watch, &vanished_op);
}
