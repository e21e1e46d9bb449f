/* ENVELOPE, BODYSTRUCTURE and BODY texts. */
#include "grammar/bodystructure.h"

#include "check.h"
#include "grammar/envelope.h"

static const struct envelope_limits large = {4096, 65536};

static void test_envelope(void **state)
{
    (void)state;
    static const struct {
        const char *header, *text;
    } rows[] = {
        {"", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
        /* Sender and Reply-To default to From, also when empty */
        {"From: A B <a@b>\r\nSender:\r\n", "(NIL NIL ((\"A B\" NIL \"a\" \"b\")) ((\"A B\" NIL \"a\" \"b\")) "
                                           "((\"A B\" NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)"},
        {"From: a@b\r\nSender: c@d\r\nReply-To: e@f\r\n",
         "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) ((NIL NIL \"e\" \"f\")) NIL NIL NIL NIL "
         "NIL)"},
        {"Date: x\r\nSubject: a \"b\" \\c\r\nMessage-ID: <1@x>\r\nIn-Reply-To: <2@x>\r\n",
         "(\"x\" \"a \\\"b\\\" \\\\c\" NIL NIL NIL NIL NIL NIL \"<2@x>\" \"<1@x>\")"},
        /* an empty subject is an empty string, folding goes, the first one counts */
        {"Subject:\r\n", "(NIL \"\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"Subject: a\r\n b\r\nSubject: c\r\n", "(NIL \"a b\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
        /* 8-bit text only in a literal (RFC 3501 section 9: quoted is 7-bit) */
        {"Subject: \xfc\r\n", "(NIL {1}\r\n\xfc NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"Subject: =?utf-8?q?=C3=BC?=\r\n", "(NIL \"=?utf-8?q?=C3=BC?=\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
        /* groups, routes, missing halves, several To fields */
        {"To: g: a@b, c@d;, e@f\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")"
         "(NIL NIL NIL NIL)(NIL NIL \"e\" \"f\")) NIL NIL NIL NIL)"},
        {"To: undisclosed-recipients:;\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"undisclosed-recipients\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)"},
        {"To: <@x,@y:a@b>, root\r\n", "(NIL NIL NIL NIL NIL ((NIL \"@x,@y\" \"a\" \"b\")"
                                      "(NIL NIL \"root\" \"MISSING_DOMAIN\")) NIL NIL NIL NIL)"},
        {"To: a@b\r\nCc: c@d\r\nTo: e@f\r\nBcc: g@h\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"e\" \"f\")) ((NIL NIL \"c\" \"d\")) ((NIL "
         "NIL \"g\" \"h\")) "
         "NIL NIL)"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(10000);
        envelope_write(slice_of(rows[i].header), &large, &out);
        assert_text(buf_slice(&out), rows[i].text, i);
    }
}

static void check_structure(size_t row, const char *message, const char *structure, const char *body)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf out = buf_new(10000);
    const struct mime_part *root = mime_parse_in(arena, slice_of(message), NULL, NULL);
    bodystructure_write(root, slice_of(message), true, &out);
    assert_text(buf_slice(&out), structure, row);
    buf_clear(&out);
    bodystructure_write(root, slice_of(message), false, &out);
    assert_text(buf_slice(&out), body, row);
}

static void test_structure(void **state)
{
    (void)state;
    static const struct {
        const char *message, *structure, *body;
    } rows[] = {
        {"\r\nhi\r\n", "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 1 NIL NIL NIL NIL)",
         "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 1)"},
        {"Content-Type: application/pdf; name=\"a\\\"b\"; name*=utf-8''%C3\r\nContent-Transfer-Encoding: "
         "base64\r\n"
         "Content-ID: <i>\r\nContent-Description: d\r\nContent-MD5: m\r\nContent-Disposition: inline\r\n"
         "Content-Language: de, en\r\nContent-Location: l\r\n\r\nAAAA",
         "(\"application\" \"pdf\" (\"name\" \"a\\\"b\" \"name*\" \"utf-8''%C3\") \"<i>\" \"d\" \"base64\" 4 "
         "\"m\" "
         "(\"inline\" NIL) (\"de\" \"en\") \"l\")",
         "(\"application\" \"pdf\" (\"name\" \"a\\\"b\" \"name*\" \"utf-8''%C3\") \"<i>\" \"d\" \"base64\" "
         "4)"},
        {"Content-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a\nContent-Type: image/png\n\n2\n--a--",
         "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL)"
         "(\"image\" \"png\" NIL NIL NIL \"7bit\" 1 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"a\") NIL NIL "
         "NIL)",
         "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0)"
         "(\"image\" \"png\" NIL NIL NIL \"7bit\" 1) \"mixed\")"},
        {"Content-Type: message/rfc822\n\nSubject: s\n\n1\n2\n",
         "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) "
         "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 2 NIL NIL NIL NIL) 4 NIL NIL NIL "
         "NIL)",
         "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) "
         "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 2) 4)"},
        /* other messages are opaque; 8-bit parameters go into literals */
        {"Content-Type: message/external-body; access-type=\xfc\n\nx",
         "(\"message\" \"external-body\" (\"access-type\" {1}\r\n\xfc) NIL NIL \"7bit\" 1 NIL NIL NIL NIL)",
         "(\"message\" \"external-body\" (\"access-type\" {1}\r\n\xfc) NIL NIL \"7bit\" 1)"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_structure(i, rows[i].message, rows[i].structure, rows[i].body);
}

/* What a bound left unsplit must not look like a multipart or a message. */
static void test_opaque(void **state)
{
    (void)state;
    static const struct mime_limits flat = {0, 1};
    static const char *const messages[] = {"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx",
                                           "Content-Type: message/rfc822; boundary=a\n\n--a\n\nx"};
    for (size_t i = 0; i < COUNT(messages); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf out = buf_new(1000);
        struct slice message = slice_of(messages[i]);
        bodystructure_write(mime_parse_in(arena, message, &flat, NULL), message, false, &out);
        assert_text(buf_slice(&out),
                    "(\"application\" \"octet-stream\" (\"boundary\" \"a\") NIL NIL \"7bit\" 6)", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_opaque),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
