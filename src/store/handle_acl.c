/* handle_acl.c: GETACL, MYRIGHTS, LISTRIGHTS, SETACL, DELETEACL: from imap and http, under a grant. Called
 * through the role's table. */
#include "store/acl.h"
#include "store/context.h"

#define LIST_MAX WIRE_BLOB_MAX

/* Any of these shows that there is a mailbox (RFC 4314 section 4, MYRIGHTS). */
#define RIGHT_KNOWS (RIGHT_LOOKUP | RIGHT_READ | RIGHT_INSERT | RIGHT_CREATE | RIGHT_DELETE | RIGHT_ADMIN)

/* ---- reading ---- */

struct get_state {
    struct slice owner;
    uint32_t rights;
    struct buf entries;
};

static void free_entries(void *arg)
{
    buf_free(&((struct get_state *)arg)->entries);
}

static struct mailbox *find(struct job *job, const struct wire_acl_get *m)
{
    if (!m->own)
        return job_mailbox(job, m->mailbox, RIGHT_ADMIN);
    struct mailbox *mailbox = account_mailbox(job->account, job_name(job, m->mailbox));
    if (mailbox && job_rights(job, mailbox) & RIGHT_KNOWS)
        return mailbox;
    job_absent(job);
    return NULL;
}

static void get_work(struct job *job)
{
    const struct wire_acl_get *m = job->message;
    const struct mailbox *mailbox = find(job, m);
    if (!mailbox)
        return;
    struct get_state *state = ARENA_NEW(job->arena, struct get_state);
    *state = (struct get_state){.owner = arena_dup(job->arena, job->account->address),
                                .rights = job_rights(job, mailbox),
                                .entries = buf_new(LIST_MAX)};
    arena_defer(job->arena, free_entries, state);
    if (!m->own)
        acl_list(mailbox->acl, job->account->address, &state->entries);
    job->state = state;
}

static void get_answer(struct job *job)
{
    struct wire_acl acl = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    const struct get_state *state = job->state;
    if (!job->err && state) {
        acl.rights = state->rights;
        acl.owner = state->owner;
        acl.entries = buf_slice(&state->entries);
    }
    wire_reply(job->link, job->request, WIRE_ACL, false, &acl);
}

static const struct job_op get_op = {.work = get_work, .answer = get_answer};

/* ---- writing ---- */

struct set_state {
    uint64_t mailbox;
    const struct acl *before, *acl; /* as it was, as it is now */
};

/* First everybody who may be given something is written down, then it is given; whom nothing is given any
 * more is taken out last. A crash in between leaves too many in the list of who shares, never too few. */
static void set_work(struct job *job)
{
    const struct wire_acl_set *m = job->message;
    struct mailbox *mailbox = job_mailbox(job, m->mailbox, RIGHT_ADMIN);
    if (!mailbox)
        return;
    struct slice owner = job->account->address;
    const struct acl *before = acl_dup_in(job->arena, mailbox->acl);
    bool gives = !slice_starts(m->identifier, SLICE("-")) && !slice_eq(m->identifier, owner) &&
                 (m->mode == ACL_REPLACE || m->mode == ACL_ADD) && m->rights;
    if (gives && imap_acl_identifier_is_valid(m->identifier))
        job->err = shares_add(job->store->shares, owner, m->identifier, &job->refusal.why);
    if (!job->err)
        job->err =
            acl_set(job->account, mailbox, m->identifier, (enum acl_mode)m->mode, m->rights, &job->refusal);
    if (!job->err && gives)
        overhear_shared(job->account, mailbox, before);
    AUTO_BUF struct buf identifiers = buf_new(SHARES_BYTES_MAX);
    acl_sharers(job->account, &identifiers);
    struct why ignored; /* one too many is put right when the account is opened next */
    (void)!shares_set(job->store->shares, owner, buf_slice(&identifiers), &ignored);
    struct set_state *state = ARENA_NEW(job->arena, struct set_state);
    *state = (struct set_state){mailbox->id, before, acl_dup_in(job->arena, mailbox->acl)};
    job->state = state;
}

static void set_discard(struct job *job)
{
    const struct set_state *state = job->state;
    if (!state)
        return;
    hearsay_rights(job->store, job->slot, state->mailbox, state->before, state->acl);
    watches_tell_rights(job->store, job->slot, state->mailbox, state->acl);
}

/* Sessions that lose the mailbox are told before whoever took it from them is answered. */
static void set_answer(struct job *job)
{
    set_discard(job);
    if (job->request)
        job_answer_result(job);
}

static const struct job_op set_op = {.work = set_work, .answer = set_answer, .discard = set_discard};

/* ---- handlers ---- */

bool acl_on_get(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_acl_get *m = message;
    return store_start_named(ctx, link, packet, &m->grant, m->mailbox, &get_op);
}

bool acl_on_set(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_acl_set *m = message;
    return m->mode <= ACL_DELETE && store_start_named(ctx, link, packet, &m->grant, m->mailbox, &set_op);
}
