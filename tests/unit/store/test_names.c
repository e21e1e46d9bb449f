/* The tree of mailboxes: create, delete, rename, subscribe, as RFC 3501 section 6.3 wants them. */
#include "rig.h"

static enum err create(struct rig *rig, const char *name)
{
    rig->refusal.code = STORE_CODE_NONE;
    return names_create(rig->account, slice_of(name), SPECIAL_NONE, &rig->refusal);
}

static enum err delete (struct rig *rig, const char *name) {
    rig->refusal.code = STORE_CODE_NONE; return names_delete(rig->account, slice_of(name), &rig->refusal);
}

static enum err rename_to(struct rig *rig, const char *from, const char *to)
{
    rig->refusal.code = STORE_CODE_NONE;
    return names_rename(rig->account, slice_of(from), slice_of(to), &rig->refusal);
}

/* All names but the usual ones, in order, with a mark for those that cannot be selected. */
static const char *tree(struct rig *rig)
{
    static char text[2000];
    AUTO_BUF struct buf rows = buf_new(1 << 20);
    names_list(rig->account, &rows);
    struct slice rest = buf_slice(&rows);
    struct mailbox_row row;
    size_t at = 0;
    text[0] = 0;
    while (mailbox_row_take(&rest, &row)) {
        if (!row.special_use && !slice_eq(row.name, SLICE("INBOX")))
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s%s%s", at ? " " : "",
                                   SLICE_ARG(row.name), row.flags & MAILBOX_NOSELECT ? "!" : "",
                                   row.flags & MAILBOX_NONEXISTENT ? "?" : "");
    }
    return text;
}

static void test_create(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum err err;
        enum store_code code;
    } rows[] = {
        {"a/b/c", ERR_OK, STORE_CODE_NONE},
        {"a/b", ERR_REFUSED, STORE_CODE_ALREADYEXISTS},
        {"INBOX", ERR_REFUSED, STORE_CODE_ALREADYEXISTS},
        {"INBOX/sub", ERR_OK, STORE_CODE_NONE},
        {"slash/", ERR_OK, STORE_CODE_NONE},
        {"a//b", ERR_REFUSED, STORE_CODE_CANNOT},
        {"", ERR_REFUSED, STORE_CODE_CANNOT},
        {"/x", ERR_REFUSED, STORE_CODE_CANNOT},
        {"star*", ERR_REFUSED, STORE_CODE_CANNOT},
        {"..", ERR_REFUSED, STORE_CODE_CANNOT},
        {"bad\x01", ERR_REFUSED, STORE_CODE_CANNOT},
        {"\xff", ERR_REFUSED, STORE_CODE_CANNOT},
        {"Entw\xc3\xbcrfe", ERR_OK, STORE_CODE_NONE},
    };
    struct rig rig;
    rig_start(&rig);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (create(&rig, rows[i].name) != rows[i].err)
            print_error("%s: %s\n", rows[i].name, rig.refusal.why.text);
        else if (rows[i].err)
            assert_int_equal(rig.refusal.code, rows[i].code);
        else
            continue;
        assert_int_equal(rows[i].err != ERR_OK, rig.refusal.code != STORE_CODE_NONE);
    }
    assert_string_equal(tree(&rig), "Entw\xc3\xbcrfe INBOX/sub a a/b a/b/c slash");
    rig_reopen(&rig);
    assert_string_equal(tree(&rig), "Entw\xc3\xbcrfe INBOX/sub a a/b a/b/c slash");
    assert_int_equal(names_create(rig.account, SLICE("Rubbish"), SPECIAL_TRASH, &rig.refusal), ERR_REFUSED);
    assert_int_equal(rig.refusal.code, STORE_CODE_CANNOT);
    assert_int_equal(names_create(rig.account, SLICE("All"), SPECIAL_ALL, &rig.refusal), ERR_OK);
    rig_stop(&rig);
}

