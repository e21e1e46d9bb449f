/* resolve_int.h: the inside of resolve.h: what is known of a domain (resolve_lookup.c and dane.c find it
 * out), who waits for it (resolve.c), what follows for a message (resolve_answer.c). */
#ifndef RELAY_RESOLVE_INT_H
#define RELAY_RESOLVE_INT_H

#include "base/coll.h"
#include "policy/mta_sts.h"
#include "policy/mx.h"
#include "policy/tlsa.h"
#include "relay/identity.h"
#include "relay/resolve.h"
#include "relay/resolve_dns.h"
#include "relay/sts.h"

#define RESOLVE_TTL_MIN_S    5
#define RESOLVE_TTL_MAX_S    1800
#define RESOLVE_TTL_FAILED_S 20   /* what DNS did not tell is asked again soon */
#define RESOLVE_PATIENCE_MS  3000 /* for the other family's addresses when one is there */
#define RESOLVE_TICK_MS      500
/* Of one domain: a stranger may publish TLSA records as large as an answer may be for each of its hosts. */
#define RESOLVE_ARENA ((1u << 20) + MX_HOSTS_MAX * WIRE_BLOB_MAX)

/* The questions of direct mail (with DANE), of a relay by MX, and of a host by itself are kept apart. */
enum known_kind { KNOWN_DIRECT = 'd', KNOWN_MX = 'm', KNOWN_HOST = 'h' };

struct known;

struct known_host {
    struct known *known;
    struct mx_host mx;
    struct netaddr *addresses; /* without port; room for both families */
    size_t address_count;
    uint32_t requests[2];  /* AAAA, A; 0: answered */
    bool answered[2];      /* with or without address */
    bool failed;           /* one of them got no answer */
    bool secure, insecure; /* of the answers with addresses */
    bool done;

    struct slice canonical; /* behind CNAMEs, when secure */
    struct slice tlsa_base; /* whose TLSA records were found */
    struct tlsa_set tlsa;
    bool tlsa_failed; /* DNS gave no answer about them: not to be used now (RFC 7672 section 2.1.1) */
    uint32_t tlsa_request;
    bool tlsa_original; /* asked for the name before CNAMEs */
};

struct known {
    struct list node; /* least recently used first */
    struct list busy; /* in resolve->busy while questions are out */
    bool orphan;      /* a newer one has its place; freed with the last call that reads it */
    struct resolve *resolve;
    struct slice key; /* owned; kind, then name */
    struct slice name;
    struct list calls;
    size_t refs; /* calls that have it and are not answered yet */

    bool is_busy, stale;
    uint64_t begun_ms, expires_ms;
    uint32_t ttl_s, mx_request;
    size_t left; /* hosts not done */

    struct arena *arena; /* of all below */
    enum mx_verdict verdict;
    bool mx_secure;
    struct known_host *hosts;
    size_t host_count;
};

struct resolve {
    struct loop *loop;
    struct ipc_link *dns;
    const struct settings *settings;
    struct sts *sts;
    struct identity *identity;
    struct map *known;
    struct list used, busy;
    struct list ready;   /* calls to be answered in the next turn */
    struct list waiting; /* calls that only lack the MTA-STS policy */
    struct loop_timer *tick, *turn;
    size_t calls;
};

struct resolve_call {
    struct list node; /* in the known's calls, or in resolve->waiting or ->ready */
    struct resolve *resolve;
    struct known *known; /* NULL: a literal, or `refusal` */
    struct resolve_question question;
    struct arena *arena;
    resolve_done *done;
    void *ctx;
    bool known_ready, sts_ready;
    struct sts_call *sts_call;
    struct sts_policy policy; /* copied to the arena; mode none: none */
    const char *sts_failure;
    const char *refusal; /* too many at once */
};

/* ---- resolve_lookup.c ---- */
/* Asks everything about `known`; resolve_known_ready() follows, later or at once. */
void resolve_lookup_begin(struct known *known);
void resolve_lookup_cancel(struct known *known);
/* Every RESOLVE_TICK_MS while something is out. */
void resolve_lookup_tick(struct known *known, uint64_t now_ms);
/* A host has all its answers. */
void resolve_lookup_host_done(struct known_host *host);
void resolve_lookup_ttl(struct known *known, const struct dns_reply *reply);

/* ---- dane.c ---- */
/* Asks for the host's TLSA records; resolve_lookup_host_done() follows. False: nothing to ask. */
bool dane_begin(struct known_host *host);
void dane_cancel(struct known_host *host);

/* ---- resolve.c ---- */
void resolve_known_ready(struct known *known);

/* ---- resolve_answer.c ---- */
/* Composes the answer in the call's arena. */
const struct resolve_answer *resolve_answer_make(struct resolve_call *call);

#endif
