/* Access control lists: who has which rights, what is kept, who shares with whom. */
#include "rig.h"
#include "store/acl.h"
#include "store/shares.h"

#define BOB "bob@example.test"
#define ANN "ann@example.test" /* the owner: RIG_ADDRESS */

static enum err set(struct rig *rig, const char *mailbox, const char *identifier, enum acl_mode mode,
                    uint32_t rights)
{
    rig->refusal = (struct refusal){0};
    return acl_set(rig->account, account_mailbox(rig->account, slice_of(mailbox)), slice_of(identifier), mode,
                   rights, &rig->refusal);
}

static uint32_t rights(struct rig *rig, const char *mailbox, const char *who)
{
    return acl_rights(account_mailbox(rig->account, slice_of(mailbox))->acl, RIG_ADDRESS, slice_of(who));
}

static void test_rights(void **state)
{
    (void)state;
    static const struct {
        const char *entries[4];
        uint32_t given[4];
        uint32_t bob, owner;
    } cases[] = {
        {{NULL}, {0}, 0, RIGHT_ALL},
        {{BOB}, {RIGHT_READ}, RIGHT_READ, RIGHT_ALL},
        {{"anyone"}, {RIGHT_READ}, RIGHT_READ, RIGHT_ALL},
        {{"anyone", BOB}, {RIGHT_READ, RIGHT_LOOKUP}, RIGHT_READ | RIGHT_LOOKUP, RIGHT_ALL},
        {{"anyone", "-" BOB}, {RIGHT_READ | RIGHT_LOOKUP, RIGHT_READ}, RIGHT_LOOKUP, RIGHT_ALL},
        {{"-anyone", BOB},
         {RIGHT_READ, RIGHT_READ | RIGHT_SEEN},
         RIGHT_SEEN,
         RIGHT_ALL & ~(uint32_t)RIGHT_READ},
        {{"-" BOB}, {RIGHT_READ}, 0, RIGHT_ALL},
        {{ANN}, {RIGHT_READ}, 0, RIGHT_READ | RIGHT_OWNER},
        {{ANN, "anyone"}, {0, RIGHT_SEEN}, RIGHT_SEEN, RIGHT_SEEN | RIGHT_OWNER},
        {{"-" ANN}, {RIGHT_ALL}, 0, RIGHT_OWNER},
        {{"eve@example.test", "bob@example.tes", "bob@example.testa", "nyone"},
         {RIGHT_ALL, RIGHT_ALL, RIGHT_ALL, RIGHT_ALL},
         0,
         RIGHT_ALL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct acl *acl = mem_zero(1, sizeof *acl + 4 * sizeof *acl->entries);
        for (; acl->count < 4 && cases[i].entries[acl->count]; acl->count++)
            acl->entries[acl->count] =
                (struct acl_entry){slice_of(cases[i].entries[acl->count]), cases[i].given[acl->count]};
        assert_int_equal(acl_rights(acl, RIG_ADDRESS, SLICE(BOB)), cases[i].bob);
        assert_int_equal(acl_rights(acl, RIG_ADDRESS, SLICE_EMPTY), cases[i].owner);
        assert_int_equal(acl_rights(acl, RIG_ADDRESS, RIG_ADDRESS), cases[i].owner);
        free(acl);
    }
}

static void test_changes(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(set(&rig, "Sent", BOB, ACL_ADD, RIGHT_READ | RIGHT_LOOKUP), ERR_OK);
    assert_int_equal(set(&rig, "Sent", BOB, ACL_REMOVE, RIGHT_READ), ERR_OK);
    assert_int_equal(set(&rig, "Sent", ANN, ACL_REMOVE, RIGHT_EXPUNGE | RIGHT_ADMIN), ERR_OK);
    rig_reopen(&rig);
    assert_int_equal(rights(&rig, "Sent", BOB), RIGHT_LOOKUP);
    assert_int_equal(rights(&rig, "Sent", ""), RIGHT_ALL & ~(uint32_t)RIGHT_EXPUNGE);
    assert_int_equal(set(&rig, "Sent", BOB, ACL_REPLACE, 0), ERR_OK);
    assert_int_equal(set(&rig, "Sent", ANN, ACL_DELETE, 0), ERR_OK);
    assert_null(account_mailbox(rig.account, SLICE("Sent"))->acl);
    assert_int_equal(set(&rig, "Sent", "bob", ACL_ADD, RIGHT_READ), ERR_REFUSED);
    char name[40];
    for (int i = 0; i < ACL_ENTRIES_MAX; i++) {
        (void)snprintf(name, sizeof name, "user%d@example.test", i);
        assert_int_equal(set(&rig, "Sent", name, ACL_ADD, RIGHT_READ), ERR_OK);
    }
    assert_int_equal(set(&rig, "Sent", BOB, ACL_ADD, RIGHT_READ), ERR_REFUSED);
    assert_int_equal(rig.refusal.code, STORE_CODE_LIMIT);
    assert_int_equal(set(&rig, "Sent", name, ACL_ADD, RIGHT_SEEN), ERR_OK);
    rig_stop(&rig);
}

static void test_tree(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(names_create(rig.account, SLICE("Team"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    assert_int_equal(set(&rig, "Team", BOB, ACL_ADD, RIGHT_READ), ERR_OK);
    assert_int_equal(names_create(rig.account, SLICE("Team/a/b"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    assert_int_equal(rights(&rig, "Team/a/b", BOB), RIGHT_READ);
    assert_int_equal(names_rename(rig.account, SLICE("Team/a"), SLICE("own"), &rig.refusal), ERR_OK);
    rig_reopen(&rig);
    assert_int_equal(rights(&rig, "own/b", BOB), RIGHT_READ); /* a list goes with its mailbox */
    assert_int_equal(names_delete(rig.account, SLICE("own"), &rig.refusal), ERR_OK);
    assert_int_equal(rights(&rig, "own", BOB), 0); /* only a name now */
    assert_int_equal(names_create(rig.account, SLICE("own"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    assert_int_equal(rights(&rig, "own", BOB), 0);
    assert_int_equal(names_create(rig.account, SLICE("Other Users/x"), SPECIAL_NONE, &rig.refusal),
                     ERR_REFUSED);
    assert_int_equal(names_rename(rig.account, SLICE("Team"), SLICE("Other Users"), &rig.refusal),
                     ERR_REFUSED);
    assert_int_equal(names_create(rig.account, SLICE("Other Users2"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    rig_stop(&rig);
}

static const char *owners(struct shares *shares, const char *who)
{
    static char text[200];
    AUTO_BUF struct buf list = buf_new(1000);
    shares_owners(shares, slice_of(who), &list);
    struct slice rest = buf_slice(&list), owner;
    size_t len = 0;
    text[0] = 0;
    while (wire_strings_take(&rest, &owner))
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s", len ? " " : "", SLICE_ARG(owner));
    return text;
}

static struct shares *shares_of(struct rig *rig)
{
    struct shares *shares = NULL;
    assert_int_equal(shares_new(&rig->root, &shares, &rig->why), ERR_OK);
    return shares;
}

static void test_shares(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    struct shares *shares = shares_of(&rig);
    assert_string_equal(owners(shares, BOB), "");
    assert_int_equal(shares_add(shares, SLICE("a@x"), SLICE(BOB), &rig.why), ERR_OK);
    assert_int_equal(shares_add(shares, SLICE("a@x"), SLICE("anyone"), &rig.why), ERR_OK);
    assert_int_equal(shares_add(shares, SLICE("a@x"), SLICE("aaa@x"), &rig.why), ERR_OK);
    assert_int_equal(shares_add(shares, SLICE("b@x"), SLICE("anyone"), &rig.why), ERR_OK);
    for (int again = 0; again < 2; again++) {
        assert_string_equal(owners(shares, BOB), "a@x b@x"); /* each once */
        assert_string_equal(owners(shares, "a@x"), "b@x");   /* not itself */
        assert_true(shares_has(shares, SLICE("a@x"), SLICE(BOB)));
        assert_true(shares_has(shares, SLICE("b@x"), SLICE("zed@x")));
        assert_false(shares_has(shares, SLICE("a@x"), SLICE("a@x")));
        assert_false(shares_has(shares, SLICE("c@x"), SLICE(BOB)));
        shares_free(&shares);
        shares = shares_of(&rig);
    }
    AUTO_BUF struct buf left = buf_new(100);
    wire_strings_add(&left, SLICE(BOB));
    assert_int_equal(shares_set(shares, SLICE("a@x"), buf_slice(&left), &rig.why), ERR_OK);
    assert_int_equal(shares_set(shares, SLICE("b@x"), SLICE_EMPTY, &rig.why), ERR_OK);
    assert_string_equal(owners(shares, BOB), "a@x");
    assert_string_equal(owners(shares, "zed@x"), "");
    shares_free(&shares);
    rig_stop(&rig);
}

/* The file is gone or damaged: the indexes know. */
static void test_shares_made_anew(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(set(&rig, "Sent", BOB, ACL_ADD, RIGHT_READ), ERR_OK);
    assert_int_equal(set(&rig, "Drafts", "-eve@x", ACL_ADD, RIGHT_READ), ERR_OK);
    account_free(&rig.account);
    static const char *const damages[] = {NULL, "", "rockdove shares 1\nxxxx", "anything"};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        char path[100];
        (void)snprintf(path, sizeof path, "%s/shares", rig.path);
        FILE *f = damages[i] ? fopen(path, "w") : NULL;
        if (f) {
            assert_true(fputs(damages[i], f) >= 0);
            assert_int_equal(fclose(f), 0);
        }
        struct shares *shares = shares_of(&rig);
        assert_string_equal(owners(shares, BOB), ANN);
        assert_string_equal(owners(shares, "eve@x"), "");
        shares_free(&shares);
    }
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rights), cmocka_unit_test(test_changes),
                                       cmocka_unit_test(test_tree), cmocka_unit_test(test_shares),
                                       cmocka_unit_test(test_shares_made_anew)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
