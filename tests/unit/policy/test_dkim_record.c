/* Key records: what DNS may say, and what we print for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/dkim_record.h"

#define ED        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define ARENA_MAX ((size_t)1 << 20)

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        enum err err;
        enum dkim_algorithm algorithm;
        size_t key_len;
        const char *marks; /* t: testing, s: strict, h: sha256, e: email */
    } rows[] = {
        {"v=DKIM1; k=ed25519; p=" ED, ERR_OK, DKIM_ED25519_SHA256, 32, "he"},
        {"v=DKIM1;k=ED25519;p=" ED ";", ERR_OK, DKIM_ED25519_SHA256, 32, "he"},
        {" v = DKIM1 ; p = AA AA AAAA ; n=not e", ERR_OK, DKIM_RSA_SHA256, 6, "he"},
        {"p=AAAA", ERR_OK, DKIM_RSA_SHA256, 3, "he"},
        {"k=rsa; t=y:s; h=sha1:sha256; s=email; p=AAAA", ERR_OK, DKIM_RSA_SHA256, 3, "tshe"},
        {"v=DKIM1; t=x; h=sha1; s=other; p=AAAA; g=*", ERR_OK, DKIM_RSA_SHA256, 3, ""},
        {"v=DKIM1; p=", ERR_OK, DKIM_RSA_SHA256, 0, "he"},
        {"v=DKIM1; k=dsa; p=AAAA", ERR_OK, DKIM_UNKNOWN, 3, "he"},
        {"v=DKIM1; k=ed25519; p=AAAA", ERR_BAD, 0, 0, ""},
        {"v=DKIM1; p=A", ERR_BAD, 0, 0, ""},
        {"v=DKIM1; p=A!AA", ERR_BAD, 0, 0, ""},
        {"v=DKIM1; k=rsa", ERR_BAD, 0, 0, ""},
        {"k=rsa; v=DKIM1; p=AAAA", ERR_BAD, 0, 0, ""},
        {"v=DKIM1; p=AAAA; p=BBBB", ERR_BAD, 0, 0, ""},
        {"v=DKIM1; p=AAAA; \x01=1", ERR_BAD, 0, 0, ""},
        {"v=DKIM1; p=AAAA; n=\x01", ERR_BAD, 0, 0, ""},
        {"v=spf1 -all", ERR_ABSENT, 0, 0, ""},
        {"v=DKIM2; p=AAAA", ERR_ABSENT, 0, 0, ""},
        {"v=dkim1; p=AAAA", ERR_ABSENT, 0, 0, ""},
        {"google-site-verification=abc", ERR_ABSENT, 0, 0, ""},
        {"", ERR_ABSENT, 0, 0, ""},
    };
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dkim_record record = {0};
        struct why why = {""};
        enum err err = dkim_record_parse_in(arena, slice_of(rows[i].text), &record, &why);
        if (err != rows[i].err)
            fail_msg("row %zu: %s %s", i, err_name(err), why.text);
        if (err)
            continue;
        struct slice marks =
            arena_printf(arena, "%s%s%s%s", record.testing ? "t" : "", record.strict ? "s" : "",
                         record.sha256 ? "h" : "", record.email ? "e" : "");
        assert_true(slice_eq(marks, slice_of(rows[i].marks)));
        assert_int_equal(record.algorithm, rows[i].algorithm);
        assert_int_equal(record.key.len, rows[i].key_len);
    }
}

