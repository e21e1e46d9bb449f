/* http_request.h: the head of one HTTP/1.x request (RFC 9110, RFC 9112). Strict: what could be read in two
 * ways is refused. Pure. */
#ifndef GRAMMAR_HTTP_REQUEST_H
#define GRAMMAR_HTTP_REQUEST_H

#include "base/slice.h"

#define HTTP_HEAD_MAX   8192 /* request line and header fields with the empty line */
#define HTTP_FIELDS_MAX 100

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER_METHOD };

enum http_state {
    HTTP_MORE, /* no whole head yet */
    HTTP_DONE,
    HTTP_BAD,       /* 400; the connection is of no more use */
    HTTP_TOO_LARGE, /* 431; the same */
    HTTP_NO_VERSION /* 505; the same */
};

struct http_request {
    enum http_method method;
    struct slice target;      /* as sent */
    struct slice path, query; /* the target cut at "?"; not decoded */
    bool keep_alive;          /* the client would send another request (RFC 9112 section 9.3) */
    bool chunked;             /* a body in transfer coding follows; its length is not known */
    uint64_t body_len;        /* Content-Length, or 0 */
};

/* `input` is all that came so far. On DONE the slices point into it, and `*consumed` is the length of the
 * head. */
enum http_state http_request_parse(struct slice input, struct http_request *request,
                                   size_t *consumed) MUST_CHECK;

#endif
