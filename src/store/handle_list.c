/* handle_list.c: LIST and STATUS: from imap and http, under a grant. LIST goes through the asker's account
 * and then through all that share with it, one after the other. Called through the role's table. */
#include <stdlib.h>

#include "grammar/imap_list.h"
#include "store/acl.h"
#include "store/context.h"
#include "store/names.h"

#define LIST_ROWS_MAX (64u << 20)
#define LIST_PACKET   (48u * 1024) /* rows in one packet, about */

struct rows_state {
    struct buf rows;
    struct access_walk walk;
    bool walking;
    struct slice *subscribed; /* names below "Other Users" the asker has subscribed, in order; in the arena */
    bool *listed;             /* which of them are there */
    size_t subscribed_count;
    bool others; /* the name above all others' mailboxes is written */
};

static void free_rows(void *arg)
{
    buf_free(&((struct rows_state *)arg)->rows);
}

static struct rows_state *rows_state(struct job *job)
{
    struct rows_state *state = ARENA_NEW(job->arena, struct rows_state);
    state->rows = buf_new(LIST_ROWS_MAX);
    arena_defer(job->arena, free_rows, state);
    job->state = state;
    return state;
}

/* ---- answers ---- */

static void answer_refused(struct job *job)
{
    const struct wire_mbox_rows rows = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    wire_reply(job->link, job->request, WIRE_MBOX_ROWS, false, &rows);
}

/* As many whole rows as make a packet. */
static struct slice take_packet(struct slice *rest)
{
    struct slice all = *rest;
    struct mailbox_row row;
    while (all.len - rest->len < LIST_PACKET && mailbox_row_take(rest, &row))
        ;
    return slice_sub(all, 0, all.len - rest->len);
}

static void answer_rows(struct job *job)
{
    struct slice rest = buf_slice(&((struct rows_state *)job->state)->rows);
    do {
        const struct wire_mbox_rows rows = {.rows = take_packet(&rest)};
        wire_reply(job->link, job->request, WIRE_MBOX_ROWS, rest.len > 0, &rows);
    } while (rest.len);
}

/* ---- the asker's own ---- */

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static bool is_others(struct slice name)
{
    return slice_starts(name, SLICE(MAILBOX_OTHERS "/"));
}

static void take_subscribed(struct job *job, struct rows_state *state)
{
    size_t at = 0;
    const struct subscription *s;
    struct buf names = buf_new(LIST_ROWS_MAX);
    while ((s = map_next(job->account->subscriptions, &at, NULL)))
        if (is_others(s->name)) {
            wire_strings_add(&names, s->name);
            state->subscribed_count++;
        }
    struct slice all =
        names.len <= STORE_REQUEST_ARENA / 4 ? arena_dup(job->arena, buf_slice(&names)) : SLICE_EMPTY;
    buf_free(&names);
    state->subscribed_count = all.len ? state->subscribed_count : 0;
    state->subscribed = ARENA_ARRAY(job->arena, struct slice, state->subscribed_count + 1);
    state->listed = ARENA_ARRAY(job->arena, bool, state->subscribed_count + 1);
    for (size_t i = 0; i < state->subscribed_count && wire_strings_take(&all, &state->subscribed[i]); i++)
        state->listed[i] = false;
    qsort(state->subscribed, state->subscribed_count, sizeof *state->subscribed, by_bytes);
}

/* Whether the asker has subscribed the name; it is there, then. */
static bool mark_subscribed(struct rows_state *state, struct slice name)
{
    const struct slice *found =
        state->subscribed_count
            ? bsearch(&name, state->subscribed, state->subscribed_count, sizeof name, by_bytes)
            : NULL;
    if (found)
        state->listed[found - state->subscribed] = true;
    return found != NULL;
}

/* ---- another's ---- */

static void add_name(struct rows_state *state, struct slice name)
{
    const struct mailbox_row row = {
        .flags = MAILBOX_NOSELECT | (mark_subscribed(state, name) ? MAILBOX_SUBSCRIBED : 0), .name = name};
    mailbox_row_add(&state->rows, &row);
}

/* The names above a mailbox that are not seen themselves: once each, as names only. */
static void add_above(struct job *job, struct slice prefix, struct slice name, struct map *written)
{
    for (size_t at = 1; at < name.len; at++) {
        if (name.ptr[at] != '/')
            continue;
        struct slice above = slice_sub(name, 0, at);
        const struct mailbox *m = account_mailbox(job->account, above);
        if ((m && job_rights(job, m) & RIGHT_LOOKUP) || map_get(written, above) ||
            !map_put(written, above, written))
            continue;
        AUTO_BUF struct buf full = buf_new(2 * WIRE_MAILBOX_MAX);
        buf_add(&full, prefix);
        buf_add(&full, above);
        add_name(job->state, buf_slice(&full));
    }
}

