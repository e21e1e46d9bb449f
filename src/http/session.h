/* session.h: the inside of the http role: its context, one connection, the pages. */
#ifndef HTTP_SESSION_H
#define HTTP_SESSION_H

#include "base/arena.h"
#include "base/coll.h"
#include "grammar/http_request.h"
#include "net/service.h"
#include "role/role.h"
#include "settings/metrics.h"

#define HTTP_REQUEST_MS   10000u /* for a whole head, however slowly it drips */
#define HTTP_IDLE_MS      60000u /* between two requests */
#define HTTP_PAGE_MAX     (4u << 20)
#define HTTP_REQUESTS_MAX 10000u /* of one connection */

struct http_page {
    unsigned status;
    const char *type;
    struct buf body;
};

/* The role's one context. */
struct http {
    struct loop *loop;
    struct role_run *run; /* NULL in unit tests */
    const struct settings *settings;
    struct service service;
    /* The counters of a role, or NULL: role_metrics(), or a test's own. */
    const struct metric_block *(*metrics)(struct http *http, enum role role);
};

/* pages.c: fills `page` (its body is a new buffer). */
void http_page_serve(struct http *http, const struct http_request *request, struct http_page *page);

/* session.c */
void http_session_begin(struct http *http, struct stream *stream, const struct listener_arrival *arrival);
void http_sessions_end(struct http *http);

/* role.c */
struct http *http_new(struct loop *loop, const struct settings *settings);
void http_free(struct http *http);

#endif
