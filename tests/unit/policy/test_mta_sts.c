/* MTA-STS: the record, the policy, which hosts it names. RFC 8461. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/coll.h"
#include "policy/mta_sts.h"

#define ARENA (1u << 20)

static void test_records(void **state)
{
    static const struct {
        const char *records[4];
        const char *id; /* NULL: no policy */
    } rows[] = {
        {{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"}, /* section 3.1 */
        {{"v=STSv1;id=1"}, "1"},
        {{"v=STSv1 ;\tid=1 ; "}, "1"},
        {{"v=STSv1; ext=some; id=abc; o_t-h.er=<x>"}, "abc"},
        {{"v=STSv1; id=1; id=2"}, "1"},
        {{"v=spf1 -all", "v=STSv1; id=1;", "x"}, "1"},
        {{"v=STSv1; id=1", "v=STSv1; id=2"}, NULL}, /* not exactly one */
        {{"v=STSv1; id=1", "v=STSv10; id=2", "v=STSv1"}, "1"},
        {{"v=STSv1; id=1", "v=STSv1;"}, NULL},
        {{"V=STSv1; id=1"}, NULL},
        {{"v=stsv1; id=1"}, NULL},
        {{"v=STSv1; ID=1"}, NULL},
        {{"v=STSv1"}, NULL},
        {{"v=STSv1;"}, NULL},
        {{"v=STSv1; id="}, NULL},
        {{"v=STSv1; id=1-2"}, NULL},
        {{"v=STSv1; id=12345678901234567890123456789012"}, "12345678901234567890123456789012"},
        {{"v=STSv1; id=123456789012345678901234567890123"}, NULL},
        {{"v=STSv1;; id=1"}, NULL},
        {{"v=STSv1; id=1;;"}, NULL},
        {{"v=STSv1; junk; id=1"}, NULL},
        {{"v=STSv1; -x=1; id=1"}, NULL},
        {{"v=STSv1; x=a b; id=1"}, NULL},
        {{"v=STSv1; id=1=2"}, NULL},
        {{" v=STSv1; id=1"}, NULL},
        {{NULL}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice records[4];
        struct sts_id id = {0};
        size_t count = 0;
        for (; count < 4 && rows[i].records[count]; count++)
            records[count] = slice_of(rows[i].records[count]);
        assert_int_equal(sts_record_read(records, count, &id), rows[i].id != NULL);
        assert_true(slice_eq(slice_make(id.text, id.len), slice_of(rows[i].id)));
    }
}

#define GOOD "version: STSv1\nmode: enforce\nmax_age: 604800\n"

static void test_policies(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        enum sts_mode mode;
        uint32_t max_age;
        size_t mx_count;
    } rows[] = {
        /* section 3.2 */
        {"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\n"
         "max_age: 604800\n",
         true, STS_MODE_ENFORCE, 604800, 3},
        {"version:STSv1\r\nmode:\ttesting  \r\nmx: a.test\r\nmax_age: 86400", true, STS_MODE_TESTING, 86400,
         1},
        {"version: STSv1\nmode: none\nmax_age: 0\n", true, STS_MODE_NONE, 0, 0},
        {"mx: a.test\nmax_age: 1\nmode: enforce\nversion: STSv1\n", true, STS_MODE_ENFORCE, 1, 1},
        {GOOD "mx: a.test\nfuture_thing: caf\xc3\xa9 and more\n\r\n\n", true, STS_MODE_ENFORCE, 604800, 1},
        {GOOD "mx: a.test\nmode: none\nmax_age: 9\nversion: STSv9\n", true, STS_MODE_ENFORCE, 604800, 1},
        {"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 31557601\n", true, STS_MODE_ENFORCE,
         STS_AGE_MAX, 1},
        {"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 9999999999\n", true, STS_MODE_ENFORCE,
         STS_AGE_MAX, 1},
        {GOOD, false},                                          /* no mx */
        {"mode: enforce\nmx: a.test\nmax_age: 1\n", false},     /* no version */
        {"version: STSv1\nmx: a.test\nmax_age: 1\n", false},    /* no mode */
        {"version: STSv1\nmode: enforce\nmx: a.test\n", false}, /* no max_age */
        {"version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1\n", false},
        {"version: STSv1\nmode: Enforce\nmx: a.test\nmax_age: 1\n", false},
        {"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 12345678901\n", false},
        {"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1\n", false},
        {"version: STSv1\nmode: enforce\nmx: a.test\nmax_age:\n", false},
        {GOOD "mx: *\n", false},
        {GOOD "mx: *.*.test\n", false},
        {GOOD "mx: a.*.test\n", false},
        {GOOD "mx: *a.test\n", false},
        {GOOD "mx: a..test\n", false},
        {GOOD "mx:\n", false},
        {GOOD "mx: a.test\njunk\n", false},
        {GOOD "mx: a.test\nx: \x01\n", false},
        {GOOD "mx: a.test\nx: \xff\n", false},
        {"<html><body>404</body></html>\n", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA);
        struct sts_policy policy;
        struct why why = {0};
        enum err err = sts_policy_parse_in(arena, slice_of(rows[i].text), &policy, &why);
        assert_int_equal(err, rows[i].valid ? ERR_OK : ERR_BAD);
        if (err) {
            assert_true(why.text[0]);
            continue;
        }
        assert_int_equal(policy.mode, rows[i].mode);
        assert_int_equal(policy.max_age, rows[i].max_age);
        assert_int_equal(policy.mx_count, rows[i].mx_count);
    }
}

static void test_bounds(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA);
    AUTO_BUF struct buf text = buf_new(1u << 20);
    struct sts_policy policy;
    struct why why;
    (void)state;
    buf_add_str(&text, GOOD);
    for (unsigned i = 0; i < STS_MX_MAX; i++)
        buf_addf(&text, "mx: mx%u.example.org\n", i);
    assert_int_equal(sts_policy_parse_in(arena, buf_slice(&text), &policy, &why), ERR_OK);
    assert_int_equal(policy.mx_count, STS_MX_MAX);
    buf_add_str(&text, "mx: one.too.many\n");
    assert_int_equal(sts_policy_parse_in(arena, buf_slice(&text), &policy, &why), ERR_BAD);
    buf_clear(&text);
    buf_add_str(&text, GOOD "mx: a.test\n");
    while (text.len < STS_POLICY_MAX)
        buf_add_byte(&text, '\n');
    assert_int_equal(sts_policy_parse_in(arena, buf_slice(&text), &policy, &why), ERR_OK);
    buf_add_byte(&text, '\n');
    assert_int_equal(sts_policy_parse_in(arena, buf_slice(&text), &policy, &why), ERR_BAD);
    assert_int_equal(
        sts_policy_parse_in(arena, slice_make(GOOD "mx: a\0b.test\n", sizeof GOOD + 12), &policy, &why),
        ERR_BAD);
}

