/* resolve.h: where to connect, and how securely: from a domain or a configured relay to a list of hosts with
 * addresses, each with what TLS must be. Asks the dns role and sts.c; nobody waits. Called by pool.c, role.c
 * and test_login.c.
 *
 * What is known of a domain is kept for the time its records say (bounded) and shared by all who ask at once.
 * The order among equal preferences is drawn anew for every call.
 */
#ifndef RELAY_RESOLVE_H
#define RELAY_RESOLVE_H

#include "base/arena.h"
#include "base/ipc.h"
#include "grammar/netaddr.h"
#include "relay/client.h"
#include "settings/settings.h"

#define RESOLVE_DOMAINS_MAX 10000 /* kept */
#define RESOLVE_CALLS_MAX   20000 /* unanswered */

struct resolve;
struct resolve_call;
struct sts;
struct identity;

/* `sts` NULL: no MTA-STS; `identity` NULL: only the settings say who we are. All but `settings` live longer
 * than the resolve; the settings until resolve_update(). */
struct resolve *resolve_new(struct loop *loop, struct ipc_link *dns, const struct settings *settings,
                            struct sts *sts, struct identity *identity) __attribute__((returns_nonnull));
/* Reload: new settings; what was known is forgotten. */
void resolve_update(struct resolve *resolve, const struct settings *settings);
/* Calls that wait are not answered any more. Clears the pointer; takes NULL. */
void resolve_free(struct resolve **resolve);
/* WIRE_RELAY_FORGET: what is known of this domain (empty: of all) is asked anew. */
void resolve_forget(struct resolve *resolve, struct slice domain);
/* Domains known, for tests and metrics. */
size_t resolve_count(const struct resolve *resolve);

struct resolve_question {
    struct slice name; /* A-labels or an address literal ("192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]") */
    uint16_t port;
    bool mx;         /* ask for MX; else the host itself */
    bool direct;     /* a recipient's domain: null MX, our own hosts, private addresses, DANE and MTA-STS */
    bool requiretls; /* RFC 8689: no host without a verified certificate */
    enum settings_relay_tls tls; /* the least */
};
/* The question for mail to a domain. */
struct resolve_question resolve_question_direct(const struct settings *settings, struct slice domain,
                                                bool requiretls);
/* For a configured relay: host as written, with or without brackets. */
struct resolve_question resolve_question_relay(const struct settings_relay *relay);
/* For a line of a relay map. */
struct resolve_question resolve_question_map(struct slice host, uint16_t port, bool no_mx,
                                             enum settings_relay_tls tls);

/* One host, as client.h's target wants it. */
struct resolve_host {
    struct slice name;               /* of the MX or relay; the address as text for a literal */
    const struct netaddr *addresses; /* with port; IPv6 and IPv4 take turns, IPv6 first */
    size_t address_count;
    enum client_tls level;
    struct tls_peer peer; /* without session_key: that is the connection's */
    const char *policy;   /* wire_relay_sent.policy: "dane", "sts", "relay", "opportunistic", "none" */
    /* An MTA-STS policy that is being tested holds for this host: it binds nobody, but what it would have
     * refused is to be told. `peer.names` is then what the certificate should be for. */
    bool sts_testing;
    bool sts_unnamed; /* the host is none the policy names */
};

enum resolve_outcome { RESOLVE_FOUND, RESOLVE_TEMPORARY, RESOLVE_PERMANENT };

struct resolve_answer {
    enum resolve_outcome outcome;
    const struct resolve_host *hosts; /* best first */
    size_t host_count;
    const char *enhanced;   /* "5.1.10"; why it is not FOUND */
    struct slice text;      /* printable ASCII */
    const char *policy;     /* when not FOUND: what asked for too much, as in a host; "none" otherwise */
    const char *tls_result; /* RFC 8460 section 4.3, when a TLS policy is why; else empty */
};

/* `done` is called once, from the loop, never from inside this. The answer and all in it live in `arena`. */
typedef void resolve_done(void *ctx, const struct resolve_answer *answer);
struct resolve_call *resolve_begin(struct resolve *resolve, const struct resolve_question *question,
                                   struct arena *arena, resolve_done *done, void *ctx)
    __attribute__((returns_nonnull));
/* Before `done`: it will not be called. Clears the pointer; takes NULL. Calls that were answered are gone. */
void resolve_cancel(struct resolve_call **call);

#endif
