/* MTA-STS: records from a table, policies from a real HTTPS server on loopback: what is kept, for how long,
 * and what a failure leaves. */
#include "fake_dns.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>

#include "relay/https.h"
#include "relay/resolve.h"
#include "relay/sts.h"

#define POLICY(mode, age)                                                                                    \
    "version: STSv1\nmode: " mode "\nmx: *.good.test\nmx: mx.other.test\nmax_age: " age "\n"
#define PLAIN "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"

/* ---- the web server ---- */

struct page {
    const char *host, *reply;
    unsigned repeat; /* the body is sent so often */
};

static struct page pages[] = {
    {"mta-sts.good.test", PLAIN POLICY("enforce", "86400"), 1},
    {"mta-sts.testing.test", PLAIN POLICY("testing", "86400"), 1},
    {"mta-sts.none.test", PLAIN POLICY("none", "86400"), 1},
    {"mta-sts.html.test",
     "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" POLICY("enforce", "86400"), 1},
    {"mta-sts.moved.test", "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 1},
    {"mta-sts.absent.test", "HTTP/1.1 404 Not found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
     1},
    {"mta-sts.broken.test", PLAIN "nonsense\n", 1},
    {"mta-sts.long.test", PLAIN "0123456789012345678901234567890123456789012345678901234567890123456789\n",
     2000},
    {"mta-sts.cut.test", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\nversion",
     1},
    {"mta-sts.wrongname.test", PLAIN POLICY("enforce", "86400"), 1},
    {"mta-sts.headers.test", "HTTP/1.1 200 OK\r\nX-Filler: 0123456789012345678901234567890123456789\r\n",
     4000},
};

static struct {
    SSL_CTX *ssl;
    int listening;
    uint16_t port;
    pthread_t thread;
    unsigned served;
    char ca[8192];
} web;

static EVP_PKEY *new_key(void)
{
    return EVP_EC_gen("P-256");
}

static X509 *new_cert(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const char *names)
{
    X509 *cert = X509_new();
    X509V3_CTX ctx;
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer ? 2 : 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 86400));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)(issuer ? "leaf" : "test CA"), -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
    X509_set_pubkey(cert, key);
    X509V3_set_ctx(&ctx, issuer ? issuer : cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext =
        X509V3_EXT_conf_nid(NULL, &ctx, issuer ? NID_subject_alt_name : NID_basic_constraints,
                            issuer ? names : "critical,CA:TRUE");
    assert_non_null(ext);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) > 0);
    return cert;
}

static void make_certs(void)
{
    char names[1000] = "";
    EVP_PKEY *ca_key = new_key(), *key = new_key();
    X509 *ca = new_cert(ca_key, NULL, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (!strstr(pages[i].host, "wrongname")) {
            size_t at = strlen(names);
            (void)snprintf(names + at, sizeof names - at, "%sDNS:%s", at ? "," : "", pages[i].host);
        }
    X509 *cert = new_cert(key, ca, ca_key, names);
    web.ssl = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(web.ssl, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(web.ssl, key), 1);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, ca), 1);
    int len = BIO_read(bio, web.ca, sizeof web.ca - 1);
    assert_true(len > 0);
    web.ca[len] = '\0';
    BIO_free(bio);
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

static void serve(SSL *ssl)
{
    char request[4096];
    int len = 0;
    while (len < (int)sizeof request - 1) {
        int got = SSL_read(ssl, request + len, (int)sizeof request - 1 - len);
        if (got <= 0)
            return;
        len += got;
        request[len] = '\0';
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    web.served++;
    if (strncmp(request, "GET /elsewhere ", 15) == 0)
        (void)SSL_write(ssl, PLAIN POLICY("enforce", "86400"),
                        (int)sizeof PLAIN POLICY("enforce", "86400") - 1);
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        char host[100];
        (void)snprintf(host, sizeof host, "\r\nHost: %s:", pages[i].host);
        if (!strstr(request, host) || strncmp(request, "GET /.well-known/mta-sts.txt HTTP/1.1\r\n", 39) != 0)
            continue;
        const char *reply = pages[i].reply, *body = strstr(reply, "\r\n\r\n");
        size_t head = body ? (size_t)(body + 4 - reply) : 17;
        (void)SSL_write(ssl, reply, (int)head);
        for (unsigned n = 0; n < pages[i].repeat && reply[head]; n++)
            if (SSL_write(ssl, reply + head, (int)strlen(reply + head)) <= 0)
                return;
    }
    (void)SSL_shutdown(ssl);
}

