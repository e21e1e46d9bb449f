/* recipient.c: RCPT: where the mail for one address goes, and what is answered. One hash look-up or a few;
 * the store is asked only for accounts with a quota, auth only for addresses that SRS may have made. Called
 * by role.c's dispatch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "policy/dsn.h"
#include "queue/context.h"
#include "settings/metrics.h"

#define SET_FROM   32 /* targets from which on a map finds the ones already there */
#define CHECKS_MAX 1000

/* A question that waits: to the store about a quota, to auth about a rewritten address. */
struct check {
    struct list node; /* in txn->checks */
    struct txn *txn;
    enum role asked;
    uint32_t call, request;
    struct slice address;
    struct directory_route route; /* in the transaction's arena */
    bool rewritten;               /* the address was one that SRS made */
    bool again;                   /* and what is asked now is what it stood for */
    struct wire_queue_rcpt rcpt;
};

struct answer {
    uint32_t code;
    const char *enhanced, *text; /* the address is put in front */
    enum metric_recipient outcome;
};

static const struct answer answers[] = {
    [METRIC_RCPT_LOCAL] = {250, "2.1.5", "recipient ok", METRIC_RCPT_LOCAL},
    [METRIC_RCPT_UNKNOWN] = {550, "5.1.1", "no such user here", METRIC_RCPT_UNKNOWN},
};
static const struct answer answer_invalid = {553, "5.1.3", "not a valid address", METRIC_RCPT_REFUSED};
static const struct answer answer_relay = {550, "5.7.1", "relay access denied", METRIC_RCPT_REFUSED};
static const struct answer answer_forward = {
    550, "5.7.1", "this server does not forward mail to other servers", METRIC_RCPT_REFUSED};
static const struct answer answer_expansion = {
    550, "5.4.6", "aliases of this address lead to too many others", METRIC_RCPT_REFUSED};
static const struct answer answer_many = {452, "4.5.3", "too many recipients", METRIC_RCPT_LATER};
static const struct answer answer_later = {451, "4.3.0", "temporary failure, try again later",
                                           METRIC_RCPT_LATER};
static const struct answer answer_quota = {452, "4.2.2", "the mailbox is full", METRIC_RCPT_LATER};
static const struct answer answer_space = {452, "4.3.1", "out of disk space, try again later",
                                           METRIC_RCPT_LATER};

static void reply(struct txn *txn, uint32_t request, struct slice address, const struct answer *answer)
{
    AUTO_BUF struct buf text = buf_new(WIRE_TEXT_MAX + WIRE_NAME_MAX);
    buf_addf(&text, "<%.*s>: %s", SLICE_ARG(address), answer->text);
    txn_reply(txn, request, answer->code, answer->enhanced, buf_slice(&text));
    metric_add(METRIC_RECIPIENTS, answer->outcome, 1);
}

static bool has_target(const struct txn *txn, struct slice address)
{
    if (txn->target_set)
        return map_get(txn->target_set, address) != NULL;
    for (size_t i = 0; i < txn->targets.len; i++)
        if (slice_eq(VEC_AT(&txn->targets, struct txn_target, i)->address, address))
            return true;
    return false;
}

/* The map's values only say "there"; any pointer does. */
static void index_targets(struct txn *txn, size_t from)
{
    if (!txn->target_set) {
        if (txn->targets.len < SET_FROM)
            return;
        txn->target_set = map_new(QUEUE_TXN_TARGETS + 1);
        from = 0;
    }
    for (size_t i = from; i < txn->targets.len; i++)
        if (!map_put(txn->target_set, VEC_AT(&txn->targets, struct txn_target, i)->address, txn))
            abort(); /* bounded by the vector */
}

