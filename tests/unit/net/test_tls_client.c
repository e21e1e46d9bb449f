/* test_tls_client.c: our client against our own server over socketpairs: what each check accepts and refuses,
 * with which word; resumption; servers that misbehave in the handshake. */
#include "net_test.h"

#include <openssl/sha.h>

#include "net/tls_client.h"

struct end {
    struct stream *stream;
    bool secured, over;
    enum stream_end end;
};

static void on_readable(void *ctx, struct stream *stream)
{
    (void)ctx;
    stream_consume(stream, stream_input(stream).len);
}

static void on_secured(void *ctx, struct stream *stream)
{
    struct end *e = ctx;
    (void)stream;
    e->secured = e->over = true;
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct end *e = ctx;
    (void)stream;
    e->over = true;
    e->end = end;
}

static const struct stream_ops ops = {.readable = on_readable, .secured = on_secured, .ended = on_ended};

struct pair {
    struct loop *loop;
    struct end client, server;
    struct tls_client *tls;
};

static void open_streams(struct pair *p)
{
    int fds[2];
    const struct netaddr peer = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    p->client = p->server = (struct end){0};
    p->client.stream = stream_new(p->loop, fds[0], &peer, &ops, &p->client);
    p->server.stream = stream_new(p->loop, fds[1], &peer, &ops, &p->server);
}

static void close_streams(struct pair *p)
{
    stream_free(&p->client.stream);
    stream_free(&p->server.stream);
}

static struct pair pair_new(const char *bundle)
{
    struct pair p = {.loop = loop_new()};
    struct why why = {""};
    assert_int_equal(tls_client_new(slice_of(bundle), SLICE("ca.pem"), &p.tls, &why), ERR_OK);
    return p;
}

static void pair_free(struct pair *p)
{
    tls_client_free(&p->tls);
    loop_free(&p->loop);
}

static struct tls_verdict shake(struct pair *p, struct tls_context *context, const struct tls_peer *peer)
{
    open_streams(p);
    assert_true(stream_start_tls(p->server.stream, context));
    assert_true(stream_connect_tls(p->client.stream, p->tls, peer, 5000));
    run_until(p->loop, &p->client.over);
    return stream_tls_verdict(p->client.stream);
}

/* Lets tickets arrive. */
static void settle(struct pair *p)
{
    if (p->client.secured) {
        stream_write(p->server.stream, SLICE("220 hello\r\n"));
        run_for(p->loop, 20);
    }
    close_streams(p);
}

/* The certificate's public key as its TLSA record 3 1 1 has it. */
static void spki_hash(const char *pem, uint8_t hash[32])
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    uint8_t *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    assert_true(len > 0);
    SHA256(der, (size_t)len, hash);
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(bio);
}

static const struct slice right[] = {{(const uint8_t *)"mx.example.org", 14}};
static const struct slice wrong[] = {{(const uint8_t *)"mx.example.com", 14}};
static const struct slice several[] = {{(const uint8_t *)"mx.example.com", 14},
                                       {(const uint8_t *)"mx.example.org", 14}};

