/* The text behind DATA: every input, cut at every place, gives the same text, the same end and the same
 * judgement. */
#include "check.h"
#include "grammar/smtp_data.h"

enum { CR = 1, LF = 2, NUL = 4, EIGHT = 8 };

struct result {
    struct buf text;
    size_t consumed; /* bytes up to and with the end of data */
    bool ended;
    unsigned flags;
    uint64_t longest, lines;
};

static void run_chunk(struct smtp_data *data, struct slice chunk, struct result *r)
{
    struct slice input = chunk, text;
    while (!r->ended) {
        enum smtp_data_state state = smtp_data_next(data, &input, &text);
        if (state == SMTP_DATA_MORE)
            break;
        r->ended = state == SMTP_DATA_END;
        if (state == SMTP_DATA_TEXT)
            buf_add(&r->text, text);
    }
    r->consumed += chunk.len - input.len;
}

static struct result decode(struct slice input, size_t cut, size_t step, bool plain)
{
    struct result r = {.text = buf_new(1 << 20)};
    struct smtp_data data;
    if (plain)
        smtp_data_init_plain(&data);
    else
        smtp_data_init(&data);
    for (size_t at = 0; at < input.len && !r.ended;) {
        size_t len = at < cut ? cut - at : step ? step : input.len;
        run_chunk(&data, slice_sub(input, at, len), &r);
        at += len;
    }
    smtp_data_finish(&data);
    assert_int_equal(data.size, r.text.len);
    r.flags = (data.bare_cr ? CR : 0u) | (data.bare_lf ? LF : 0u) | (data.nul ? NUL : 0u) |
              (data.eight_bit ? EIGHT : 0u);
    r.longest = data.longest;
    r.lines = data.lines;
    assert_int_equal(smtp_data_is_clean(&data), !(r.flags & ~(unsigned)EIGHT));
    return r;
}

static const struct {
    const char *input;
    const char *text; /* handed out */
    size_t rest;      /* bytes behind the end; SIZE_MAX: no end */
    unsigned flags;
    uint64_t longest;
} rows[] = {
    {".\r\n", "", 0, 0, 0},
    {"a\r\n.\r\n", "a\r\n", 0, 0, 3},
    {"a\r\n.\r\nMAIL FROM", "a\r\n", 9, 0, 3},
    {"\r\n.\r\n", "\r\n", 0, 0, 2},
    {"\r\n\r\n.\r\n", "\r\n\r\n", 0, 0, 2},
    {"..\r\n.\r\n", ".\r\n", 0, 0, 3},
    {"..a\r\n.\r\n", ".a\r\n", 0, 0, 4},
    {".a\r\n.\r\n", "a\r\n", 0, 0, 3},
    {"a.\r\n.b\r\n...\r\n.\r\n", "a.\r\nb\r\n..\r\n", 0, 0, 4},
    {"a\r\n", "a\r\n", SIZE_MAX, 0, 3},
    {"a\r\n.", "a\r\n", SIZE_MAX, 0, 3},
    {"a\r\n.\r", "a\r\n", SIZE_MAX, 0, 3},
    {"", "", SIZE_MAX, 0, 0},
    /* none of these ends the data (CVE-2023-51764 and its kin) */
    {"a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", 0, LF, 5},
    {"a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", 0, LF, 7},
    {"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", 0, LF, 4},
    {"a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", 0, CR, 5},
    {"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", 0, CR, 4},
    {"a\r\n.\r\rb\r\n.\r\n", "a\r\n\r\rb\r\n", 0, CR, 5},
    {"a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", 0, CR, 3},
    {"a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", 0, CR, 7},
    {"a\r\r\n.\r\n", "a\r\r\n", 0, CR, 4},
    {"a\n\r\n.\r\n", "a\n\r\n", 0, LF, 4},
    {"\n.\r\n\r\n.\r\n", "\n.\r\n\r\n", 0, LF, 4},
    {"\r.\r\n\r\n.\r\n", "\r.\r\n\r\n", 0, CR, 4},
    {"\xc3\xa4\r\n.\r\n", "\xc3\xa4\r\n", 0, EIGHT, 4},
    {"long enough for a word \x80 and more\r\n.\r\n", "long enough for a word \x80 and more\r\n", 0, EIGHT,
     35},
};

