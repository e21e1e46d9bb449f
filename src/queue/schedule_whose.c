/* schedule_whose.c: whose mail it is: what waits at a destination stands there in two classes, by sender, so
 * that senders have their turns. Trusts our own rows. Called by schedule.c and deliver.c.
 */
#include "queue/schedule_parts.h"

#include <stdlib.h>
#include <string.h>

#include "grammar/address.h"

#define SENDER_ALWAYS    20 /* messages of one sender that have room though others fill the memory */
#define LETTERS_IN_A_ROW 8  /* then one piece of mass mail */
#define CLASS_ROWS       20 /* a message for more recipients is mass mail */
#define CLASS_BYTES      1000000

/* The account, else the domain of the envelope sender. */
static struct slice sender_name(struct slice account, struct slice sender)
{
    if (account.len)
        return account;
    return address_domain_of(sender);
}

static struct slice sender_key(const struct sender *sender)
{
    return slice_make(sender->name, sender->len);
}

static struct sender *sender_of(struct schedule *s, struct slice name)
{
    struct sender *sender = map_get(s->senders, name);
    if (sender)
        return sender;
    sender = mem_zero(1, sizeof *sender + name.len);
    sender->len = name.len;
    if (name.len)
        memcpy(sender->name, name.ptr, name.len);
    if (!map_put(s->senders, sender_key(sender), sender))
        abort(); /* bounded by the messages in memory */
    return sender;
}

static void release_sender(struct schedule *s, struct sender *sender)
{
    if (sender->messages || sender->flows)
        return;
    (void)map_remove(s->senders, sender_key(sender));
    free(sender);
}

static struct slice flow_key_of(const struct flow_key *key)
{
    return slice_make(key, sizeof *key);
}

static struct flow *flow_of(struct schedule *s, struct destination *to, struct sender *sender, unsigned rank)
{
    const struct flow_key key = {.to = to, .sender = sender, .rank = rank};
    struct flow *flow = map_get(s->flows, flow_key_of(&key));
    if (flow)
        return flow;
    flow = mem_zero(1, sizeof *flow);
    flow->key = key;
    list_init(&flow->groups);
    if (!map_put(s->flows, flow_key_of(&flow->key), flow))
        abort(); /* bounded by the rows in memory */
    sender->flows++;
    list_push_back(&to->flows[rank], &flow->node);
    return flow;
}

void schedule_free_flow(struct schedule *s, struct flow *flow)
{
    (void)map_remove(s->flows, flow_key_of(&flow->key));
    list_remove(&flow->node);
    flow->key.sender->flows--;
    release_sender(s, flow->key.sender);
    free(flow);
}

void schedule_free_group(struct group *group)
{
    list_remove(&group->node);
    vec_free(&group->rows);
    free(group);
}

unsigned schedule_class(uint32_t rows, uint64_t size)
{
    return rows > CLASS_ROWS || size > CLASS_BYTES ? 1 : 0;
}

bool schedule_has_swept(const struct queue *q)
{
    return q->schedule->swept;
}

bool schedule_has_room(const struct queue *q, struct slice account, struct slice sender)
{
    if (!q->schedule->swept)
        return false; /* what is claimed now would be taken for an earlier process's */
    if (q->active_count < QUEUE_ACTIVE_MAX / 2)
        return true;
    const struct sender *known = map_get(q->schedule->senders, sender_name(account, sender));
    return q->active_count < QUEUE_ACTIVE_MAX && (!known || known->messages < SENDER_ALWAYS);
}

void schedule_enter(struct queued *message)
{
    struct sender *sender = sender_of(message->q->schedule, sender_name(message->account, message->sender));
    sender->messages++;
    message->from = sender;
}

void schedule_leave(struct queued *message)
{
    struct sender *sender = message->from;
    if (!sender)
        return;
    message->from = NULL;
    sender->messages--;
    release_sender(message->q->schedule, sender);
    schedule_feed(message->q->schedule);
}

/* The group of this message at `to` for rows with this envelope sender; rows of one message are placed
 * together, so it is the last one of its flow. */
struct group *schedule_group(struct schedule *s, struct queued *message, struct destination *to,
                             struct slice sender, bool seven_bit)
{
    struct flow *flow = flow_of(s, to, message->from, schedule_class(message->all, message->size));
    struct list *last = flow->groups.prev;
    struct group *group = last == &flow->groups ? NULL : CONTAINER_OF(last, struct group, node);
    if (group && group->message == message && group->seven_bit == seven_bit &&
        slice_eq(group->sender, sender))
        return group;
    group = mem_zero(1, sizeof *group);
    group->message = message;
    group->sender = sender;
    group->seven_bit = seven_bit;
    group->rows = VEC_NEW(struct queued_row *, QUEUE_TXN_TARGETS);
    list_push_back(&flow->groups, &group->node);
    to->waiting++;
    return group;
}

struct flow *schedule_pick_flow(struct destination *d)
{
    bool letters = !list_empty(&d->flows[0]), mass = !list_empty(&d->flows[1]);
    unsigned rank = mass && (!letters || d->letters >= LETTERS_IN_A_ROW) ? 1 : 0;
    d->letters = rank ? 0 : d->letters + 1;
    return CONTAINER_OF(d->flows[rank].next, struct flow, node);
}
