/* Annotations in the index: whose is whose, depth, limits, what survives. */
#include "rig.h"
#include "store/metadata.h"

static enum err set(struct rig *rig, uint64_t mailbox, const char *who, const char *entry, const char *value)
{
    AUTO_BUF struct buf changes = buf_new(100000);
    wire_strings_add(&changes, slice_of(entry));
    wire_strings_add(&changes, slice_of(value));
    rig->refusal = (struct refusal){0};
    return metadata_set(rig->account, mailbox, slice_of(who), buf_slice(&changes), &rig->refusal);
}

/* "entry=value entry=value" */
static const char *get(struct rig *rig, uint64_t mailbox, const char *who, const char *entry, uint32_t depth,
                       uint64_t max_size)
{
    static char text[1000];
    AUTO_BUF struct buf entries = buf_new(1000), rows = buf_new(1000);
    wire_strings_add(&entries, slice_of(entry));
    const struct metadata_query query = {.mailbox = mailbox,
                                         .who = slice_of(who),
                                         .depth = depth,
                                         .max_size = max_size,
                                         .entries = buf_slice(&entries)};
    uint64_t longest = 0;
    assert_int_equal(metadata_get(rig->account, &query, SLICE("x"), &rows, &longest, &rig->why), ERR_OK);
    struct slice rest = buf_slice(&rows), name, found, value;
    size_t len = 0;
    text[0] = 0;
    while (wire_strings_take(&rest, &name) && wire_strings_take(&rest, &found) &&
           wire_strings_take(&rest, &value))
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s=%.*s", len ? " " : "",
                                SLICE_ARG(found), SLICE_ARG(value));
    if (longest)
        (void)snprintf(text + len, sizeof text - len, " >%llu", (unsigned long long)longest);
    return text;
}

static void test_who(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(set(&rig, 1, "", "/private/comment", "=owner"), ERR_OK);
    assert_int_equal(set(&rig, 1, "bob@example.test", "/private/comment", "=bob"), ERR_OK);
    assert_int_equal(set(&rig, 1, "bob@example.test", "/shared/comment", "=all"), ERR_OK);
    assert_string_equal(get(&rig, 1, "", "/private/comment", 0, UINT64_MAX), "/private/comment=owner");
    assert_string_equal(get(&rig, 1, "bob@example.test", "/private/comment", 0, UINT64_MAX),
                        "/private/comment=bob");
    assert_string_equal(get(&rig, 1, "eve@example.test", "/private", 2, UINT64_MAX), "");
    assert_string_equal(get(&rig, 1, "", "/shared", 2, UINT64_MAX), "/shared/comment=all");
    assert_string_equal(get(&rig, 2, "", "/shared", 2, UINT64_MAX), "");
    rig_reopen(&rig);
    assert_string_equal(get(&rig, 1, "", "/private/comment", 0, 4), " >5");
    assert_int_equal(set(&rig, 1, "", "/private/comment", "-"), ERR_OK);
    assert_string_equal(get(&rig, 1, "", "/private/comment", 0, UINT64_MAX), "");
    rig_stop(&rig);
}

static void test_depth(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    static const char *const names[] = {"/private/a",   "/private/a/b", "/private/a/b/c",
                                        "/private/a-b", "/private/ab",  "/private/a0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(set(&rig, 0, "", names[i], "=v"), ERR_OK);
    assert_string_equal(get(&rig, 0, "", "/private/a", 0, 9), "/private/a=v");
    assert_string_equal(get(&rig, 0, "", "/private/a", 1, 9), "/private/a=v /private/a/b=v");
    assert_string_equal(get(&rig, 0, "", "/private/a", 2, 9), "/private/a=v /private/a/b=v /private/a/b/c=v");
    assert_string_equal(get(&rig, 0, "", "/private", 1, 9),
                        "/private/a=v /private/a-b=v /private/a0=v /private/ab=v");
    rig_stop(&rig);
}

static void test_limits(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    char name[40];
    for (int i = 0; i < METADATA_ENTRIES_MAX; i++) {
        (void)snprintf(name, sizeof name, "/private/%d", i);
        assert_int_equal(set(&rig, 3, "", name, "=v"), ERR_OK);
    }
    assert_int_equal(set(&rig, 3, "", "/private/more", "=v"), ERR_REFUSED);
    assert_int_equal(rig.refusal.code, STORE_CODE_METADATA_TOOMANY);
    assert_int_equal(set(&rig, 3, "", "/private/0", "=changed"), ERR_OK);
    assert_int_equal(set(&rig, 4, "", "/private/more", "=v"), ERR_OK);
    char *large = mem_zero(1, WIRE_METADATA_VALUE_MAX + 3);
    memset(large, '=', WIRE_METADATA_VALUE_MAX + 2);
    assert_int_equal(set(&rig, 4, "", "/private/large", large), ERR_REFUSED);
    assert_int_equal(rig.refusal.code, STORE_CODE_METADATA_MAXSIZE);
    large[WIRE_METADATA_VALUE_MAX + 1] = 0;
    assert_int_equal(set(&rig, 4, "", "/private/large", large), ERR_OK);
    free(large);
    char value[30002] = "=";
    memset(value + 1, 'x', 30000);
    enum err err = ERR_OK;
    int held = 0;
    for (; !err && held < 20; held += !err) { /* a reader's share */
        (void)snprintf(name, sizeof name, "/private/%d", held);
        err = set(&rig, 5, "bob@example.test", name, value);
    }
    assert_int_equal(err, ERR_REFUSED);
    assert_int_equal(held, METADATA_READER_MAX / 30015);
    assert_int_equal(set(&rig, 5, "", "/private/0", value), ERR_OK); /* the owner's own */
    assert_int_equal(set(&rig, 5, "eve@example.test", "/private/0", value), ERR_OK);
    assert_int_equal(set(&rig, 4, "", "/private/x", ""), ERR_REFUSED); /* neither "=" nor "-" */
    rig_stop(&rig);
}

static void test_tree(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(names_create(rig.account, SLICE("a/b"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    uint64_t a = account_mailbox(rig.account, SLICE("a"))->id,
             b = account_mailbox(rig.account, SLICE("a/b"))->id;
    assert_int_equal(set(&rig, a, "", "/shared/x", "=a"), ERR_OK);
    assert_int_equal(set(&rig, b, "", "/shared/x", "=b"), ERR_OK);
    assert_int_equal(names_rename(rig.account, SLICE("a"), SLICE("c"), &rig.refusal), ERR_OK);
    assert_string_equal(get(&rig, b, "", "/shared/x", 0, 9), "/shared/x=b");
    assert_int_equal(names_delete(rig.account, SLICE("c"), &rig.refusal), ERR_OK); /* the name stays */
    assert_string_equal(get(&rig, a, "", "/shared/x", 0, 9), "");
    assert_string_equal(get(&rig, b, "", "/shared/x", 0, 9), "/shared/x=b");
    assert_int_equal(names_delete(rig.account, SLICE("c/b"), &rig.refusal), ERR_OK);
    assert_string_equal(get(&rig, b, "", "/shared/x", 0, 9), "");
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who), cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_limits), cmocka_unit_test(test_tree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