/* Both forms of an RSA public key are the same key. */
static void test_bare_rsa(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct dkim_key *key = NULL;
    struct dkim_record whole, bare;
    AUTO_BUF struct buf text = buf_new(DKIM_RECORD_MAX), cut = buf_new(DKIM_RECORD_MAX);
    assert_int_equal(dkim_key_generate(DKIM_RSA_SHA256, &key, NULL), ERR_OK);
    struct slice public = dkim_key_public(key);
    dkim_record_print(DKIM_RSA_SHA256, public, &text);
    dkim_record_print(DKIM_RSA_SHA256, slice_from(public, 24), &cut); /* heads of 4, 15 and 5 bytes */
    assert_int_equal(dkim_record_parse_in(arena, buf_slice(&text), &whole, NULL), ERR_OK);
    assert_int_equal(dkim_record_parse_in(arena, buf_slice(&cut), &bare, NULL), ERR_OK);
    assert_true(slice_eq(whole.key, public));
    assert_true(slice_eq(bare.key, public));
    assert_int_equal(dkim_public_bits(DKIM_RSA_SHA256, bare.key), 2048);
    dkim_key_free(&key);
}

static void test_too_long(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct dkim_record record;
    AUTO_BUF struct buf text = buf_new(2 * DKIM_RECORD_MAX);
    buf_add_str(&text, "v=DKIM1; p=");
    while (text.len < 2000)
        buf_add_str(&text, "AAAA");
    assert_int_equal(dkim_record_parse_in(arena, buf_slice(&text), &record, NULL), ERR_BAD); /* no such key */
    while (text.len <= DKIM_RECORD_MAX)
        buf_add_str(&text, "AAAA");
    assert_int_equal(dkim_record_parse_in(arena, buf_slice(&text), &record, NULL), ERR_BAD);
    buf_clear(&text);
    buf_add_str(&text, "v=DKIM1; p=AAAA");
    for (int i = 0; i < 62; i++)
        buf_addf(&text, "; x%d=1", i);
    assert_int_equal(dkim_record_parse_in(arena, buf_slice(&text), &record, NULL), ERR_OK);
    buf_add_str(&text, "; more=1");
    assert_int_equal(dkim_record_parse_in(arena, buf_slice(&text), &record, NULL), ERR_BAD);
}

static void test_print(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf out = buf_new(4096), text = buf_new(4096);
    dkim_record_print_zone(SLICE("example.org"), SLICE("mail"), SLICE("v=DKIM1; k=rsa; p=AAAA"), &out);
    assert_true(slice_eq(buf_slice(&out),
                         SLICE("mail._domainkey.example.org. IN TXT ( \"v=DKIM1; k=rsa; p=AAAA\" )")));
    buf_clear(&out);
    dkim_record_print_terraform(SLICE("example.org"), SLICE("mail"), SLICE("v=DKIM1; k=rsa; p=AAAA"), &out);
    assert_true(slice_eq(buf_slice(&out),
                         SLICE("\"mail._domainkey.example.org\" = { type = \"TXT\", ttl = 3600, records = "
                               "[\"v=DKIM1; k=rsa; p=AAAA\"] }")));
    for (int i = 0; i < DKIM_STRING_MAX + 1; i++)
        buf_add_byte(&text, 'a');
    buf_clear(&out);
    dkim_record_print_zone(SLICE("d"), SLICE("s"), buf_slice(&text), &out);
    assert_true(slice_ends(buf_slice(&out), SLICE("aaa\" \"a\" )")));
    struct slice first =
        arena_printf(arena, "s._domainkey.d. IN TXT ( \"%.*s\" \"", DKIM_STRING_MAX, text.data);
    assert_true(slice_starts(buf_slice(&out), first));
    buf_clear(&out);
    dkim_record_print_terraform(SLICE("d"), SLICE("s"), buf_slice(&text), &out);
    assert_true(slice_ends(buf_slice(&out), SLICE("aaa\\\"\\\"a\"] }")));
    buf_clear(&out);
    dkim_record_print_zone(SLICE("d"), SLICE("s"), slice_sub(buf_slice(&text), 0, DKIM_STRING_MAX), &out);
    assert_true(slice_ends(buf_slice(&out), SLICE("aaa\" )")));
    assert_true(slice_search(buf_slice(&out), SLICE("\" \"")) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_bare_rsa),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
