/* copy_across.c: COPY and MOVE between mailboxes of two accounts. Few messages at a time are read on the
 * strand of the one and written and committed on the strand of the other, each time with the rights as they
 * are then. When one of the steps fails, what was put there before goes again; only when all are there are
 * those of a MOVE taken away. Called by handle_message.c. */
#include "store/copy_across.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/acl.h"
#include "store/alter.h"
#include "store/fetch.h"

#define ACROSS_MAX   2000                /* messages of one COPY: each is written and synced anew */
#define ACROSS_BATCH 32                  /* of one step: fewer than files a crash may leave without a row */
#define ACROSS_BYTES (4u << 20)          /* of facts and text in one step, about */
#define ACROSS_ARENA (64ull << 20)       /* one message's may be large */
#define COPIED_MAX   (WIRE_BLOB_MAX / 2) /* each of the two lists of UIDs in the answer */

struct across_message {
    struct entry entry; /* as it is in the source */
    struct slice header, facts, text;
    uint64_t id; /* in the target, once written */
    struct blob_made made;
};

struct across {
    enum across_phase { ACROSS_READ, ACROSS_WRITE, ACROSS_REMOVE, ACROSS_UNDO } phase;
    struct slot *source, *target;
    struct slice asker;            /* empty where it owns the account */
    char folder[PATHS_FOLDER_MAX]; /* of the source */
    uint64_t mailbox;              /* in the source */
    uint32_t *uids;                /* all that are to be copied */
    size_t count, at;
    bool begun;
    struct arena *arena; /* of the step */
    struct across_message batch[ACROSS_BATCH];
    size_t batched;
    struct slice keywords[IMAGE_KEYWORDS]; /* of the source mailbox; in the step's arena */
    uint64_t to;                           /* the target mailbox */
    uint32_t uidvalidity;
    struct buf source_uids, target_uids;
    enum err err; /* why it is undone */
    struct refusal refusal;
};

static void free_across(void *arg)
{
    struct across *a = arg;
    free(a->uids);
    if (a->arena)
        arena_free(&a->arena);
    buf_free(&a->source_uids);
    buf_free(&a->target_uids);
    slot_release(a->source);
    slot_release(a->target);
}

/* ---- reading, in the source ---- */

static enum err list_uids(struct job *job, struct across *a, const struct mailbox *m)
{
    const struct wire_copy *copy = job->message;
    struct view_walk walk = view_walk(m->view, copy->uids);
    uint64_t index;
    a->begun = true;
    a->uids = mem_alloc(ACROSS_MAX * sizeof *a->uids);
    while (view_walk_next(&walk, &index)) {
        if (a->count == ACROSS_MAX) {
            job->refusal.code = STORE_CODE_LIMIT;
            return err_set(&job->refusal.why, ERR_REFUSED, "at most %d messages at once between accounts",
                           ACROSS_MAX);
        }
        a->uids[a->count++] = view_entry(m->view, index).uid;
    }
    if (!copy->expect || copy->expect == a->count)
        return ERR_OK;
    job->refusal.code = STORE_CODE_EXPUNGEISSUED;
    return err_set(&job->refusal.why, ERR_REFUSED, "some of the messages are gone");
}

static enum err read_text(struct job *job, struct across *a, struct across_message *m)
{
    struct db_rows rows;
    enum err err = db_query(job->account->db, "SELECT text FROM text WHERE id = ?",
                            DB_ARGS(DB_U64(m->entry.message)), &rows, &job->refusal.why);
    if (err)
        return err;
    if (db_next(&rows))
        m->text = arena_dup(a->arena, db_slice(&rows, 0));
    return db_end(&rows, &job->refusal.why);
}

static enum err read_message(struct job *job, struct across *a, struct entry entry)
{
    struct across_message *m = &a->batch[a->batched];
    struct fetch_message found;
    *m = (struct across_message){.entry = entry};
    enum err err = fetch_message_in(job->account, a->arena, entry.message, &found, &job->refusal.why);
    if (err)
        return err;
    m->header = found.header;
    m->facts = found.facts;
    err = read_text(job, a, m);
    a->batched += !err;
    return err;
}

