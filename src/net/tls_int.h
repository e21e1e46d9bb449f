/* tls_int.h: what stream.c needs of a TLS context beyond tls.h. Private to net/: no OpenSSL type leaves it.
 */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

#include <openssl/ssl.h>

#include "net/tls.h"

/* Reads and writes raw bytes for one connection; -1 with errno EAGAIN when it would block, 0 at the end. */
struct tls_wire_ops {
    ssize_t (*read)(void *arg, void *bytes, size_t len);
    ssize_t (*write)(void *arg, const void *bytes, size_t len);
};

/* A server-side session over `ops`; freed with SSL_free(). NULL when memory ran out. */
SSL *tls_session_new(struct tls_context *context, const struct tls_wire_ops *ops, void *arg);
/* The first error of OpenSSL's queue as a constant text; empties the queue. */
const char *tls_error_text(void);

#endif
