/* The settings engine: every kind of value, every mistake at once, coding and showing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/conf.h"

static const char *const colours[] = {"red", "green", "blue", NULL};

struct item {
    struct slice name;
    uint64_t weight;
};
struct sample {
    bool on;
    struct slice text, secret;
    uint64_t number, size, time;
    int colour;
    struct conf_address address;
    struct {
        uint64_t depth;
    } inner;
    CONF_LIST_OF(struct conf_network) networks;
    CONF_LIST_OF(struct item) items;
    CONF_LIST_OF(struct slice) words;
};

#define F(member) .offset = offsetof(struct sample, member)
static const struct conf_field item_fields[] = {
    {.name = "name",
     .kind = CONF_STRING,
     .offset = offsetof(struct item, name),
     .flags = CONF_REQUIRED,
     .example = "x"},
    {.name = "weight",
     .kind = CONF_U64,
     .offset = offsetof(struct item, weight),
     .fallback = "3",
     .min = 1,
     .max = 9},
};
static const struct conf_table item_table = CONF_TABLE(item_fields, struct item, NULL);
static const struct conf_field inner_fields[] = {{.name = "depth", .kind = CONF_U64, .fallback = "4"}};
static const struct conf_table inner_table = {inner_fields, 1, 0, NULL};
static const struct conf_field fields[] = {
    {.name = "on", .kind = CONF_BOOL, F(on)},
    {.name = "text",
     .kind = CONF_STRING,
     F(text),
     .fallback = "default",
     .help = "Some text.",
     .example = "hello"},
    {.name = "secret", .kind = CONF_STRING, F(secret), .flags = CONF_SECRET},
    {.name = "number", .kind = CONF_U64, F(number), .min = 10, .max = 20, .fallback = "15"},
    {.name = "size", .kind = CONF_SIZE, F(size), .fallback = "50M"},
    {.name = "time", .kind = CONF_DURATION, F(time), .fallback = "5s"},
    {.name = "colour", .kind = CONF_ENUM, F(colour), .names = colours, .fallback = "green"},
    {.name = "address", .kind = CONF_ADDRESS, F(address)},
    {.name = "inner", .kind = CONF_STRUCT, F(inner), .table = &inner_table},
    {.name = "networks", .kind = CONF_LIST, F(networks), .item = CONF_NETWORK},
    {.name = "items", .kind = CONF_LIST, F(items), .item = CONF_STRUCT, .table = &item_table},
    {.name = "words", .kind = CONF_LIST, F(words), .item = CONF_STRING, .max = 3},
    {.name = "later", .kind = CONF_BOOL, F(on), .flags = CONF_NOT_YET},
};
static const struct conf_table table = CONF_TABLE(fields, struct sample, "# Sample");

static const char *env(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "SET") == 0 ? "from env" : NULL;
}

struct parsed {
    struct sample sample;
    struct conf_origin *origin;
    struct problems *problems;
    enum err err;
};

static struct parsed parse(struct arena *arena, const char *yaml)
{
    struct parsed p = {.problems = problems_new_in(arena)};
    static struct sample kept; /* lines are noted by address */
    memset(&kept, 0, sizeof kept);
    p.err = conf_parse_in(arena, &table, slice_of(yaml), SLICE("f.yaml"), env, NULL, &kept, &p.origin,
                          p.problems);
    p.sample = kept;
    return p;
}

static void test_values(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(4 << 20);
    struct parsed p = parse(
        arena,
        "on: yes\ntext: \"a ${SET} $${x}\"\nnumber: 20\nsize: 2G\ntime: 500ms\ncolour: blue\n"
        "address: \"[::1]:25\"\ninner:\n  depth: 7\nnetworks: [ 10.0.0.0/8, 2001:db8::/32, 192.0.2.1 ]\n"
        "items:\n  - { name: one }\n  - name: two\n    weight: 9\nwords: single\n");
    assert_int_equal(p.err, ERR_OK);
    assert_int_equal(p.problems->count, 0);
    const struct sample *s = &p.sample;
    assert_true(s->on);
    assert_true(slice_eq(s->text, SLICE("a from env ${x}")));
    assert_int_equal(s->number, 20);
    assert_int_equal(s->size, 2ull << 30);
    assert_int_equal(s->time, 500);
    assert_int_equal(s->colour, 2);
    assert_int_equal(s->address.port, 25);
    assert_true(s->address.is_ip && !s->address.is_v4 && s->address.ip[15] == 1);
    assert_int_equal(s->inner.depth, 7);
    assert_int_equal(s->networks.count, 3);
    assert_int_equal(s->networks.items[0].bits, 104);
    assert_int_equal(s->networks.items[2].bits, 128);
    assert_int_equal(s->items.count, 2);
    assert_int_equal(s->items.items[0].weight, 3);
    assert_int_equal(s->items.items[1].weight, 9);
    assert_int_equal(s->words.count, 1);
    assert_int_equal(conf_line(p.origin, &s->items.items[1]), 13);
    assert_int_equal(conf_line(p.origin, &s->items.items[1].weight), 14);
    struct parsed empty = parse(arena, "# nothing\n");
    assert_int_equal(empty.err, ERR_OK);
    assert_true(slice_eq(empty.sample.text, SLICE("default")));
    assert_int_equal(empty.sample.size, 50u << 20);
    assert_int_equal(empty.sample.inner.depth, 4);
}

