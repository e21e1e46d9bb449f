/* tls.h: server-side TLS contexts: several certificates chosen by SNI, the first also for unknown names. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/err.h"
#include "base/slice.h"

struct tls_context;

struct tls_pair {
    struct slice cert_pem; /* the chain, leaf first */
    struct slice key_pem;
    struct slice name; /* for error texts: the certificate's path */
};

/* TLS 1.2 and 1.3, session tickets with keys shared by all connections of the context, no renegotiation,
 * small buffers (SSL_MODE_RELEASE_BUFFERS). An unknown or absent server name gets the first certificate,
 * never an alert (RFC 6066 section 3). The key texts are not kept. ERR_BAD with `why` when a pair does not
 * fit. */
enum err tls_context_new(const struct tls_pair *pairs, size_t count, struct tls_context **context,
                         struct why *why) MUST_CHECK;
/* Counted: streams hold a reference, so a reload does not disturb them. */
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_free(struct tls_context **context);

#endif
