/* tls_int.h: what stream.c needs of a TLS context beyond tls.h. Private to net/: no OpenSSL type leaves it.
 */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

#include <openssl/ssl.h>

#include "net/tls.h"
#include "net/tls_client.h"

/* Reads and writes raw bytes for one connection; -1 with errno EAGAIN when it would block, 0 at the end. */
struct tls_wire_ops {
    ssize_t (*read)(void *arg, void *bytes, size_t len);
    ssize_t (*write)(void *arg, const void *bytes, size_t len);
};

/* A server-side session over `ops`; freed with SSL_free(). NULL when memory ran out. */
SSL *tls_session_new(struct tls_context *context, const struct tls_wire_ops *ops, void *arg);
/* The kind of BIO that reads and writes through `ops`; one per context. Ends the process when memory ran out.
 */
BIO_METHOD *tls_wire_method_new(void);
/* Gives the session such a BIO; false when memory ran out. */
bool tls_wire_attach(SSL *ssl, const BIO_METHOD *method, const struct tls_wire_ops *ops, void *arg);

/* A client-side session over `ops`; freed with tls_client_session_free(). NULL when memory ran out or the
 * peer's names or TLSA records cannot be used. */
SSL *tls_client_session_new(struct tls_client *client, const struct tls_peer *peer,
                            const struct tls_wire_ops *ops, void *arg);
void tls_client_session_free(SSL *ssl);
/* After a handshake that succeeded. */
struct tls_verdict tls_client_verdict(SSL *ssl);
/* After one that failed: `text` is what OpenSSL or the socket said. The remembered session is forgotten. */
struct tls_verdict tls_client_failure(SSL *ssl, const char *text);

/* The first error of OpenSSL's queue as a constant text; empties the queue. */
const char *tls_error_text(void);

#endif
