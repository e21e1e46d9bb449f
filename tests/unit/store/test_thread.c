/* Threading (RFC 5256 section 3): the rules step by step, and graphs nobody should write. */
#include "store/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/coll.h"
#include "base/mem.h"

/* cmocka.h must come after these. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MESSAGES 12

/* Tokens as the response writes them. */
static char *text_of(struct slice tokens)
{
    AUTO_BUF struct buf out = buf_new(64u << 20);
    bool number = false;
    uint64_t token;
    while (slice_take_varint(&tokens, &token)) {
        if (number && token != WIRE_THREAD_CLOSE)
            buf_add_byte(&out, ' ');
        number = token >= WIRE_THREAD_FIRST;
        if (number)
            buf_add_u64(&out, token - WIRE_THREAD_FIRST);
        else
            buf_add_byte(&out, token == WIRE_THREAD_OPEN ? '(' : ')');
    }
    assert_int_equal(tokens.len, 0);
    return mem_dup(out.data ? out.data : (const uint8_t *)"", out.len);
}

/* Ids and references are letters, a subject a digit (0: empty), with "R" for a reply. The UID is the place.
 */
struct letter {
    const char *id, *refs, *subject;
    int sent;
};

static char *threads(enum imap_thread_algorithm algorithm, const struct letter *letters)
{
    struct thread_message messages[MESSAGES] = {0};
    uint64_t refs[MESSAGES][MESSAGES];
    size_t count = 0;
    for (; letters[count].id; count++) {
        const struct letter *l = &letters[count];
        struct thread_message *m = &messages[count];
        m->uid = (uint32_t)count + 1;
        m->id = (uint64_t)l->id[0];
        m->sent = l->sent;
        m->subject = (uint32_t)(l->subject[0] - '0');
        m->reply = l->subject[1] == 'R';
        m->refs = refs[count];
        for (const char *ref = l->refs; *ref; ref++)
            refs[count][m->ref_count++] = (uint64_t)*ref;
    }
    AUTO_BUF struct buf tokens = buf_new(THREAD_TOKENS_MAX);
    struct why why;
    assert_int_equal(thread_build(algorithm, messages, count, &tokens, &why), ERR_OK);
    return text_of(buf_slice(&tokens));
}

