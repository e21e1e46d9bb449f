/* CrowdSec's local API: durations, decisions in every form an answer has them, answers that are none, tokens,
 * and the JSON we write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/coll.h"
#include "policy/lapi.h"

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        long long seconds; /* -1: none */
    } rows[] = {
        {"4h", 14400},
        {"3h59m57.006336318s", 14398},
        {"1.7s", 2},
        {"1s", 1},
        {"59.999999999s", 60},
        {"1ms", 1},
        {"1.5\xc2\xb5s", 1},
        {"1\xce\xbcs", 1},
        {"2us3ns", 1},
        {"0", 0},
        {"0s", 0},
        {"-0s", 0},
        {"+5m", 300},
        {"-1.013312892s", 0},
        {"-4h", 0},
        {".5h", 1800},
        {"1.h", 3600},
        {"1h1h", 7200},
        {"1.00000000000000000000000000000000001h", 3600},
        {"0.9999999h", 3600},
        {"876000h", 100LL * 365 * 86400},
        {"2540400h10m10.000000000s", 100LL * 365 * 86400}, /* Go's longest */
        {"99999999999999999999999999h", 100LL * 365 * 86400},
        {"18446744073709551615ns18446744073709551615ns", 100LL * 365 * 86400},
        {"", -1},
        {"-", -1},
        {"4", -1},
        {"h", -1},
        {".s", -1},
        {"4d", -1},
        {"4 h", -1},
        {"4h ", -1},
        {"--4h", -1},
        {"4h-1m", -1},
        {"1e3s", -1},
        {"4H", -1},
        {"\xc2s", -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t seconds = 4711;
        bool ok = lapi_duration_read(slice_of(rows[i].text), &seconds);
        if (ok != (rows[i].seconds >= 0) || (ok && seconds != (uint64_t)rows[i].seconds))
            fail_msg("%s: %d %llu", rows[i].text, ok, (unsigned long long)seconds);
    }
}

/* ---- answers ---- */

static void note(void *ctx, const struct lapi_decision *d)
{
    struct buf *told = ctx;
    buf_addf(told, "%s%llu %s/%u %llu %.*s %.*s %.*s\n", d->gone ? "-" : "+", (unsigned long long)d->id,
             netaddr_text(&d->network.base).text, d->network.bits, (unsigned long long)d->seconds,
             SLICE_ARG(d->type), SLICE_ARG(d->origin), SLICE_ARG(d->scenario));
}

/* Reads in pieces of `step` bytes. */
static bool read_all(struct slice json, size_t step, struct buf *told, struct lapi_reader *r)
{
    enum err err = ERR_OK;
    lapi_reader_begin(r, note, told);
    for (size_t at = 0; at < json.len && !err; at += step) {
        uint8_t piece[64]; /* at the end of its memory: a byte read too far is seen */
        struct slice part = slice_sub(json, at, step < sizeof piece ? step : sizeof piece);
        memcpy(piece + sizeof piece - part.len, part.ptr, part.len);
        err = lapi_reader_feed(r, slice_make(piece + sizeof piece - part.len, part.len));
    }
    return !err && !lapi_reader_end(r);
}

#define E(id, more)                                                                                          \
    "{\"duration\":\"4h\",\"id\":" id                                                                        \
    ",\"origin\":\"crowdsec\",\"scenario\":\"crowdsecurity/dovecot-spam\"," more "}"
#define IP(id, value)    E(id, "\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"" value "\"")
#define RANGE(id, value) E(id, "\"scope\":\"Range\",\"type\":\"ban\",\"value\":\"" value "\"")
#define NEW(entries)     "{\"deleted\":null,\"new\":[" entries "]}"
#define TAIL             " 14400 ban crowdsec crowdsecurity/dovecot-spam\n"

