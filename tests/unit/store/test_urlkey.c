/* Keys of mailboxes that sign URLs: kept, one per mailbox, gone with it or on request. */
#include "rig.h"

#include "store/urlkey.h"

static const uint8_t fresh[URLKEY_LEN] = "0123456789abcdef0123456789abcde";
static const uint8_t other[URLKEY_LEN] = "another key as long as the 1st";

static enum err sign(struct rig *rig, uint64_t mailbox, const uint8_t *key, uint8_t mac[URLKEY_LEN])
{
    return urlkey_sign(rig->account, mailbox, SLICE("imap://x/y/;UID=1;URLAUTH=authuser"), key, mac,
                       &rig->why);
}

static void test_keys(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t first[URLKEY_LEN], again[URLKEY_LEN];
    rig_start(&rig);
    assert_true(urlkey_load());
    assert_int_equal(sign(&rig, 1, NULL, first), ERR_ABSENT);
    assert_int_equal(sign(&rig, 1, fresh, first), ERR_OK);
    assert_int_equal(sign(&rig, 2, other, again), ERR_OK);
    assert_false(urlkey_equal(first, again)); /* another mailbox has another key */
    assert_int_equal(sign(&rig, 1, other, again), ERR_OK);
    assert_true(urlkey_equal(first, again)); /* there is a key already */
    rig_reopen(&rig);
    assert_int_equal(sign(&rig, 1, NULL, again), ERR_OK);
    assert_true(urlkey_equal(first, again));
    assert_int_equal(urlkey_sign(rig.account, 1, SLICE("other text"), NULL, again, &rig.why), ERR_OK);
    assert_false(urlkey_equal(first, again));
    assert_int_equal(urlkey_reset(rig.account, 1, &rig.why), ERR_OK);
    assert_int_equal(sign(&rig, 1, NULL, again), ERR_ABSENT);
    assert_int_equal(sign(&rig, 2, NULL, again), ERR_OK);
    assert_int_equal(urlkey_reset(rig.account, 0, &rig.why), ERR_OK);
    assert_int_equal(sign(&rig, 2, NULL, again), ERR_ABSENT);
    rig_stop(&rig);
}

static void test_gone_with_the_mailbox(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t mac[URLKEY_LEN];
    rig_start(&rig);
    assert_int_equal(names_create(rig.account, SLICE("work"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    uint64_t id = account_mailbox(rig.account, SLICE("work"))->id;
    assert_int_equal(sign(&rig, id, fresh, mac), ERR_OK);
    assert_int_equal(names_delete(rig.account, SLICE("work"), &rig.refusal), ERR_OK);
    assert_int_equal(sign(&rig, id, NULL, mac), ERR_ABSENT);
    rig_stop(&rig);
}

/* A key of zeros and "abc", computed by another program. */
static void test_it_is_hmac_sha256(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t mac[URLKEY_LEN];
    static const uint8_t zeros[URLKEY_LEN];
    static const uint8_t wanted[] = {0xfd, 0x7a, 0xdb, 0x15, 0x2c, 0x05, 0xef, 0x80, 0xdc, 0xcf, 0x50,
                                     0xa1, 0xfa, 0x4c, 0x05, 0xd5, 0xa3, 0xec, 0x6d, 0xa9, 0x55, 0x75,
                                     0xfc, 0x31, 0x2a, 0xe7, 0xc5, 0xd0, 0x91, 0x83, 0x63, 0x51};
    rig_start(&rig);
    assert_int_equal(urlkey_sign(rig.account, 1, SLICE("abc"), zeros, mac, &rig.why), ERR_OK);
    assert_memory_equal(mac, wanted, sizeof wanted);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys),
                                       cmocka_unit_test(test_gone_with_the_mailbox),
                                       cmocka_unit_test(test_it_is_hmac_sha256)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