static void check(const struct result *r, struct slice input, size_t i)
{
    assert_text(buf_slice(&r->text), rows[i].text, i);
    assert_row(r->flags == rows[i].flags, i);
    assert_row(r->ended == (rows[i].rest != SIZE_MAX), i);
    assert_row(r->longest == rows[i].longest, i);
    if (r->ended)
        assert_row(r->consumed == input.len - rows[i].rest, i);
}

static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice input = slice_of(rows[i].input);
        for (size_t cut = 0; cut <= input.len; cut++) {
            for (size_t step = 0; step < 3; step++) {
                struct result r = decode(input, cut, step, false);
                check(&r, input, i);
                buf_free(&r.text);
            }
        }
    }
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        unsigned flags;
    } plain[] = {
        {".\r\n..\r\na\r\n.\r\nb", 0},
        {"a\rb", CR},
        {"a\r", CR},
        {"a\nb\r\n", LF},
        {"\r\n", 0},
        {"\n", LF},
        {"a\r\n\r", CR},
    };
    for (size_t i = 0; i < COUNT(plain); i++) {
        struct slice input = slice_of(plain[i].input);
        for (size_t cut = 0; cut <= input.len; cut++) {
            struct result r = decode(input, cut, 1, true);
            assert_text(buf_slice(&r.text), plain[i].input, i);
            assert_row(r.flags == plain[i].flags && !r.ended, i);
            buf_free(&r.text);
        }
    }
}

static void test_nul_and_long(void **state)
{
    (void)state;
    struct result r = decode(slice_make("a\0b\r\n.\r\n", 8), 0, 0, false);
    assert_int_equal(r.flags, NUL);
    assert_int_equal(r.text.len, 5);
    buf_free(&r.text);

    static char line[SMTP_DATA_LINE_MAX + 2];
    struct smtp_data data;
    struct slice input, text;
    memset(line, 'x', sizeof line);
    for (size_t extra = 0; extra < 2; extra++) { /* exactly at the bound, one more */
        memcpy(line + sizeof line - 4 + extra, "\r\n", 2);
        smtp_data_init(&data);
        input = slice_make(line, sizeof line - 2 + extra);
        assert_int_equal(smtp_data_next(&data, &input, &text), SMTP_DATA_TEXT);
        assert_int_equal(data.longest, SMTP_DATA_LINE_MAX + extra);
        assert_int_equal(smtp_data_is_clean(&data), extra == 0);
        memset(line, 'x', sizeof line);
    }
}

/* A plain second opinion over all short texts of the bytes that matter. */
static void reference(struct slice s, struct result *r)
{
    bool start = true;
    size_t i = 0;
    for (; i < s.len && !r->ended; i++) {
        uint8_t c = s.ptr[i];
        bool crlf_next = i + 2 < s.len && s.ptr[i + 1] == '\r' && s.ptr[i + 2] == '\n';
        if (start && c == '.' && crlf_next) {
            r->ended = true;
            i += 2;
            continue;
        }
        bool stuffed = start && c == '.';
        bool end = c == '\n' && i && s.ptr[i - 1] == '\r';
        if (c == '\r' && i + 1 < s.len && s.ptr[i + 1] != '\n')
            r->flags |= CR;
        if (c == '\n' && !end)
            r->flags |= LF;
        start = end;
        if (!stuffed)
            buf_add_byte(&r->text, c);
    }
    r->consumed = i;
}

static void test_all_short_texts(void **state)
{
    (void)state;
    static const char letters[] = "a.\r\n";
    enum { LEN = 8 };
    for (unsigned n = 0; n < 1u << (2 * LEN); n++) {
        char input[LEN + 5];
        for (unsigned k = 0; k < LEN; k++)
            input[k] = letters[n >> (2 * k) & 3];
        memcpy(input + LEN, "\r\n.\r\n", 5);
        struct slice s = slice_make(input, sizeof input);
        struct result wanted = {.text = buf_new(100)}, got = decode(s, n % (LEN + 5), n / 7 % 3, false);
        reference(s, &wanted);
        assert_true(slice_eq(buf_slice(&wanted.text), buf_slice(&got.text)));
        assert_true(wanted.ended && got.ended);
        assert_int_equal(wanted.consumed, got.consumed);
        assert_int_equal(wanted.flags, got.flags);
        buf_free(&wanted.text);
        buf_free(&got.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_nul_and_long),
        cmocka_unit_test(test_all_short_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
