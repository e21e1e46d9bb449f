/* handle_metadata.c: GETMETADATA, SETMETADATA and the annotations of LIST: from imap and http, under a grant.
 */
#include <stdio.h>

#include "store/acl.h"
#include "store/context.h"
#include "store/metadata.h"
#include "store/names.h"

#define ROWS_MAX    (METADATA_BYTES_MAX * 2u) /* all values of an account, with names of mailboxes */
#define ROWS_PACKET (WIRE_BLOB_MAX - 1024u)

struct metadata_state {
    struct buf rows;
    uint64_t longest;
    struct access_walk walk;
    bool walking;
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

/* The mailbox a name stands for; 0 for the server, whose annotations are everybody's own. */
static bool find_mailbox(struct job *job, struct slice name, uint32_t rights, uint64_t *id)
{
    *id = 0;
    const struct mailbox *m = name.len ? job_mailbox(job, name, rights) : NULL;
    if (m)
        *id = m->id;
    return !name.len || m;
}

/* Those of all mailboxes of another that the asker may read, under the names it knows. */
static enum err get_others(struct job *job, struct metadata_query *query, struct buf *rows)
{
    AUTO_BUF struct buf full = buf_new(2 * WIRE_MAILBOX_MAX);
    enum err err = ERR_OK;
    size_t at = 0;
    const struct mailbox *m;
    while (!err && (m = idmap_next(job->account->by_id, &at, NULL))) {
        if ((~job_rights(job, m) & (RIGHT_LOOKUP | RIGHT_READ)))
            continue;
        uint64_t longest = 0;
        buf_clear(&full);
        access_prefix(job->account->address, &full);
        buf_add(&full, m->name);
        query->mailbox = m->id;
        err = metadata_get(job->account, query, buf_slice(&full), rows, &longest, &job->refusal.why);
    }
    return err;
}

static enum err get_rows(struct job *job, struct metadata_query *query, struct metadata_state *state)
{
    const struct wire_metadata_get *m = job->message;
    if (!m->every)
        return metadata_get(job->account, query, m->mailbox, &state->rows, &state->longest,
                            &job->refusal.why);
    return job->reader.len ? get_others(job, query, &state->rows)
                           : metadata_get_every(job->account, query, &state->rows, &job->refusal.why);
}

static void get_work(struct job *job)
{
    const struct wire_metadata_get *m = job->message;
    struct metadata_query query = {
        .who = job->reader, .depth = m->depth, .max_size = m->max_size, .entries = m->entries};
    if (!m->every && !find_mailbox(job, m->mailbox, RIGHT_LOOKUP | RIGHT_READ, &query.mailbox))
        return;
    struct metadata_state *state = job->state;
    if (!state) {
        job->state = state = ARENA_NEW(job->arena, struct metadata_state);
        state->rows = buf_new(ROWS_MAX);
        arena_defer(job->arena, free_rows, state);
    }
    job->err = get_rows(job, &query, state);
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

/* Of all mailboxes: on to the next account that shares with the asker. */
static bool goes_on(struct job *job)
{
    const struct wire_metadata_get *m = job->message;
    struct metadata_state *state = job->state;
    if (!m || !m->every || !state || (job->err && !job->reader.len))
        return false;
    if (!state->walking)
        access_walk_start(&state->walk, job);
    state->walking = true;
    job->err = ERR_OK; /* what cannot be read of another's is left out */
    return access_walk_next(&state->walk, job);
}

static void get_answer(struct job *job)
{
    if (goes_on(job))
        return;
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

/* Shared ones are changed by who may change flags, private ones by who may read (RFC 5464 section 3.3). */
static uint32_t rights_to_set(struct slice changes)
{
    struct slice entry, value;
    uint32_t rights = RIGHT_LOOKUP | RIGHT_READ;
    while (wire_strings_take(&changes, &entry) && wire_strings_take(&changes, &value))
        rights |= slice_starts(entry, SLICE("/shared")) ? RIGHT_WRITE : 0;
    return rights;
}

/* Whom the mailbox is shared with hears of what is everybody's. */
static void overhear_changes(struct job *job, const struct mailbox *m, struct slice changes)
{
    AUTO_BUF struct buf entries = buf_new(WIRE_BLOB_MAX);
    struct slice entry, value;
    while (wire_strings_take(&changes, &entry) && wire_strings_take(&changes, &value))
        if (slice_starts(entry, SLICE("/shared")))
            wire_strings_add(&entries, entry);
    if (entries.len)
        overhear_metadata(job->account, m, buf_slice(&entries));
}

/* Those who listen to the account are told the names (RFC 5465 sections 5.6 and 5.7). */
static void hear_changes(struct job *job, uint64_t mailbox, struct slice changes)
{
    const struct mailbox *m = mailbox ? account_mailbox_by_id(job->account, mailbox) : NULL;
    if (m && account_is_overheard(job->account))
        overhear_changes(job, m, changes);
    if (!job->account->listeners)
        return;
    AUTO_BUF struct buf entries = buf_new(WIRE_BLOB_MAX);
    struct slice entry, value;
    while (wire_strings_take(&changes, &entry) && wire_strings_take(&changes, &value))
        if (!job->reader.len || slice_starts(entry, SLICE("/shared"))) /* private ones of others are theirs */
            wire_strings_add(&entries, entry);
    if (!entries.len)
        return;
    struct event_row row = {.what = MAILBOX_EVENT_METADATA, .entries = buf_slice(&entries)};
    if (m)
        row.row = names_row(job->account, m);
    account_hear(job->account, &row);
}

static void set_work(struct job *job)
{
    const struct wire_metadata_set *m = job->message;
    uint64_t mailbox;
    if (find_mailbox(job, m->mailbox, rights_to_set(m->changes), &mailbox) &&
        (m->mailbox.len || may_set(job, m->changes)))
        job->err = metadata_set(job->account, mailbox, job->reader, m->changes, &job->refusal);
    else
        return;
    if (!job->err)
        hear_changes(job, mailbox, m->changes);
}

static const struct job_op set_op = {.work = set_work, .answer = job_answer_result};

/* ---- handlers ---- */

bool metadata_on_get(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_metadata_get *m = message;
    return store_start_named(ctx, link, packet, &m->grant, m->every ? SLICE_EMPTY : m->mailbox, &get_op);
}

bool metadata_on_set(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_metadata_set *m = message;
    return store_start_named(ctx, link, packet, &m->grant, m->mailbox, &set_op);
}