static void test_hosts(void **state)
{
    static const struct {
        const char *host;
        bool named;
    } rows[] = {
        {"mail.example.com", true},
        {"MAIL.Example.com", true},
        {"mail.example.com.", true},
        {"smtp.example.net", true},
        {"a.b.example.net", false}, /* one label only: section 4.1 */
        {"example.net", false},
        {".example.net", false},
        {"xexample.net", false},
        {"mail.example.org", false},
        {"", false},
        {"com", false},
        {"xmail.example.com", false},
    };
    AUTO_ARENA struct arena *arena = arena_new(ARENA);
    struct sts_policy policy;
    struct why why;
    (void)state;
    assert_int_equal(
        sts_policy_parse_in(arena, SLICE(GOOD "mx: Mail.example.com\nmx: *.Example.net\n"), &policy, &why),
        ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(sts_policy_has(&policy, slice_of(rows[i].host)), rows[i].named);
}

static void test_types(void **state)
{
    (void)state;
    assert_true(sts_type_is_plain(SLICE("text/plain")));
    assert_true(sts_type_is_plain(SLICE("Text/Plain ; charset=utf-8")));
    assert_false(sts_type_is_plain(SLICE("text/html")));
    assert_false(sts_type_is_plain(SLICE("text/plainish")));
    assert_false(sts_type_is_plain(SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records), cmocka_unit_test(test_policies), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_hosts),   cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
