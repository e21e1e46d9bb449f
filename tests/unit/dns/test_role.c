/* The dns role, whole, against a little name server of the test's own on loopback. */
#include "../role_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "dns/dns.h"

#define PEERS (1u << ROLE_SMTP | 1u << ROLE_SCAN)

#define BIG_MX  1000
#define WIDE_MX 240

struct server {
    int fd, listening; /* UDP; TCP at the same port */
    uint16_t port;
    struct loop_watch *watch, *tcp_watch;
    unsigned tcp;
    unsigned asked;
    bool silent;
};

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)rig;
    (void)self;
    (void)link;
    (void)packet;
    return false;
}

static void put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

/* Behind the one question; 0 when there is none. */
static size_t question_end(const uint8_t *q, size_t len)
{
    size_t end = 12;
    while (end < len && q[end])
        end += 1u + q[end];
    return end + 5 <= len ? end + 5 : 0;
}

/* 1,000 MX of big.test, or 240 with the longest names: more than our own messages hold. The worst first. */
static size_t big_answer(uint8_t *q, size_t at)
{
    bool wide = q[12] == 4;
    unsigned count = wide ? WIDE_MX : BIG_MX, labels = wide ? 4 : 1, size = wide ? 61 : 47;
    put16(q + 2, 0x8580);
    put16(q + 6, count);
    put16(q + 8, 0);
    put16(q + 10, 0);
    for (unsigned i = 0; i < count; i++) {
        memcpy(q + at, "\xc0\x0c\0\x0f\0\1\0\0\0\x3c", 10);
        put16(q + at + 10, 2 + labels * (size + 1) + 1);
        put16(q + at + 12, 5000 - i);
        at += 14;
        for (unsigned label = 0; label < labels; label++) {
            q[at] = (uint8_t)size;
            (void)snprintf((char *)q + at + 1, 80, "%0*u", (int)size, i * labels + label);
            at += 1 + size;
        }
        q[at++] = 0;
    }
    return at;
}

/* One question of a connection, in blocking reads: it comes at once on loopback. */
static void on_connection(void *arg, unsigned events)
{
    struct server *s = arg;
    static uint8_t bytes[2 + 65536];
    (void)events;
    int fd = accept(s->listening, NULL, NULL);
    if (fd < 0)
        return;
    s->tcp++;
    ssize_t len = recv(fd, bytes, 1500, 0);
    size_t end = len > 14 ? question_end(bytes + 2, (size_t)len - 2) : 0;
    if (end) {
        size_t size = big_answer(bytes + 2, end);
        put16(bytes, (unsigned)size);
        assert_int_equal(send(fd, bytes, size + 2, 0), (ssize_t)size + 2);
    }
    (void)close(fd);
}

/* Answers A of host.test with 192.0.2.5, TXT of the same with 300 times a text, NXDOMAIN for anything else.
 */
