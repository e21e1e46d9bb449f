/* Content-Type and Content-Disposition values. */
#include "grammar/mime_type.h"

#include "check.h"

/* "type/subtype;name=value;name*=value" */
static void write_type(struct buf *out, const struct mime_type *type)
{
    buf_addf(out, "%.*s/%.*s", SLICE_ARG(type->type), SLICE_ARG(type->subtype));
    for (size_t i = 0; i < type->params.count; i++) {
        const struct mime_param *p = &type->params.at[i];
        buf_addf(out, ";%.*s%s=%.*s", SLICE_ARG(p->name), p->extended ? "*" : "", SLICE_ARG(p->value));
    }
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *value, *read;
    } rows[] = {
        {"text/plain", "text/plain"},
        {" Text/Plain ;charset=UTF-8", "Text/Plain;charset=UTF-8"},
        {"text/plain; charset=\"a \\\"b\\\\\"; x=y", "text/plain;charset=a \"b\\;x=y"},
        {"text/plain; charset = utf-8 (comment) ; x=\"\"", "text/plain;charset=utf-8;x="},
        {"text/plain;;; charset=utf-8;", "text/plain;charset=utf-8"},
        {"text/plain; charset", "text/plain"},
        {"text/plain; charset; x=y", "text/plain;x=y"},
        {"text/plain; =y; x=y", "text/plain;x=y"},
        {"text/plain charset=utf-8", "text/plain"},
        {"text/plain; name=my file.txt; x=y", "text/plain;name=my file.txt;x=y"},
        {"text/plain; name=\"open", "text/plain;name=open"},
        {"text/plain; name=\"a;b\"; x=y", "text/plain;name=a;b;x=y"},
        {"text/plain; name=\"a\" junk; x=y", "text/plain;name=a;x=y"},
        {"multipart/mixed; boundary=----=_Part(1)", "multipart/mixed;boundary=----=_Part(1)"},
        {"(c)text(c)/(c)plain(c);(c)x(c)=(c)y", "text/plain;x=y"},
        {"", "/"},
        {"text", "/"},
        {"text/", "/"},
        {"/plain", "/"},
        {"text;x=y", "/;x=y"},
        /* RFC 2231: continuations, out of order, with a gap, extended, mixed */
        {"a/b; x*0=one; x*1=two", "a/b;x=onetwo"},
        {"a/b; x*1=two; x*0=\"one \"", "a/b;x=one two"},
        {"a/b; x*0=one; x*2=three", "a/b;x=one"},
        {"a/b; x*1=two", "a/b"},
        {"a/b; x*=utf-8''%c3%bc", "a/b;x*=utf-8''%c3%bc"},
        {"a/b; x*0*=utf-8'de'a%20; x*1=\"b c\"; x*2*=%C3%BC", "a/b;x*=utf-8'de'a%20b%20c%C3%BC"},
        {"a/b; x*0=\"a b\"; x*1*=%C3%BC", "a/b;x*=''a%20b%C3%BC"},
        {"a/b; x*0=1; y*0=2; x*1=3; y*1=4", "a/b;x=13;y=24"},
        {"a/b; x*0=1; x*0=2", "a/b;x=1;x=2"},
        {"a/b; x*99=1; x*-1=2; x**=3", "a/b;x*99=1;x*-1=2;x**=3"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf text = buf_new(1000);
        struct mime_type type;
        mime_type_parse_in(arena, slice_of(rows[i].value), &type);
        write_type(&text, &type);
        assert_text(buf_slice(&text), rows[i].read, i);
    }
}

static void test_many(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf value = buf_new(1 << 20);
    struct mime_type type;
    buf_add_str(&value, "a/b");
    for (int i = 0; i < 5000; i++)
        buf_addf(&value, "; x*%d=a", i);
    mime_type_parse_in(arena, buf_slice(&value), &type);
    assert_int_equal(type.params.count, 1);
    assert_int_equal(type.params.at[0].value.len, MIME_MAX_PARAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
