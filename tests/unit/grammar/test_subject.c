/* Base subjects (RFC 5256 section 2.1). */
#include "grammar/subject.h"

#include "check.h"

static void test_base(void **state)
{
    (void)state;
    static const struct {
        const char *subject, *base;
        bool reply;
    } rows[] = {
        {"", "", false},
        {"Hello", "hello", false},
        {"Re: Hello", "hello", true},
        {"RE: re: Fwd: FW: Hello", "hello", true},
        {"Re : Hello", "hello", true},
        {"Re[2]: Hello", "hello", true},
        {"Re [list]: Hello", "hello", true},
        {"[list] Re: Hello", "hello", true},
        {"[a] [b] Re: [c] Hello", "hello", true},
        {"[list] Hello", "hello", false},
        {"Re: [list]", "[list]", true},
        {"[list]", "[list]", false},
        {"Hello (fwd)", "hello", true},
        {"Hello (fwd) (FWD)  ", "hello", true},
        {"[fwd: Hello]", "hello", true},
        {"[Fwd: Re: [x] Hello (fwd)]", "hello", true},
        {"  Hello \t  world ", "hello world", false},
        {"Reality: check", "reality: check", false},
        {"Re", "re", false},
        {"Fwdx: a", "fwdx: a", false},
        {"Re:", "", true},
        {"Re: ÄÖÜ", "äöü", true},
        {"[open Hello", "[open hello", false},
        {"Antw: Hello", "antw: hello", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(1000);
        bool reply = !rows[i].reply;
        subject_base(slice_of(rows[i].subject), &out, &reply);
        assert_text(buf_slice(&out), rows[i].base, i);
        assert_row(reply == rows[i].reply, i);
    }
}

static void test_hostile(void **state)
{
    (void)state;
    AUTO_BUF struct buf subject = buf_new(1 << 21), out = buf_new(SUBJECT_MAX_BYTES * 3);
    while (subject.len < 1 << 20)
        buf_add_str(&subject, "[]");
    subject_base(buf_slice(&subject), &out, NULL);
    assert_true(buf_ok(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_base), cmocka_unit_test(test_hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
