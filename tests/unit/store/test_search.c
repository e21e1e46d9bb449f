/* Searches over index, text and files. */
#include "rig.h"

#include "store/search.h"

/* UIDs found, as "1:2,4". */
static const char *found(struct rig *rig, struct imap_search_node *root, uint64_t budget)
{
    static char text[200];
    AUTO_BUF struct buf program = buf_new(10000);
    struct search *search = NULL;
    const struct mailbox *m = account_mailbox(rig->account, SLICE("INBOX"));
    assert_int_equal(imap_search_encode(&program, root, &rig->why), ERR_OK);
    assert_int_equal(search_new(buf_slice(&program), m->id, UINT32_MAX, 1700000100, &search, &rig->why),
                     ERR_OK);
    bool done = false;
    while (!done)
        assert_int_equal(search_step(search, rig->account, budget, &done, &rig->why), ERR_OK);
    struct slice uids = buf_slice(search_found(search));
    uint32_t first, last;
    size_t at = 0;
    text[0] = 0;
    while (wire_range_take(&uids, &first, &last)) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u", at ? "," : "", first);
        if (last > first)
            at += (size_t)snprintf(text + at, sizeof text - at, ":%u", last);
    }
    search_free(&search);
    return text;
}

static void test_keys(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    const struct {
        const char *subject, *text;
        uint32_t date;
        uint64_t flags;
    } messages[] = {
        {"Holiday plans", "We go to the sea.", 1700000000, 0},
        {"=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
         "Sch\xc3\xb6ne GR\xc3\x9c\xc3\x9f"
         "E aus M\xc3\xbcnchen",
         1600000000, IMAGE_SEEN},
        {"plans again", "nothing here", 1700000050, IMAGE_SEEN | IMAGE_FLAGGED},
    };
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        struct addition a = {.date = messages[i].date,
                             .flags = messages[i].flags,
                             .header = SLICE("Return-Path: <envelope@sender.example>\r\n")};
        rig_add(&rig, &a, messages[i].subject, messages[i].text);
        assert_int_equal(a.err, ERR_OK);
    }
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    const struct {
        struct imap_search_node node;
        const char *text, *expected;
    } rows[] = {
        {{.op = IMAP_SEARCH_ALL}, NULL, "1:3"},
        {{.op = IMAP_SEARCH_FLAG, .number = 1}, NULL, "2:3"},
        {{.op = IMAP_SEARCH_FLAG, .number = 4}, NULL, "3"},
        {{.op = IMAP_SEARCH_BEFORE, .number = 1700000000 / 86400}, NULL, "2"},
        {{.op = IMAP_SEARCH_SINCE, .number = 1700000000 / 86400}, NULL, "1,3"},
        {{.op = IMAP_SEARCH_YOUNGER, .number = 60}, NULL, "3"},
        {{.op = IMAP_SEARCH_LARGER, .number = 100000}, NULL, ""},
        {{.op = IMAP_SEARCH_SMALLER, .number = 100000}, NULL, "1:3"},
        {{.op = IMAP_SEARCH_HEADER, .name = SLICE("Subject")}, "plans", "1,3"},
        {{.op = IMAP_SEARCH_HEADER, .name = SLICE("SUBJECT")},
         "gr\xc3\xbc\xc3\x9f"
         "e",
         "2"},
        {{.op = IMAP_SEARCH_HEADER, .name = SLICE("From")}, "a@example", "1:3"},
        {{.op = IMAP_SEARCH_HEADER, .name = SLICE("X-Odd")}, "STRANGE", "1:3"},
        {{.op = IMAP_SEARCH_HEADER, .name = SLICE("X-Odd")}, "", "1:3"},
        {{.op = IMAP_SEARCH_HEADER, .name = SLICE("X-None")}, "", ""},
        {{.op = IMAP_SEARCH_HEADER, .name = SLICE("Return-Path")}, "envelope@", "1:3"},
        {{.op = IMAP_SEARCH_BODY},
         "gr\xc3\xbc\xc3\x9f"
         "e",
         "2"},
        {{.op = IMAP_SEARCH_BODY}, "plans", ""},
        {{.op = IMAP_SEARCH_TEXT}, "plans", "1,3"},
        {{.op = IMAP_SEARCH_TEXT}, "strange VALUE", "1:3"},
        {{.op = IMAP_SEARCH_TEXT}, "sender.example", "1:3"},
        {{.op = IMAP_SEARCH_TEXT}, "m\xc3\xbcnchen", "2"},
        {{.op = IMAP_SEARCH_TEXT}, "not in any of them", ""},
        {{.op = IMAP_SEARCH_MODSEQ, .number = 4}, NULL, "3"},
    };
    for (int fold = 0; fold < 2; fold++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct imap_search_node node = rows[i].node;
            if (rows[i].text)
                node.needle = imap_needle_in(arena, slice_of(rows[i].text));
            const char *got = found(&rig, &node, fold ? 0 : UINT32_MAX);
            if (strcmp(got, rows[i].expected) != 0)
                print_error("row %zu: got %s, expected %s\n", i, got, rows[i].expected);
            assert_string_equal(got, rows[i].expected);
        }
        rig_reopen(&rig);
    }
    rig_stop(&rig);
}

