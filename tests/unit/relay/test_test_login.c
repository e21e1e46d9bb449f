/* `rockdove relay test` as the relay role answers it: what is shown, the login's result, one message, and a
 * relay that is not there. */
#include "fake_dns.h"
#include "script.h"

#include "relay/test_login.h"

#define HELLO                                                                                                \
    "S 220 mx.relay.test ready\nC EHLO mail.example.org\nS 250-mx.relay.test\nS 250-SIZE 1000\n"             \
    "S 250-8BITMIME\nS 250 AUTH PLAIN\n"

struct rig {
    struct fake_dns dns;
    struct script server;
    struct ipc_link *queue, *relay;
    struct settings settings;
    struct resolve *resolve;
    struct identity *identity;
    struct test_logins *tests;
    struct test_login_setup setup;
    struct settings_relay to;
    bool answered;
    unsigned exit_code;
    struct buf text;
};

static bool on_test(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct rig *rig = ctx;
    struct wire_relay_test question;
    assert_int_equal(wire_decode(WIRE_RELAY_TEST, packet->body, &question), ERR_OK);
    return test_login_begin(rig->tests, link, packet, &question, &rig->setup);
}

static void on_output(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct rig *rig = ctx;
    struct wire_control_output output;
    assert_int_equal(wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &output), ERR_OK);
    buf_add(&rig->text, output.text);
    rig->exit_code = output.exit_code;
    rig->answered = !packet->more;
}