static void test_delete(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(create(&rig, "a/b/c"), ERR_OK);
    rig_deliver(&rig, "1", "a");
    rig_deliver(&rig, "2", "a/b/c");
    uint32_t validity = account_mailbox(rig.account, SLICE("a"))->uidvalidity;
    assert_int_equal(delete (&rig, "a"), ERR_OK); /* its children stay */
    assert_string_equal(tree(&rig), "a! a/b a/b/c");
    assert_int_equal(account_mailbox(rig.account, SLICE("a"))->messages, 0);
    assert_int_equal(delete (&rig, "a"), ERR_REFUSED);
    assert_int_equal(rig.refusal.code, STORE_CODE_HASCHILDREN);
    assert_int_equal(rig_deliver(&rig, "3", "a"), 1); /* goes to INBOX */
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 1);
    assert_int_equal(create(&rig, "a"), ERR_OK); /* the same name is another mailbox */
    assert_true(account_mailbox(rig.account, SLICE("a"))->uidvalidity > validity);
    assert_int_equal(rig_deliver(&rig, "4", "a"), 1);
    assert_int_equal(delete (&rig, "a"), ERR_OK);
    assert_int_equal(delete (&rig, "a/b"), ERR_OK);
    assert_string_equal(tree(&rig), "a! a/b! a/b/c");
    rig_reopen(&rig);
    assert_string_equal(tree(&rig), "a! a/b! a/b/c");
    assert_int_equal(delete (&rig, "a/b/c"), ERR_OK); /* and what only led to it goes too */
    assert_string_equal(tree(&rig), "");
    assert_int_equal(delete (&rig, "INBOX"), ERR_REFUSED);
    assert_int_equal(delete (&rig, "none"), ERR_ABSENT);
    assert_int_equal(rig.refusal.code, STORE_CODE_NONEXISTENT);
    assert_int_equal(account_purge(rig.account, INT64_MAX, UINT64_MAX, &rig.why), ERR_OK);
    AUTO_FD int fd = -1;
    assert_int_equal(blob_open(&rig.root, rig.account->folder, 2, &fd, &rig.why), ERR_ABSENT);
    rig_deliver(&rig, "5", "");
    rig_reopen(&rig);
    assert_int_equal(rig_view(&rig, "INBOX")->messages, 2);
    rig_stop(&rig);
}

static void test_rename(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(create(&rig, "a/b/c"), ERR_OK);
    assert_int_equal(create(&rig, "ab"), ERR_OK);
    rig_deliver(&rig, "1", "a/b");
    uint32_t validity = account_mailbox(rig.account, SLICE("a/b"))->uidvalidity;
    assert_int_equal(rename_to(&rig, "a/b", "x/y/z"), ERR_OK);
    assert_string_equal(tree(&rig), "a ab x x/y x/y/z x/y/z/c");
    const struct mailbox *m = account_mailbox(rig.account, SLICE("x/y/z"));
    assert_int_equal(m->uidvalidity, validity);
    assert_int_equal(m->messages, 1);
    assert_int_equal(rename_to(&rig, "a", "ab"), ERR_REFUSED);
    assert_int_equal(rig.refusal.code, STORE_CODE_ALREADYEXISTS);
    assert_int_equal(rename_to(&rig, "x", "x/under"), ERR_REFUSED);
    assert_int_equal(rig.refusal.code, STORE_CODE_CANNOT);
    assert_int_equal(rename_to(&rig, "none", "some"), ERR_ABSENT);
    assert_int_equal(rename_to(&rig, "a", "b*"), ERR_REFUSED);
    assert_int_equal(rename_to(&rig, "a", "anew"), ERR_OK); /* "ab" is not below "a" */
    assert_string_equal(tree(&rig), "ab anew x x/y x/y/z x/y/z/c");
    rig_reopen(&rig);
    assert_string_equal(tree(&rig), "ab anew x x/y x/y/z x/y/z/c");
    rig_check_against_disk(&rig, "x/y/z");
    rig_stop(&rig);
}

static void test_rename_inbox(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "1", "");
    rig_deliver(&rig, "2", "");
    uint32_t validity = account_mailbox(rig.account, SLICE("INBOX"))->uidvalidity;
    assert_int_equal(rename_to(&rig, "INBOX", "old/mail"), ERR_OK);
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 0);
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->uidvalidity, validity);
    assert_int_equal(account_mailbox(rig.account, SLICE("old/mail"))->messages, 2);
    assert_int_equal(rig_deliver(&rig, "3", ""), 3); /* UIDs go on */
    rig_check_against_disk(&rig, "INBOX");
    rig_check_against_disk(&rig, "old/mail");
    rig_stop(&rig);
}

static void test_subscribe(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(create(&rig, "sub"), ERR_OK);
    assert_int_equal(names_subscribe(rig.account, SLICE("sub"), true, &rig.refusal), ERR_OK);
    assert_int_equal(names_subscribe(rig.account, SLICE("sub"), true, &rig.refusal), ERR_OK);
    assert_int_equal(names_subscribe(rig.account, SLICE("none"), true, &rig.refusal), ERR_ABSENT);
    assert_int_equal(names_subscribe(rig.account, SLICE("none"), false, &rig.refusal), ERR_OK);
    assert_int_equal(delete (&rig, "sub"), ERR_OK);
    assert_string_equal(tree(&rig), "sub?"); /* RFC 3501 section 6.3.6: the subscription outlives it */
    rig_reopen(&rig);
    assert_string_equal(tree(&rig), "sub?");
    assert_int_equal(names_subscribe(rig.account, SLICE("sub"), false, &rig.refusal), ERR_OK);
    assert_string_equal(tree(&rig), "");
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),       cmocka_unit_test(test_delete),    cmocka_unit_test(test_rename),
        cmocka_unit_test(test_rename_inbox), cmocka_unit_test(test_subscribe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