static void test_answers(void **state)
{
    static const struct {
        const char *json, *told; /* NULL: no answer */
        size_t others, wide;
    } rows[] = {
        {"{\"deleted\":null,\"new\":null}", "", 0, 0},
        {"{}", "", 0, 0},
        {" {\r\n\t\"new\" : [ ] , \"deleted\" : [ ] } \n", "", 0, 0},
        {NEW(IP("1", "203.0.113.102")), "+1 203.0.113.102/32" TAIL, 0, 0},
        {NEW(RANGE("2", "203.0.113.0/24")), "+2 203.0.113.0/24" TAIL, 0, 0},
        {NEW(RANGE("2", "203.0.113.77/24")), "+2 203.0.113.0/24" TAIL, 0, 0},
        {NEW(IP("3", "2001:db8::1")), "+3 2001:db8::1/128" TAIL, 0, 0},
        {NEW(RANGE("3", "2001:db8::/32")), "+3 2001:db8::/32" TAIL, 0, 0},
        {NEW(IP("4", "::ffff:203.0.113.9")), "+4 203.0.113.9/32" TAIL, 0, 0},
        {NEW(RANGE("4", "::ffff:203.0.113.0/120")), "+4 203.0.113.0/24" TAIL, 0, 0},
        {NEW(RANGE("4", "::ffff:203.0.113.0/90")), "", 1, 0},
        /* several for one value, and the same one twice */
        {NEW(IP("5", "192.0.2.1") "," IP("6", "192.0.2.1") "," IP("6", "192.0.2.1")),
         "+5 192.0.2.1/32" TAIL "+6 192.0.2.1/32" TAIL "+6 192.0.2.1/32" TAIL, 0, 0},
        {"{\"deleted\":[{\"duration\":\"-1.013312892s\",\"id\":1,\"scope\":\"Ip\",\"type\":\"ban\",\"value\":"
         "\"203.0.113.102\"}],\"new\":null}",
         "-1 203.0.113.102/32 0 ban - -\n", 0, 0},
        {"{\"new\":[" IP("9", "192.0.2.9") "],\"deleted\":[" IP("8", "192.0.2.8") "]}",
         "+9 192.0.2.9/32" TAIL "-8 192.0.2.8/32 0 ban crowdsec crowdsecurity/dovecot-spam\n", 0, 0},
        /* what else comes */
        {NEW(E("1", "\"scope\":\"ip\",\"type\":\"captcha\",\"value\":\"192.0.2.1\",\"uuid\":\"x\",\"more\":{"
                    "\"id\":5,\"value\":[\"198.51.100.1\"]}")),
         "+1 192.0.2.1/32 14400 captcha crowdsec crowdsecurity/dovecot-spam\n", 0, 0},
        {NEW(E("1", "\"scope\":\"Country\",\"type\":\"ban\",\"value\":\"DE\"")), "", 1, 0},
        {NEW(E("1", "\"scope\":\"AS\",\"type\":\"ban\",\"value\":\"192.0.2.1\"")), "", 1, 0},
        {NEW(E("1", "\"type\":\"ban\",\"value\":\"192.0.2.1\"")), "", 1, 0},
        {NEW(E("1", "\"simulated\":true,\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"192.0.2.1\"")), "", 1,
         0},
        {NEW(E("1", "\"simulated\":false,\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"192.0.2.1\"")),
         "+1 192.0.2.1/32" TAIL, 0, 0},
        {NEW(IP("-1", "192.0.2.1")), "", 1, 0},
        {NEW(IP("1.5", "192.0.2.1")), "", 1, 0},
        {NEW(IP("\"1\"", "192.0.2.1")), "", 1, 0},
        {NEW(IP("99999999999999999999", "192.0.2.1")), "", 1, 0},
        {NEW(IP("1", "192.0.2.1 ")), "", 1, 0},
        {NEW(IP("1", "192.0.2.1/")), "", 1, 0},
        {NEW(IP("1", "192.0.2.1/33")), "", 1, 0},
        {NEW(IP("1", "")), "", 1, 0},
        {NEW(IP("1", "fe80::1%eth0")), "", 1, 0},
        {NEW("{\"id\":1,\"scope\":\"Ip\",\"value\":\"192.0.2.1\"}"), "", 1, 0}, /* no duration */
        {NEW("{}"), "", 1, 0},
        {NEW(RANGE("1", "0.0.0.0/0")), "", 0, 1},
        {NEW(RANGE("1", "::/0")), "", 0, 1},
        {NEW(RANGE("1", "128.0.0.0/7")), "", 0, 1},
        {NEW(RANGE("1", "2001::/15")), "", 0, 1},
        {NEW(RANGE("1", "10.0.0.0/8")), "+1 10.0.0.0/8" TAIL, 0, 0},
        {NEW(RANGE("1", "::ffff:0.0.0.0/96")), "", 0, 1},
        /* texts that would break what we make of them */
        {NEW("{\"id\":1,\"duration\":\"1s\",\"scope\":\"Ip\",\"value\":\"192.0.2.1\",\"type\":\"ban\","
             "\"origin\":\"a "
             "b\",\"scenario\":\"x\\ny\\u0000z\\u00e9\"}"),
         "+1 192.0.2.1/32 1 ban a_b x?y?z??\n", 0, 0},
        {NEW("{\"id\":1,\"duration\":\"1s\",\"scope\":\"Ip\",\"value\":\"192.0.2.1\"}"),
         "+1 192.0.2.1/32 1 - - -\n", 0, 0},
        {"{\"links\":{\"new\":[1,2]},\"new\":null,\"other\":[[{\"id\":1}]],\"n\":-1.5e+3}", "", 0, 0},
        /* no answers */
        {"", NULL, 0, 0},
        {"null", NULL, 0, 0},
        {"[]", NULL, 0, 0},
        {"{\"message\":\"access forbidden\"}", "", 0, 0},
        {"{\"new\":{}}", NULL, 0, 0},
        {"{\"new\":\"x\"}", NULL, 0, 0},
        {"{\"new\":[1]}", NULL, 0, 0},
        {"{\"new\":[null]}", NULL, 0, 0},
        {"{\"new\":[[]]}", NULL, 0, 0},
        {"{\"new\":[", NULL, 0, 0},
        {"{\"new\":null", NULL, 0, 0},
        {"{\"new\":null}}", NULL, 0, 0},
        {"{\"new\":null}{}", NULL, 0, 0},
        {"{\"new\":null,}", NULL, 0, 0},
        {"{\"new\":nul}", NULL, 0, 0},
        {"{\"new\":nulll}", NULL, 0, 0},
        {"{'new':null}", NULL, 0, 0},
        {"{\"new\" null}", NULL, 0, 0},
        {"{\"a\":01}", NULL, 0, 0},
        {"{\"a\":1.}", NULL, 0, 0},
        {"{\"a\":-}", NULL, 0, 0},
        {"{\"a\":1e}", NULL, 0, 0},
        {"{\"a\":1-1}", NULL, 0, 0},
        {"{\"a\":\"\\x\"}", NULL, 0, 0},
        {"{\"a\":\"\\u12g4\"}", NULL, 0, 0},
        {"{\"a\":\"\t\"}", NULL, 0, 0},
        {"{\"a\":[}", NULL, 0, 0},
        {"{\"a\":[1,]}", NULL, 0, 0},
        {"<html>502 Bad Gateway</html>", NULL, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t step = 1; step <= 64; step = step < 4 ? step + 1 : step * 4) {
            AUTO_BUF struct buf told = buf_new(10000);
            static struct lapi_reader r;
            bool ok = read_all(slice_of(rows[i].json), step, &told, &r);
            if (ok != (rows[i].told != NULL))
                fail_msg("%s: %s", rows[i].json, ok ? "taken" : "refused");
            if (ok && !slice_eq(buf_slice(&told), slice_of(rows[i].told)))
                fail_msg("%s in steps of %zu: %.*s", rows[i].json, step, SLICE_ARG(buf_slice(&told)));
            if (ok && (r.others != rows[i].others || r.wide != rows[i].wide))
                fail_msg("%s: others %zu wide %zu", rows[i].json, r.others, r.wide);
        }
}

static void repeat(struct buf *b, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_add_str(b, text);
}

/* What has no end, or no ground. */
static void test_bounds(void **state)
{
    static struct lapi_reader r;
    AUTO_BUF struct buf told = buf_new(1000), json = buf_new(1u << 20);
    (void)state;
    repeat(&json, "{\"x\":", JSON_DEPTH_MAX);
    buf_add_str(&json, "1");
    repeat(&json, "}", JSON_DEPTH_MAX);
    assert_true(read_all(buf_slice(&json), 64, &told, &r));
    buf_clear(&json);
    repeat(&json, "{\"x\":", JSON_DEPTH_MAX + 1);
    assert_false(read_all(buf_slice(&json), 64, &told, &r));

    buf_clear(&json); /* a scenario of 500,000 bytes is cut, a value so long is no address */
    buf_add_str(
        &json,
        "{\"new\":[{\"id\":1,\"duration\":\"1s\",\"scope\":\"Ip\",\"value\":\"192.0.2.1\",\"scenario\":\"");
    repeat(&json, "a", 500000);
    buf_add_str(&json, "\"},{\"id\":1,\"duration\":\"1s\",\"scope\":\"Ip\",\"value\":\"192.0.2.1");
    repeat(&json, "0", 100000);
    buf_add_str(&json, "\"}]}");
    assert_true(buf_ok(&json) && read_all(buf_slice(&json), 64, &told, &r));
    assert_int_equal(r.decisions, 1);
    assert_int_equal(r.others, 1);
    assert_true(told.len > LAPI_NAME_MAX && told.len < LAPI_NAME_MAX + 60);

    buf_clear(&json);
    buf_add_str(&json, "{\"a\":1");
    repeat(&json, "0", JSON_NUMBER_MAX);
    buf_add_str(&json, "}");
    assert_false(read_all(buf_slice(&json), 64, &told, &r));
}

static void ignore(void *ctx, const struct lapi_decision *d)
{
    (void)ctx;
    (void)d;
}

static void test_too_many(void **state)
{
    static struct lapi_reader r;
    (void)state;
    lapi_reader_begin(&r, ignore, NULL);
    assert_int_equal(lapi_reader_feed(&r, SLICE("{\"new\":[{}")), ERR_OK);
    size_t count = 1;
    while (lapi_reader_feed(&r, SLICE(",{}")) == ERR_OK)
        assert_true(++count <= LAPI_DECISIONS_MAX);
    assert_int_equal(count, LAPI_DECISIONS_MAX);
}

/* ---- logins and alerts ---- */

static void test_tokens(void **state)
{
    static const struct {
        const char *json, *token; /* NULL: none */
    } rows[] = {
        {"{\"code\":200,\"expire\":\"2026-11-21T16:43:56Z\",\"token\":\"eyJ.abc-_.x\"}", "eyJ.abc-_.x"},
        {"{\"token\":\"a\\u0062\"}", "ab"},
        {"{\"token\":\"\"}", NULL},
        {"{\"token\":5}", NULL},
        {"{\"more\":{\"token\":\"x\"}}", NULL},
        {"{\"token\":\"a b\"}", NULL},
        {"{\"token\":\"a\\r\\nX-Evil: 1\"}", NULL},
        {"{\"token\":\"\xc3\xa9\"}", NULL},
        {"{\"token\":\"x\"", NULL},
        {"", NULL},
        {"\"token\"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static struct lapi_token token;
        bool ok = lapi_token_read(slice_of(rows[i].json), &token);
        if (ok != (rows[i].token != NULL) ||
            (ok && !slice_eq(slice_make(token.text, token.len), slice_of(rows[i].token))))
            fail_msg("%s: %d", rows[i].json, ok);
    }
    AUTO_BUF struct buf json = buf_new(10000);
    buf_add_str(&json, "{\"token\":\"");
    repeat(&json, "a", LAPI_TOKEN_MAX + 1);
    buf_add_str(&json, "\"}");
    static struct lapi_token token;
    assert_false(lapi_token_read(buf_slice(&json), &token));
}

static void assert_json(const struct buf *json, const char *wanted)
{
    assert_true(buf_ok(json));
    if (!slice_eq(buf_slice(json), slice_of(wanted)))
        fail_msg("%.*s\ninstead of\n%s", SLICE_ARG(buf_slice(json)), wanted);
}

static void test_written(void **state)
{
    AUTO_BUF struct buf json = buf_new(10000);
    struct lapi_alert alerts[2] = {
        {.scenario = SLICE("rockdove/failed-login"),
         .message = SLICE("5 \"failed\" logins"),
         .events = 5,
         .begun = 1795232040,
         .ended = 1795232047},
        {.scenario = SLICE("rockdove/spam-trap"), .begun = 0, .ended = UINT64_MAX, .ban_seconds = 900}};
    (void)state;
    lapi_login_write(&json, SLICE("m\"1"), SLICE("p\\w\n"));
    assert_json(&json, "{\"machine_id\":\"m\\\"1\",\"password\":\"p\\\\w\\u000a\",\"scenarios\":[]}");
    assert_true(netaddr_network_parse(SLICE("203.0.113.7"), &alerts[0].network));
    assert_true(netaddr_network_parse(SLICE("2001:db8:0:1::/64"), &alerts[1].network));
    buf_clear(&json);
    lapi_alerts_write(&json, alerts, 0);
    assert_json(&json, "[]");
    buf_clear(&json);
    lapi_alerts_write(&json, alerts, 2);
    assert_json(
        &json,
        "[{\"capacity\":0,\"leakspeed\":\"0s\",\"events\":[],\"events_count\":5,\"scenario\":\"rockdove/"
        "failed-login\","
        "\"scenario_hash\":\"\",\"scenario_version\":\"\",\"simulated\":false,\"remediation\":true,"
        "\"message\":\"5 \\\"failed\\\" logins\",\"start_at\":\"2026-11-21T03:34:00Z\","
        "\"stop_at\":\"2026-11-21T03:34:07Z\",\"source\":{\"scope\":\"Ip\",\"value\":\"203.0.113.7\","
        "\"ip\":\"203.0.113.7\"}},"
        "{\"capacity\":0,\"leakspeed\":\"0s\",\"events\":[],\"events_count\":0,\"scenario\":\"rockdove/"
        "spam-trap\","
        "\"scenario_hash\":\"\",\"scenario_version\":\"\",\"simulated\":false,\"remediation\":true,"
        "\"message\":\"\",\"start_at\":\"1970-01-01T00:00:00Z\",\"stop_at\":\"\","
        "\"source\":{\"scope\":\"Range\",\"value\":\"2001:db8:0:1::/64\",\"range\":\"2001:db8:0:1::/64\"},"
        "\"decisions\":[{\"duration\":\"900s\",\"origin\":\"rockdove\",\"type\":\"ban\",\"scenario\":"
        "\"rockdove/spam-trap\",\"scope\":\"Range\",\"value\":\"2001:db8:0:1::/64\"}]}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations), cmocka_unit_test(test_answers), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_too_many),  cmocka_unit_test(test_tokens),  cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