/* Another server's address: its domain in lower case, so that one mailbox is one target. */
static struct slice remote_in(struct arena *arena, struct slice address)
{
    struct slice copy = arena_dup(arena, address);
    uint8_t *bytes = (uint8_t *)(uintptr_t)copy.ptr;
    for (size_t i = copy.len; i > 0 && bytes[i - 1] != '@'; i--)
        bytes[i - 1] = ascii_lower(bytes[i - 1]);
    return copy;
}

/* Those from `from` on are no targets after all; the map must not say that they are: a later recipient would
 * be accepted and get nothing. */
static void take_back(struct txn *txn, size_t from)
{
    for (size_t i = from; txn->target_set && i < txn->targets.len; i++)
        (void)map_remove(txn->target_set, VEC_AT(&txn->targets, struct txn_target, i)->address);
    txn->targets.len = from;
}

/* Each mailbox once, whatever number of recipients and aliases lead there. False when there are too many. */
static bool add_targets(struct txn *txn, const struct directory_route *route, uint32_t recipient,
                        bool rewritten)
{
    size_t before = txn->targets.len;
    for (size_t i = 0; i < route->count; i++) {
        bool local = route->targets[i].local;
        struct slice address = local ? arena_dup(txn->arena, route->targets[i].address)
                                     : remote_in(txn->arena, route->targets[i].address);
        if (has_target(txn, address))
            continue;
        struct txn_target *target = vec_push(&txn->targets);
        if (!target) {
            take_back(txn, before);
            return false;
        }
        *target =
            (struct txn_target){.address = address,
                                .local = local,
                                .forwarded = !local && (rewritten || route->outcome == DIRECTORY_DELIVER),
                                .recipient = recipient};
        index_targets(txn, txn->targets.len - 1);
    }
    return true;
}

static bool hears_of_failures(const struct txn *txn, uint32_t recipient)
{
    return dsn_wanted(VEC_AT(&txn->recipients, struct txn_recipient, recipient)->notify, DSN_FAILED);
}

/* A mailbox to which an earlier recipient without NOTIFY=FAILURE led already: its failure is this one's to
 * hear of, or nobody would. */
static void prefer_failures(struct txn *txn, const struct directory_route *route, uint32_t recipient)
{
    if (route->count != 1 || !hears_of_failures(txn, recipient))
        return;
    struct slice address = route->targets[0].address;
    if (!route->targets[0].local)
        address = remote_in(txn->arena, address);
    for (size_t i = 0; i < txn->targets.len; i++) {
        struct txn_target *target = VEC_AT(&txn->targets, struct txn_target, i);
        if (slice_eq(target->address, address) && !hears_of_failures(txn, target->recipient))
            target->recipient = recipient;
    }
}

/* `rewritten`: the address stood for another one, to which the route leads. */
static void accept(struct txn *txn, uint32_t request, const struct wire_queue_rcpt *rcpt,
                   const struct directory_route *route, bool rewritten)
{
    struct txn_recipient *made = NULL;
    uint32_t index = (uint32_t)txn->recipients.len;
    if (arena_used(txn->arena) < QUEUE_TXN_ARENA_MAX / 2)
        made = vec_push(&txn->recipients);
    if (!made || !add_targets(txn, route, index, rewritten)) {
        if (made)
            txn->recipients.len--;
        reply(txn, request, rcpt->address, &answer_many);
        return;
    }
    *made = (struct txn_recipient){.address = arena_dup(txn->arena, rcpt->address),
                                   .orcpt = arena_dup(txn->arena, rcpt->orcpt),
                                   .notify = rcpt->notify};
    prefer_failures(txn, route, index);
    reply(txn, request, rcpt->address, &answers[METRIC_RCPT_LOCAL]);
}

/* ---- questions ---- */

static void end_check(struct check *check)
{
    list_remove(&check->node);
    free(check);
}

void recipient_cancel_checks(struct txn *txn)
{
    LIST_EACH(&txn->checks, node)
    {
        struct check *check = CONTAINER_OF(node, struct check, node);
        ipc_cancel(role_link(txn->q->run, check->asked), check->call);
        end_check(check);
    }
}

