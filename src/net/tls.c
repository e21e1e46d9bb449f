/* tls.c: server-side TLS contexts over OpenSSL: certificates chosen by server name, tickets, and the bridge
 * from an SSL object to a stream's socket. Trusts the certificate files (the administrator's); names come
 * from strangers. Called by roles that load certificates and by stream_tls.c. */
#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_int.h"

#define TLS_CHAIN_MAX 16 /* certificates in one file */

struct tls_context {
    unsigned refs;
    size_t count;
    SSL_CTX **at; /* one per pair; the first is the default */
    BIO_METHOD *wire;
};

struct tls_wire {
    const struct tls_wire_ops *ops;
    void *arg;
    bool ended;
};

const char *tls_error_text(void)
{
    unsigned long code = ERR_peek_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text ? text : "unknown error";
}

static enum err fail(struct why *why, struct slice name, const char *what)
{
    return err_set(why, ERR_BAD, "%.*s: %s: %s", SLICE_ARG(slice_sub(name, 0, 100)), what, tls_error_text());
}

/* ---- certificates ---- */

static BIO *memory_bio(struct slice text)
{
    return text.len > INT_MAX ? NULL : BIO_new_mem_buf(text.len ? (const void *)text.ptr : "", (int)text.len);
}

/* A key under a passphrase is refused instead of asked for on a terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static enum err load_chain(SSL_CTX *ctx, const struct tls_pair *pair, struct why *why)
{
    BIO *bio = memory_bio(pair->cert_pem);
    X509 *cert = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL) : NULL;
    bool good = cert && SSL_CTX_use_certificate(ctx, cert) == 1;
    X509_free(cert);
    for (int i = 0; good && i < TLS_CHAIN_MAX; i++) {
        cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (!cert)
            break; /* the end of the file */
        good = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
        if (!good)
            X509_free(cert);
    }
    BIO_free(bio);
    if (!good)
        return fail(why, pair->name, "no usable certificate");
    ERR_clear_error();
    return ERR_OK;
}

static enum err load_key(SSL_CTX *ctx, const struct tls_pair *pair, struct why *why)
{
    BIO *bio = memory_bio(pair->key_pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!key)
        return fail(why, pair->name, "no usable private key");
    bool good = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return good ? ERR_OK : fail(why, pair->name, "certificate and private key do not fit together");
}

/* ---- contexts ---- */

/* RFC 6066 section 3: a name we have no certificate for gets the default one; an alert would only break
 * clients that do not check names. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_context *context = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    if (!name || context->count < 2)
        return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i < context->count; i++) {
        X509 *cert = SSL_CTX_get0_certificate(context->at[i]);
        if (X509_check_host(cert, name, strlen(name), 0, NULL) != 1)
            continue;
        (void)SSL_set_SSL_CTX(ssl, context->at[i]);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *new_ctx(struct tls_context *context)
{
    static const unsigned char session_context[] = "rockdove";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Tickets only: sessions live with the client, under a key of this context. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 1);
    (void)SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1);
    /* One read(2) takes a record's head and body. */
    SSL_CTX_set_read_ahead(ctx, 1);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    (void)SSL_CTX_set_tlsext_servername_arg(ctx, context);
    return ctx;
}

static int wire_read(BIO *bio, char *bytes, int len)
{
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    ssize_t got = wire->ops->read(wire->arg, bytes, (size_t)len);
    if (got < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    wire->ended = got == 0;
    return (int)got;
}

static int wire_write(BIO *bio, const char *bytes, int len)
{
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    ssize_t put = wire->ops->write(wire->arg, bytes, (size_t)len);
    if (put < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)put;
}

static long wire_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_wire *wire = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return wire->ended;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int wire_destroy(BIO *bio)
{
    if (!bio)
        return 0;
    free(BIO_get_data(bio));
    BIO_set_data(bio, NULL);
    return 1;
}

BIO_METHOD *tls_wire_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (!method || BIO_meth_set_read(method, wire_read) != 1 || BIO_meth_set_write(method, wire_write) != 1 ||
        BIO_meth_set_ctrl(method, wire_ctrl) != 1 || BIO_meth_set_destroy(method, wire_destroy) != 1)
        abort(); /* out of memory */
    return method;
}

static enum err add_pair(struct tls_context *context, const struct tls_pair *pair, struct why *why)
{
    SSL_CTX *ctx = new_ctx(context);
    if (!ctx)
        return fail(why, pair->name, "TLS cannot be set up");
    context->at[context->count++] = ctx;
    enum err err = load_chain(ctx, pair, why);
    return err == ERR_OK ? load_key(ctx, pair, why) : err;
}

enum err tls_context_new(const struct tls_pair *pairs, size_t count, struct tls_context **result,
                         struct why *why)
{
    if (count == 0)
        return err_set(why, ERR_BAD, "TLS without a certificate");
    ERR_clear_error();
    struct tls_context *context = mem_zero(1, sizeof *context);
    context->refs = 1;
    context->at = mem_zero(count, sizeof(SSL_CTX *));
    context->wire = tls_wire_method_new();
    for (size_t i = 0; i < count; i++) {
        enum err err = add_pair(context, &pairs[i], why);
        if (err != ERR_OK) {
            tls_context_free(&context);
            return err;
        }
    }
    *result = context;
    return ERR_OK;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    if (context)
        context->refs++;
    return context;
}

void tls_context_free(struct tls_context **context_ref)
{
    struct tls_context *context = context_ref ? *context_ref : NULL;
    if (!context)
        return;
    *context_ref = NULL;
    if (--context->refs > 0)
        return;
    for (size_t i = 0; i < context->count; i++)
        SSL_CTX_free(context->at[i]);
    BIO_meth_free(context->wire);
    free(context->at);
    free(context);
}

/* ---- sessions ---- */

bool tls_wire_attach(SSL *ssl, const BIO_METHOD *method, const struct tls_wire_ops *ops, void *arg)
{
    BIO *bio = BIO_new(method);
    if (!bio)
        return false;
    struct tls_wire *wire = mem_alloc(sizeof *wire);
    *wire = (struct tls_wire){.ops = ops, .arg = arg};
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}

SSL *tls_session_new(struct tls_context *context, const struct tls_wire_ops *ops, void *arg)
{
    SSL *ssl = SSL_new(context->at[0]);
    if (!ssl || !tls_wire_attach(ssl, context->wire, ops, arg)) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}
