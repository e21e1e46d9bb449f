/* grants.c: the grants of submission sessions, as auth tells them. Trusts auth; the names are looked up for
 * smtp. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "queue/context.h"

struct held {
    struct grant grant; /* also the key */
    enum role holder;
    size_t len;
    char account[];
};

static struct slice key_of(const struct grant *grant)
{
    return slice_make(grant->name, sizeof grant->name);
}

void queue_grants_init(struct queue_grants *grants)
{
    memset(grants, 0, sizeof *grants);
    grants->alive = map_new(QUEUE_GRANTS_MAX);
}

void queue_grants_free(struct queue_grants *grants)
{
    size_t at = 0;
    for (struct held *h; grants->alive && (h = map_next(grants->alive, &at, NULL)) != NULL;)
        free(h);
    map_free(&grants->alive);
}

static void remember_expired(struct queue_grants *grants, const struct grant *grant)
{
    grants->expired[grants->expired_count++ % QUEUE_EXPIRED_MAX] = *grant;
}

static bool drop(struct queue_grants *grants, const struct grant *grant)
{
    struct held *held = map_remove(grants->alive, key_of(grant));
    if (!held)
        return false;
    remember_expired(grants, grant);
    free(held);
    return true;
}

bool queue_grants_on_add(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_grant_add *m = message;
    (void)drop(&q->grants, &m->grant);
    struct held *held = mem_alloc(sizeof *held + m->account.len);
    *held = (struct held){.grant = m->grant, .holder = (enum role)m->holder, .len = m->account.len};
    memcpy(held->account, m->account.ptr, m->account.len);
    enum err err = ERR_OK;
    if (grant_is_none(&m->grant) || !map_put(q->grants.alive, key_of(&held->grant), held)) {
        free(held);
        err = ERR_LATER;
    }
    if (packet->request)
        wire_reply_result(link, packet->request, err, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}

bool queue_grants_on_drop(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_grant_drop *m = message;
    (void)drop(&q->grants, &m->grant);
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}

bool queue_grants_on_replayed(void *ctx, struct ipc_link *link, struct ipc_packet *packet,
                              const void *message)
{
    struct queue *q = ctx;
    (void)message;
    q->grants.replayed = true;
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}

/* The map may not change while it is walked: names are gathered first. */
void queue_grants_forget_holder(struct queue_grants *grants, enum role holder)
{
    struct vec doomed = VEC_NEW(struct grant, QUEUE_GRANTS_MAX);
    size_t at = 0;
    for (struct held *h; (h = map_next(grants->alive, &at, NULL)) != NULL;) {
        struct grant *name = h->holder == holder ? vec_push(&doomed) : NULL;
        if (name)
            *name = h->grant;
    }
    for (size_t i = 0; i < doomed.len; i++)
        (void)drop(grants, VEC_AT(&doomed, struct grant, i));
    vec_free(&doomed);
}

enum err queue_grants_find(const struct queue_grants *grants, const struct grant *grant,
                           struct slice *account)
{
    const struct held *held = map_get(grants->alive, key_of(grant));
    if (held) {
        *account = slice_make(held->account, held->len);
        return ERR_OK;
    }
    size_t known = grants->expired_count < QUEUE_EXPIRED_MAX ? grants->expired_count : QUEUE_EXPIRED_MAX;
    for (size_t i = 0; i < known; i++)
        if (grant_eq(&grants->expired[i], grant))
            return ERR_REFUSED;
    return grants->replayed ? ERR_BAD : ERR_LATER;
}
