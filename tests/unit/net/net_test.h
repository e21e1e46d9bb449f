/* net_test.h: what the tests of net/ share: a self-made certificate, a TLS client, a loop with an end. */
#ifndef TESTS_NET_TEST_H
#define TESTS_NET_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/coll.h"
#include "base/loop.h"
#include "base/mem.h"
#include "net/stream.h"

#define TEST_PATIENCE_MS 10000 /* a test that waits longer is broken */

struct pem {
    char *cert, *key;
};

static inline char *bio_text(BIO *bio)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = mem_dup(bytes, (size_t)len);
    BIO_free(bio);
    return text;
}

/* A self-signed certificate; as a CA it may sign others. */
static inline struct pem make_cert_of(const char *host, bool ca)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_non_null(key);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_version(cert, 2);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0);
    X509_set_issuer_name(cert, name);
    char san[200];
    (void)snprintf(san, sizeof san, "DNS:%s", host);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    ext = ca ? X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE") : NULL;
    if (ext)
        X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(c, cert);
    PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
    return (struct pem){bio_text(c), bio_text(k)};
}

static inline struct pem make_cert(const char *host)
{
    return make_cert_of(host, false);
}

static inline void free_cert(struct pem *pem)
{
    free(pem->cert);
    free(pem->key);
}

static inline struct tls_context *make_context(const struct pem *pems, size_t count)
{
    struct tls_pair pairs[4];
    struct tls_context *context = NULL;
    struct why why = {""};
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct tls_pair){slice_of(pems[i].cert), slice_of(pems[i].key), SLICE("test.pem")};
    assert_int_equal(tls_context_new(pairs, count, &context, &why), ERR_OK);
    return context;
}

static inline void stop_loop(void *arg)
{
    loop_stop(arg);
}

/* Runs the loop for at most `ms`; callbacks may stop it. */
static inline void run_for(struct loop *loop, uint64_t ms)
{
    struct loop_timer *timer = loop_timer_new(loop, stop_loop, loop);
    loop_timer_set(timer, ms);
    loop_run(loop);
    loop_timer_free(&timer);
}

/* Turns the loop until *flag or patience ends. */
static inline void run_until(struct loop *loop, const bool *flag)
{
    uint64_t end = loop_now_ms(loop) + TEST_PATIENCE_MS;
    while (!*flag && loop_now_ms(loop) < end)
        run_for(loop, 2);
    assert_true(*flag);
}

/* A TLS client on a non-blocking socket, driven by hand between turns of the loop. */
struct test_client {
    SSL_CTX *ctx;
    SSL *ssl;
};

static inline struct test_client test_client_new(int fd, const char *host, SSL_SESSION *session)
{
    struct test_client c = {SSL_CTX_new(TLS_client_method()), NULL};
    SSL_CTX_set_session_cache_mode(c.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    c.ssl = SSL_new(c.ctx);
    SSL_set_fd(c.ssl, fd);
    if (host)
        SSL_set_tlsext_host_name(c.ssl, host);
    if (session)
        SSL_set_session(c.ssl, session);
    SSL_set_connect_state(c.ssl);
    return c;
}

static inline void test_client_free(struct test_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
}

static inline void test_client_connect(struct loop *loop, struct test_client *c)
{
    for (int i = 0; i < 1000 && SSL_do_handshake(c->ssl) != 1; i++) {
        ERR_clear_error();
        run_for(loop, 2);
    }
    assert_true(SSL_is_init_finished(c->ssl));
}

static inline void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

#endif