static const struct row {
    const char *name;
    struct letter letters[MESSAGES];
    const char *references, *refs, *orderedsubject;
} rows[] = {
    {"none", {{0}}, "", "", ""},
    {"one", {{"a", "", "1", 1}}, "(1)", "(1)", "(1)"},
    {"the example of section 4",
     /* 2 alone; 3 - 6, then 4 - 23 and 44 - 7 - 96 as 1 2 | 3 4 | 5 6 7 */
     {{"a", "", "1", 1},
      {"b", "a", "1R", 2},
      {"c", "ab", "1R", 3},
      {"d", "abc", "1R", 4},
      {"e", "ab", "1R", 5},
      {"f", "abe", "1R", 6},
      {"g", "abef", "1R", 7}},
     "(1 2 (3 4)(5 6 7))",
     "(1 2 (3 4)(5 6 7))",
     "(1 (2)(3)(4)(5)(6)(7))"},
    {"a parent that is not there",
     {{"a", "x", "1", 1}, {"b", "x", "2", 2}},
     "((1)(2))",
     "((1)(2))",
     "(1)(2)"},
    {"an only child takes the place of a dummy", {{"a", "wxyz", "1", 1}}, "(1)", "(1)", "(1)"},
    {"a dummy within is left out",
     {{"a", "", "1", 1}, {"b", "ax", "1R", 3}, {"c", "ax", "1R", 2}},
     "(1 (3)(2))",
     "(1 (3)(2))",
     "(1 (3)(2))"},
    {"messages before their parents",
     {{"c", "ab", "1R", 3}, {"b", "a", "1R", 2}, {"a", "", "1", 1}},
     "(3 2 1)",
     "(3 2 1)",
     "(3 (2)(1))"},
    {"the same id twice: the second has none",
     {{"a", "", "1", 1}, {"a", "", "2", 2}, {"b", "a", "3", 3}},
     "(1 3)(2)",
     "(2)(1 3)",
     "(1)(2)(3)"},
    {"no id", {{"", "", "1", 2}, {"", "", "2", 1}, {"", "", "0", 3}}, "(2)(1)(3)", "(2)(1)(3)", "(2)(1)(3)"},
    {"a loop of two", {{"a", "b", "1", 1}, {"b", "a", "2", 2}}, "(2 1)", "(2 1)", "(1)(2)"},
    {"its own parent", {{"a", "a", "1", 1}, {"b", "aaa", "2", 2}}, "(1 2)", "(1 2)", "(1)(2)"},
    {"a loop of three",
     {{"a", "c", "1", 1}, {"b", "a", "2", 2}, {"c", "b", "3", 3}},
     "(3 1 2)",
     "(3 1 2)",
     "(1)(2)(3)"},
    {"references in contradiction: what a message says of itself counts",
     {{"a", "", "1", 1}, {"b", "a", "2", 2}, {"c", "b", "3", 3}, {"d", "ca", "4", 4}, {"e", "acb", "5", 5}},
     "(1 (2 (3)(5))(4))",
     "(1 (2 (3)(5))(4))",
     "(1)(2)(3)(4)(5)"},
    {"no references: the link others made is cut",
     {{"a", "", "1", 1}, {"c", "ab", "2", 3}, {"b", "", "3", 2}},
     "(1)(3 2)",
     "(1)(3 2)",
     "(1)(3)(2)"},
    {"a reply joins its subject",
     {{"a", "", "1", 1}, {"b", "", "1R", 2}, {"c", "", "2", 3}},
     "(1 2)(3)",
     "(1)(2)(3)",
     "(1 2)(3)"},
    {"the original comes after the reply",
     {{"b", "", "1R", 1}, {"a", "", "1", 2}},
     "(2 1)",
     "(1)(2)",
     "(1 2)"},
    {"two originals get a dummy",
     {{"a", "", "1", 1}, {"b", "", "1", 2}, {"c", "", "1R", 3}},
     "((1)(2)(3))",
     "(1)(2)(3)",
     "(1 (2)(3))"},
    {"two replies get a dummy", {{"a", "", "1R", 2}, {"b", "", "1R", 1}}, "((2)(1))", "(2)(1)", "(2 1)"},
    {"a dummy takes in what has its subject",
     {{"a", "x", "1R", 1}, {"b", "x", "1R", 2}, {"c", "", "1", 3}},
     "((1)(2)(3))",
     "((1)(2))(3)",
     "(1 (2)(3))"},
    {"a dummy takes the place of a message in the table",
     {{"c", "", "1", 1}, {"a", "x", "1R", 2}, {"b", "x", "1R", 3}},
     "((1)(2)(3))",
     "(1)((2)(3))",
     "(1 (2)(3))"},
    {"two dummies become one",
     {{"a", "x", "1R", 1}, {"b", "x", "2", 3}, {"c", "y", "1R", 2}, {"d", "y", "2", 4}},
     "((1)(3)(2)(4))",
     "((1)(2))((3)(4))",
     "(1 3)(2 4)"},
    {"an empty subject joins nothing by references",
     {{"a", "", "0", 1}, {"b", "", "0R", 2}},
     "(1)(2)",
     "(1)(2)",
     "(1 2)"},
    {"REFS: by the newest message of a thread",
     {{"a", "", "1", 1}, {"b", "", "2", 2}, {"c", "a", "1R", 9}, {"d", "b", "2R", 5}, {"e", "", "3", 7}},
     "(1 3)(2 4)(5)",
     "(2 4)(5)(1 3)",
     "(1 3)(2 4)(5)"},
    {"equal dates: by number",
     {{"a", "", "1", 1}, {"b", "a", "1R", 1}, {"c", "a", "1R", 1}, {"d", "", "2", 1}},
     "(1 (2)(3))(4)",
     "(1 (2)(3))(4)",
     "(1 (2)(3))(4)"},
    {"dates before 1970", {{"a", "", "1", 1}, {"b", "", "2", -5}}, "(2)(1)", "(2)(1)", "(2)(1)"},
};

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *const expected[] = {[IMAP_THREAD_ORDEREDSUBJECT] = rows[i].orderedsubject,
                                        [IMAP_THREAD_REFERENCES] = rows[i].references,
                                        [IMAP_THREAD_REFS] = rows[i].refs};
        for (unsigned a = 0; a < ARRAY_LEN(expected); a++) {
            char *got = threads((enum imap_thread_algorithm)a, rows[i].letters);
            if (strcmp(got, expected[a]) != 0)
                print_error("%s, algorithm %u: %s instead of %s\n", rows[i].name, a, got, expected[a]);
            assert_string_equal(got, expected[a]);
            free(got);
        }
    }
}

/* Chains as long as the mailbox, whose links come in an order that makes each look for a loop long. */
static void test_long(void **state)
{
    (void)state;
    const size_t count = 60000;
    struct thread_message *messages = mem_zero(count, sizeof *messages);
    uint64_t *refs = mem_zero(2 * count, sizeof *refs);
    struct why why;
    uint64_t begun = clock_mono_ns();
    for (int way = 0; way < 3; way++) {
        for (size_t i = 0; i < count; i++) {
            uint64_t id = way == 1 ? count - i : i + 1;
            messages[i] = (struct thread_message){
                .uid = (uint32_t)i + 1, .id = id, .sent = (int64_t)i, .refs = refs + 2 * i, .ref_count = 1};
            refs[2 * i] = id - 1;
            if (way == 2 && i >= count / 2) { /* each with a child already, below the end of the chain */
                refs[2 * i] = count / 2;
                refs[2 * i + 1] = id;
                messages[i].ref_count = 2;
                messages[i].id = count + id;
            }
        }
        AUTO_BUF struct buf tokens = buf_new(THREAD_TOKENS_MAX);
        assert_int_equal(thread_build(IMAP_THREAD_REFERENCES, messages, count, &tokens, &why), ERR_OK);
        struct slice rest = buf_slice(&tokens);
        uint64_t token;
        size_t seen = 0;
        while (slice_take_varint(&rest, &token))
            seen += token >= WIRE_THREAD_FIRST;
        assert_int_equal(seen, count);
    }
    assert_true(clock_mono_ns() - begun < 60000000000ull);
    free(messages);
    free(refs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