static void *run_web(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(web.listening, NULL, NULL)) >= 0;) {
        SSL *ssl = SSL_new(web.ssl);
        (void)SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1)
            serve(ssl);
        SSL_free(ssl);
        (void)close(fd);
    }
    return NULL;
}

static int start_web(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    make_certs();
    web.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(web.listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(web.listening, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(listen(web.listening, 16), 0);
    web.port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&web.thread, NULL, run_web, NULL), 0);
    return 0;
}

static int stop_web(void **state)
{
    (void)state;
    (void)shutdown(web.listening, SHUT_RDWR);
    (void)pthread_join(web.thread, NULL);
    (void)close(web.listening);
    SSL_CTX_free(web.ssl);
    return 0;
}

/* ---- the rig ---- */

#define DOMAIN(name)                                                                                         \
    {"_mta-sts." name, RR_TXT, DNS_OK, false, "v=STSv1; id=1"},                                              \
    {                                                                                                        \
        "mta-sts." name, RR_A, DNS_OK, false, "127.0.0.1"                                                    \
    }

static struct fake_row zone[] = {
    DOMAIN("good.test"),
    DOMAIN("testing.test"),
    DOMAIN("none.test"),
    DOMAIN("html.test"),
    DOMAIN("moved.test"),
    DOMAIN("absent.test"),
    DOMAIN("broken.test"),
    DOMAIN("long.test"),
    DOMAIN("cut.test"),
    DOMAIN("wrongname.test"),
    DOMAIN("headers.test"),
    {"_mta-sts.noaddress.test", RR_TXT, DNS_OK, false, "v=STSv1; id=1"},
    {"_mta-sts.inner.test", RR_TXT, DNS_OK, false, "v=STSv1; id=1"},
    {"mta-sts.inner.test", RR_A, DNS_OK, false, "10.0.0.1"},
    {"_mta-sts.two.test", RR_TXT, DNS_OK, false, "v=STSv1; id=1|v=STSv1; id=2"},
    {"_mta-sts.failed.test", RR_TXT, DNS_FAILED, false, ""},
    {"good.test", RR_MX, DNS_OK, false, "10 a.good.test|5 a.bad.test"},
    {"a.good.test", RR_A, DNS_OK, false, "8.8.8.8"},
    {"_25._tcp.a.good.test", RR_TLSA, DNS_OK, true, "1 1 1"},
    {"a.bad.test", RR_A, DNS_OK, false, "9.9.9.9"},
    {"testing.test", RR_MX, DNS_OK, false, "10 a.bad.test"},
    {"none.test", RR_MX, DNS_OK, false, "10 a.bad.test"},
};

static struct fake_row *row_of(const char *name, unsigned type)
{
    for (size_t i = 0; i < ARRAY_LEN(zone); i++)
        if (strcmp(zone[i].name, name) == 0 && zone[i].type == type)
            return &zone[i];
    abort();
}

struct rig {
    struct fake_dns dns;
    struct settings settings;
    struct https *https;
    struct sts *sts;
    bool answered, has_policy;
    enum sts_mode mode;
    const char *failure;
    const struct resolve_answer *answer;
};

