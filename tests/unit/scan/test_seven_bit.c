/* The 7-bit form of a message: what changes, what stays, what is refused. */
#include "scan/seven_bit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/base64.h"
#include "grammar/mime.h"

#define ARENA_MAX ((size_t)64 << 20)
#define CAFE      "caf\xc3\xa9"
#define HEAD      "From: a@b\r\nMIME-Version: 1.0\r\n"

#define PARTS(first, second)                                                                                 \
    HEAD "Content-Type: multipart/mixed; boundary=B\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"              \
         "preamble\r\n--B\r\n" first "\r\n--B\r\n" second "\r\n--B--\r\nepilogue\r\n"
#define PARTS7(first, second)                                                                                \
    HEAD "Content-Type: multipart/mixed; boundary=B\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"              \
         "preamble\r\n--B\r\n" first "\r\n--B\r\n" second "\r\n--B--\r\nepilogue\r\n"

static enum err convert(struct arena *arena, struct slice message, struct slice *result, struct why *why)
{
    AUTO_BUF struct buf out = buf_new(SEVEN_BIT_MAX(message.len));
    enum err err = seven_bit_convert(arena, message, &out, why);
    if (!err)
        *result = arena_dup(arena, buf_slice(&out));
    return err;
}

static void test_forms(void **state)
{
    static const struct {
        const char *before, *after;
    } rows[] = {
        /* nothing to do: byte by byte, whatever it says of itself */
        {HEAD "Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n", NULL},
        {"", NULL},
        {"no header at all", NULL},
        {"DKIM-Signature: x\r\n\r\n" CAFE, ""}, /* refused */
        {"X: " CAFE "\r\n\r\nplain\r\n", ""},
        {HEAD "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" CAFE
              "=1 with text \r\n",
         HEAD "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
              "caf=C3=A9=3D1 with text=20\r\n"},
        {"From: a@b\r\n\r\n" CAFE " and text around\r\n",
         "From: a@b\r\nContent-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n"
         "Content-Type: text/plain; charset=utf-8\r\n\r\ncaf=C3=A9 and text around\r\n"},
        {HEAD "\r\nlatin \xe9\r\n",
         HEAD "Content-Transfer-Encoding: quoted-printable\r\n"
              "Content-Type: text/plain; charset=unknown-8bit\r\n\r\nlatin =E9\r\n"},
        {HEAD "Content-Type: image/x\r\n\r\n\x80\x81",
         HEAD "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\ngIE=\r\n"},
        /* text in another script is shorter in base64 */
        {HEAD "Content-Type: text/plain; charset=koi8-r\r\n\r\n\xf0\xf1\xf2\xf3\r\n", HEAD
         "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n8PHy8w0K\r\n"},
        /* one part of two; the container says 8bit no more */
        {PARTS("\r\nplain", "Content-Type: text/html\r\n\r\n<p>" CAFE "</p>"),
         PARTS7("\r\nplain", "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
                             "<p>caf=C3=A9</p>")},
        {PARTS("Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\xfe\xfd",
               "\r\nplain"),
         PARTS7("Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n//79", "\r\nplain")},
        /* a message inside a message */
        {HEAD "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nhere is " CAFE "\r\n",
         HEAD "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: "
              "quoted-printable\r\n"
              "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhere is caf=C3=A9\r\n"},
        {HEAD "Content-Type: message/rfc822\r\n\r\nSubject: " CAFE "\r\n\r\nplain\r\n", ""},
        /* signed: as it is, or not at all */
        {HEAD "Content-Type: multipart/signed; boundary=S\r\n\r\n--S\r\n\r\n" CAFE
              "\r\n--S\r\n\r\nsig\r\n--S--\r\n",
         ""},
        {PARTS(
             "Content-Type: multipart/signed; boundary=S\r\n\r\n--S\r\n\r\nplain\r\n--S\r\n\r\nsig\r\n--S--",
             "\r\n" CAFE " or two"),
         PARTS7(
             "Content-Type: multipart/signed; boundary=S\r\n\r\n--S\r\n\r\nplain\r\n--S\r\n\r\nsig\r\n--S--",
             "Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 or two")},
        /* 8-bit bytes where they must not be */
        {HEAD "Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 and more " CAFE "\r\n",
         HEAD "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
              "caf=C3=A9 and more caf=C3=A9\r\n"},
        {HEAD "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAA\xff"
              "AA\r\n",
         HEAD "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"},
        {HEAD "Content-Type: multipart/mixed; boundary=B\r\n\r\n" CAFE "\r\n", ""}, /* no parts */
        {HEAD "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAA\xff\r\n", ""},
        {HEAD "Content-Transfer-Encoding: x-uuencode\r\n\r\n" CAFE "\r\n", ""},
        {HEAD "Content-Type: multipart/mixed; boundary=B\r\n\r\n" CAFE "\r\n--B\r\n\r\nplain\r\n--B--\r\n",
         HEAD "Content-Type: multipart/mixed; boundary=B\r\n\r\ncaf??\r\n--B\r\n\r\nplain\r\n--B--\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct why why = {""};
        struct slice result = SLICE_EMPTY, before = slice_of(rows[i].before);
        struct slice after = rows[i].after ? slice_of(rows[i].after) : before;
        enum err err = convert(arena, before, &result, &why);
        bool refused = rows[i].after && !after.len;
        if (err != (refused ? ERR_REFUSED : ERR_OK))
            fail_msg("row %zu: %s %s", i, err_name(err), why.text);
        if (!refused && !slice_eq(result, after))
            fail_msg("row %zu: \"%.*s\"", i, SLICE_ARG(result));
    }
}

/* Large ones stay in their bounds and decode to what they were. */
static void test_large(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf text = buf_new(4u << 20), back = buf_new(4u << 20);
    struct slice result;
    buf_add_str(&text, HEAD "Content-Type: text/plain\r\n\r\n");
    size_t header = text.len;
    for (int i = 0; i < 30000; i++)
        buf_addf(&text, "%d " CAFE " some text with a tab\t\r\n.\r\nFrom here\r\n", i);
    struct slice body = slice_from(buf_slice(&text), header);
    assert_int_equal(convert(arena, buf_slice(&text), &result, NULL), ERR_OK);
    assert_true(slice_is_ascii(result));
    const struct mime_part *root = mime_parse_in(arena, result, NULL, NULL);
    assert_int_equal(root->encoding, MIME_QP);
    struct qp_decoder decoder = {0};
    qp_feed(&decoder, mime_body(root, result), &back);
    qp_finish(&decoder, &back);
    assert_true(slice_eq(buf_slice(&back), body));
}

/* Each line end that is not CRLF needs an escape: text full of them stays in its bounds too. */
static void test_bare_line_ends(void **state)
{
    static const char ends[] = "\n\r";
    (void)state;
    for (size_t i = 0; ends[i]; i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf text = buf_new(4u << 20);
        struct slice result;
        buf_add_str(&text, HEAD "Content-Type: text/plain\r\n\r\n" CAFE);
        while (text.len < 2u << 20)
            buf_add_byte(&text, (uint8_t)ends[i]);
        assert_int_equal(convert(arena, buf_slice(&text), &result, NULL), ERR_OK);
        assert_int_equal(mime_parse_in(arena, result, NULL, NULL)->encoding, MIME_BASE64);
    }
}

/* Beyond the bounds of the parser nothing can be converted part by part. */
static void test_deep(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf text = buf_new(1u << 20);
    struct slice result;
    struct why why;
    for (int i = 0; i < MIME_MAX_DEPTH + 5; i++)
        buf_addf(&text, "Content-Type: multipart/mixed; boundary=b%dx\r\n\r\n--b%dx\r\n", i, i);
    buf_add_str(&text, "\r\n" CAFE "\r\n");
    assert_int_equal(convert(arena, buf_slice(&text), &result, &why), ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_bare_line_ends),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
