/* tls_client.c: the client's side of TLS over OpenSSL: trust, names, TLSA records, remembered sessions. What
 * a server sends is parsed by OpenSSL; names and TLSA records are the caller's, checked before. Called by
 * stream_tls.c and by the role that calls out (relay). */
#include "net/tls_client.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/coll.h"
#include "base/mem.h"
#include "grammar/netaddr.h"
#include "net/tls_int.h"

/* A certificate that was good when a session was made is looked at again after this time. */
#define SESSION_AGE_MAX_S 3600
/* RFC 6698 section 7.2. */
#define USAGE_DANE_TA 2
#define USAGE_DANE_EE 3

#define KEY_TEXT_MAX (1u << 20) /* what is hashed: place, names, TLSA records */

struct session {
    struct list node; /* in tls_client.used, most recently used first */
    uint8_t key[SHA256_DIGEST_LENGTH];
    SSL_SESSION *session;
};

struct tls_client {
    unsigned refs;
    SSL_CTX *ctx;
    BIO_METHOD *wire;
    size_t roots;
    struct map *sessions;
    struct list used;
};

/* One session of TLS: what SSL_get_app_data() gives. */
struct call {
    struct tls_client *client; /* the stream's reference outlives it */
    enum tls_check check;
    bool remember, named;
    uint8_t key[SHA256_DIGEST_LENGTH];
};

const char *tls_fault_name(enum tls_fault fault)
{
    static const char *const names[TLS_FAULT_COUNT] = {"",
                                                       "validation-failure",
                                                       "certificate-expired",
                                                       "certificate-host-mismatch",
                                                       "certificate-not-trusted",
                                                       "tlsa-invalid"};
    return fault < TLS_FAULT_COUNT ? names[fault] : "";
}

const char *tls_trust_name(enum tls_trust trust)
{
    static const char *const names[] = {"untrusted", "verified", "dane-ta", "dane-ee"};
    return trust < ARRAY_LEN(names) ? names[trust] : "";
}

/* ---- remembered sessions ---- */

static void forget(struct tls_client *client, struct session *s)
{
    (void)map_remove(client->sessions, slice_make(s->key, sizeof s->key));
    list_remove(&s->node);
    SSL_SESSION_free(s->session);
    free(s);
}

static struct session *recall(const struct call *call)
{
    return call->remember ? map_get(call->client->sessions, slice_make(call->key, sizeof call->key)) : NULL;
}

/* OpenSSL has a session we could resume (TLS 1.3: whenever a ticket comes). 1: the reference is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct call *call = SSL_get_app_data(ssl);
    if (!call || !call->remember)
        return 0;
    struct tls_client *client = call->client;
    struct session *known = recall(call);
    if (known) {
        SSL_SESSION_free(known->session);
        known->session = session;
        return 1;
    }
    if (map_count(client->sessions) >= TLS_SESSIONS_MAX)
        forget(client, CONTAINER_OF(client->used.prev, struct session, node));
    struct session *s = mem_zero(1, sizeof *s);
    memcpy(s->key, call->key, sizeof s->key);
    if (!map_put(client->sessions, slice_make(s->key, sizeof s->key), s)) {
        free(s);
        return 0;
    }
    s->session = session;
    list_push_front(&client->used, &s->node);
    return 1;
}

static void resume(SSL *ssl, const struct call *call)
{
    struct session *s = recall(call);
    if (!s)
        return;
    int64_t made = SSL_SESSION_get_time(s->session), now = clock_unix_s();
    if (made > now || now - made > SESSION_AGE_MAX_S || SSL_SESSION_is_resumable(s->session) != 1) {
        forget(call->client, s);
        return;
    }
    (void)SSL_set_session(ssl, s->session);
    list_remove(&s->node);
    list_push_front(&call->client->used, &s->node);
}

/* ---- trust ---- */