/* What was expunged since the list was made is left out, as it is in an ordinary COPY. */
static enum err read_batch(struct job *job, struct across *a, const struct mailbox *m)
{
    enum err err = ERR_OK;
    size_t bytes = 0;
    if (a->arena)
        arena_free(&a->arena);
    a->arena = arena_new(ACROSS_ARENA);
    a->batched = 0;
    for (unsigned i = 0; i < m->keyword_count; i++)
        a->keywords[i] = arena_dup(a->arena, m->keywords[i]);
    while (!err && a->at < a->count && a->batched < ACROSS_BATCH && bytes < ACROSS_BYTES) {
        uint64_t index = view_find(m->view, a->uids[a->at++]);
        if (index == UINT64_MAX)
            continue;
        err = read_message(job, a, view_entry(m->view, index));
        if (!err)
            bytes += a->batch[a->batched - 1].facts.len + a->batch[a->batched - 1].text.len;
    }
    return err;
}

/* The mailbox with its image and the rights to take from it. */
static struct mailbox *open_source(struct job *job, struct across *a)
{
    const struct wire_copy *copy = job->message;
    struct mailbox *m = NULL;
    uint32_t rights = RIGHT_READ | (copy->move ? RIGHT_DELETED_FLAG | RIGHT_EXPUNGE : 0u);
    job->err = account_view(job->account, a->mailbox, &m, &job->refusal.why);
    return !job->err && job_may(job, m, rights) ? m : NULL;
}

static void read_work(struct job *job, struct across *a)
{
    const struct mailbox *m = open_source(job, a);
    if (!m)
        return;
    if (!a->begun)
        job->err = list_uids(job, a, m);
    if (!job->err)
        job->err = read_batch(job, a, m);
}

/* ---- writing, in the target ---- */

static enum err write_file(struct account *account, const struct across *a, struct across_message *m,
                           struct why *why)
{
    AUTO_FD int fd = -1;
    struct blob_parts parts = {.size = m->entry.size};
    uint64_t id;
    enum err err = blob_open(&account->root, a->folder, m->entry.message, &fd, why);
    if (!err)
        err = blanks_take(account, &id, why);
    if (err)
        return err;
    parts.fd = fd;
    err = blob_write(&account->root, account->folder, id, &parts, &m->made, why);
    m->id = err ? 0 : id;
    return err;
}

static enum err insert_row(struct account *account, const struct across_message *m, struct why *why)
{
    enum err err = db_run(
        account->db, "INSERT INTO message (id, size, date, sum, header, facts) VALUES (?, ?, ?, ?, ?, ?)",
        DB_ARGS(DB_U64(m->id), DB_U64(m->made.size), DB_U64(m->entry.date),
                DB_BLOB(slice_make(m->made.sum, BLOB_SUM_LEN)), DB_BLOB(m->header), DB_BLOB(m->facts)),
        why);
    if (!err && m->text.len)
        err = db_run(account->db, "INSERT INTO text (id, text) VALUES (?, ?)",
                     DB_ARGS(DB_U64(m->id), DB_BLOB(m->text)), why);
    return err;
}

/* Flags there is a right to, keywords by their names. False: too many keywords. */
static bool translate_flags(const struct across *a, struct mailbox *to, uint32_t rights, uint64_t flags,
                            uint64_t *translated)
{
    *translated = flags & IMAGE_SYSTEM_FLAGS & acl_flags(rights);
    for (unsigned i = 0; i < IMAGE_KEYWORDS && rights & RIGHT_WRITE; i++) {
        if (!(flags >> (i + IMAGE_KEYWORD_SHIFT) & 1))
            continue;
        int bit = mailbox_keyword_add(to, a->keywords[i]);
        if (bit < 0)
            return false;
        *translated |= 1ull << (bit + IMAGE_KEYWORD_SHIFT);
    }
    return true;
}

