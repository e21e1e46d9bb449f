/* PROXY headers, both versions, whole and cut at every byte. The captured ones come from HAProxy 2.6. */
#include "check.h"
#include "grammar/base64.h"
#include "grammar/proxy.h"

#define SIG "0d0a0d0a000d0a515549540a"

static struct slice render(struct arena *arena, const struct proxy_header *h)
{
    return arena_printf(arena, "v%u%s%s%s %s %s", h->version, h->local ? " local" : "",
                        h->health_check ? " check" : "", h->tls ? " tls" : "",
                        netaddr_text_port(&h->source).text, netaddr_text_port(&h->destination).text);
}

static void check(struct slice input, const char *wanted, size_t behind, size_t row)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct proxy_header header = {0};
    struct why why = {0};
    size_t consumed = 0;
    enum proxy_state state = proxy_parse(input, &header, &consumed, &why);
    static const char *const names[] = {
        [PROXY_NEED_MORE] = "more", [PROXY_BAD] = "bad", [PROXY_NOT_PROXY] = "not"};
    assert_text(state == PROXY_DONE ? render(arena, &header) : slice_of(names[state]), wanted, row);
    assert_row((state == PROXY_BAD) == (why.text[0] != 0), row);
    if (state != PROXY_DONE)
        return;
    assert_row(consumed == input.len - behind, row);
    for (size_t len = 0; len < consumed; len++) /* every proper prefix wants more */
        assert_row(proxy_parse(slice_sub(input, 0, len), &header, &consumed, &why) == PROXY_NEED_MORE, row);
}

static void test_v2(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *wanted;
        size_t behind;
    } rows[] = {
        {SIG "2111000c7f0000017f000001d1845609", "v2 127.0.0.1:53636 127.0.0.1:22025", 0},
        {SIG "2111000c7f0000017f000001d18456091603010200", "v2 127.0.0.1:53636 127.0.0.1:22025", 5},
        {SIG "2112000c7f0000017f000001d1845609", "v2 127.0.0.1:53636 127.0.0.1:22025", 0}, /* datagram */
        {SIG "2110000c7f0000017f000001d1845609", "v2 127.0.0.1:53636 127.0.0.1:22025",
         0}, /* unspecified transport */
        {SIG "21210024"
             "20010db8000000000000000000000001"
             "20010db8000000000000000000000002"
             "8e745609",
         "v2 [2001:db8::1]:36468 [2001:db8::2]:22025", 0},
        {SIG "21210024"
             "00000000000000000000ffffcb007101"
             "00000000000000000000ffff0a000001"
             "8e745609",
         "v2 203.0.113.1:36468 10.0.0.1:22025", 0},
        {SIG "20000000", "v2 local check unknown unknown", 0},
        {SIG "20000003aabbcc", "v2 local check unknown unknown", 0},
        {SIG "2011000c7f0000017f000001d1845609", "v2 local check unknown unknown", 0},
        {SIG "20ff0000", "v2 local check unknown unknown", 0}, /* LOCAL: the family is ignored */
        {SIG "21000000", "v2 local unknown unknown", 0},
        {SIG "21000002ffff", "v2 local unknown unknown", 0},
        {SIG "2111000f7f0000017f000001d1845609040000", "v2 127.0.0.1:53636 127.0.0.1:22025", 0}, /* NOOP */
        {SIG "211100127f0000017f000001d1845609ee0003616263", "v2 127.0.0.1:53636 127.0.0.1:22025",
         0}, /* unknown TLV */
        {SIG "211100147f0000017f000001d18456092000050100000000", "v2 tls 127.0.0.1:53636 127.0.0.1:22025", 0},
        {SIG "211100147f0000017f000001d18456092000050000000000", "v2 127.0.0.1:53636 127.0.0.1:22025", 0},
        {SIG "2111000b7f0000017f000001d18456", "bad", 0},                 /* shorter than its addresses */
        {SIG "2111000e7f0000017f000001d18456090400", "bad", 0},           /* TLV cut off */
        {SIG "211100107f0000017f000001d184560904000201", "bad", 0},       /* TLV longer than the header */
        {SIG "211100137f0000017f000001d184560903000400000000", "bad", 0}, /* wrong checksum */
        {SIG "211100127f0000017f000001d1845609030003000000", "bad", 0},   /* checksum of three bytes */
        {SIG "2211000c7f0000017f000001d1845609", "bad", 0},               /* command 2 */
        {SIG "1111000c7f0000017f000001d1845609", "bad", 0},               /* version 1 */
        {SIG "11", "bad", 0},
        {SIG "2141000c7f0000017f000001d1845609", "bad", 0}, /* family 4 */
        {SIG "2113000c7f0000017f000001d1845609", "bad", 0}, /* protocol 3 */
        {SIG "2111ffff", "bad", 0},                         /* longer than we take */
        {SIG "21110ff17f", "bad", 0},
        {SIG "21110ff0", "more", 0},
        {"0d0a0d0a000d0b", "not", 0},
        {"0d0a0d0a000d0a515549540b20000000", "not", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice bytes;
        assert_true(hex_decode_in(arena, slice_of(rows[i].hex), &bytes));
        check(bytes, rows[i].wanted, rows[i].behind, i);
    }
}

