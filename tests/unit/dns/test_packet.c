/* Answers out of DNS messages: chains, negative answers, uncompressed rdata; and what is malformed.
 * Resolv.conf too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/coll.h"
#include "dns/packet.h"
#include "dns/servers.h"

#define EXAMPLE "\7example\4test\0"
#define POINTER "\xc0\x0c"

static void add_u16(struct buf *out, unsigned v)
{
    buf_add_byte(out, (uint8_t)(v >> 8));
    buf_add_byte(out, (uint8_t)v);
}

struct rr {
    struct slice owner;
    unsigned type;
    uint32_t ttl;
    struct slice rdata;
};
#define S(literal)                                                                                           \
    {                                                                                                        \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                      \
    }

static void add_rr(struct buf *out, const struct rr *rr)
{
    buf_add(out, rr->owner);
    add_u16(out, rr->type);
    add_u16(out, 1);
    add_u16(out, rr->ttl >> 16);
    add_u16(out, rr->ttl & 0xffff);
    add_u16(out, (unsigned)rr->rdata.len);
    buf_add(out, rr->rdata);
}

/* A reply to a question for example.test. */
static struct buf reply(unsigned flags, unsigned type, const struct rr *answers, unsigned count,
                        const struct rr *soa)
{
    struct buf out = buf_new(65536);
    add_u16(&out, 1);
    add_u16(&out, flags);
    add_u16(&out, 1);
    add_u16(&out, count);
    add_u16(&out, soa ? 1 : 0);
    add_u16(&out, 0);
    buf_add(&out, (struct slice)S(EXAMPLE));
    add_u16(&out, type);
    add_u16(&out, 1);
    for (unsigned i = 0; i < count; i++)
        add_rr(&out, &answers[i]);
    if (soa)
        add_rr(&out, soa);
    return out;
}

static const struct rr soa = {S(POINTER), PACKET_TYPE_SOA, 3600,
                              S("\2ns" POINTER "\1h" POINTER "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\x78")};

static void test_records(void **state)
{
    (void)state;
    static const struct rr mx[] = {{S(POINTER), PACKET_TYPE_MX, 300, S("\0\x0a\3mx1" POINTER)},
                                   {S("\7EXAMPLE\4Test\0"), PACKET_TYPE_MX, 200, S("\0\x14\3MX2\5other\0")},
                                   {S("\5other\0"), PACKET_TYPE_MX, 1, S("\0\1\1x\0")}};
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    AUTO_BUF struct buf message = reply(0x8180, PACKET_TYPE_MX, mx, 3, NULL);
    struct packet_answer a;
    assert_int_equal(packet_read_in(arena, buf_slice(&message), PACKET_TYPE_MX, &a), ERR_OK);
    assert_int_equal(a.rcode, 0);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.ttl, 200);
    assert_true(slice_eq(a.canonical, SLICE("example.test")));
    assert_true(slice_eq(a.records[0], (struct slice)S("\0\x0a\3mx1" EXAMPLE)));
    assert_true(slice_eq(a.records[1], (struct slice)S("\0\x14\3mx2\5other\0")));
}

static void test_chain(void **state)
{
    (void)state;
    static const struct rr rows[] = {
        {S("\1b\0"), 1, 50, S("\300\0\2\1")}, /* before its CNAME: found all the same */
        {S(POINTER), PACKET_TYPE_CNAME, 100, S("\1a\0")},
        {S("\1a\0"), PACKET_TYPE_CNAME, 20, S("\1b\0")}};
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    AUTO_BUF struct buf message = reply(0x8180, 1, rows, 3, NULL);
    struct packet_answer a;
    assert_int_equal(packet_read_in(arena, buf_slice(&message), 1, &a), ERR_OK);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.ttl, 20);
    assert_true(slice_eq(a.canonical, SLICE("b")));
    static const struct rr loop[] = {{S(POINTER), PACKET_TYPE_CNAME, 100, S("\1a\0")},
                                     {S("\1a\0"), PACKET_TYPE_CNAME, 20, S(POINTER)}};
    AUTO_BUF struct buf round = reply(0x8180, 1, loop, 2, NULL);
    assert_int_equal(packet_read_in(arena, buf_slice(&round), 1, &a), ERR_BAD);
}

static void test_negative(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    struct packet_answer a;
    AUTO_BUF struct buf none = reply(0x8180, 28, NULL, 0, &soa);
    assert_int_equal(packet_read_in(arena, buf_slice(&none), 28, &a), ERR_OK);
    assert_int_equal(a.rcode, 0);
    assert_int_equal(a.count, 0);
    assert_int_equal(a.ttl, 120);
    AUTO_BUF struct buf absent = reply(0x8183, 1, NULL, 0, &soa);
    assert_int_equal(packet_read_in(arena, buf_slice(&absent), 1, &a), ERR_OK);
    assert_int_equal(a.rcode, 3);
    AUTO_BUF struct buf bare = reply(0x8180, 1, NULL, 0, NULL);
    assert_int_equal(packet_read_in(arena, buf_slice(&bare), 1, &a), ERR_OK);
    assert_int_equal(a.ttl, 0);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct rr bad[] = {
        {S("\xc0\xff"), 1, 1, S("\1\2\3\4")},                /* a pointer forwards */
        {S("\x40zz\0"), 1, 1, S("\1\2\3\4")},                /* an unknown kind of label */
        {S(POINTER), PACKET_TYPE_MX, 1, S("\0")},            /* rdata too short */
        {S(POINTER), PACKET_TYPE_MX, 1, S("\0\1\5ab")},      /* a name past its rdata */
        {S(POINTER), PACKET_TYPE_MX, 1, S("\0\1\1a\0junk")}, /* more than a name */
        {S(POINTER), PACKET_TYPE_SOA, 1, S("\1a\0")},        /* one name of two */
    };
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    struct packet_answer a;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_BUF struct buf message = reply(0x8180, bad[i].type, &bad[i], 1, NULL);
        assert_int_equal(packet_read_in(arena, buf_slice(&message), bad[i].type, &a), ERR_BAD);
    }
    static const struct rr good = {S(POINTER), 1, 1, S("\1\2\3\4")};
    AUTO_BUF struct buf whole = reply(0x8180, 1, &good, 1, NULL);
    for (size_t len = 0; len < whole.len; len++)
        assert_int_equal(packet_read_in(arena, slice_make(whole.data, len), 1, &a), ERR_BAD);
    AUTO_BUF struct buf cut = reply(0x8380, 1, &good, 1, NULL); /* TC */
    assert_int_equal(packet_read_in(arena, buf_slice(&cut), 1, &a), ERR_BAD);
}

static void test_servers(void **state)
{
    (void)state;
    struct slice servers[SERVERS_MAX];
    size_t count = servers_read(
        SLICE("# comment\nsearch example.org\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 # two\r\n"
              "nameserver fe80::1%eth0\nnameserver nonsense\nnameserverx 192.0.2.9\noptions edns0\n"
              "nameserver 192.0.2.3"),
        servers);
    assert_int_equal(count, 4);
    assert_true(slice_eq(servers[0], SLICE("192.0.2.1")));
    assert_true(slice_eq(servers[1], SLICE("2001:db8::1")));
    assert_true(slice_eq(servers[2], SLICE("fe80::1%eth0")));
    assert_true(slice_eq(servers[3], SLICE("192.0.2.3")));
    assert_int_equal(servers_read(SLICE(""), servers), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),   cmocka_unit_test(test_chain),   cmocka_unit_test(test_negative),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