static int set_up(void **state)
{
    static struct conf_network loopback;
    struct rig *rig = mem_zero(1, sizeof *rig);
    struct why why = {0};
    assert_true(conf_read_network(SLICE("127.0.0.0/8"), &loopback));
    fake_dns_new(&rig->dns, zone, ARRAY_LEN(zone));
    rig->settings.hostname = SLICE("mail.example.org");
    rig->settings.direct.port = 25;
    rig->settings.direct.tls = SETTINGS_RELAY_OPPORTUNISTIC;
    rig->settings.direct.mta_sts = true;
    rig->settings.direct.sts_port = web.port;
    rig->settings.direct.allow_networks.items = &loopback;
    rig->settings.direct.allow_networks.count = 1;
    assert_int_equal(https_new(rig->dns.loop, slice_of(web.ca), &rig->https, &why), ERR_OK);
    rig->sts = sts_new(rig->dns.loop, rig->dns.ours, rig->https, &rig->settings);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    sts_free(&rig->sts);
    https_free(&rig->https);
    fake_dns_free(&rig->dns);
    free(rig);
    return 0;
}

static void on_policy(void *ctx, const struct sts_policy *policy, const char *failure)
{
    struct rig *rig = ctx;
    assert_false(rig->answered);
    rig->answered = true;
    rig->has_policy = policy != NULL;
    rig->mode = policy ? policy->mode : STS_MODE_NONE;
    rig->failure = failure;
}

/* True when it was answered at once. */
static bool ask(struct rig *rig, const char *domain)
{
    rig->answered = false;
    bool now = !sts_ask(rig->sts, slice_of(domain), on_policy, rig);
    assert_int_equal(now, rig->answered);
    fake_until(&rig->dns, &rig->answered);
    return now;
}