/* One change with all of the step; false: too many keywords. */
static bool make_change(const struct across *a, const struct commit *commit, struct mailbox *to,
                        uint32_t rights, struct change *change, struct buf *packed)
{
    struct entry entries[ACROSS_BATCH];
    for (size_t i = 0; i < a->batched; i++) {
        const struct across_message *m = &a->batch[i];
        entries[i] = (struct entry){.uid = to->uidnext + (uint32_t)i,
                                    .size = (uint32_t)m->made.size,
                                    .date = m->entry.date,
                                    .modseq = commit_next(commit),
                                    .message = m->id};
        if (!translate_flags(a, to, rights, m->entry.flags, &entries[i].flags))
            return false;
        mailbox_count(&change->counts, entries[i].flags, entries[i].size, 1);
    }
    packed_encode(entries, a->batched, packed);
    change->entries = buf_slice(packed);
    return true;
}

static enum err commit_batch(struct account *account, const struct across *a, struct mailbox *to,
                             uint32_t rights, struct refusal *refusal)
{
    struct commit commit;
    struct change change = {.kind = CHANGE_ADD, .saved = (uint32_t)clock_unix_s()};
    AUTO_BUF struct buf packed = buf_new(1u << 20);
    enum err err = commit_begin(&commit, account, &refusal->why);
    if (!err && !make_change(a, &commit, to, rights, &change, &packed)) {
        refusal->code = STORE_CODE_LIMIT;
        err = err_set(&refusal->why, ERR_REFUSED, "too many keywords in the mailbox");
    }
    for (size_t i = 0; !err && i < a->batched; i++)
        err = insert_row(account, &a->batch[i], &refusal->why);
    if (!err)
        err = commit_log(&commit, to, &change, &refusal->why);
    if (!err)
        return commit_end(&commit, &refusal->why);
    commit_abort(&commit);
    return err;
}

static enum err check_room(struct account *account, const struct across *a, const struct mailbox *to,
                           struct refusal *refusal)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < a->batched; i++)
        bytes += a->batch[i].entry.size;
    if (!account_fits(account, a->batched, bytes)) {
        refusal->code = STORE_CODE_OVERQUOTA;
        return err_set(&refusal->why, ERR_REFUSED, "the mailbox is full");
    }
    if (to->uidnext >= UINT32_MAX - ACROSS_BATCH) {
        refusal->code = STORE_CODE_LIMIT;
        return err_set(&refusal->why, ERR_REFUSED, "the mailbox has no more numbers for messages");
    }
    return account_settle(account, &refusal->why);
}

static void note_copied(struct across *a, const struct mailbox *to, uint32_t first)
{
    a->to = to->id;
    a->uidvalidity = to->uidvalidity;
    for (size_t i = 0; i < a->batched; i++) {
        wire_range_add(&a->source_uids, a->batch[i].entry.uid, a->batch[i].entry.uid);
        wire_range_add(&a->target_uids, first + (uint32_t)i, first + (uint32_t)i);
    }
}

static void write_work(struct job *job, struct across *a)
{
    const struct wire_copy *copy = job->message;
    struct mailbox *to = job_mailbox(job, copy->target, RIGHT_INSERT);
    if (!to)
        return;
    if (to->flags & MAILBOX_NOSELECT || (a->to && a->to != to->id)) { /* another one of this name meanwhile */
        job_absent(job);
        return;
    }
    uint32_t first = to->uidnext;
    job->err = check_room(job->account, a, to, &job->refusal);
    for (size_t i = 0; !job->err && i < a->batched; i++)
        job->err = write_file(job->account, a, &a->batch[i], &job->refusal.why);
    if (job->err == ERR_ABSENT)
        job->refusal.code = STORE_CODE_EXPUNGEISSUED;
    if (!job->err)
        job->err = commit_batch(job->account, a, to, job_rights(job, to), &job->refusal);
    for (size_t i = 0; job->err && i < a->batched; i++)
        if (a->batch[i].id)
            account_suspect(job->account, a->batch[i].id);
    if (job->err)
        return;
    job->account->placed += a->batched;
    note_copied(a, to, first);
}