/* The packet's texts may be gone when the answer comes. */
static struct check *new_check(struct txn *txn, enum role asked, uint32_t request,
                               const struct wire_queue_rcpt *rcpt)
{
    struct check *check = mem_zero(1, sizeof *check);
    check->txn = txn;
    check->asked = asked;
    check->request = request;
    check->rcpt = *rcpt;
    check->address = check->rcpt.address = arena_dup(txn->arena, rcpt->address);
    check->rcpt.orcpt = arena_dup(txn->arena, rcpt->orcpt);
    list_push_back(&txn->checks, &check->node);
    return check;
}

/* ---- quota ---- */

static void on_quota(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct check *check = ctx;
    struct txn *txn = check->txn;
    struct wire_result result;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    if (err)
        reply(txn, check->request, check->address, &answer_later);
    else if (result.err == ERR_OK)
        accept(txn, check->request, &check->rcpt, &check->route, check->rewritten);
    else
        reply(txn, check->request, check->address, result.err == ERR_REFUSED ? &answer_quota : &answer_later);
    end_check(check);
}

/* The table's accounts may be gone when the store answers. */
static void ask_quota(struct txn *txn, uint32_t request, const struct wire_queue_rcpt *rcpt,
                      const struct directory_route *route, bool rewritten)
{
    struct check *check = new_check(txn, ROLE_STORE, request, rcpt);
    check->rewritten = rewritten;
    check->route = *route;
    check->route.targets = ARENA_NEW(txn->arena, struct directory_target);
    check->route.targets[0] = route->targets[0];
    check->route.targets[0].address = arena_dup(txn->arena, route->targets[0].address);
    const struct wire_quota_check message = {.account = check->route.targets[0].address,
                                             .size = txn->mail.size};
    check->call = wire_call(role_link(txn->q->run, ROLE_STORE), WIRE_QUOTA_CHECK, &message, QUEUE_STORE_MS,
                            on_quota, check);
}

static bool needs_quota_check(const struct txn *txn, const struct directory_route *route)
{
    if (route->count != 1 || !route->targets[0].local)
        return false; /* of several mailboxes a full one does not keep the mail from the others: it waits in
                         the queue */
    const struct directory_account *account =
        directory_account(txn->q->table->table, route->targets[0].address);
    return account && account->quota;
}

/* ---- RCPT ---- */

static const struct answer *judge(const struct txn *txn, const struct directory_route *route, bool rewritten)
{
    switch (route->outcome) {
    case DIRECTORY_DELIVER:
        for (size_t i = 0; !txn->q->settings->queue.forward && i < route->count; i++)
            if (!route->targets[i].local)
                return &answer_forward;
        return &answers[METRIC_RCPT_LOCAL];
    case DIRECTORY_UNKNOWN:
        return &answers[METRIC_RCPT_UNKNOWN];
    case DIRECTORY_REMOTE:
        return txn->submission || rewritten ? &answers[METRIC_RCPT_LOCAL] : &answer_relay;
    case DIRECTORY_TOO_MANY:
        return &answer_expansion;
    case DIRECTORY_INVALID:
        break;
    }
    return &answer_invalid;
}

/* `address`: what the recipient stands for, itself unless `rewritten`. */
static void route_recipient(struct txn *txn, uint32_t request, const struct wire_queue_rcpt *rcpt,
                            struct slice address, bool rewritten)
{
    struct directory_route route = {0};
    directory_route_in(txn->arena, txn->q->table->table, address, false, &route);
    const struct answer *answer = judge(txn, &route, rewritten);
    if (answer->outcome != METRIC_RCPT_LOCAL)
        reply(txn, request, rcpt->address, answer);
    else if (needs_quota_check(txn, &route))
        ask_quota(txn, request, rcpt, &route, rewritten);
    else
        accept(txn, request, rcpt, &route, rewritten);
}