static void rig_open(struct rig *rig, const char *const *scripts)
{
    static const struct ipc_ops relay_ops = {.packet = on_test, .down = fake_on_down};
    static const struct ipc_ops queue_ops = {.packet = fake_refuse, .down = fake_on_down};
    int fds[2];
    *rig = (struct rig){.text = buf_new(100000)};
    fake_dns_new(&rig->dns, NULL, 0);
    script_open(&rig->server, rig->dns.loop, scripts, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    rig->relay = ipc_link_new(rig->dns.loop, "queue", &relay_ops, rig);
    rig->queue = ipc_link_new(rig->dns.loop, "relay", &queue_ops, rig);
    ipc_link_attach(rig->relay, fds[0]);
    ipc_link_attach(rig->queue, fds[1]);
    rig->settings.hostname = SLICE("mail.example.org");
    rig->identity = identity_new(rig->dns.loop, rig->dns.ours, &rig->settings);
    rig->resolve = resolve_new(rig->dns.loop, rig->dns.ours, &rig->settings, NULL, rig->identity);
    rig->tests = test_logins_new(rig->dns.loop, rig->resolve, rig->identity);
    rig->to = (struct settings_relay){.name = SLICE("default"),
                                      .host = SLICE("[127.0.0.1]"),
                                      .port = rig->server.port,
                                      .tls = SETTINGS_RELAY_NONE,
                                      .insecure_auth = true};
    rig->setup = (struct test_login_setup){.settings = &rig->settings,
                                           .relay = &rig->to,
                                           .login = {.user = SLICE("user"), .secret = SLICE("key")}};
}

static void rig_close(struct rig *rig)
{
    test_logins_free(&rig->tests);
    resolve_free(&rig->resolve);
    identity_free(&rig->identity);
    script_close(&rig->server);
    fake_for(&rig->dns, 20); /* a connection that says its last words */
    ipc_link_free(&rig->relay);
    ipc_link_free(&rig->queue);
    fake_dns_free(&rig->dns);
    buf_free(&rig->text);
}

static void ask(struct rig *rig, bool json, const char *to, int fd, uint64_t size)
{
    const struct wire_relay_test question = {
        .json = json, .size = size, .sender = SLICE("postmaster@example.org"), .to = slice_of(to)};
    rig->answered = false;
    buf_clear(&rig->text);
    (void)wire_call_fds(rig->queue, WIRE_RELAY_TEST, &question, &fd, fd >= 0, 20000, on_output, rig);
    fake_until(&rig->dns, &rig->answered);
}

static void test_good(void **state)
{
    static const char *const scripts[] = {
        HELLO "C AUTH PLAIN AHVzZXIAa2V5\nS 235 2.7.0 fine\nC QUIT\nS 221 bye\nX\n", NULL};
    static const char *const shown[] = {
        "relay: default, [127.0.0.1] port ", "greeting: mx.relay.test\n",     "tls: none",
        "offers: SIZE 8BITMIME AUTH\n",      "mechanisms: PLAIN\n",           "largest message: 1000\n",
        "login: accepted (PLAIN)\n",         "ehlo name: mail.example.org\n", "ok\n"};
    struct rig rig;
    (void)state;
    rig_open(&rig, scripts);
    ask(&rig, false, NULL, -1, 0);
    assert_int_equal(rig.exit_code, 0);
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        assert_true(slice_search(buf_slice(&rig.text), slice_of(shown[i])) >= 0);
    assert_true(slice_search(buf_slice(&rig.text), SLICE("key")) < 0);
    rig_close(&rig);
}

static void test_refused(void **state)
{
    static const char *const scripts[] = {HELLO "C AUTH PLAIN\nS 535 5.7.8 wrong\nW\n", NULL};
    struct rig rig;
    (void)state;
    rig_open(&rig, scripts);
    ask(&rig, true, NULL, -1, 0);
    assert_int_equal(rig.exit_code, 1);
    assert_true(slice_starts(buf_slice(&rig.text), SLICE("{\"relay\":\"default, ")));
    assert_true(slice_search(buf_slice(&rig.text), SLICE("\"login\":\"")) >= 0);
    assert_true(slice_search(buf_slice(&rig.text), SLICE("535 5.7.8 wrong")) >= 0);
    assert_true(slice_ends(buf_slice(&rig.text), SLICE("\"ok\":false}\n")));
    rig_close(&rig);
}

static void test_message(void **state)
{
    static const char *const scripts[] = {
        HELLO "C AUTH PLAIN\nS 235 2.7.0 fine\nC MAIL FROM:<postmaster@example.org>\nS 250 ok\n"
              "C RCPT TO:<you@elsewhere.test>\nS 250 ok\nC DATA\nS 354 go\nD *\nS 250 2.0.0 queued as 77\n"
              "C QUIT\nS 221 bye\nX\n",
        NULL};
    struct rig rig;
    FILE *file = tmpfile();
    (void)state;
    assert_non_null(file);
    (void)fputs("Subject: test\r\n\r\nhello\r\n", file);
    (void)fflush(file);
    rig_open(&rig, scripts);
    ask(&rig, false, "you@elsewhere.test", fileno(file), 24);
    assert_int_equal(rig.exit_code, 0);
    assert_true(slice_search(buf_slice(&rig.text), SLICE("message: accepted: 250 2.0.0 queued as 77\n")) >=
                0);
    assert_false(rig.server.failed);
    rig_close(&rig);
    (void)fclose(file);
}

/* No such relay, a secret that cannot be read, no message, nobody there, gone at work. */
static void test_failures(void **state)
{
    static const char *const scripts[] = {"W\n", NULL};
    struct rig rig;
    (void)state;
    rig_open(&rig, scripts);
    rig.setup.relay = NULL;
    ask(&rig, false, NULL, -1, 0);
    assert_int_equal(rig.exit_code, 1);
    rig.setup.relay = &rig.to;
    rig.setup.login_flaw = SLICE("no permission");
    ask(&rig, false, NULL, -1, 0);
    assert_int_equal(rig.exit_code, 1);
    assert_true(slice_search(buf_slice(&rig.text), SLICE("no permission")) >= 0);
    rig.setup.login_flaw = SLICE_EMPTY;
    ask(&rig, false, "you@elsewhere.test", -1, 0);
    assert_int_equal(rig.exit_code, 1);
    rig.to.host = SLICE("nowhere.test");
    ask(&rig, false, NULL, -1, 0);
    assert_int_equal(rig.exit_code, 1);
    assert_true(slice_search(buf_slice(&rig.text), SLICE("nowhere.test cannot be found")) >= 0);
    rig.to.host = SLICE("[127.0.0.1]");
    rig.to.port = 1;
    ask(&rig, false, NULL, -1, 0);
    assert_int_equal(rig.exit_code, 1);
    assert_true(slice_search(buf_slice(&rig.text), SLICE("refused")) >= 0);
    rig.to.port = rig.server.port;
    const struct wire_relay_test question = {0};
    uint32_t request = wire_call(rig.queue, WIRE_RELAY_TEST, &question, 20000, on_output, &rig);
    fake_for(&rig.dns, 50);
    ipc_cancel(rig.queue, request);
    test_logins_forget(rig.tests);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
