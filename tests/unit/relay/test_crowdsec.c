/* CrowdSec's bouncer and reporter: a scripted LAPI over HTTP on loopback, auth at the other end of a link. */
#include "fake_dns.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "relay/crowdsec.h"

#define KEY             "0123456789abcdef"
#define REPLIES         16
#define FOREVER         "forever"
#define HANGS_UP        "hangs up"
#define OK(body)        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" body
#define STATUS(n, body) "HTTP/1.1 " n " x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" body
#define ONE(id, value)                                                                                       \
    "{\"duration\":\"1h\",\"id\":" id ",\"origin\":\"crowdsec\",\"scenario\":\"crowdsecurity/x\",\"scope\":" \
    "\"Ip\",\"type\":\"ban\",\"value\":\"" value "\"}"

/* ---- the LAPI ---- */

static struct {
    int listening;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    const char *replies[REPLIES]; /* in turn; the last one again and again */
    size_t at;
    char seen[20000]; /* first lines and the lines with secrets of all requests, and bodies */
    size_t seen_len;
} lapi = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void see(const char *bytes, size_t len)
{
    if (len < sizeof lapi.seen - lapi.seen_len)
        memcpy(lapi.seen + lapi.seen_len, bytes, len);
    lapi.seen_len += len < sizeof lapi.seen - lapi.seen_len ? len : 0;
    lapi.seen[lapi.seen_len] = '\0';
}

static size_t length_of(const char *head)
{
    const char *line = strstr(head, "Content-Length: ");
    return line ? strtoul(line + 16, NULL, 10) : 0;
}

/* Head and body of one request. */
static bool read_request(int fd, char *text, size_t size)
{
    size_t len = 0;
    for (ssize_t got; len < size - 1 && (got = recv(fd, text + len, size - 1 - len, 0)) > 0;) {
        len += (size_t)got;
        text[len] = '\0';
        char *body = strstr(text, "\r\n\r\n");
        if (body && len >= (size_t)(body + 4 - text) + length_of(text))
            return true;
    }
    return false;
}

static void note_request(char *text)
{
    char *body = strstr(text, "\r\n\r\n"), *rest = text, *line;
    *body = '\0';
    bool first = true;
    while ((line = strsep(&rest, "\r\n")) != NULL) {
        if (first || strncmp(line, "X-Api-Key", 9) == 0 || strncmp(line, "Authorization", 13) == 0) {
            see(line, strlen(line));
            see("\n", 1);
        }
        first = false;
    }
    see(body + 4, strlen(body + 4));
    see(body[4] ? "\n" : "", body[4] ? 1 : 0);
}

static void send_all(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void send_forever(int fd)
{
    send_all(fd, OK("{\"new\":["));
    while (send(fd, "{},                                                     ", 40, MSG_NOSIGNAL) > 0)
        ;
}

static void serve(int fd)
{
    static char text[100000];
    const struct timeval patience = {.tv_sec = 5};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!read_request(fd, text, sizeof text))
        return;
    (void)pthread_mutex_lock(&lapi.lock);
    note_request(text);
    const char *reply = lapi.replies[lapi.at];
    if (lapi.at + 1 < REPLIES && lapi.replies[lapi.at + 1])
        lapi.at++;
    (void)pthread_mutex_unlock(&lapi.lock);
    if (strcmp(reply, FOREVER) == 0)
        send_forever(fd);
    else if (strcmp(reply, HANGS_UP) != 0)
        send_all(fd, reply);
}

static void *run_lapi(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(lapi.listening, NULL, NULL)) >= 0; (void)close(fd))
        serve(fd);
    return NULL;
}

static int start_lapi(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    (void)state;
    lapi.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(lapi.listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(lapi.listening, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(listen(lapi.listening, 16), 0);
    lapi.port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&lapi.thread, NULL, run_lapi, NULL), 0);
    return 0;
}

static int stop_lapi(void **state)
{
    (void)state;
    (void)shutdown(lapi.listening, SHUT_RDWR);
    (void)pthread_join(lapi.thread, NULL);
    (void)close(lapi.listening);
    return 0;
}

