/* access.c: whose mailbox a name stands for, and whether the asker may do it. Input: names of network roles,
 * which may be taken over: what they can reach follows from the account of their grant alone. Called by the
 * handlers, on the loop and on strands. */
#include "base/mem.h"
#include "grammar/imap_list.h"
#include "store/acl.h"
#include "store/context.h"

#define OTHERS_LEN (sizeof MAILBOX_OTHERS) /* with the delimiter */

/* ---- names ---- */

/* A level of a name: an address as it is, but for what would be the delimiter or a wildcard in it. */
static bool is_escaped(uint8_t c)
{
    return c == '/' || c == '*' || c == '%' || c == '=';
}

void access_prefix(struct slice owner, struct buf *out)
{
    buf_add_str(out, MAILBOX_OTHERS "/");
    for (size_t i = 0; i < owner.len; i++) {
        if (is_escaped(owner.ptr[i]))
            buf_addf(out, "=%02X", owner.ptr[i]);
        else
            buf_add_byte(out, owner.ptr[i]);
    }
    buf_add_byte(out, '/');
}

static int hex(uint8_t c)
{
    return ascii_is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Only the spelling access_prefix() gives: one name for one mailbox. */
static bool read_owner(struct slice level, struct buf *owner)
{
    for (size_t i = 0; i < level.len; i++) {
        uint8_t c = level.ptr[i];
        if (c == '=') {
            int high = i + 2 < level.len ? hex(level.ptr[i + 1]) : -1,
                low = high < 0 ? -1 : hex(level.ptr[i + 2]);
            if (low < 0 || !is_escaped((uint8_t)(high << 4 | low)))
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        buf_add_byte(owner, c);
    }
    return owner->len > 0 && buf_ok(owner);
}

bool access_split(struct slice name, struct buf *owner, struct slice *rest)
{
    if (!slice_starts(name, SLICE(MAILBOX_OTHERS "/")))
        return false;
    struct slice level = slice_from(name, OTHERS_LEN);
    ptrdiff_t end = slice_find(level, '/');
    if (end <= 0 || (size_t)end + 1 >= level.len)
        return false;
    *rest = slice_from(level, (size_t)end + 1);
    return read_owner(slice_sub(level, 0, (size_t)end), owner);
}

struct slice job_name(struct job *job, struct slice name)
{
    AUTO_BUF struct buf owner = buf_new(WIRE_NAME_MAX);
    struct slice rest = name;
    if (job->reader.len &&
        (!access_split(name, &owner, &rest) || !slice_eq(buf_slice(&owner), job->account->address)))
        return SLICE_EMPTY; /* of no mailbox here */
    return imap_mailbox_canonical_in(job->arena, rest, '/');
}

/* ---- where a request is worked on ---- */

struct slot *access_slot(struct store *store, struct slot *own, struct slice name, bool *absent)
{
    AUTO_BUF struct buf owner = buf_new(WIRE_NAME_MAX);
    struct slice rest;
    *absent = false;
    if (!access_split(name, &owner, &rest))
        return own;
    *absent = !shares_has(store->shares, buf_slice(&owner), own->address);
    return *absent ? NULL : slot_get(store, buf_slice(&owner));
}

bool store_start_named(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct grant *grant, struct slice name, const struct job_op *op)
{
    return store_run_named(store, link, packet, grant, name, op, job_run);
}

bool store_run_named(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                     const struct grant *grant, struct slice name, const struct job_op *op,
                     void (*start)(struct job *job))
{
    struct slot *own, *slot;
    bool absent;
    if (!packet->request || !store_check_grant(store, link, packet, grant, op, &own))
        return false;
    if (!own)
        return true;
    slot = access_slot(store, own, name, &absent);
    if (slot)
        start(job_new(store, slot, op, link, packet, 0, 0));
    else
        access_refuse(store, link, packet, op, absent);
    return true;
}

void access_refuse(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                   const struct job_op *op, bool absent)
{
    if (absent)
        job_answer_now(store, link, packet, op, ERR_ABSENT, op->absent ? op->absent : STORE_CODE_NONEXISTENT,
                       ACCESS_ABSENT);
    else
        job_answer_now(store, link, packet, op, ERR_LATER, STORE_CODE_UNAVAILABLE,
                       "too much to do, try later");
}

/* ---- rights, on the strand ---- */

uint32_t job_rights(const struct job *job, const struct mailbox *mailbox)
{
    return mailbox->acl || job->reader.len ? acl_rights(mailbox->acl, job->account->address, job->reader)
                                           : RIGHT_ALL;
}

void job_absent(struct job *job)
{
    store_fail(&job->err, &job->refusal, ERR_ABSENT,
               job->op->absent ? job->op->absent : STORE_CODE_NONEXISTENT, ACCESS_ABSENT);
}

/* Who may not even look it up is told what he would be told if there were none. */
bool job_may(struct job *job, const struct mailbox *mailbox, uint32_t rights)
{
    uint32_t has = job_rights(job, mailbox);
    if ((has & rights) == rights)
        return true;
    bool open = job->watch && has & RIGHT_READ; /* who has it open knows that it is there */
    if (has & RIGHT_LOOKUP || open)
        store_fail(&job->err, &job->refusal, ERR_REFUSED, STORE_CODE_NOPERM, "the owner does not allow it");
    else
        job_absent(job);
    return false;
}

struct mailbox *job_mailbox(struct job *job, struct slice name, uint32_t rights)
{
    struct mailbox *m = account_mailbox(job->account, job_name(job, name));
    if (m && job_may(job, m, rights))
        return m;
    if (!m)
        job_absent(job);
    return NULL;
}

bool access_watch(struct job *job)
{
    const struct mailbox *m = account_mailbox_by_id(job->account, job->mailbox);
    return !m || job_may(job, m, RIGHT_READ | job->op->rights); /* a deleted one: work() says so */
}

/* Ids come in the order of the mailbox: the search goes on where the last one was found. */
bool access_holds(const struct job *job, uint64_t message, uint64_t *at)
{
    const struct mailbox *m = account_mailbox_by_id(job->account, job->mailbox);
    uint64_t count = m && m->view ? view_count(m->view) : 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t index = (*at + i) % count;
        if (image_message(&m->view->image->entries[index]) != message)
            continue;
        *at = index;
        return true;
    }
    return false;
}

/* ---- all who share with the asker, one after the other ---- */

void access_walk_start(struct access_walk *walk, struct job *job)
{
    AUTO_BUF struct buf owners = buf_new(SHARES_BYTES_MAX);
    walk->asker = arena_dup(job->arena, job->slot->address);
    shares_owners(job->store->shares, walk->asker, &owners);
    struct slice all = buf_slice(&owners);
    walk->owners = all.len <= ACCESS_OWNERS_MAX ? arena_dup(job->arena, all) : SLICE_EMPTY;
}

bool access_walk_next(struct access_walk *walk, struct job *job)
{
    struct slice owner;
    while (walk->count++ < ACCESS_WALK_MAX && wire_strings_take(&walk->owners, &owner)) {
        struct slot *slot = slot_get(job->store, owner);
        if (!slot)
            continue;
        job_move(job, slot, walk->asker);
        return true;
    }
    return false;
}