static void test_policies(void **state)
{
    static const struct {
        const char *domain;
        bool has_policy;
        enum sts_mode mode;
        const char *failure;
    } rows[] = {
        {"good.test", true, STS_MODE_ENFORCE, NULL},
        {"testing.test", true, STS_MODE_TESTING, NULL},
        {"none.test", true, STS_MODE_NONE, NULL},
        {"nowhere.test", false, STS_MODE_NONE, NULL},
        {"two.test", false, STS_MODE_NONE, NULL},
        {"failed.test", false, STS_MODE_NONE, NULL},
        {"html.test", false, STS_MODE_NONE, "sts-policy-invalid"},
        {"moved.test", false, STS_MODE_NONE, "sts-policy-fetch-error"},
        {"absent.test", false, STS_MODE_NONE, "sts-policy-fetch-error"},
        {"broken.test", false, STS_MODE_NONE, "sts-policy-invalid"},
        {"long.test", false, STS_MODE_NONE, "sts-policy-invalid"},
        {"cut.test", false, STS_MODE_NONE, "sts-policy-fetch-error"},
        {"wrongname.test", false, STS_MODE_NONE, "sts-webpki-invalid"},
        {"headers.test", false, STS_MODE_NONE, "sts-policy-fetch-error"},
        {"noaddress.test", false, STS_MODE_NONE, "sts-policy-fetch-error"},
        {"inner.test", false, STS_MODE_NONE, "sts-policy-fetch-error"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_false(ask(rig, rows[i].domain));
        assert_int_equal(rig->has_policy, rows[i].has_policy);
        assert_int_equal(rig->mode, rows[i].mode);
        if (rows[i].failure)
            assert_string_equal(rig->failure, rows[i].failure);
        else
            assert_null(rig->failure);
        assert_true(ask(rig, rows[i].domain)); /* kept */
        assert_int_equal(rig->has_policy, rows[i].has_policy);
    }
    assert_int_equal(sts_count(rig->sts), ARRAY_LEN(rows));
}

/* Section 3.3: a policy is kept over a record that is gone, a fetch that fails; a new id brings the new one.
 */
static void test_memory(void **state)
{
    struct rig *rig = *state;
    const char *reply = pages[0].reply;
    (void)ask(rig, "good.test");
    unsigned served = web.served;
    sts_forget(rig->sts, SLICE("good.test"));
    assert_false(ask(rig, "good.test")); /* the same id: not fetched */
    assert_int_equal(web.served, served);
    assert_int_equal(rig->mode, STS_MODE_ENFORCE);

    row_of("_mta-sts.good.test", RR_TXT)->status = DNS_NXDOMAIN;
    sts_forget(rig->sts, SLICE("good.test"));
    (void)ask(rig, "good.test");
    assert_int_equal(rig->mode, STS_MODE_ENFORCE);
    row_of("_mta-sts.good.test", RR_TXT)->status = DNS_OK;

    row_of("_mta-sts.good.test", RR_TXT)->records = "v=STSv1; id=2";
    pages[0].reply = "HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n";
    sts_forget(rig->sts, SLICE("good.test"));
    (void)ask(rig, "good.test");
    assert_int_equal(web.served, served + 1);
    assert_int_equal(rig->mode, STS_MODE_ENFORCE);

    pages[0].reply = PLAIN POLICY("testing", "86400");
    sts_forget(rig->sts, SLICE("good.test"));
    (void)ask(rig, "good.test");
    assert_int_equal(web.served, served + 2);
    assert_int_equal(rig->mode, STS_MODE_TESTING);
    pages[0].reply = reply;
    row_of("_mta-sts.good.test", RR_TXT)->records = "v=STSv1; id=1";
}

/* A policy ends with its max_age. */
static void test_expiry(void **state)
{
    struct rig *rig = *state;
    const char *reply = pages[0].reply;
    pages[0].reply = PLAIN POLICY("enforce", "1");
    (void)ask(rig, "good.test");
    assert_int_equal(rig->mode, STS_MODE_ENFORCE);
    fake_for(&rig->dns, 1200);
    row_of("_mta-sts.good.test", RR_TXT)->status = DNS_NXDOMAIN;
    sts_forget(rig->sts, SLICE_EMPTY);
    (void)ask(rig, "good.test");
    assert_false(rig->has_policy);
    row_of("_mta-sts.good.test", RR_TXT)->status = DNS_OK;
    pages[0].reply = reply;
}

static void on_answer(void *ctx, const struct resolve_answer *answer)
{
    struct rig *rig = ctx;
    rig->answered = true;
    rig->answer = answer;
}

/* What resolve makes of it. */
static void test_resolve(void **state)
{
    struct rig *rig = *state;
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    struct resolve *resolve = resolve_new(rig->dns.loop, rig->dns.ours, &rig->settings, rig->sts, NULL);
    struct resolve_question q = resolve_question_direct(&rig->settings, SLICE("good.test"), false);
    for (unsigned i = 0; i < 2; i++) {
        rig->answered = false;
        (void)resolve_begin(resolve, &q, arena, on_answer, rig);
        assert_false(rig->answered);
        fake_until(&rig->dns, &rig->answered);
        assert_int_equal(rig->answer->outcome, RESOLVE_FOUND);
        assert_int_equal(rig->answer->host_count, 1); /* a.bad.test is not named by the policy */
        const struct resolve_host *host = rig->answer->hosts;
        assert_true(slice_eq(host->name, SLICE("a.good.test")));
        assert_int_equal(host->level, CLIENT_TLS_VERIFY);
        assert_int_equal(host->peer.check, TLS_CHECK_NAME);
        assert_true(slice_eq(host->peer.names[0], host->name));
        assert_string_equal(host->policy, "sts");
    }
    q.name = SLICE("testing.test");
    rig->answered = false;
    (void)resolve_begin(resolve, &q, arena, on_answer, rig);
    fake_until(&rig->dns, &rig->answered);
    assert_int_equal(rig->answer->hosts[0].level, CLIENT_TLS_OPPORTUNISTIC);
    const struct resolve_host *tested = rig->answer->hosts;
    assert_string_equal(tested->policy, "sts");
    assert_true(tested->sts_testing && tested->sts_unnamed);
    assert_int_equal(tested->peer.check, TLS_CHECK_NOTHING);
    assert_true(slice_eq(tested->peer.names[0], SLICE("a.bad.test")));
    row_of("testing.test", RR_MX)->records = "10 a.good.test";
    resolve_forget(resolve, SLICE_EMPTY);
    rig->answered = false;
    (void)resolve_begin(resolve, &q, arena, on_answer, rig);
    fake_until(&rig->dns, &rig->answered);
    assert_true(rig->answer->hosts[0].sts_testing && !rig->answer->hosts[0].sts_unnamed);
    row_of("testing.test", RR_MX)->records = "10 a.bad.test";
    q.name = SLICE("none.test");
    rig->answered = false;
    (void)resolve_begin(resolve, &q, arena, on_answer, rig);
    fake_until(&rig->dns, &rig->answered);
    assert_string_equal(rig->answer->hosts[0].policy, "opportunistic");
    /* TLSA records nobody can use ask for encryption only; the policy in force asks for more */
    row_of("good.test", RR_MX)->secure = row_of("a.good.test", RR_A)->secure = true;
    rig->settings.direct.dane = true;
    resolve_forget(resolve, SLICE_EMPTY);
    q.name = SLICE("good.test");
    rig->answered = false;
    (void)resolve_begin(resolve, &q, arena, on_answer, rig);
    fake_until(&rig->dns, &rig->answered);
    assert_int_equal(rig->answer->host_count, 1);
    assert_int_equal(rig->answer->hosts[0].level, CLIENT_TLS_VERIFY);
    assert_int_equal(rig->answer->hosts[0].peer.check, TLS_CHECK_NAME);
    row_of("good.test", RR_MX)->secure = row_of("a.good.test", RR_A)->secure = false;
    rig->settings.direct.dane = false;
    resolve_forget(resolve, SLICE_EMPTY);
    /* no host is named */
    row_of("good.test", RR_MX)->records = "5 a.bad.test";
    resolve_forget(resolve, SLICE_EMPTY);
    q.name = SLICE("good.test");
    rig->answered = false;
    (void)resolve_begin(resolve, &q, arena, on_answer, rig);
    fake_until(&rig->dns, &rig->answered);
    assert_int_equal(rig->answer->outcome, RESOLVE_TEMPORARY);
    assert_string_equal(rig->answer->policy, "sts");
    row_of("good.test", RR_MX)->records = "10 a.good.test|5 a.bad.test";
    /* freed while the fetch is out */
    q.name = SLICE("html.test");
    (void)resolve_begin(resolve, &q, arena, on_answer, rig);
    fake_for(&rig->dns, 3);
    resolve_free(&resolve);
}

/* Once a day and domain. */
static void test_mismatches(void **state)
{
    struct rig *rig = *state;
    (void)ask(rig, "testing.test");
    (void)ask(rig, "good.test");
    assert_false(sts_note_mismatch(rig->sts, SLICE("unknown.test"), SLICE("mx.test"), "x"));
    assert_true(sts_note_mismatch(rig->sts, SLICE("testing.test"), SLICE("mx.test"), "validation-failure"));
    assert_false(sts_note_mismatch(rig->sts, SLICE("testing.test"), SLICE("my.test"), "validation-failure"));
    assert_true(sts_note_mismatch(rig->sts, SLICE("good.test"), SLICE("mx.test"), "validation-failure"));
}

static void test_cancel(void **state)
{
    struct rig *rig = *state;
    struct sts_call *call = sts_ask(rig->sts, SLICE("good.test"), on_policy, rig);
    assert_non_null(call);
    sts_cancel(&call);
    assert_null(call);
    fake_for(&rig->dns, 100);
    assert_false(rig->answered);
    (void)sts_ask(rig->sts, SLICE("testing.test"), on_policy, rig); /* freed at work */
    fake_for(&rig->dns, 4);
}

static void test_bundles(void **state)
{
    struct rig *rig = *state;
    struct why why = {0};
    assert_int_equal(https_update(rig->https, SLICE("nonsense"), &why), ERR_BAD);
    assert_true(why.text[0]);
    assert_int_equal(https_update(rig->https, SLICE_EMPTY, &why), ERR_OK); /* trusts nobody */
    (void)ask(rig, "good.test");
    assert_string_equal(rig->failure, "sts-webpki-invalid");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_policies), TEST(test_memory),     TEST(test_expiry),  TEST(test_resolve),
        TEST(test_cancel),   TEST(test_mismatches), TEST(test_bundles),
    };
    return cmocka_run_group_tests(tests, start_web, stop_web);
}
