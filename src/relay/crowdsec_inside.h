/* crowdsec_inside.h: what crowdsec.c (decisions) and crowdsec_report.c (alerts) share. */
#ifndef RELAY_CROWDSEC_INSIDE_H
#define RELAY_CROWDSEC_INSIDE_H

#include "base/coll.h"
#include "policy/lapi.h"
#include "relay/crowdsec.h"
#include "relay/http_call.h"

struct crowdsec_secret {
    size_t len;
    char text[CROWDSEC_SECRET_MAX];
};

/* Bans on their way to the LAPI. */
struct crowdsec_reports {
    bool on;
    struct crowdsec_secret machine, password;
    struct list waiting;
    size_t count, asked; /* asked: how many of the first the request under way tells of */
    struct lapi_token token;
    bool renewed; /* the token was just made: a refusal is not its age */
    bool told;    /* the log says that they do not get through */
    unsigned failures;
    struct http_call *call;
    struct loop_timer *timer;
};

struct crowdsec {
    struct http_peer peer;
    struct ipc_link *auth;
    const struct settings *settings;
    char url_text[HTTP_URL_MAX];
    uint8_t sum[HASH_SUM_LEN]; /* of all that crowdsec_update() was given */
    bool on, begun, used;      /* used: auth may hold decisions */
    struct crowdsec_secret key;

    struct loop_timer *timer;
    struct http_call *call;
    struct lapi_reader reader;
    struct buf entries; /* wire_strings: of the answer that comes in, or is passed on */
    size_t passed;      /* bytes of them */
    uint32_t request;   /* to auth; 0: none */
    bool full, full_needed;
    uint64_t full_ms, good_ms, away_ms; /* when: asked for everything, answered, went away */
    unsigned failures;
    bool away, connected;
    struct crowdsec_reports reports;
};

void crowdsec_reports_new(struct crowdsec *c);
/* Forgets the token and what is under way; what waits stays where it can still be sent. */
void crowdsec_reports_update(struct crowdsec *c, const struct role_file *machine_file);
void crowdsec_reports_free(struct crowdsec *c);
/* The content without blanks around it; false when there is none or it cannot stand in a header. */
bool crowdsec_secret_read(struct crowdsec_secret *secret, struct slice content) MUST_CHECK;
/* The pause after so many failures in a row. */
uint64_t crowdsec_pause(const struct crowdsec *c, unsigned failures);

#endif