static void script(const char *const *replies, size_t count)
{
    (void)pthread_mutex_lock(&lapi.lock);
    memset(lapi.replies, 0, sizeof lapi.replies);
    for (size_t i = 0; i < count; i++)
        lapi.replies[i] = replies[i];
    lapi.at = 0;
    lapi.seen_len = 0;
    lapi.seen[0] = '\0';
    (void)pthread_mutex_unlock(&lapi.lock);
}
#define SCRIPT(...)                                                                                          \
    script((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static bool has_seen(const char *what)
{
    (void)pthread_mutex_lock(&lapi.lock);
    bool found = strstr(lapi.seen, what) != NULL;
    (void)pthread_mutex_unlock(&lapi.lock);
    return found;
}

/* ---- the rig ---- */

struct rig {
    struct fake_dns dns;
    struct ipc_link *ours, *theirs; /* relay's and auth's end */
    struct https *https;
    struct settings settings;
    struct role_file key, machine;
    struct crowdsec *crowdsec;
    char url[100];
    struct buf told; /* what auth was told: "F", "L", entries in lines */
    unsigned packets, refuse;
};

static bool on_told(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct rig *rig = ctx;
    struct wire_decisions m;
    struct slice entry;
    assert_int_equal(packet->type, WIRE_DECISIONS);
    assert_int_equal(wire_decode(WIRE_DECISIONS, packet->body, &m), ERR_OK);
    rig->packets++;
    buf_add_str(&rig->told, m.flags & DECISIONS_FIRST ? "F\n" : "");
    while (wire_strings_take(&m.entries, &entry)) {
        buf_add(&rig->told, entry);
        buf_add_str(&rig->told, "\n");
    }
    assert_int_equal(m.entries.len, 0);
    buf_add_str(&rig->told, m.flags & DECISIONS_LAST ? "L\n" : "");
    enum err err = rig->refuse ? ERR_LATER : ERR_OK;
    rig->refuse -= rig->refuse > 0;
    wire_reply_result(link, packet->request, err, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}

static void attach(struct rig *rig)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    ipc_link_attach(rig->ours, fds[0]);
    ipc_link_attach(rig->theirs, fds[1]);
}

static const struct fake_row zone[] = {
    {"lapi.example.test", RR_A, DNS_OK, false, "127.0.0.1"},
    {"public.example.test", RR_A, DNS_OK, false, "203.0.113.1"},
};

static int set_up(void **state)
{
    static const struct ipc_ops theirs = {.packet = on_told, .down = fake_on_down};
    static const struct ipc_ops ours = {.packet = fake_refuse, .down = fake_on_down};
    struct rig *rig = mem_zero(1, sizeof *rig);
    struct why why = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    fake_dns_new(&rig->dns, zone, ARRAY_LEN(zone));
    rig->ours = ipc_link_new(rig->dns.loop, "auth", &ours, rig);
    rig->theirs = ipc_link_new(rig->dns.loop, "relay", &theirs, rig);
    attach(rig);
    assert_int_equal(https_new(rig->dns.loop, SLICE_EMPTY, &rig->https, &why), ERR_OK);
    (void)snprintf(rig->url, sizeof rig->url, "http://127.0.0.1:%u/", lapi.port);
    rig->settings.crowdsec.url = slice_of(rig->url);
    rig->settings.crowdsec.interval = 20;
    rig->settings.crowdsec.machine = SLICE("m1");
    rig->key = (struct role_file){.content = SLICE(KEY "\n"), .path = SLICE("/key")};
    rig->machine = (struct role_file){.content = SLICE("word"), .path = SLICE("/machine")};
    rig->told = buf_new(64u << 20);
    rig->crowdsec = crowdsec_new(rig->dns.loop, rig->https, rig->dns.ours, rig->ours);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    crowdsec_free(&rig->crowdsec);
    https_free(&rig->https);
    ipc_link_free(&rig->ours);
    ipc_link_free(&rig->theirs);
    buf_free(&rig->told);
    fake_dns_free(&rig->dns);
    free(rig);
    return 0;
}

static void update(struct rig *rig)
{
    crowdsec_update(rig->crowdsec, &rig->settings, &rig->key, &rig->machine);
}

static void begin(struct rig *rig)
{
    update(rig);
    crowdsec_begin(rig->crowdsec);
}

static void await_told(struct rig *rig, const char *wanted)
{
    uint64_t end = clock_mono_ms() + FAKE_PATIENCE_MS;
    while (slice_search(buf_slice(&rig->told), slice_of(wanted)) < 0) {
        fake_turn(&rig->dns);
        if (clock_mono_ms() > end)
            fail_msg("auth was not told %s but %.*s; asked: %s", wanted, SLICE_ARG(buf_slice(&rig->told)),
                     lapi.seen);
    }
}

static void await_seen(struct rig *rig, const char *wanted)
{
    uint64_t end = clock_mono_ms() + FAKE_PATIENCE_MS;
    while (!has_seen(wanted)) {
        fake_turn(&rig->dns);
        if (clock_mono_ms() > end)
            fail_msg("the LAPI was not asked %s but %s", wanted, lapi.seen);
    }
}

/* ---- decisions ---- */

#define FULL                                                                                                 \
    "GET /v1/decisions/stream?startup=true&dedup=false&scopes=ip,range HTTP/1.1\nX-Api-Key: " KEY "\n"
#define DELTA           "GET /v1/decisions/stream?dedup=false&scopes=ip,range HTTP/1.1\nX-Api-Key: " KEY "\n"
#define NOTHING         OK("{\"deleted\":null,\"new\":null}")
#define TOLD(id, value) "+ " id " " value " 3600 ban crowdsec crowdsecurity/x\n"

static void test_full_then_changes(void **state)
{
    struct rig *rig = *state;
    SCRIPT(OK("{\"deleted\":[" ONE("7", "192.0.2.7") "],\"new\":[" ONE("1", "192.0.2.1") "," ONE(
               "2", "::ffff:192.0.2.2") "]}"),
           NOTHING, OK("{\"deleted\":[" ONE("1", "192.0.2.1") "],\"new\":[" ONE("3", "2001:db8::3") "]}"),
           NOTHING);
    begin(rig);
    await_told(rig, TOLD("3", "2001:db8::3"));
    assert_true(slice_eq(
        buf_slice(&rig->told),
        SLICE("F\n" TOLD("1", "192.0.2.1") TOLD(
            "2", "192.0.2.2") "L\n"
                              "- 1 192.0.2.1 0 ban crowdsec crowdsecurity/x\n" TOLD("3", "2001:db8::3"))));
    assert_true(has_seen(FULL DELTA DELTA));
    assert_int_equal(rig->packets, 2); /* nothing is told when nothing changed */
}

static void test_filters(void **state)
{
    struct rig *rig = *state;
    static struct slice origins[] = {{(const uint8_t *)"cscli", 5}}, words[] = {{(const uint8_t *)"POST", 4}};
#define OTHER(id, type, origin, scenario, duration)                                                          \
    "{\"duration\":\"" duration "\",\"id\":" id ",\"origin\":\"" origin "\",\"scenario\":\"" scenario        \
    "\",\"scope\":\"Ip\",\"type\":\"" type "\",\"value\":\"192.0.2.1\"}"
    rig->settings.crowdsec.origins.items = origins;
    rig->settings.crowdsec.origins.count = 1;
    rig->settings.crowdsec.scenarios.items = words;
    rig->settings.crowdsec.scenarios.count = 1;
    SCRIPT(OK("{\"new\":[" OTHER("1", "captcha", "cscli", "x/postfix-spam", "1h") "," OTHER(
               "2", "ban", "CAPI", "x/postfix-spam",
               "1h") "," OTHER("3", "ban", "cscli", "x/ssh",
                               "1h") "," OTHER("4", "ban", "cscli", "x/postfix-spam",
                                               "-1s") "," OTHER("5", "Ban", "cscli", "x/postfix-spam",
                                                                "1h") "]}"),
           NOTHING);
    begin(rig);
    await_told(rig, "L\n");
    assert_true(
        slice_eq(buf_slice(&rig->told), SLICE("F\n+ 5 192.0.2.1 3600 Ban cscli x/postfix-spam\nL\n")));
}

/* What cannot be read is not passed on in part, and everything is asked for anew. */
static void test_bad_answers(void **state)
{
    static const char *const bad[] = {
        HANGS_UP,
        "junk\r\n",
        STATUS("500", ""),
        STATUS("403", ""),
        STATUS("302", ""),
        OK("null"),
        OK("<html>"),
        OK("{\"new\":[" ONE("9", "192.0.2.9") ","),
        OK("{\"new\":[" ONE("9", "192.0.2.9") ",1]}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"new\":[" ONE("9", "192.0.2.9") "]}",
    };
    struct rig *rig = *state;
    SCRIPT(NOTHING);
    begin(rig);
    await_told(rig, "L\n");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        buf_clear(&rig->told);
        SCRIPT(bad[i], OK("{\"new\":[" ONE("1", "192.0.2.1") "]}"), NOTHING);
        await_told(rig, "F\n" TOLD("1", "192.0.2.1") "L\n");
        assert_true(has_seen(FULL));
        assert_true(slice_search(buf_slice(&rig->told), SLICE("192.0.2.9")) < 0);
    }
}

static void test_endless(void **state)
{
    struct rig *rig = *state;
    SCRIPT(FOREVER, OK("{\"new\":[" ONE("1", "192.0.2.1") "]}"), NOTHING);
    begin(rig);
    await_told(rig, TOLD("1", "192.0.2.1"));
    assert_int_equal(rig->packets, 1);
}

/* More than one message holds: in order, the first and the last marked, each answered before the next. */
static void test_many(void **state)
{
    enum { COUNT = 5000 };
    struct rig *rig = *state;
    AUTO_BUF struct buf reply = buf_new(4u << 20);
    buf_add_str(&reply, OK("{\"new\":["));
    for (unsigned i = 0; i < COUNT; i++)
        buf_addf(&reply, "%s" ONE("%u", "10.1.%u.%u"), i ? "," : "", i, i / 256, i % 256);
    buf_add_str(&reply, "]}");
    buf_add_byte(&reply, 0);
    assert_true(buf_ok(&reply));
    SCRIPT((const char *)reply.data, NOTHING);
    begin(rig);
    await_told(rig, "L\n");
    assert_true(rig->packets > 4);
    size_t lines = 0;
    struct slice rest = buf_slice(&rig->told), line;
    while (slice_token(&rest, '\n', &line))
        lines++;
    assert_int_equal(lines, COUNT + 2);
    fake_for(&rig->dns, 100); /* the thread may still hold the text */
}

/* auth refuses, or is started anew: it gets everything. */
static void test_auth_away(void **state)
{
    struct rig *rig = *state;
    SCRIPT(OK("{\"new\":[" ONE("1", "192.0.2.1") "]}"));
    rig->refuse = 1;
    begin(rig);
    await_told(rig, "F\n" TOLD("1", "192.0.2.1") "L\nF\n" TOLD("1", "192.0.2.1") "L\n");
    SCRIPT(NOTHING);
    ipc_link_close(rig->theirs);
    fake_for(&rig->dns, 60);
    SCRIPT(OK("{\"new\":[" ONE("2", "192.0.2.2") "]}"), NOTHING);
    buf_clear(&rig->told);
    fake_for(&rig->dns, 100);
    assert_false(has_seen("GET")); /* nobody is there who would want it */
    attach(rig);
    crowdsec_auth_up(rig->crowdsec);
    await_told(rig, "F\n" TOLD("2", "192.0.2.2") "L\n");
}

static void test_settings(void **state)
{
    struct rig *rig = *state;
    SCRIPT(NOTHING);
    begin(rig);
    await_told(rig, "F\nL\n");
    fake_for(&rig->dns, 100);
    SCRIPT(NOTHING);
    update(rig); /* nothing changed: nothing starts over */
    await_seen(rig, DELTA);
    assert_false(has_seen(FULL));

    SCRIPT(NOTHING);
    rig->key.content = SLICE("another");
    update(rig);
    await_seen(
        rig,
        "GET /v1/decisions/stream?startup=true&dedup=false&scopes=ip,range HTTP/1.1\nX-Api-Key: another\n");

    rig->key.content = SLICE("no\nkey"); /* would be a header of its own */
    buf_clear(&rig->told);
    update(rig);
    await_told(rig, "F\nL\n"); /* what was decided there is forgotten */
    SCRIPT(NOTHING);
    fake_for(&rig->dns, 100);
    assert_false(has_seen("GET"));

    rig->key.content = SLICE(KEY);
    (void)snprintf(rig->url, sizeof rig->url, "http://lapi.example.test:%u/some/where", lapi.port);
    rig->settings.crowdsec.url = slice_of(rig->url);
    update(rig);
    await_seen(rig, "GET /some/where/v1/decisions/stream?startup=true");
    (void)snprintf(rig->url, sizeof rig->url, "http://localhost:%u", lapi.port);
    rig->settings.crowdsec.url = slice_of(rig->url);
    SCRIPT(NOTHING);
    update(rig);
    await_seen(rig, FULL);

    /* In the clear only to networks of one's own. */
    (void)snprintf(rig->url, sizeof rig->url, "http://public.example.test:%u", lapi.port);
    rig->settings.crowdsec.url = slice_of(rig->url);
    SCRIPT(NOTHING);
    update(rig);
    fake_for(&rig->dns, 100);
    assert_false(has_seen("GET"));
}

/* ---- reports ---- */

static const struct wire_ban_report ban = {.simulated = 1,
                                           .events = 5,
                                           .begun = 1795232040,
                                           .ended = 1795232047,
                                           .seconds = 900,
                                           .address = {(const uint8_t *)"203.0.113.7", 11},
                                           .scenario = {(const uint8_t *)"rockdove/failed-login", 21},
                                           .message = {(const uint8_t *)"five", 4}};

#define LOGIN                                                                                                \
    "POST /v1/watchers/login HTTP/1.1\n{\"machine_id\":\"m1\",\"password\":\"word\",\"scenarios\":[]}\n"
#define ALERTS   "POST /v1/alerts HTTP/1.1\nAuthorization: Bearer "
#define TOKEN(t) OK("{\"code\":200,\"token\":\"" t "\"}")
#define TAKEN    "HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n[\"6\"]"

/* A LAPI that is only reported to: the bouncer's questions wait behind a long interval. */
static void begin_reports(struct rig *rig)
{
    rig->settings.crowdsec.interval = 3600000;
    SCRIPT(NOTHING);
    begin(rig);
    await_told(rig, "L\n");
    fake_for(&rig->dns, 20);
}

static void test_reports(void **state)
{
    struct rig *rig = *state;
    struct wire_ban_report made = ban;
    begin_reports(rig);
    SCRIPT(TOKEN("T1"), TAKEN, STATUS("401", ""), TOKEN("T2"), TAKEN);
    assert_true(crowdsec_report(rig->crowdsec, &ban));
    made.simulated = 0;
    made.address = SLICE("2001:db8:1::/64");
    assert_true(crowdsec_report(rig->crowdsec, &made));
    await_seen(rig, LOGIN ALERTS "T1\n[{");
    assert_true(has_seen("\"value\":\"203.0.113.7\""));
    assert_true(has_seen("\"value\":\"2001:db8:1::/64\",\"range\":"));
    assert_true(has_seen("\"decisions\":[{\"duration\":\"900s\"")); /* of the second only */
    assert_false(has_seen("\"decisions\":[{\"duration\":\"900s\",\"origin\":\"rockdove\",\"type\":\"ban\","
                          "\"scenario\":\"rockdove/failed-login\",\"scope\":\"Ip\""));
    fake_for(&rig->dns, 50);

    assert_true(crowdsec_report(rig->crowdsec, &ban)); /* the token has become old */
    await_seen(rig, LOGIN ALERTS "T2\n[{");
    assert_true(has_seen(ALERTS "T1\n[{\"capacity\":0"));
    fake_for(&rig->dns, 300);
    struct slice seen = slice_of(lapi.seen);
    size_t requests = 0;
    for (ptrdiff_t at; (at = slice_search(seen, SLICE("POST "))) >= 0; requests++)
        seen = slice_from(seen, (size_t)at + 5);
    assert_int_equal(requests, 5);
}

static void test_reports_refused(void **state)
{
    struct rig *rig = *state;
    struct wire_ban_report wrong = ban;
    wrong.address = SLICE("nobody");
    assert_false(crowdsec_report(rig->crowdsec, &wrong));
    wrong = ban;
    wrong.scenario = SLICE_EMPTY;
    assert_false(crowdsec_report(rig->crowdsec, &wrong));
    begin_reports(rig);
    rig->settings.crowdsec.interval = 20; /* pauses after failures */
    /* no token; then an alert it will never have is given up, and the next gets through */
    SCRIPT(OK("{}"), STATUS("403", ""), TOKEN("a\\nb"), TOKEN("T1"), STATUS("500", ""), TOKEN("T1"),
           STATUS("500", ""), TOKEN("T1"), STATUS("500", ""), TOKEN("T1"), TAKEN);
    assert_true(crowdsec_report(rig->crowdsec, &ban));
    fake_for(&rig->dns, 1500);
    wrong = ban;
    wrong.address = SLICE("203.0.113.8");
    assert_true(crowdsec_report(rig->crowdsec, &wrong));
    await_seen(rig, "\"ip\":\"203.0.113.8\"");
    assert_true(slice_search(slice_of(strrchr(lapi.seen, '[')), SLICE("203.0.113.7")) < 0);
}

static void test_no_machine(void **state)
{
    struct rig *rig = *state;
    rig->settings.crowdsec.machine = SLICE_EMPTY;
    begin_reports(rig);
    SCRIPT(NOTHING);
    for (unsigned i = 0; i < 2 * CROWDSEC_REPORTS_MAX; i++)
        assert_true(crowdsec_report(rig->crowdsec, &ban));
    fake_for(&rig->dns, 400);
    assert_false(has_seen("POST"));
    rig->settings.crowdsec.machine = SLICE("m1");
    update(rig);
    for (unsigned i = 0; i < 2 * CROWDSEC_REPORTS_MAX; i++) /* more than wait */
        assert_true(crowdsec_report(rig->crowdsec, &ban));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full_then_changes), TEST(test_filters), TEST(test_bad_answers),
        TEST(test_endless),           TEST(test_many),    TEST(test_auth_away),
        TEST(test_settings),          TEST(test_reports), TEST(test_reports_refused),
        TEST(test_no_machine),
    };
    return cmocka_run_group_tests(tests, start_lapi, stop_lapi);
}
