/* TLSA records for SMTP: which are usable (RFC 7672 section 3.1), what a set asks for, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/coll.h"
#include "policy/tlsa.h"

#define ARENA (1u << 20)

/* A record with `len` bytes of data, each 0x5a. */
static struct slice record_in(struct arena *arena, unsigned usage, unsigned selector, unsigned matching,
                              size_t len)
{
    uint8_t *bytes = arena_must(arena, len + 3);
    bytes[0] = (uint8_t)usage;
    bytes[1] = (uint8_t)selector;
    bytes[2] = (uint8_t)matching;
    memset(bytes + 3, 0x5a, len);
    return slice_make(bytes, len + 3);
}

static void test_usable(void **state)
{
    static const struct {
        unsigned usage, selector, matching;
        size_t len;
        bool usable;
    } rows[] = {
        {3, 1, 1, 32, true},   {3, 0, 1, 32, true},    {2, 0, 1, 32, true},  {2, 1, 2, 64, true},
        {0, 0, 1, 32, false},  {1, 1, 1, 32, false}, /* PKIX-TA, PKIX-EE: RFC 7672 section 3.1.3 */
        {4, 1, 1, 32, false},  {255, 1, 1, 32, false}, {3, 2, 1, 32, false}, {3, 1, 3, 32, false},
        {3, 1, 1, 31, false},  {3, 1, 1, 33, false},   {3, 1, 2, 32, false}, {3, 1, 1, 64, false},
        {3, 0, 0, 100, false}, /* no certificate */
        {3, 1, 0, 100, false}, /* no key */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA);
        struct slice rdata = record_in(arena, rows[i].usage, rows[i].selector, rows[i].matching, rows[i].len);
        struct tlsa_record r;
        assert_true(tlsa_record_parse(rdata, &r));
        assert_int_equal(r.usage, rows[i].usage);
        assert_int_equal(r.data.len, rows[i].len);
        assert_int_equal(tlsa_record_is_usable(&r), rows[i].usable);
    }
}

/* A whole key, and a byte too much or too few. */
static void test_full(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *cert = X509_new();
    unsigned char *spki = NULL, *der = NULL;
    (void)state;
    assert_non_null(key);
    int spki_len = i2d_PUBKEY(key, &spki);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_true(X509_sign(cert, key, NULL) > 0);
    int der_len = i2d_X509(cert, &der);
    assert_true(spki_len > 0 && der_len > 0);
    const struct {
        uint8_t selector;
        const unsigned char *data;
        size_t len;
        bool usable;
    } rows[] = {
        {1, spki, (size_t)spki_len, true},    {1, spki, (size_t)spki_len - 1, false},
        {0, spki, (size_t)spki_len, false},   {0, der, (size_t)der_len, true},
        {0, der, (size_t)der_len - 1, false}, {1, der, (size_t)der_len, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct tlsa_record r = {.usage = TLSA_DANE_TA,
                                      .selector = rows[i].selector,
                                      .matching = TLSA_FULL,
                                      .data = arena_dup(arena, slice_make(rows[i].data, rows[i].len))};
        assert_int_equal(tlsa_record_is_usable(&r), rows[i].usable);
    }
    OPENSSL_free(spki);
    OPENSSL_free(der);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void test_sets(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA);
    struct slice good = record_in(arena, 3, 1, 1, 32), pkix = record_in(arena, 1, 1, 1, 32),
                 cut = slice_make("\3\1", 2), other = record_in(arena, 2, 0, 1, 32);
    struct tlsa_set set;
    (void)state;
    tlsa_set_read_in(arena, NULL, 0, &set);
    assert_int_equal(set.level, TLSA_ABSENT);
    const struct slice unusable[] = {pkix, cut};
    tlsa_set_read_in(arena, unusable, 2, &set);
    assert_int_equal(set.level, TLSA_ENCRYPT); /* RFC 7672 section 2.2 */
    assert_int_equal(set.unusable, 2);
    const struct slice mixed[] = {pkix, good, good, other};
    tlsa_set_read_in(arena, mixed, 4, &set);
    assert_int_equal(set.level, TLSA_VERIFY);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.records[0].usage, 3);
    assert_int_equal(set.records[1].usage, 2);
    assert_ptr_not_equal(set.records[0].data.ptr, good.ptr + 3);
}

static void test_bounds(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA);
    struct slice rdata[TLSA_ANSWERS_MAX + 10];
    struct tlsa_set set;
    struct tlsa_record r;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rdata); i++) {
        rdata[i] = record_in(arena, 3, 1, 1, 32);
        memcpy((uint8_t *)(uintptr_t)rdata[i].ptr + 3, &i, sizeof i);
    }
    tlsa_set_read_in(arena, rdata, ARRAY_LEN(rdata), &set);
    assert_int_equal(set.count, TLSA_RECORDS_MAX);
    assert_false(tlsa_record_parse(record_in(arena, 3, 0, 0, TLSA_DATA_MAX + 1), &r));
    assert_false(tlsa_record_parse(record_in(arena, 3, 0, 0, 0), &r));
    assert_false(tlsa_record_parse(SLICE_EMPTY, &r));
}

static void test_names(void **state)
{
    char name[TLSA_NAME_MAX + 1], longest[TLSA_NAME_MAX + 1];
    size_t len;
    (void)state;
    assert_true(tlsa_name(25, SLICE("mx.example.org"), name, &len));
    assert_string_equal(name, "_25._tcp.mx.example.org");
    assert_int_equal(len, strlen(name));
    memset(longest, 'a', sizeof longest);
    assert_true(tlsa_name(25, slice_make(longest, TLSA_NAME_MAX - 9), name, &len));
    assert_false(tlsa_name(25, slice_make(longest, TLSA_NAME_MAX - 8), name, &len));
    assert_false(tlsa_name(25, slice_make(longest, TLSA_NAME_MAX + 1), name, &len));
    assert_false(tlsa_name(25, SLICE_EMPTY, name, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usable), cmocka_unit_test(test_full),  cmocka_unit_test(test_sets),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