/* ---- addresses made by SRS ---- */

/* A local part in quotes, too: an address literal or a quoted local part inside it wants them. */
static bool may_be_srs(const struct queue *q, struct slice address)
{
    struct slice domain = q->settings->srs.domain;
    if (slice_starts(address, SLICE("\"")))
        address = slice_from(address, 1);
    return domain.len && address.len > domain.len + 5 && slice_istarts(address, SLICE("SRS")) &&
           (address.ptr[3] == '0' || address.ptr[3] == '1') &&
           address.ptr[address.len - domain.len - 1] == '@' &&
           slice_ieq(slice_from(address, address.len - domain.len), domain);
}

static void ask_srs(struct txn *txn, uint32_t request, const struct wire_queue_rcpt *rcpt,
                    struct slice address, bool again);

/* A way round over another server leads from an SRS1 of ours to an SRS0 of ours (policy/srs.h); there is no
 * way round that is longer. */
static void follow(const struct check *check, struct slice original)
{
    static const struct answer round = {550, "5.4.6", "a rewritten address that leads nowhere",
                                        METRIC_RCPT_REFUSED};
    struct txn *txn = check->txn;
    bool more = may_be_srs(txn->q, original);
    if (more && check->again)
        reply(txn, check->request, check->address, &round);
    else if (more)
        ask_srs(txn, check->request, &check->rcpt, original, true);
    else
        route_recipient(txn, check->request, &check->rcpt, original, true);
}

static void on_srs(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct check *check = ctx;
    struct txn *txn = check->txn;
    struct wire_srs_address found;
    err = wire_answer(err, packet, WIRE_SRS_ADDRESS, &found);
    if (!err)
        err = (enum err)found.err;
    if (!err && txn->q->table) {
        follow(check, found.address);
    } else if (err == ERR_ABSENT && txn->q->table) {
        route_recipient(txn, check->request, &check->rcpt, check->rcpt.address, false);
    } else if (err == ERR_REFUSED) {
        char text[WIRE_TEXT_MAX / 2];
        (void)snprintf(text, sizeof text, "no rewritten address of ours: %.*s",
                       (int)(found.text.len < 200 ? found.text.len : 200), (const char *)found.text.ptr);
        const struct answer answer = {550, "5.1.1", text, METRIC_RCPT_UNKNOWN};
        reply(txn, check->request, check->address, &answer);
    } else {
        reply(txn, check->request, check->address, &answer_later);
    }
    end_check(check);
}

static void ask_srs(struct txn *txn, uint32_t request, const struct wire_queue_rcpt *rcpt,
                    struct slice address, bool again)
{
    struct check *check = new_check(txn, ROLE_AUTH, request, rcpt);
    const struct wire_srs message = {.reverse = 1, .address = address};
    check->again = again;
    check->call =
        wire_call(role_link(txn->q->run, ROLE_AUTH), WIRE_SRS, &message, QUEUE_STORE_MS, on_srs, check);
}

bool txn_on_recipient(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_queue_rcpt *m = message;
    struct txn *txn = txn_find(q, m->txn);
    (void)link;
    if (!packet->request)
        return false;
    if (!txn || txn->committing || !q->table) {
        queue_reply(q, packet->request, 451, "4.3.0", "temporary failure, try again later");
        metric_add(METRIC_RECIPIENTS, METRIC_RCPT_LATER, 1);
        return true;
    }
    if (q->space_low) { /* what is queued still goes out, and makes room */
        reply(txn, packet->request, m->address, &answer_space);
        return true;
    }
    if (arena_used(txn->arena) > QUEUE_TXN_ARENA_MAX / 2) {
        reply(txn, packet->request, m->address, &answer_many);
        return true;
    }
    if (may_be_srs(q, m->address))
        ask_srs(txn, packet->request, m, m->address, false);
    else
        route_recipient(txn, packet->request, m, m->address, false);
    return true;
}