/* ---- taking away ---- */

static void remove_work(struct job *job, struct across *a)
{
    uint32_t count;
    struct mailbox *m = open_source(job, a);
    if (m)
        job->err = alter_remove(job->account, m, buf_slice(&a->source_uids), &count, &job->refusal);
}

/* What cannot be undone is said in the log; the client is told why the command failed. */
static void undo_work(struct job *job, struct across *a)
{
    uint32_t count;
    struct mailbox *m = NULL;
    job->err = account_view(job->account, a->to, &m, &job->refusal.why);
    if (!job->err)
        job->err = alter_remove(job->account, m, buf_slice(&a->target_uids), &count, &job->refusal);
}

/* ---- from step to step ---- */

static void across_work(struct job *job)
{
    static void (*const works[])(struct job * job, struct across * a) = {
        [ACROSS_READ] = read_work,
        [ACROSS_WRITE] = write_work,
        [ACROSS_REMOVE] = remove_work,
        [ACROSS_UNDO] = undo_work,
    };
    struct across *a = job->state;
    works[a->phase](job, a);
}

static void go_on(struct job *job, struct across *a, enum across_phase phase, struct slot *slot)
{
    a->phase = phase;
    job_move(job, slot, slice_eq(a->asker, slot->address) ? SLICE_EMPTY : a->asker);
}

static void reply(struct job *job, const struct across *a)
{
    struct wire_copied copied = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    if (!job->err && a) {
        copied.uidvalidity = a->uidvalidity;
        if (a->source_uids.len <= COPIED_MAX && a->target_uids.len <= COPIED_MAX) {
            copied.source = buf_slice(&a->source_uids);
            copied.target = buf_slice(&a->target_uids);
        }
    }
    wire_reply(job->link, job->request, WIRE_COPIED, false, &copied);
}

static void failed(struct job *job, struct across *a)
{
    if (a->phase == ACROSS_UNDO || !a->target_uids.len) {
        job->err = a->phase == ACROSS_UNDO ? a->err : job->err;
        job->refusal = a->phase == ACROSS_UNDO ? a->refusal : job->refusal;
        reply(job, a);
        return;
    }
    a->err = job->err;
    a->refusal = job->refusal;
    if (!a->refusal.code)
        a->refusal.code = (enum store_code)job_code(job);
    go_on(job, a, ACROSS_UNDO, a->target);
}

static void across_answer(struct job *job)
{
    struct across *a = job->state;
    const struct wire_copy *copy = job->message;
    if (!a) /* answered without a job */
        reply(job, NULL);
    else if (job->err || a->phase == ACROSS_UNDO)
        failed(job, a);
    else if (a->phase == ACROSS_WRITE)
        go_on(job, a, ACROSS_READ, a->source);
    else if (a->phase == ACROSS_READ && a->batched)
        go_on(job, a, ACROSS_WRITE, a->target);
    else if (a->phase == ACROSS_READ && copy->move && a->source_uids.len)
        go_on(job, a, ACROSS_REMOVE, a->source);
    else
        reply(job, a);
}

static const struct job_op across_op = {
    .work = across_work, .answer = across_answer, .absent = STORE_CODE_TRYCREATE};

void copy_across_start(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct watch *watch, struct slot *target)
{
    struct job *job = job_new(store, watch->slot, &across_op, link, packet, 0, 0);
    struct across *a = ARENA_NEW(job->arena, struct across);
    *a = (struct across){.source = watch->slot,
                         .target = target,
                         .asker = arena_dup(job->arena, store->asker),
                         .mailbox = watch->mailbox,
                         .source_uids = buf_new(ALTER_RANGES_MAX),
                         .target_uids = buf_new(ALTER_RANGES_MAX)};
    paths_account(a->source->address, a->folder);
    slot_hold(a->source); /* both stay while messages are on their way */
    slot_hold(a->target);
    arena_defer(job->arena, free_across, a);
    job->state = a;
    job_run(job);
}