static void test_checks(void **state)
{
    (void)state;
    struct pem good = make_cert("mx.example.org"), other = make_cert("mx.example.org");
    struct tls_context *context = make_context(&good, 1);
    uint8_t match[32], mismatch[32];
    spki_hash(good.cert, match);
    spki_hash(other.cert, mismatch);
    const struct tls_tlsa hit[] = {{3, 1, 1, slice_make(mismatch, 32)}, {3, 1, 1, slice_make(match, 32)}};
    const struct tls_tlsa miss[] = {{3, 1, 1, slice_make(mismatch, 32)}};
    const struct tls_tlsa pkix[] = {{1, 1, 1, slice_make(match, 32)}};
    const struct {
        const char *bundle;
        struct tls_peer peer;
        bool secured;
        enum tls_trust trust;
        enum tls_fault fault;
    } rows[] = {
        {good.cert, {.check = TLS_CHECK_NAME, .names = right, .name_count = 1}, true, TLS_TRUST_CA, 0},
        {good.cert, {.check = TLS_CHECK_NAME, .names = several, .name_count = 2}, true, TLS_TRUST_CA, 0},
        {good.cert, {.check = TLS_CHECK_NAME, .names = wrong, .name_count = 1}, false, 0, TLS_FAULT_NAME},
        {good.cert, {.check = TLS_CHECK_NAME}, false, 0, TLS_FAULT_HANDSHAKE},
        {other.cert,
         {.check = TLS_CHECK_NAME, .names = right, .name_count = 1},
         false,
         0,
         TLS_FAULT_UNTRUSTED},
        {"", {.check = TLS_CHECK_NAME, .names = right, .name_count = 1}, false, 0, TLS_FAULT_UNTRUSTED},
        {"", {.check = TLS_CHECK_NOTHING, .names = right, .name_count = 1}, true, 0, TLS_FAULT_UNTRUSTED},
        {good.cert, {.check = TLS_CHECK_NOTHING, .names = wrong, .name_count = 1}, true, 0, TLS_FAULT_NAME},
        {good.cert, {.check = TLS_CHECK_NOTHING, .names = right, .name_count = 1}, true, TLS_TRUST_CA, 0},
        {good.cert, {.check = TLS_CHECK_NOTHING}, true, TLS_TRUST_NONE, 0},
        {"",
         {.check = TLS_CHECK_DANE, .names = right, .name_count = 1, .tlsa = hit, .tlsa_count = 2},
         true,
         TLS_TRUST_DANE_EE,
         0},
        {"",
         {.check = TLS_CHECK_DANE, .names = wrong, .name_count = 1, .tlsa = hit, .tlsa_count = 2},
         true,
         TLS_TRUST_DANE_EE,
         0},
        {good.cert,
         {.check = TLS_CHECK_DANE, .names = right, .name_count = 1, .tlsa = miss, .tlsa_count = 1},
         false,
         0,
         TLS_FAULT_TLSA},
        {good.cert,
         {.check = TLS_CHECK_DANE, .names = right, .name_count = 1, .tlsa = pkix, .tlsa_count = 1},
         false,
         0,
         TLS_FAULT_HANDSHAKE},
        {good.cert,
         {.check = TLS_CHECK_DANE, .names = right, .name_count = 1},
         false,
         0,
         TLS_FAULT_HANDSHAKE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p = pair_new(rows[i].bundle);
        struct tls_verdict v = shake(&p, context, &rows[i].peer);
        if (p.client.secured != rows[i].secured || v.trust != rows[i].trust || v.fault != rows[i].fault)
            fail_msg("row %zu: secured %d %s %s \"%s\"", i, p.client.secured, tls_trust_name(v.trust),
                     tls_fault_name(v.fault), v.text);
        assert_true(v.fault == TLS_FAULT_NONE || strlen(v.text) > 0);
        assert_true(p.client.secured || p.client.end == STREAM_TLS);
        close_streams(&p);
        pair_free(&p);
    }
    tls_context_free(&context);
    free_cert(&good);
    free_cert(&other);
}

/* A certificate signed by another, for DANE-TA. */
static struct pem make_leaf(const struct pem *ca, const char *host, long from, long until)
{
    BIO *c = BIO_new_mem_buf(ca->cert, -1), *k = BIO_new_mem_buf(ca->key, -1);
    X509 *issuer = PEM_read_bio_X509(c, NULL, NULL, NULL), *cert = X509_new();
    EVP_PKEY *signer = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL), *key = EVP_EC_gen("P-256");
    char san[200];
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
    X509_gmtime_adj(X509_getm_notBefore(cert), from);
    X509_gmtime_adj(X509_getm_notAfter(cert), until);
    X509_set_version(cert, 2);
    X509_set_pubkey(cert, key);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    (void)snprintf(san, sizeof san, "DNS:%s", host);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(cert, signer, EVP_sha256()) > 0);
    BIO *out = BIO_new(BIO_s_mem()), *out_key = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, cert);
    PEM_write_bio_X509(out, issuer);
    PEM_write_bio_PrivateKey(out_key, key, NULL, NULL, 0, NULL, NULL);
    X509_free(cert);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
    BIO_free(c);
    BIO_free(k);
    return (struct pem){bio_text(out), bio_text(out_key)};
}