static void test_unix(void **state)
{
    (void)state;
    uint8_t bytes[16 + 216 + 1] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51,
                                   0x55, 0x49, 0x54, 0x0a, 0x21, 0x31, 0,    216};
    check(slice_make(bytes, sizeof bytes), "v2 local local", 1, 0);
    bytes[15] = 215;
    check(slice_make(bytes, sizeof bytes), "bad", 0, 1);
}

static void test_v1(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
        size_t behind;
    } rows[] = {
        {"PROXY TCP4 127.0.0.1 127.0.0.1 32822 22104\r\n", "v1 127.0.0.1:32822 127.0.0.1:22104", 0},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\nEHLO",
         "v1 255.255.255.255:65535 255.255.255.255:65535", 4},
        {"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "v1 [2001:db8::1]:1 [2001:db8::2]:2", 0},
        {"PROXY TCP6 ::ffff:203.0.113.1 ::ffff:10.0.0.1 1 2\r\n", "v1 203.0.113.1:1 10.0.0.1:2", 0},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
         "65535\r\n",
         "v1 [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         0},
        {"PROXY UNKNOWN\r\n", "v1 local unknown unknown", 0},
        {"PROXY UNKNOWN ffff:f...f:ffff anything 65535\r\nX", "v1 local unknown unknown", 1},
        {"PROXY TCP4 127.0.0.1 127.0.0.1 32822 22104\n", "bad", 0},
        {"PROXY TCP4 127.0.0.1 127.0.0.1 32822\r\n", "bad", 0},
        {"PROXY TCP4 127.0.0.1 127.0.0.1 32822 22104 \r\n", "bad", 0},
        {"PROXY TCP4  127.0.0.1 127.0.0.1 32822 22104\r\n", "bad", 0},
        {"PROXY TCP4 127.0.0.1 127.0.0.1 32822 22104 9\r\n", "bad", 0},
        {"PROXY TCP4 127.0.0.1 127.0.0.1 65536 22104\r\n", "bad", 0},
        {"PROXY TCP4 127.0.0.1 127.0.0.1 01 22104\r\n", "bad", 0},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", "bad", 0},
        {"PROXY TCP6 127.0.0.1 127.0.0.1 1 2\r\n", "bad", 0},
        {"PROXY UDP4 127.0.0.1 127.0.0.1 1 2\r\n", "bad", 0},
        {"PROXY UNKNOWN\rx\r\n", "bad", 0},
        {"PROXY \r\n", "bad", 0},
        {"PROXY UNKNOWN "
         "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901\r\n",
         "v1 local unknown unknown", 0}, /* 107 bytes */
        {"PROXY UNKNOWN "
         "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012\r\n",
         "bad", 0},
        {"PROXY TCP4 127", "more", 0},
        {"", "more", 0},
        {"P", "more", 0},
        {"PROXZ", "not", 0},
        {"EHLO x\r\n", "not", 0},
        {"proxy TCP4", "not", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check(slice_of(rows[i].text), rows[i].wanted, rows[i].behind, i);
}

static void test_write_and_crc(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    assert_int_equal(proxy_crc32c(SLICE("123456789")), 0xe3069283);
    assert_int_equal(proxy_crc32c(slice_make(zeros, 32)), 0x8a9136aa); /* RFC 3720 appendix B.4 */
    static const char *const pairs[][2] = {{"203.0.113.1:1000", "10.0.0.1:25"},
                                           {"[2001:db8::1]:1000", "[2001:db8::2]:25"},
                                           {"[2001:db8::1]:1", "10.0.0.1:2"}};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        for (int checksum = 0; checksum < 2; checksum++) {
            struct netaddr source, destination;
            struct proxy_header h;
            struct why why;
            size_t consumed;
            uint8_t out[PROXY_V2_WRITE_MAX];
            assert_true(netaddr_parse_port(slice_of(pairs[i][0]), &source));
            assert_true(netaddr_parse_port(slice_of(pairs[i][1]), &destination));
            size_t len = proxy_write_v2(&source, &destination, checksum, out);
            assert_int_equal(proxy_parse(slice_make(out, len), &h, &consumed, &why), PROXY_DONE);
            assert_int_equal(consumed, len);
            assert_row(h.health_check == (i == 2), i);
            if (i == 2)
                continue;
            assert_string_equal(netaddr_text_port(&h.source).text, pairs[i][0]);
            assert_string_equal(netaddr_text_port(&h.destination).text, pairs[i][1]);
            out[17] ^= 1;
            assert_int_equal(proxy_parse(slice_make(out, len), &h, &consumed, &why),
                             checksum ? PROXY_BAD : PROXY_DONE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v2),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_v1),
        cmocka_unit_test(test_write_and_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
