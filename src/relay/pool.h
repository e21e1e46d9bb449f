/* pool.h: connections to other servers, kept for a moment for the next message that goes the same way. A job
 * gets an idle connection of its way, or a new one: the way is looked up (resolve.h), hosts and addresses are
 * tried in order (RFC 5321 section 5.1) until one takes the session. How many jobs run at once is queue's
 * decision. Called by job.c.
 */
#ifndef RELAY_POOL_H
#define RELAY_POOL_H

#include "base/coll.h"
#include "relay/client.h"
#include "relay/resolve.h"

#define POOL_KEY_MAX    1200
#define POOL_IDLE_MAX   512     /* idle connections of all ways; the longest idle goes first */
#define POOL_JOBS_MAX   1000    /* of one connection (as RFC 9422's MAILMAX, where the server told none) */
#define POOL_AGE_MAX_MS 300000u /* a connection takes no more jobs after this */
#define POOL_TRIES_MAX  8       /* addresses tried for one job */
#define POOL_SEARCH_MS  600000u /* no further address is tried after this (see client_timeouts.job) */
#define POOL_WAYS_MAX   20000

struct pool;
struct pool_conn;

/* How a job travels. Texts live as long as the job. */
struct pool_way {
    struct slice key; /* jobs with the same key may share connections: at most POOL_KEY_MAX bytes */
    struct resolve_question question;
    struct sasl_login login;
    bool auth_in_clear;
};

/* A message, where it went, and what was seen there. */
struct pool_job {
    struct client_job mail; /* its arena also holds what is below */
    struct pool_way way;
    void (*done)(struct pool_job *job); /* every recipient has an outcome; called from the loop */
    /* found */
    bool reached; /* a session was set up: what failed, if anything, concerns this message */
    bool reused;
    uint32_t lookup_ms, connect_ms;
    struct slice remote, session; /* host spoken to; the connection's id in the log */
    struct netaddr address;
    struct slice tls;
    const char *policy, *tls_result;
    /* the pool's own */
    struct list node;
    struct pool *pool;
    struct pool_conn *conn;
    struct resolve_call *resolving;
    const struct resolve_answer *answer;
    size_t host, at; /* in the answer: where to connect next */
    unsigned tries;
    bool stale;    /* a connection was found dead under it */
    bool in_clear; /* opportunistic TLS failed at this address: once more without */
    uint64_t begun_ms;
};

/* All live longer than the pool, the settings until pool_update(). `tls` is referenced. */
struct pool_setup {
    struct resolve *resolve;
    struct sts *sts;           /* is told what a tested policy would have refused; NULL: nobody is */
    struct identity *identity; /* for the name in EHLO; NULL: settings->hostname */
    struct tls_client *tls;
    const struct settings *settings;
};
struct pool *pool_new(struct loop *loop, const struct pool_setup *setup) __attribute__((returns_nonnull));
/* Reload: connections made under the old settings take no more jobs. */
void pool_update(struct pool *pool, const struct pool_setup *setup);
/* Closes all; jobs are not told. Clears the pointer; takes NULL. */
void pool_free(struct pool **pool);

/* Begins; job->done() is called once, never from inside this. */
void pool_send(struct pool *pool, struct pool_job *job);
/* Nobody waits for it any more: its connection is closed. */
void pool_cancel(struct pool_job *job);
/* Ends idle connections whose key begins so (WIRE_RELAY_FORGET, drain); empty: all. */
void pool_forget(struct pool *pool, struct slice key);

/* For tests and metrics. */
size_t pool_connection_count(const struct pool *pool);
size_t pool_idle_count(const struct pool *pool);

#endif