static void test_chains(void **state)
{
    (void)state;
    struct pem ca = make_cert_of("ca.example.org", true), leaf = make_leaf(&ca, "*.example.org", -3600, 3600),
               expired = make_leaf(&ca, "mx.example.org", -7200, -3600);
    uint8_t anchor[32], old[32];
    spki_hash(ca.cert, anchor);
    spki_hash(expired.cert, old);
    const struct tls_tlsa ta[] = {{2, 1, 1, slice_make(anchor, 32)}}, ee[] = {{3, 1, 1, slice_make(old, 32)}};
    const struct {
        const struct pem *server;
        struct tls_peer peer;
        bool secured;
        enum tls_trust trust;
        enum tls_fault fault;
    } rows[] = {
        {&leaf, {.check = TLS_CHECK_NAME, .names = right, .name_count = 1}, true, TLS_TRUST_CA, 0},
        {&expired, {.check = TLS_CHECK_NAME, .names = right, .name_count = 1}, false, 0, TLS_FAULT_EXPIRED},
        {&leaf,
         {.check = TLS_CHECK_DANE, .names = right, .name_count = 1, .tlsa = ta, .tlsa_count = 1},
         true,
         TLS_TRUST_DANE_TA,
         0},
        {&leaf,
         {.check = TLS_CHECK_DANE, .names = wrong, .name_count = 1, .tlsa = ta, .tlsa_count = 1},
         false,
         0,
         TLS_FAULT_NAME},
        /* RFC 7671 section 5.1: DANE-EE takes no notice of names and dates. */
        {&expired,
         {.check = TLS_CHECK_DANE, .names = wrong, .name_count = 1, .tlsa = ee, .tlsa_count = 1},
         true,
         TLS_TRUST_DANE_EE,
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *context = make_context(rows[i].server, 1);
        struct pair p = pair_new(ca.cert);
        struct tls_verdict v = shake(&p, context, &rows[i].peer);
        if (p.client.secured != rows[i].secured || v.trust != rows[i].trust || v.fault != rows[i].fault)
            fail_msg("row %zu: secured %d %s %s \"%s\"", i, p.client.secured, tls_trust_name(v.trust),
                     tls_fault_name(v.fault), v.text);
        close_streams(&p);
        pair_free(&p);
        tls_context_free(&context);
    }
    free_cert(&ca);
    free_cert(&leaf);
    free_cert(&expired);
}

static void test_resumption(void **state)
{
    (void)state;
    struct pem good = make_cert("mx.example.org");
    struct tls_context *context = make_context(&good, 1);
    struct pair p = pair_new(good.cert);
    const struct tls_peer lax = {
        .server_name = right[0], .names = right, .name_count = 1, .session_key = SLICE("mx|192.0.2.1|25")};
    struct tls_peer strict = lax, elsewhere = lax, forgetful = lax;
    strict.check = TLS_CHECK_NAME;
    elsewhere.session_key = SLICE("mx|192.0.2.2|25");
    forgetful.session_key = SLICE_EMPTY;
    const struct {
        const struct tls_peer *peer;
        bool resumed;
    } rows[] = {
        {&lax, false}, {&lax, true},        {&lax, true},        {&strict, false},    {&strict, true},
        {&lax, true},  {&elsewhere, false}, {&forgetful, false}, {&forgetful, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_verdict v = shake(&p, context, rows[i].peer);
        assert_true(p.client.secured);
        if (v.resumed != rows[i].resumed || v.trust != TLS_TRUST_CA)
            fail_msg("row %zu: resumed %d trust %s", i, v.resumed, tls_trust_name(v.trust));
        settle(&p);
    }
    pair_free(&p);
    tls_context_free(&context);
    free_cert(&good);
}

/* Whoever chooses the places cannot make us remember without end. */
static void test_sessions_are_bounded(void **state)
{
    (void)state;
    struct pem good = make_cert("mx.example.org");
    struct tls_context *context = make_context(&good, 1);
    struct pair p = pair_new(good.cert);
    char key[20];
    struct tls_peer peer = {.names = right, .name_count = 1};
    for (unsigned i = 0; i <= TLS_SESSIONS_MAX + 1; i++) {
        peer.session_key =
            slice_make(key, (size_t)snprintf(key, sizeof key, "place %u", i % (TLS_SESSIONS_MAX + 1)));
        struct tls_verdict v = shake(&p, context, &peer);
        assert_false(v.resumed); /* the last time too: it was the oldest and had to go */
        settle(&p);
    }
    pair_free(&p);
    tls_context_free(&context);
    free_cert(&good);
}

static void test_bad_servers(void **state)
{
    (void)state;
    static const struct tls_peer peer = {.check = TLS_CHECK_NOTHING};
    static const struct {
        const char *says; /* NULL: closes */
    } rows[] = {{NULL}, {"220 this is no TLS\r\n"}, {"\x15\x03\x03\x00\x02\x02\x28"}, {""}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p = pair_new("");
        open_streams(&p);
        assert_true(stream_connect_tls(p.client.stream, p.tls, &peer, 200));
        run_for(p.loop, 20);
        if (rows[i].says && rows[i].says[0])
            stream_write(p.server.stream, slice_make(rows[i].says, i == 2 ? 7 : strlen(rows[i].says)));
        else if (!rows[i].says)
            stream_free(&p.server.stream);
        run_until(p.loop, &p.client.over);
        assert_false(p.client.secured);
        struct tls_verdict v = stream_tls_verdict(p.client.stream);
        assert_true(i == 0 || v.fault == TLS_FAULT_HANDSHAKE);
        assert_true(i == 0 || strlen(v.text) > 0);
        close_streams(&p);
        pair_free(&p);
    }
}

/* Bytes from before the handshake never count as said inside it. */
static void test_early_bytes(void **state)
{
    (void)state;
    static const struct tls_peer peer = {.check = TLS_CHECK_NOTHING};
    struct pair p = pair_new("");
    int fds[2];
    const struct netaddr nobody = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    static const struct stream_ops deaf = {.readable = NULL, .ended = on_ended};
    struct end e = {0};
    e.stream = stream_new(p.loop, fds[0], &nobody, &deaf, &e);
    assert_int_equal(write(fds[1], "250 evil\r\n", 10), 10);
    stream_set_owner(e.stream, &ops, &e);
    stream_pause(e.stream);
    stream_resume(e.stream);
    static const struct stream_ops keeps = {.readable = on_secured, .ended = on_ended};
    stream_set_owner(e.stream, &keeps, &e);
    run_until(p.loop, &e.over);
    assert_int_equal(stream_input(e.stream).len, 10);
    assert_false(stream_connect_tls(e.stream, p.tls, &peer, 100));
    stream_free(&e.stream);
    (void)close(fds[1]);
    pair_free(&p);
}

static void test_bundles(void **state)
{
    (void)state;
    struct pem a = make_cert("a"), b = make_cert("b");
    struct tls_client *client = NULL;
    struct why why = {""};
    AUTO_BUF struct buf both = buf_new(100000);
    buf_add_str(&both, "# comments are passed over\n");
    buf_add_str(&both, a.cert);
    buf_add_str(&both, "\n# and here\n");
    buf_add_str(&both, b.cert);
    assert_int_equal(tls_client_new(buf_slice(&both), SLICE("ca.pem"), &client, &why), ERR_OK);
    assert_int_equal(tls_client_roots(client), 2);
    tls_client_free(&client);
    assert_int_equal(tls_client_new(SLICE("nothing here"), SLICE("ca.pem"), &client, &why), ERR_BAD);
    assert_string_equal(why.text, "ca.pem: holds no certificate");
    assert_null(client);
    tls_client_free(&client);
    tls_client_free(NULL);
    free_cert(&a);
    free_cert(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),      cmocka_unit_test(test_chains),
        cmocka_unit_test(test_resumption),  cmocka_unit_test(test_sessions_are_bounded),
        cmocka_unit_test(test_bad_servers), cmocka_unit_test(test_early_bytes),
        cmocka_unit_test(test_bundles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