static struct mailbox_row row_for_reader(struct job *job, const struct mailbox *m, struct slice name)
{
    uint32_t rights = job_rights(job, m);
    struct mailbox_row row = mailbox_row_of(m);
    row.rights = rights;
    row.special_use = SPECIAL_NONE; /* of use to its owner only */
    row.name = name;
    if (rights & RIGHT_READ)
        return row;
    return (struct mailbox_row){.flags = row.flags, .rights = rights, .name = name};
}

static void list_others(struct job *job)
{
    struct rows_state *state = job->state;
    AUTO_BUF struct buf prefix = buf_new(WIRE_MAILBOX_MAX), full = buf_new(2 * WIRE_MAILBOX_MAX);
    access_prefix(job->account->address, &prefix);
    struct map *written = map_new(ACCOUNT_MAILBOXES_MAX);
    size_t at = 0, before = state->rows.len;
    const struct mailbox *m;
    while ((m = idmap_next(job->account->by_id, &at, NULL))) {
        if (!(job_rights(job, m) & RIGHT_LOOKUP) || prefix.len + m->name.len > IMAP_MAILBOX_NAME_MAX)
            continue;
        buf_clear(&full);
        buf_add(&full, buf_slice(&prefix));
        buf_add(&full, m->name);
        struct mailbox_row row = row_for_reader(job, m, buf_slice(&full));
        row.flags |= mark_subscribed(state, row.name) ? MAILBOX_SUBSCRIBED : 0;
        add_above(job, buf_slice(&prefix), m->name, written);
        mailbox_row_add(&state->rows, &row);
    }
    map_free(&written);
    if (state->rows.len == before)
        return;
    add_name(state, slice_sub(buf_slice(&prefix), 0, prefix.len - 1));
    if (!state->others)
        add_name(state, SLICE(MAILBOX_OTHERS));
    state->others = true;
}

/* ---- LIST ---- */

static void list_work(struct job *job)
{
    if (job->reader.len) {
        list_others(job);
        return;
    }
    struct rows_state *state = rows_state(job);
    names_list(job->account, &state->rows);
    take_subscribed(job, state);
}

/* What was subscribed and is not (any more) to be seen. */
static void add_unlisted(struct rows_state *state)
{
    for (size_t i = 0; i < state->subscribed_count; i++) {
        const struct mailbox_row row = {.flags = MAILBOX_SUBSCRIBED | MAILBOX_NONEXISTENT,
                                        .name = state->subscribed[i]};
        if (!state->listed[i])
            mailbox_row_add(&state->rows, &row);
    }
}

static void list_answer(struct job *job)
{
    struct rows_state *state = job->state;
    if (!state || (job->err && !job->reader.len)) {
        answer_refused(job);
        return;
    }
    if (!state->walking)
        access_walk_start(&state->walk, job);
    state->walking = true;
    if (access_walk_next(&state->walk, job)) /* what could not be opened is left out */
        return;
    add_unlisted(state);
    answer_rows(job);
}

static const struct job_op list_op = {.work = list_work, .answer = list_answer, .asleep = true};

bool mailbox_on_list(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct slot *slot;
    if (!packet->request ||
        !store_check_grant(ctx, link, packet, &((const struct wire_mbox_list *)message)->grant, &list_op,
                           &slot))
        return false;
    if (slot)
        job_start(ctx, slot, &list_op, link, packet, 0, 0);
    return true;
}

/* ---- STATUS ---- */

static void status_work(struct job *job)
{
    const struct wire_mbox_name *m = job->message;
    const struct mailbox *mailbox = job_mailbox(job, m->name, RIGHT_READ);
    if (!mailbox)
        return;
    if (mailbox->flags & MAILBOX_NOSELECT) {
        job_absent(job);
        return;
    }
    struct mailbox_row row =
        job->reader.len ? row_for_reader(job, mailbox, m->name) : names_row(job->account, mailbox);
    mailbox_row_add(&rows_state(job)->rows, &row);
}

static void status_answer(struct job *job)
{
    if (job->err || !job->state)
        answer_refused(job);
    else
        answer_rows(job);
}

static const struct job_op status_op = {.work = status_work, .answer = status_answer, .asleep = true};

bool mailbox_on_status(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_mbox_name *m = message;
    return store_run_named(ctx, link, packet, &m->grant, m->name, &status_op, job_run_here);
}
