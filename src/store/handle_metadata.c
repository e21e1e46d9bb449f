/* handle_metadata.c: GETMETADATA, SETMETADATA and the annotations of LIST: from imap and http, under a grant.
 */
#include <stdio.h>

#include "grammar/imap_list.h"
#include "store/context.h"
#include "store/metadata.h"

#define ROWS_MAX    (METADATA_BYTES_MAX * 2u) /* all values of an account, with names of mailboxes */
#define ROWS_PACKET (WIRE_BLOB_MAX - 1024u)

struct metadata_state {
    struct buf rows;
    uint64_t longest;
};

static void free_rows(void *arg)
{
    buf_free(&((struct metadata_state *)arg)->rows);
}

/* ---- reading ---- */

/* Who runs the server (RFC 5464 section 6.2.1.2): the only shared annotation the server has of its own. */
static void add_admin(struct job *job, struct metadata_state *state)
{
    const struct wire_metadata_get *query = job->message;
    struct slice rest = query->entries, asked;
    char value[300];
    int len = snprintf(value, sizeof value, "mailto:postmaster@%.*s",
                       SLICE_ARG(role_settings(job->store->run)->hostname));
    while (wire_strings_take(&rest, &asked)) {
        bool below = slice_eq(asked, SLICE("/shared")) && query->depth;
        if (!below && !slice_eq(asked, SLICE("/shared/admin")))
            continue;
        if ((uint64_t)len > query->max_size) {
            state->longest = (uint64_t)len > state->longest ? (uint64_t)len : state->longest;
            continue;
        }
        wire_strings_add(&state->rows, SLICE_EMPTY);
        wire_strings_add(&state->rows, SLICE("/shared/admin"));
        wire_strings_add(&state->rows, slice_make(value, (size_t)len));
    }
}

/* The mailbox a name stands for; 0 for the server. */
static bool find_mailbox(struct job *job, struct slice name, uint64_t *id)
{
    *id = 0;
    if (!name.len)
        return true;
    const struct mailbox *m = account_mailbox(job->account, imap_mailbox_canonical_in(job->arena, name, '/'));
    if (m)
        *id = m->id;
    else
        store_fail(&job->err, &job->refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such mailbox");
    return m != NULL;
}

static void get_work(struct job *job)
{
    const struct wire_metadata_get *m = job->message;
    struct metadata_query query = {.depth = m->depth, .max_size = m->max_size, .entries = m->entries};
    if (!m->every && !find_mailbox(job, m->mailbox, &query.mailbox))
        return;
    struct metadata_state *state = ARENA_NEW(job->arena, struct metadata_state);
    state->rows = buf_new(ROWS_MAX);
    arena_defer(job->arena, free_rows, state);
    job->state = state;
    job->err = m->every ? metadata_get_every(job->account, &query, &state->rows, &job->refusal.why)
                        : metadata_get(job->account, &query, m->mailbox, &state->rows, &state->longest,
                                       &job->refusal.why);
    if (!job->err && !buf_ok(&state->rows))
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_LIMIT, "too many annotations");
}

/* As many whole rows as make a packet. */
static struct slice take_packet(struct slice *rest)
{
    struct slice all = *rest, part;
    for (;;) {
        struct slice next = *rest;
        for (int i = 0; i < 3; i++)
            if (!wire_strings_take(&next, &part))
                return slice_sub(all, 0, all.len - rest->len);
        if (all.len - next.len > ROWS_PACKET)
            return slice_sub(all, 0, all.len - rest->len);
        *rest = next;
    }
}

static void get_answer(struct job *job)
{
    struct wire_metadata_rows rows = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    const struct wire_metadata_get *m = job->message;
    struct metadata_state *state = job->state;
    if (!job->err && state && !m->every && !m->mailbox.len)
        add_admin(job, state); /* here: settings belong to the loop */
    struct slice rest = !job->err && state ? buf_slice(&state->rows) : SLICE_EMPTY;
    rows.longest = !job->err && state ? state->longest : 0;
    do {
        rows.rows = take_packet(&rest);
        wire_reply(job->link, job->request, WIRE_METADATA_ROWS, rest.len > 0, &rows);
    } while (rest.len && rows.rows.len);
}

static const struct job_op get_op = {.work = get_work, .answer = get_answer};

/* ---- writing ---- */

/* Shared annotations of the server are the administrator's. */
static bool may_set(struct job *job, struct slice changes)
{
    struct slice entry, value;
    while (wire_strings_take(&changes, &entry) && wire_strings_take(&changes, &value))
        if (slice_starts(entry, SLICE("/shared"))) {
            store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_NOPERM,
                       "shared annotations of the server are set by its administrator");
            return false;
        }
    return true;
}

static void set_work(struct job *job)
{
    const struct wire_metadata_set *m = job->message;
    uint64_t mailbox;
    if (find_mailbox(job, m->mailbox, &mailbox) && (m->mailbox.len || may_set(job, m->changes)))
        job->err = metadata_set(job->account, mailbox, SLICE_EMPTY, m->changes, &job->refusal);
}

static const struct job_op set_op = {.work = set_work, .answer = job_answer_result};

/* ---- handlers ---- */

static bool start(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                  const struct grant *grant, const struct job_op *op)
{
    struct slot *slot;
    if (!packet->request || !store_check_grant(store, link, packet, grant, op, &slot))
        return false;
    if (slot)
        job_start(store, slot, op, link, packet, 0, 0);
    return true;
}

bool metadata_on_get(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_metadata_get *)message)->grant, &get_op);
}

bool metadata_on_set(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start(ctx, link, packet, &((const struct wire_metadata_set *)message)->grant, &set_op);
}