/* What the index has not kept is looked for in the file. */
static void test_in_file(void **state)
{
    (void)state;
    static const struct {
        enum facts_encoding encoding;
        const char *charset, *text;
        bool found;
    } rows[] = {
        {FACTS_ENC_7BIT, "us-ascii", "a needle in plain", true},
        {FACTS_ENC_QP, "utf-8", "a nee=\r\ndle in qp", true},
        {FACTS_ENC_BASE64, "utf-8", "YSBuZWVkbGUgaW4gYmFzZTY0", true},
        {FACTS_ENC_BASE64, "utf-8", "YSBuZWVkbGUg\r\naW4gYmFzZTY0", true},
        {FACTS_ENC_7BIT, "utf-8", "nothing of the kind", false},
    };
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig rig;
        struct rig_message m;
        rig_start(&rig);
        rig_message(&m, "s", rows[i].text);
        struct facts_part parts[2] = {
            {.kind = FACTS_MESSAGE, .type = SLICE("message"), .subtype = SLICE("rfc822")},
            {.number = 1,
             .encoding = rows[i].encoding,
             .type = SLICE("text"),
             .subtype = SLICE("plain"),
             .charset = slice_of(rows[i].charset),
             .body_off = m.facts.header_len,
             .body_len = m.facts.size - m.facts.header_len}};
        m.facts.parts = parts;
        m.facts.part_count = 2;
        m.facts.flags &= ~(uint32_t)FACTS_TEXT_COMPLETE;
        m.facts.text = SLICE_EMPTY;
        buf_clear(&m.encoded);
        facts_encode(&m.facts, &m.encoded);
        m.body.record = slice_sub(buf_slice(&m.encoded), 0, facts_record_len(buf_slice(&m.encoded)));
        struct addition a = {.body = &m.body, .header = SLICE("Received: x\r\n")}, *list = &a;
        add_commit(rig.account, &list, 1);
        assert_int_equal(a.err, ERR_OK);
        struct imap_search_node node = {.op = IMAP_SEARCH_BODY,
                                        .needle = imap_needle_in(arena, SLICE("Needle in"))};
        assert_string_equal(found(&rig, &node, UINT32_MAX), rows[i].found ? "1" : "");
        addition_free(&a);
        rig_message_free(&m);
        rig_stop(&rig);
    }
}

static void test_ill_formed(void **state)
{
    (void)state;
    struct why why;
    struct search *search = NULL;
    assert_int_equal(search_new(SLICE("\xff\xff"), 1, 1, 1, &search, &why), ERR_BAD);
    assert_null(search);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_in_file),
        cmocka_unit_test(test_ill_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
