/* tls_client.h: the client's side of TLS: whom we call, what their certificate must be, and how it was
 * judged.
 *
 * A struct tls_client belongs to a role: it holds the CA bundle and remembers sessions. stream_connect_tls()
 * makes a stream a TLS client; stream_tls_verdict() says what came of it, also when it failed. */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include "base/err.h"
#include "base/slice.h"

#define TLS_PEER_NAMES_MAX 8
#define TLS_PEER_NAME_MAX  253
#define TLS_PEER_TLSA_MAX  32
#define TLS_SESSIONS_MAX   512 /* remembered of all destinations together, least recently used go first */
#define TLS_BUNDLE_MAX     (16u << 20) /* bytes of a CA bundle */

struct tls_client;
struct stream;

/* `bundle`: PEM certificates that are trusted, the content of a file; may be empty (then nothing verifies by
 * name). `path` is for error texts. TLS 1.2 and 1.3. ERR_BAD with `why` when the bundle holds no
 * certificate. */
enum err tls_client_new(struct slice bundle, struct slice path, struct tls_client **client,
                        struct why *why) MUST_CHECK;
/* Counted: streams hold a reference, so a reload does not disturb them. */
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_free(struct tls_client **client);
/* Certificates in the bundle. */
size_t tls_client_roots(const struct tls_client *client);

/* One TLSA record (RFC 6698). Usages 2 and 3 only (RFC 7672 section 3.1.3); others are not used. */
struct tls_tlsa {
    uint8_t usage, selector, matching;
    struct slice data;
};

enum tls_check {
    TLS_CHECK_NOTHING, /* encrypt; how the certificate would be judged is still told */
    TLS_CHECK_NAME,    /* chain to the CA bundle, and one of `names` */
    TLS_CHECK_DANE     /* one of `tlsa` (RFC 7672); for DANE-TA also one of `names` */
};

/* Whom we call. Everything is copied. */
struct tls_peer {
    enum tls_check check;
    struct slice server_name;  /* SNI; empty: none is sent (address literals) */
    const struct slice *names; /* host names in A-labels (or an address as text) the certificate may be for */
    size_t name_count;         /* at most TLS_PEER_NAMES_MAX */
    const struct tls_tlsa *tlsa;
    size_t tlsa_count; /* at most TLS_PEER_TLSA_MAX */
    /* Where the session is remembered, for instance "host|address|port"; what must be checked is part of the
     * key anyway, so a session made under a laxer check is never resumed under a stricter one. Empty: not at
     * all. */
    struct slice session_key;
};

/* What was wrong, in the terms of TLS reports (RFC 8460 section 4.3). */
enum tls_fault {
    TLS_FAULT_NONE,
    TLS_FAULT_HANDSHAKE, /* no common version or cipher, an alert, garbage, a time-out */
    TLS_FAULT_EXPIRED,   /* or not valid yet */
    TLS_FAULT_NAME,      /* for another host */
    TLS_FAULT_UNTRUSTED, /* no chain to the CA bundle, revoked, self-signed, a purpose that is not a server's
                          */
    TLS_FAULT_TLSA,      /* no TLSA record matches */
    TLS_FAULT_COUNT
};
/* "validation-failure", "certificate-expired", "certificate-host-mismatch", "certificate-not-trusted",
 * "tlsa-invalid"; empty for NONE. */
const char *tls_fault_name(enum tls_fault fault);

enum tls_trust { TLS_TRUST_NONE, TLS_TRUST_CA, TLS_TRUST_DANE_TA, TLS_TRUST_DANE_EE };
/* "untrusted", "verified", "dane-ta", "dane-ee". */
const char *tls_trust_name(enum tls_trust trust);

struct tls_verdict {
    enum tls_trust trust; /* what the certificate proves; NONE with TLS_CHECK_NOTHING is no failure */
    enum tls_fault fault;
    const char *text; /* constant: "self-signed certificate"; empty when all is well */
    bool resumed;
};

/* Client side of a handshake after the pending output is written. False when unread input is there: bytes
 * sent before the handshake in the clear; the caller refuses. `secured` follows when the handshake is done
 * and the certificate as good as `peer` demands; otherwise `ended` with STREAM_TLS (after `ms` at the
 * latest). */
bool stream_connect_tls(struct stream *stream, struct tls_client *client, const struct tls_peer *peer,
                        uint64_t ms) MUST_CHECK;
/* Valid once `secured` or `ended` was called. */
struct tls_verdict stream_tls_verdict(const struct stream *stream);

#endif