static enum err load_roots(struct tls_client *client, struct slice bundle, struct slice path, struct why *why)
{
    X509_STORE *store = SSL_CTX_get_cert_store(client->ctx);
    if (bundle.len > TLS_BUNDLE_MAX)
        return err_set(why, ERR_BAD, "%.*s: more than %u bytes", SLICE_ARG(slice_sub(path, 0, 100)),
                       TLS_BUNDLE_MAX);
    BIO *bio = BIO_new_mem_buf(bundle.len ? (const void *)bundle.ptr : "", (int)bundle.len);
    for (X509 *cert; bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL;) {
        client->roots += X509_STORE_add_cert(store, cert) == 1;
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (bundle.len && client->roots == 0)
        return err_set(why, ERR_BAD, "%.*s: holds no certificate", SLICE_ARG(slice_sub(path, 0, 100)));
    return ERR_OK;
}

static SSL_CTX *new_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_dane_enable(ctx) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    /* RFC 7672 section 3.1.1: a DANE-EE record vouches for the key whatever name the certificate has. */
    (void)SSL_CTX_dane_set_flags(ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    (void)SSL_CTX_set_options(ctx,
                              SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    SSL_CTX_set_read_ahead(ctx, 1);
    return ctx;
}

enum err tls_client_new(struct slice bundle, struct slice path, struct tls_client **result, struct why *why)
{
    ERR_clear_error();
    SSL_CTX *ctx = new_ctx();
    if (!ctx)
        return err_set(why, ERR_INTERNAL, "TLS cannot be set up: %s", tls_error_text());
    struct tls_client *client = mem_zero(1, sizeof *client);
    client->refs = 1;
    client->ctx = ctx;
    client->wire = tls_wire_method_new();
    client->sessions = map_new(TLS_SESSIONS_MAX);
    list_init(&client->used);
    enum err err = load_roots(client, bundle, path, why);
    if (err)
        tls_client_free(&client);
    else
        *result = client;
    return err;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    if (client)
        client->refs++;
    return client;
}

void tls_client_free(struct tls_client **ref)
{
    struct tls_client *client = ref ? *ref : NULL;
    if (!client)
        return;
    *ref = NULL;
    if (--client->refs > 0)
        return;
    while (!list_empty(&client->used))
        forget(client, CONTAINER_OF(client->used.next, struct session, node));
    map_free(&client->sessions);
    SSL_CTX_free(client->ctx);
    BIO_meth_free(client->wire);
    free(client);
}

size_t tls_client_roots(const struct tls_client *client)
{
    return client->roots;
}

/* ---- one session ---- */

static void add_part(struct buf *out, struct slice part)
{
    buf_add_varint(out, part.len);
    buf_add(out, part);
}

/* A session counts for the same place under the same demands only. */
static void make_key(struct call *call, const struct tls_peer *peer)
{
    AUTO_BUF struct buf all = buf_new(KEY_TEXT_MAX);
    add_part(&all, peer->session_key);
    add_part(&all, peer->server_name);
    buf_add_varint(&all, peer->check);
    for (size_t i = 0; i < peer->name_count; i++)
        add_part(&all, peer->names[i]);
    for (size_t i = 0; i < peer->tlsa_count && peer->check == TLS_CHECK_DANE; i++) {
        const struct tls_tlsa *tlsa = &peer->tlsa[i];
        buf_addf(&all, "%u %u %u ", tlsa->usage, tlsa->selector, tlsa->matching);
        add_part(&all, tlsa->data);
    }
    call->remember = peer->session_key.len > 0 && buf_ok(&all) && SHA256(all.data, all.len, call->key);
}

/* A name for OpenSSL, which wants it with a NUL. */
struct name {
    char text[TLS_PEER_NAME_MAX + 1];
};

static bool to_name(struct slice from, struct name *name)
{
    if (from.len == 0 || from.len > TLS_PEER_NAME_MAX || slice_find(from, 0) >= 0)
        return false;
    memcpy(name->text, from.ptr, from.len);
    name->text[from.len] = 0;
    return true;
}

static bool add_names(SSL *ssl, const struct tls_peer *peer)
{
    struct name name;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    for (size_t i = 0; i < peer->name_count; i++) {
        struct netaddr addr;
        if (!to_name(peer->names[i], &name))
            return false;
        bool literal = netaddr_parse(peer->names[i], &addr);
        if (literal ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.text) != 1
                    : SSL_add1_host(ssl, name.text) != 1)
            return false;
    }
    return true;
}

static bool add_tlsa(SSL *ssl, const struct tls_peer *peer)
{
    struct name base;
    size_t usable = 0;
    if (peer->name_count == 0 || !to_name(peer->names[0], &base) || SSL_dane_enable(ssl, base.text) != 1)
        return false;
    for (size_t i = 0; i < peer->tlsa_count; i++) {
        const struct tls_tlsa *t = &peer->tlsa[i];
        if (t->usage == USAGE_DANE_TA || t->usage == USAGE_DANE_EE)
            usable +=
                SSL_dane_tlsa_add(ssl, t->usage, t->selector, t->matching, t->data.ptr, t->data.len) == 1;
    }
    ERR_clear_error();
    return usable > 0;
}

static bool set_up(SSL *ssl, const struct tls_peer *peer)
{
    struct name sni;
    if (peer->name_count > TLS_PEER_NAMES_MAX || peer->tlsa_count > TLS_PEER_TLSA_MAX)
        return false;
    if (peer->server_name.len &&
        (!to_name(peer->server_name, &sni) || SSL_set_tlsext_host_name(ssl, sni.text) != 1))
        return false;
    /* Without names every certificate of the bundle's world would do. */
    if (peer->check != TLS_CHECK_NOTHING && peer->name_count == 0)
        return false;
    if (peer->check == TLS_CHECK_DANE && !add_tlsa(ssl, peer))
        return false;
    if (!add_names(ssl, peer))
        return false;
    SSL_set_verify(ssl, peer->check == TLS_CHECK_NOTHING ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    /* A small key or an old hash is still better than no encryption at all. */
    if (peer->check == TLS_CHECK_NOTHING)
        SSL_set_security_level(ssl, 0);
    return true;
}

SSL *tls_client_session_new(struct tls_client *client, const struct tls_peer *peer,
                            const struct tls_wire_ops *ops, void *arg)
{
    SSL *ssl = SSL_new(client->ctx);
    if (!ssl || !set_up(ssl, peer) || !tls_wire_attach(ssl, client->wire, ops, arg)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    struct call *call = mem_zero(1, sizeof *call);
    call->client = client;
    call->check = peer->check;
    call->named = peer->name_count > 0;
    make_key(call, peer);
    (void)SSL_set_app_data(ssl, call);
    SSL_set_connect_state(ssl);
    resume(ssl, call);
    return ssl;
}

void tls_client_session_free(SSL *ssl)
{
    if (!ssl)
        return;
    struct call *call = SSL_get_app_data(ssl);
    (void)SSL_set_app_data(ssl, NULL);
    /* Freed without a close_notify the session would be marked as not to be resumed: SMTP ends with QUIT, how
     * the connection ends says nothing. */
    if (SSL_is_init_finished(ssl))
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    free(call);
}

/* ---- verdicts ---- */

static enum tls_fault fault_of(long result)
{
    switch (result) {
    case X509_V_OK:
        return TLS_FAULT_NONE;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return TLS_FAULT_EXPIRED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return TLS_FAULT_NAME;
    case X509_V_ERR_DANE_NO_MATCH:
        return TLS_FAULT_TLSA;
    default:
        return TLS_FAULT_UNTRUSTED;
    }
}

static enum tls_trust dane_trust(SSL *ssl)
{
    uint8_t usage = 0;
    if (SSL_get0_dane_authority(ssl, NULL, NULL) < 0)
        return TLS_TRUST_DANE_EE; /* a resumed session: the same records matched when it was made */
    (void)SSL_get0_dane_tlsa(ssl, &usage, NULL, NULL, NULL, NULL);
    return usage == USAGE_DANE_TA ? TLS_TRUST_DANE_TA : TLS_TRUST_DANE_EE;
}

struct tls_verdict tls_client_verdict(SSL *ssl)
{
    const struct call *call = SSL_get_app_data(ssl);
    long result = SSL_get_verify_result(ssl);
    struct tls_verdict verdict = {
        .fault = fault_of(result), .text = "", .resumed = SSL_session_reused(ssl) == 1};
    if (verdict.fault)
        verdict.text = X509_verify_cert_error_string(result);
    else if (call->check == TLS_CHECK_DANE)
        verdict.trust = dane_trust(ssl);
    else if (call->named)
        verdict.trust = TLS_TRUST_CA;
    return verdict;
}

struct tls_verdict tls_client_failure(SSL *ssl, const char *text)
{
    const struct call *call = SSL_get_app_data(ssl);
    long result = SSL_get_verify_result(ssl);
    struct session *known = recall(call);
    if (known)
        forget(call->client, known);
    if (call->check == TLS_CHECK_NOTHING || result == X509_V_OK)
        return (struct tls_verdict){.fault = TLS_FAULT_HANDSHAKE, .text = text};
    return (struct tls_verdict){.fault = fault_of(result), .text = X509_verify_cert_error_string(result)};
}
