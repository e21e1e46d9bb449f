/* https.h: requests over HTTPS (and, where the caller has reasons, plain HTTP), with libcurl on the role's
 * loop. Addresses are given: curl never resolves a name, opens a file or starts a thread. Called by sts.c and
 * http_call.c.
 */
#ifndef RELAY_HTTPS_H
#define RELAY_HTTPS_H

#include "base/err.h"
#include "base/loop.h"
#include "grammar/netaddr.h"

#define HTTPS_AT_ONCE       32    /* connections; more wait */
#define HTTPS_ADDRESSES_MAX 8     /* of one host that are tried */
#define HTTPS_TIMEOUT_MS    60000 /* of everything (RFC 8461 section 3.3) */
#define HTTPS_TYPE_MAX      128   /* bytes kept of Content-Type */
#define HTTPS_HEADER_MAX    2200  /* bytes of one header line we send */

struct https;
struct https_fetch;

/* `bundle`: PEM certificates that are trusted; may be empty (then every fetch fails). In load(), before
 * confinement: curl and OpenSSL load what they want here. ERR_BAD when the bundle cannot be read. */
enum err https_new(struct loop *loop, struct slice bundle, struct https **https, struct why *why) MUST_CHECK;
/* Reload: another bundle for fetches from now on. */
enum err https_update(struct https *https, struct slice bundle, struct why *why) MUST_CHECK;
/* Running fetches end without an answer. Clears the pointer; takes NULL. */
void https_free(struct https **https);

enum https_outcome {
    HTTPS_OK,     /* status 200 (or another 2xx), body whole */
    HTTPS_FAILED, /* no connection, a time-out, a protocol error */
    HTTPS_TLS,    /* the certificate, or the handshake */
    HTTPS_STATUS, /* another status: redirects are not followed */
    HTTPS_LONG,   /* the body went past the bound */
    HTTPS_UNREAD  /* https_request.piece wanted no more */
};

struct https_answer {
    enum https_outcome outcome;
    unsigned status;         /* 0: none came */
    struct slice type, body; /* valid during the call */
    const char *text;        /* for the log, when not OK; valid during the call */
};
typedef void https_done(void *ctx, const struct https_answer *answer);

/* GET https://HOST:PORT/PATH; `host` is a checked domain name, `count` at least 1. `done` is called once,
 * later. */
struct https_fetch *https_get(struct https *https, struct slice host, uint16_t port,
                              const struct netaddr *addresses, size_t count, struct slice path, size_t max,
                              https_done *done, void *ctx) __attribute__((returns_nonnull));
/* A piece of the body of an answer with status 2xx, as it comes; false ends the transfer. */
typedef bool https_piece(void *ctx, struct slice bytes);

/* Texts are copied. */
struct https_request {
    bool plain;        /* http */
    struct slice host; /* a checked domain name, or an address (as URLs have it: IPv6 in brackets) */
    uint16_t port;
    const struct netaddr *addresses; /* at least one; the one itself where `host` is an address */
    size_t count;
    struct slice path;    /* with its query */
    struct slice headers; /* lines ended by LF, checked by the caller; may be empty */
    bool post;
    struct slice body;  /* where it is a POST */
    const char *type;   /* Content-Type of it; NULL: application/json */
    size_t max;         /* bytes of the answer */
    uint64_t ms;        /* for everything */
    https_piece *piece; /* NULL: the body is gathered and given to `done` */
    https_done *done;
    void *ctx;
};
struct https_fetch *https_send(struct https *https, const struct https_request *request)
    __attribute__((returns_nonnull));

/* Before `done`: it will not be called. Clears the pointer; takes NULL. */
void https_cancel(struct https_fetch **fetch);

#endif
