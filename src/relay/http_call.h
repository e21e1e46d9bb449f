/* http_call.h: one request to a web service the administrator has named: its host is looked up, plain HTTP is
 * kept to networks of one's own, the answer is bounded. Called by crowdsec.c, crowdsec_report.c and
 * introspect.c.
 */
#ifndef RELAY_HTTP_CALL_H
#define RELAY_HTTP_CALL_H

#include "base/ipc.h"
#include "grammar/http_url.h"
#include "relay/https.h"

struct http_call;

struct http_peer {
    struct loop *loop;
    struct https *https;
    struct ipc_link *dns;
    struct http_url url; /* lives longer than the call */
};
struct http_question {
    const char *path; /* behind that of the URL */
    const char *header;
    struct slice secret; /* value of the header, visible ASCII; copied */
    struct slice post;   /* empty: a GET. Copied */
    const char *type;    /* of `post`; NULL: application/json */
    size_t max;          /* bytes of the answer */
    uint64_t ms;         /* for everything */
    https_piece *piece;
    https_done *done; /* once, later */
    void *ctx;
};
struct http_call *http_ask(const struct http_peer *peer, const struct http_question *question)
    __attribute__((returns_nonnull));
/* Before `done`: it will not be called. Clears the pointer; takes NULL. */
void http_call_cancel(struct http_call **call);

#endif