static void test_all_mistakes_at_once(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(4 << 20);
    struct parsed p = parse(
        arena, "txet: x\nnumber: 21\nsize: 50X\ntime: 5\ncolour: gren\naddress: 25\n"
               "networks: [ 10.0.0.1/8, nonsense ]\nitems:\n  - { weight: 0 }\n  - 7\nwords: [ a, b, c, d ]\n"
               "number: 12\ninner: [ 1 ]\ntext: ${UNSET}\nsecret: [ geheim ]\nzzzzzzzz: 1\n");
    assert_int_equal(p.err, ERR_BAD);
    AUTO_BUF struct buf text = buf_new(100000);
    problems_print(p.problems, &text);
    buf_add_byte(&text, 0);
    static const char *const expected[] = {
        "f.yaml:1: error: unknown key \"txet\"\n    did you mean \"text\"?",
        "f.yaml:2: error: number: \"21\" is out of bounds\n    write a value from 10 to 20",
        "f.yaml:3: error: size: \"50X\" cannot be read",
        "f.yaml:4: error: time: \"5\" cannot be read",
        ("f.yaml:5: error: colour: \"gren\" cannot be read\n    write colour: green (one of: red, green, "
         "blue)"),
        "f.yaml:6: error: address: \"25\" cannot be read",
        "f.yaml:7: error: networks[1]: \"10.0.0.1/8\" cannot be read",
        "f.yaml:7: error: networks[2]: \"nonsense\" cannot be read",
        "f.yaml:9: error: items[1].weight: \"0\" is out of bounds",
        "f.yaml:9: error: items[1]: name is missing\n    add name: x",
        "f.yaml:10: error: items[2]: takes keys",
        "f.yaml:11: error: words: 4 entries; 0 to 3 can stand here",
        "f.yaml:12: error: number is given twice",
        "f.yaml:13: error: inner: takes keys",
        "f.yaml:14: error: text: the environment has no \"UNSET\"",
        "f.yaml:15: error: secret: takes a single value",
        "f.yaml:16: error: unknown key \"zzzzzzzz\"\n    known here: on, text,",
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strstr((const char *)text.data, expected[i]))
            fail_msg("missing: %s\nin:\n%s", expected[i], (const char *)text.data);
    assert_null(strstr((const char *)text.data, "geheim"));
    assert_int_equal(p.problems->errors, sizeof expected / sizeof *expected);
}

static void test_broken_files(void **state)
{
    (void)state;
    static const char *const files[] = {
        "a: [",       "a: b: c",       "- 1",        "just text",
        "text: &x y", "text: *x",      "{a: b",      "on: true\n---\non: true",
        "\x01",       "text: \"\\q\"", "? [a]\n: b", "[[[[[[[[[[[[[[[[[[[[[[[[["};
    AUTO_ARENA struct arena *arena = arena_new(16 << 20);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct parsed p = parse(arena, files[i]);
        assert_int_equal(p.err, ERR_BAD);
        assert_true(p.problems->count >= 1);
        assert_true(slice_eq(p.sample.text, SLICE("default")));
    }
    struct parsed later = parse(arena, "later: true\n");
    assert_int_equal(later.err, ERR_OK);
    assert_int_equal(later.problems->warnings, 1);
}

