/* crowdsec_call.h: one request to the LAPI: its host is looked up, plain HTTP is kept to networks of one's
 * own, the answer is bounded. Called by crowdsec.c and crowdsec_report.c.
 */
#ifndef RELAY_CROWDSEC_CALL_H
#define RELAY_CROWDSEC_CALL_H

#include "base/ipc.h"
#include "grammar/http_url.h"
#include "relay/https.h"

struct crowdsec_call;

struct crowdsec_peer {
    struct loop *loop;
    struct https *https;
    struct ipc_link *dns;
    struct http_url url; /* lives longer than the call */
};
struct crowdsec_question {
    const char *path; /* behind that of the URL */
    const char *header;
    struct slice secret; /* value of the header, visible ASCII; copied */
    struct slice post;   /* JSON; empty: a GET. Copied */
    size_t max;          /* bytes of the answer */
    https_piece *piece;
    https_done *done; /* once, later */
    void *ctx;
};
struct crowdsec_call *crowdsec_ask(const struct crowdsec_peer *peer, const struct crowdsec_question *question)
    __attribute__((returns_nonnull));
/* Before `done`: it will not be called. Clears the pointer; takes NULL. */
void crowdsec_call_cancel(struct crowdsec_call **call);

#endif
