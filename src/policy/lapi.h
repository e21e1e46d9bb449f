/* lapi.h: what CrowdSec's local API answers, and what it is told: its decisions read from a stream of any
 * length in bounded memory, the token of a login, the texts of a login and of alerts. Pure; used by relay.
 *
 *   answer   = { "deleted": entries, "new": entries }     either may be null or missing
 *   entries  = null / [ *decision ]
 *   decision = { "id": 1, "duration": "3h59m57.006336318s", "scope": "Ip" / "Range" / other, "type": "ban",
 *                "value": address or network, "origin": "crowdsec", "scenario": "crowdsecurity/postfix-spam"
 * }
 *
 * A decision that is about something else than addresses is passed over; an answer that is not of this form
 * is an error as a whole.
 */
#ifndef POLICY_LAPI_H
#define POLICY_LAPI_H

#include "base/buf.h"
#include "base/err.h"
#include "grammar/json_events.h"
#include "grammar/netaddr.h"

#define LAPI_DECISIONS_MAX 1000000u /* in one answer: as many as a list of bans holds */
#define LAPI_SECONDS_MAX   (100ull * 365 * 86400)
#define LAPI_VALUE_MAX     64   /* bytes of an address or network */
#define LAPI_WORD_MAX      32   /* of a type or scope */
#define LAPI_NAME_MAX      128  /* of an origin or scenario; longer ones are cut */
#define LAPI_TOKEN_MAX     2048 /* of a login's token */
/* A wider network is a mistake or an attack: it would shut the door for everybody. */
#define LAPI_V4_BITS_MIN 8
#define LAPI_V6_BITS_MIN 16

struct lapi_decision {
    bool gone; /* from "deleted" */
    uint64_t id;
    uint64_t seconds;               /* from now on, rounded up; 0: over */
    struct netaddr_network network; /* IPv4-mapped addresses are IPv4 */
    /* Visible ASCII without blanks (which became '_', others '?'), never empty ("-"). Valid during the call.
     */
    struct slice type, origin, scenario;
};
typedef void lapi_decision_fn(void *ctx, const struct lapi_decision *decision);

struct lapi_name {
    size_t len;
    char text[LAPI_NAME_MAX];
};

struct lapi_reader {
    struct json_reader json;
    lapi_decision_fn *on_decision;
    void *ctx;
    int section, field; /* of lapi.c */
    bool has_id, has_seconds, simulated;
    uint64_t id, seconds;
    struct lapi_name names[5]; /* scope, type, value, origin, scenario */
    /* What was found. */
    size_t decisions; /* given to on_decision() */
    size_t others;    /* not about addresses, or incomplete */
    size_t wide;      /* of networks past LAPI_V4_BITS_MIN, LAPI_V6_BITS_MIN; not given */
};

void lapi_reader_begin(struct lapi_reader *reader, lapi_decision_fn *on_decision, void *ctx);
/* ERR_BAD: not such an answer, or more than LAPI_DECISIONS_MAX. Decisions are given as they come: whoever
 * wants all or none keeps them until lapi_reader_end() is content. */
enum err lapi_reader_feed(struct lapi_reader *reader, struct slice bytes) MUST_CHECK;
enum err lapi_reader_end(struct lapi_reader *reader) MUST_CHECK;

/* A duration as Go writes it: "3h59m57.006336318s", "-1.01s", "4h", "0s", "1.5µs". Seconds rounded up; 0 for
 * what is not positive; at most LAPI_SECONDS_MAX. */
bool lapi_duration_read(struct slice text, uint64_t *seconds) MUST_CHECK;

/* The answer to a login: {"code":200,"expire":"…","token":"…"}. Only visible ASCII makes a token. */
struct lapi_token {
    size_t len;
    char text[LAPI_TOKEN_MAX];
};
bool lapi_token_read(struct slice answer, struct lapi_token *token) MUST_CHECK;

/* The body of POST /v1/watchers/login. */
void lapi_login_write(struct buf *json, struct slice machine, struct slice password);

struct lapi_alert {
    struct slice scenario, message;
    struct netaddr_network network;
    uint32_t events;
    uint64_t begun, ended; /* seconds of Unix time */
    uint64_t ban_seconds;  /* 0: CrowdSec's own profiles decide; else the decision is ours and only told */
};
/* The body of POST /v1/alerts. */
void lapi_alerts_write(struct buf *json, const struct lapi_alert *alerts, size_t count);

#endif