static void test_coding(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(16 << 20);
    struct parsed p =
        parse(arena, "text: t\nsecret: geheim\naddress: 127.0.0.1:53\nnetworks: [ 10.0.0.0/8 ]\n"
                     "items: [ { name: one, weight: 2 } ]\nwords: [ a, \"b \\\"c\" ]\n");
    AUTO_BUF struct buf bytes = buf_new(100000), yaml = buf_new(100000), again = buf_new(100000);
    struct sample back = {.number = 99};
    struct why why;
    conf_encode(&table, &p.sample, &bytes);
    assert_int_equal(conf_decode_in(arena, &table, buf_slice(&bytes), &back, &why), ERR_OK);
    assert_int_equal(back.items.items[0].weight, 2);
    assert_true(slice_eq(back.words.items[1], SLICE("b \"c")));
    assert_true(back.address.is_v4 && back.address.port == 53);
    conf_show(&table, &p.sample, &yaml);
    conf_show(&table, &back, &again);
    assert_true(slice_eq(buf_slice(&yaml), buf_slice(&again)));
    assert_true(slice_search(buf_slice(&yaml), SLICE("geheim")) < 0);
    assert_true(slice_search(buf_slice(&yaml), SLICE("secret: (set, not shown)")) >= 0);
    for (size_t len = 0; len < bytes.len; len++) {
        struct sample cut = {.number = 99};
        assert_int_equal(conf_decode_in(arena, &table, slice_sub(buf_slice(&bytes), 0, len), &cut, &why),
                         ERR_BAD);
        assert_int_equal(cut.number, 99);
    }
    buf_add_byte(&bytes, 0);
    assert_int_equal(conf_decode_in(arena, &table, buf_slice(&bytes), &back, &why), ERR_BAD);
    assert_int_equal(conf_decode_in(arena, &item_table, buf_slice(&bytes), &back, &why), ERR_BAD);
    /* What is shown can be read again. */
    buf_add_byte(&yaml, 0);
    char *secret = strstr((char *)yaml.data, "(set, not shown)");
    memcpy(secret, "geheim          ", 16);
    struct parsed reread = parse(arena, (const char *)yaml.data);
    assert_int_equal(reread.problems->errors, 0);
    AUTO_BUF struct buf manual = buf_new(100000);
    conf_print_manual(&table, &manual);
    assert_true(slice_search(buf_slice(&manual), SLICE("### `items[].weight`")) > 0);
    assert_true(slice_search(buf_slice(&manual), SLICE("whole number, from 10 to 20; default `15`")) > 0);
}

static void test_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } sizes[] = {
        {"0", true, 0},    {"64K", true, 65536}, {"1 GiB", true, 1u << 30}, {"50m", true, 50u << 20},
        {"", false, 0},    {"K", false, 0},      {"-1", false, 0},          {"99999999999T", false, 0},
        {"1.5G", false, 0}};
    uint64_t got;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        got = 0;
        assert_int_equal(conf_read_size(slice_of(sizes[i].text), &got), sizes[i].ok);
        assert_int_equal(got, sizes[i].value);
    }
    assert_true(conf_read_duration(SLICE("5d"), &got) && got == 432000000);
    assert_true(conf_read_duration(SLICE("0"), &got) && got == 0);
    assert_false(conf_read_duration(SLICE("5"), &got));
    static const struct {
        const char *text;
        bool ok;
    } addresses[] = {{"[::]:25", true},
                     {"127.0.0.1:1", true},
                     {"mail.example.org:25", true},
                     {"[127.0.0.1]:25", false},
                     {"::1:25", false},
                     {"127.0.0.1:0", false},
                     {"127.0.0.1:65536", false},
                     {"127.0.0.1", false},
                     {":25", false},
                     {"[::]", false},
                     {"a b:1", false}};
    struct conf_address address;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        if (conf_read_address(slice_of(addresses[i].text), &address) != addresses[i].ok)
            fail_msg("%s", addresses[i].text);
    struct conf_network network;
    static const uint8_t in[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 20, 16, 9};
    static const uint8_t out[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 20, 32, 9};
    assert_true(conf_read_network(SLICE("10.20.16.0/20"), &network));
    assert_true(conf_network_has(&network, in));
    assert_false(conf_network_has(&network, out));
    assert_true(conf_read_network(SLICE("0.0.0.0/0"), &network));
    assert_true(conf_network_has(&network, out));
    assert_false(conf_read_network(SLICE("10.0.0.0/33"), &network));
    static const char *const words[] = {"listeners", "limits", "log"};
    assert_string_equal(conf_nearest(SLICE("listner"), words, 3), "listeners");
    assert_string_equal(conf_nearest(SLICE("lgo"), words, 3), "log");
    assert_null(conf_nearest(SLICE("banana"), words, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_all_mistakes_at_once),
        cmocka_unit_test(test_broken_files), cmocka_unit_test(test_coding), cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