static void on_question(void *arg, unsigned events)
{
    struct server *s = arg;
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    uint8_t q[1500];
    (void)events;
    ssize_t len = recvfrom(s->fd, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);
    if (len < 12 || s->silent)
        return;
    s->asked++;
    size_t end = question_end(q, (size_t)len);
    if (end == 0)
        return;
    if (memcmp(q + 12, "\3big\4test", 9) == 0 ||
        memcmp(q + 12, "\4wide\4test", 10) == 0) { /* too much for UDP */
        put16(q + 2, 0x8780);
        (void)memset(q + 6, 0, 6);
        (void)sendto(s->fd, q, end, 0, (struct sockaddr *)&from, from_len);
        return;
    }
    unsigned type = (unsigned)q[end - 3];
    bool ours = end == 12 + 11 + 4 && memcmp(q + 12, "\4host\4test", 10) == 0;
    put16(q + 2, ours ? 0x8580 : 0x8583);
    put16(q + 6, ours && type == 1);
    put16(q + 8, 0);
    put16(q + 10, 0);
    if (ours && type == 1) {
        memcpy(q + end, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\5", 16);
        end += 16;
    }
    (void)sendto(s->fd, q, end, 0, (struct sockaddr *)&from, from_len);
}

/* UDP and TCP at one port: false when another program has the second. */
static bool server_bind(struct server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *s = (struct server){.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    s->port = ntohs(at.sin_port);
    s->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(s->listening, (struct sockaddr *)&at, sizeof at) == 0;
}

static void server_open(struct server *s)
{
    for (int tries = 0; !server_bind(s); tries++) {
        assert_in_range(tries, 0, 50);
        (void)close(s->listening);
        (void)close(s->fd);
    }
    assert_int_equal(listen(s->listening, 5), 0);
}

static const char *yaml_for(const struct server *s, const char *more)
{
    static char yaml[600];
    (void)snprintf(yaml, sizeof yaml,
                   "hostname: mail.example.org\ndata: /tmp/unused\n"
                   "listeners: [ { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none } ]\n"
                   "resolver: { servers: [ \"127.0.0.1:%u\" ], unblock_zones: [ test ]%s }\n",
                   s->port, more);
    return yaml;
}

static struct wire_dns_answer ask(struct rig *rig, const char *name, uint32_t type)
{
    const struct wire_dns_query m = {.rrtype = type, .name = slice_of(name)};
    struct rig_answer answer;
    struct wire_dns_answer result;
    rig_ask(rig, ROLE_SMTP, WIRE_DNS_QUERY, &m, &answer);
    rig_get(rig, &answer, WIRE_DNS_ANSWER, &result);
    return result;
}

static struct rig *start(struct server *s)
{
    server_open(s);
    struct rig *rig = rig_new(&dns_role, PEERS, yaml_for(s, ""), NULL, handle, NULL);
    s->watch = loop_watch_new(rig->loop, s->fd, on_question, s);
    loop_watch_set(s->watch, LOOP_READ);
    s->tcp_watch = loop_watch_new(rig->loop, s->listening, on_connection, s);
    loop_watch_set(s->tcp_watch, LOOP_READ);
    return rig;
}

static void stop(struct rig *rig, struct server *s)
{
    loop_watch_free(&s->watch);
    loop_watch_free(&s->tcp_watch);
    (void)close(s->listening);
    (void)close(s->fd);
    rig_free(rig);
}

static void test_answers(void **state)
{
    (void)state;
    struct server s;
    struct rig *rig = start(&s);
    struct wire_dns_answer a = ask(rig, "host.test", 1);
    assert_int_equal(a.status, DNS_OK);
    assert_int_equal(a.secure, 0);
    assert_int_equal(a.ttl, 60);
    assert_true(slice_eq(a.canonical, SLICE("host.test")));
    struct slice record, records = a.records;
    assert_true(wire_strings_take(&records, &record));
    assert_int_equal(record.len, 4);
    assert_memory_equal(record.ptr, "\xc0\0\2\5", 4);
    unsigned asked = s.asked;
    assert_int_equal(ask(rig, "HOST.test.", 1).status, DNS_OK); /* from the cache */
    assert_int_equal(s.asked, asked);
    assert_int_equal(ask(rig, "host.test", 28).status, DNS_NODATA);
    assert_int_equal(ask(rig, "nobody.test", 1).status, DNS_NXDOMAIN);
    static const char *const nonsense[] = {"", "a b.test", "x\\000.test", "a..test", "very\x80strange.test"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
        assert_int_equal(ask(rig, nonsense[i], 1).status, DNS_FAILED);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[250] = '\0';
    assert_int_equal(ask(rig, longest, 1).status, DNS_FAILED);
    assert_int_equal(ask(rig, "host.test", 0).status, DNS_FAILED);
    assert_int_equal(rig->condemned, 0);
    stop(rig, &s);
}

/* A reload makes a new context; what is pending in the old one still gets its answer. */
static void test_reload(void **state)
{
    (void)state;
    struct server s;
    struct rig *rig = start(&s);
    assert_int_equal(ask(rig, "host.test", 1).status, DNS_OK);
    s.silent = true;
    const struct wire_dns_query m = {.rrtype = 1, .name = SLICE("slow.test")};
    struct rig_answer pending;
    rig_ask(rig, ROLE_SCAN, WIRE_DNS_QUERY, &m, &pending);
    rig_for(rig, 30);
    rig_reload(rig, yaml_for(&s, ""), NULL);
    s.silent = false;
    unsigned asked = s.asked;
    assert_int_equal(ask(rig, "host.test", 1).status, DNS_OK);
    assert_true(s.asked > asked); /* a cache of its own */
    rig_until(rig, &pending.done);
    assert_int_equal(pending.err, ERR_OK);
    /* settings that do not work keep the old */
    rig->ready = false;
    rig_send_settings(rig, yaml_for(&s, ", trust_anchor: /nowhere"));
    rig_phase(rig, WIRE_SUP_PREPARE);
    rig_until(rig, &rig->ready);
    assert_true(rig->failed);
    rig_phase(rig, WIRE_SUP_ABORT);
    assert_int_equal(ask(rig, "host.test", 28).status, DNS_NODATA);
    stop(rig, &s);
}

/* Strangers' addresses whose names nobody answers for leave room for other questions, and bounded memory. */
static void test_reverse_flood(void **state)
{
    (void)state;
    struct server s;
    struct rig *rig = start(&s);
    struct rig_answer pending[501];
    s.silent = true;
    for (unsigned i = 0; i < sizeof pending / sizeof *pending; i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "%u.%u.0.203.in-addr.arpa", i % 256, i / 256);
        const struct wire_dns_query m = {.rrtype = 12, .name = slice_of(name)};
        rig_ask(rig, ROLE_SMTP, WIRE_DNS_QUERY, &m, &pending[i]);
    }
    rig_until(rig, &pending[500].done);
    assert_false(pending[0].done || pending[499].done);
    s.silent = false;
    assert_int_equal(ask(rig, "host.test", 1).status, DNS_OK);
    stop(rig, &s);
}

/* Many MX records, by TCP: all, or the best that a message holds. */
static void test_big(void **state)
{
    static const struct {
        const char *name;
        unsigned records, least, most;
    } rows[] = {{"big.test", BIG_MX, BIG_MX, BIG_MX}, {"wide.test", WIDE_MX, WIDE_MX - 20, WIDE_MX - 1}};
    (void)state;
    struct server s;
    struct rig *rig = start(&s);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_dns_answer a = ask(rig, rows[i].name, 15);
        assert_int_equal(a.status, DNS_OK);
        assert_int_equal(s.tcp, i + 1);
        struct slice record, records = a.records;
        unsigned count = 0, preference = 5000 - rows[i].records;
        for (; wire_strings_take(&records, &record); count++) {
            preference++;
            assert_int_equal(record.ptr[0] << 8 | record.ptr[1], preference);
        }
        assert_int_equal(records.len, 0);
        assert_in_range(count, rows[i].least, rows[i].most);
    }
    assert_int_equal(rig->condemned, 0);
    stop(rig, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_big),
        cmocka_unit_test(test_reverse_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
