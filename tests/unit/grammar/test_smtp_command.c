/* SMTP command lines: what they mean, or which reply they get. */
#include "check.h"
#include "grammar/smtp_command.h"

enum {
    ALL = SMTP_OFFER_SIZE | SMTP_OFFER_8BITMIME | SMTP_OFFER_SMTPUTF8 | SMTP_OFFER_DSN | SMTP_OFFER_AUTH |
          SMTP_OFFER_REQUIRETLS
};

/* The command as one line of text, so that a row says all of it. */
static struct slice render(struct arena *a, const struct smtp_command *c)
{
    const struct smtp_mail *m = &c->mail;
    switch (c->verb) {
    case SMTP_MAIL:
        return arena_printf(
            a, "from=%.*s%s%s%s%s%s%.*s%s%.*s", SLICE_ARG(m->from.text),
            m->has_size ? arena_cstr(a, arena_printf(a, " size=%llu", (unsigned long long)m->size)) : "",
            m->body == SMTP_BODY_8BITMIME     ? " 8bit"
            : m->body == SMTP_BODY_BINARYMIME ? " binary"
                                              : "",
            m->smtputf8 ? " utf8" : "", m->requiretls ? " tls" : "",
            m->ret == SMTP_RET_FULL   ? " full envid="
            : m->ret == SMTP_RET_HDRS ? " hdrs envid="
            : m->envid.len            ? " envid="
                                      : "",
            SLICE_ARG(m->envid), m->has_auth ? " auth=" : "", SLICE_ARG(m->auth));
    case SMTP_RCPT:
        return arena_printf(a, "to=%.*s notify=%u orcpt=%.*s;%.*s", SLICE_ARG(c->rcpt.to.text),
                            c->rcpt.notify, SLICE_ARG(c->rcpt.orcpt_type), SLICE_ARG(c->rcpt.orcpt));
    case SMTP_BDAT:
        return arena_printf(a, "%llu%s", (unsigned long long)c->bdat_size, c->bdat_last ? " last" : "");
    case SMTP_AUTH:
        return arena_printf(a, "%.*s %s%.*s", SLICE_ARG(c->argument), c->has_initial ? "initial=" : "none",
                            SLICE_ARG(c->initial));
    default:
        return arena_printf(a, "%.*s%s", SLICE_ARG(c->argument), c->argument_literal ? " literal" : "");
    }
}

static const struct {
    const char *line;
    unsigned offered;
    enum smtp_verb verb;
    unsigned code;      /* 0: right */
    const char *wanted; /* as rendered, or the enhanced status */
} rows[] = {
    {"EHLO mail.example.org", ALL, SMTP_EHLO, 0, "mail.example.org"},
    {"ehlo [192.0.2.1]", ALL, SMTP_EHLO, 0, "[192.0.2.1] literal"},
    {"EHLO [IPv6:::1]  ", ALL, SMTP_EHLO, 0, "[IPv6:::1] literal"},
    {"HELO my_pc", ALL, SMTP_HELO, 0, "my_pc"},
    {"HELO my pc", ALL, SMTP_HELO, 0, "my"},
    {"LHLO x", ALL, SMTP_LHLO, 0, "x"},
    {"EHLO", ALL, SMTP_EHLO, 501, "5.5.4"},
    {"EHLO ", ALL, SMTP_EHLO, 501, "5.5.4"},
    {"EHLO b\xc3\xbc"
     "cher",
     ALL, SMTP_EHLO, 501, "5.5.4"},
    {"MAIL FROM:<a@b>", 0, SMTP_MAIL, 0, "from=a@b"},
    {"mail from:<a@b>", 0, SMTP_MAIL, 0, "from=a@b"},
    {"MAIL FROM: <a@b>", 0, SMTP_MAIL, 0, "from=a@b"},
    {"MAIL FROM:<>", 0, SMTP_MAIL, 0, "from="},
    {"MAIL FROM:<@x,@y:a@b>", 0, SMTP_MAIL, 0, "from=a@b"},
    {"MAIL FROM:<a@b> SIZE=100", ALL, SMTP_MAIL, 0, "from=a@b size=100"},
    {"MAIL FROM:<a@b>  size=0  BODY=8bitmime ", ALL, SMTP_MAIL, 0, "from=a@b size=0 8bit"},
    {"MAIL FROM:<a@b> SIZE=99999999999999999999", ALL, SMTP_MAIL, 0, "from=a@b size=18446744073709551615"},
    {"MAIL FROM:<a@b> SIZE=999999999999999999999", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> SIZE=", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> SIZE", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> SIZE=-1", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> SIZE=1 SIZE=2", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> SIZE=1", 0, SMTP_MAIL, 555, "5.5.4"},
    {"MAIL FROM:<a@b> FOO=1", ALL, SMTP_MAIL, 555, "5.5.4"},
    {"MAIL FROM:<a@b> FOO", ALL, SMTP_MAIL, 555, "5.5.4"},
    {"MAIL FROM:<a@b> =", ALL, SMTP_MAIL, 555, "5.5.4"},
    {"MAIL FROM:<a@b> BODY=7BIT", ALL, SMTP_MAIL, 0, "from=a@b"},
    {"MAIL FROM:<a@b> BODY=BINARYMIME", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> BODY=BINARYMIME", ALL | SMTP_OFFER_BINARYMIME, SMTP_MAIL, 0, "from=a@b binary"},
    {"MAIL FROM:<a@b> BODY=9BIT", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> SMTPUTF8 REQUIRETLS", ALL, SMTP_MAIL, 0, "from=a@b utf8 tls"},
    {"MAIL FROM:<a@b> SMTPUTF8=", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> REQUIRETLS", ALL & ~(unsigned)SMTP_OFFER_REQUIRETLS, SMTP_MAIL, 555, "5.5.4"},
    {"MAIL FROM:<j\xc3\xb6rg@b> SMTPUTF8", ALL, SMTP_MAIL, 0, "from=j\xc3\xb6rg@b utf8"},
    {"MAIL FROM:<j\xc3\xb6rg@b>", ALL, SMTP_MAIL, 553, "5.6.7"},
    {"MAIL FROM:<a@b\xc3\xbc"
     "cher.example>",
     ALL, SMTP_MAIL, 553, "5.6.7"},
    {"MAIL FROM:<a@b\xc3\xbc"
     "cher.example> SMTPUTF8",
     ALL, SMTP_MAIL, 0, "from=a@xn--bcher-kva.example utf8"},
    {"MAIL FROM:<a@b> RET=FULL ENVID=QQ314159", ALL, SMTP_MAIL, 0, "from=a@b full envid=QQ314159"},
    {"MAIL FROM:<a@b> RET=hdrs", ALL, SMTP_MAIL, 0, "from=a@b hdrs envid="},
    {"MAIL FROM:<a@b> ENVID=a+2Bb+3D", ALL, SMTP_MAIL, 0, "from=a@b envid=a+b="},
    {"MAIL FROM:<a@b> ENVID=a+0D+0Ab", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> ENVID=", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> ENVID=a+b", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> RET=ALL", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:<a@b> AUTH=<>", ALL, SMTP_MAIL, 0, "from=a@b auth=<>"},
    {"MAIL FROM:<a@b> AUTH=e+3Dmc2@example.com", ALL, SMTP_MAIL, 0, "from=a@b auth=e=mc2@example.com"},
    {"MAIL FROM:<a@b> AUTH=nonsense", ALL, SMTP_MAIL, 0, "from=a@b auth=<>"},
    {"MAIL FROM:<a@b>SIZE=1", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM:a@b", ALL, SMTP_MAIL, 501, "5.1.7"},
    {"MAIL FROM:<a@>", ALL, SMTP_MAIL, 501, "5.1.7"},
    {"MAIL FROM:<a b@c>", ALL, SMTP_MAIL, 501, "5.1.7"},
    {"MAIL FROM:<postmaster>", ALL, SMTP_MAIL, 501, "5.1.7"},
    {"MAIL FROM:", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL TO:<a@b>", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"MAIL FROM <a@b>", ALL, SMTP_MAIL, 501, "5.5.4"},
    {"RCPT TO:<a@b>", ALL, SMTP_RCPT, 0, "to=a@b notify=0 orcpt=;"},
    {"RCPT TO:<Postmaster>", ALL, SMTP_RCPT, 0, "to=Postmaster notify=0 orcpt=;"},
    {"RCPT TO:<a@b> NOTIFY=NEVER", ALL, SMTP_RCPT, 0, "to=a@b notify=1 orcpt=;"},
    {"RCPT TO:<a@b> NOTIFY=success,FAILURE,Delay ORCPT=rfc822;Bob+2Bx@b", ALL, SMTP_RCPT, 0,
     "to=a@b notify=14 orcpt=rfc822;Bob+x@b"},
    {"RCPT TO:<a@b> ORCPT=utf-8;j\\x{F6}rg@b", ALL, SMTP_RCPT, 0,
     "to=a@b notify=0 orcpt=utf-8;j\xc3\xb6rg@b"},
    {"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> NOTIFY=", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> NOTIFY=DELAY,", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> NOTIFY=,DELAY", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> NOTIFY=MAYBE", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=a@b", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=rfc822;", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=rfc822;a=b", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=rfc822;a+0Ab", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=rfc822;a+C3+A9b", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=x400;+C3+80+80+80+80", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=X400;/C=de/", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"RCPT TO:<a@b> ORCPT=X400;/C+3Dde/", ALL, SMTP_RCPT, 0, "to=a@b notify=0 orcpt=X400;/C=de/"},
    {"RCPT TO:<a@b> NOTIFY=NEVER", 0, SMTP_RCPT, 555, "5.5.4"},
    {"RCPT TO:<a@b> SIZE=1", ALL, SMTP_RCPT, 555, "5.5.4"},
    {"RCPT TO:<>", ALL, SMTP_RCPT, 501, "5.1.3"},
    {"RCPT TO:<j\xc3\xb6rg@b>", ALL, SMTP_RCPT, 553, "5.6.7"},
    {"RCPT TO:<j\xc3\xb6rg@b>", ALL | SMTP_IN_UTF8, SMTP_RCPT, 0, "to=j\xc3\xb6rg@b notify=0 orcpt=;"},
    {"RCPT TO:<a@b", ALL, SMTP_RCPT, 501, "5.1.3"},
    {"RCPT FROM:<a@b>", ALL, SMTP_RCPT, 501, "5.5.4"},
    {"DATA", ALL, SMTP_DATA, 0, ""},
    {"DATA x", ALL, SMTP_DATA, 501, "5.5.4"},
    {"data  ", ALL, SMTP_DATA, 0, ""},
    {"BDAT 100", ALL, SMTP_BDAT, 0, "100"},
    {"bdat 0 last", ALL, SMTP_BDAT, 0, "0 last"},
    {"BDAT", ALL, SMTP_BDAT, 501, "5.5.4"},
    {"BDAT x", ALL, SMTP_BDAT, 501, "5.5.4"},
    {"BDAT 1 FIRST", ALL, SMTP_BDAT, 501, "5.5.4"},
    {"BDAT 1 LAST LAST", ALL, SMTP_BDAT, 501, "5.5.4"},
    {"BDAT 99999999999999999999", ALL, SMTP_BDAT, 501, "5.5.4"},
    {"RSET", ALL, SMTP_RSET, 0, ""},
    {"RSET now", ALL, SMTP_RSET, 501, "5.5.4"},
    {"NOOP", ALL, SMTP_NOOP, 0, ""},
    {"NOOP any thing", ALL, SMTP_NOOP, 0, "any thing"},
    {"HELP MAIL", ALL, SMTP_HELP, 0, "MAIL"},
    {"VRFY joe", ALL, SMTP_VRFY, 0, "joe"},
    {"VRFY", ALL, SMTP_VRFY, 501, "5.5.4"},
    {"EXPN list", ALL, SMTP_EXPN, 0, "list"},
    {"ETRN example.org", ALL, SMTP_ETRN, 0, "example.org"},
    {"TURN", ALL, SMTP_TURN, 0, ""},
    {"QUIT", ALL, SMTP_QUIT, 0, ""},
    {"QUIT now", ALL, SMTP_QUIT, 501, "5.5.4"},
    {"STARTTLS", ALL, SMTP_STARTTLS, 0, ""},
    {"STARTTLS x", ALL, SMTP_STARTTLS, 501, "5.5.4"},
    {"AUTH PLAIN", ALL, SMTP_AUTH, 0, "PLAIN none"},
    {"AUTH PLAIN AGEAYg==", ALL, SMTP_AUTH, 0, "PLAIN initial=AGEAYg=="},
    {"auth scram-sha-256 =", ALL, SMTP_AUTH, 0, "scram-sha-256 initial="},
    {"AUTH", ALL, SMTP_AUTH, 501, "5.5.4"},
    {"AUTH PLAIN a b", ALL, SMTP_AUTH, 501, "5.5.4"},
    {"AUTH P%N", ALL, SMTP_AUTH, 501, "5.5.4"},
    {"AUTH ABCDEFGHIJKLMNOPQRSTU", ALL, SMTP_AUTH, 501, "5.5.4"},
    {"GET / HTTP/1.1", ALL, SMTP_HTTP, 500, "5.5.1"},
    {"CONNECT 1.2.3.4:25 HTTP/1.0", ALL, SMTP_HTTP, 500, "5.5.1"},
    {"POST / HTTP/1.1", ALL, SMTP_HTTP, 500, "5.5.1"},
    {"", ALL, SMTP_UNKNOWN, 500, "5.5.1"},
    {" ", ALL, SMTP_UNKNOWN, 500, "5.5.1"},
    {" QUIT", ALL, SMTP_UNKNOWN, 500, "5.5.1"},
    {"MAILX FROM:<a@b>", ALL, SMTP_UNKNOWN, 500, "5.5.1"},
    {"MAI", ALL, SMTP_UNKNOWN, 500, "5.5.1"},
    {"\x16\x03\x01", ALL, SMTP_UNKNOWN, 500, "5.5.2"},
    {"NOOP \x01", ALL, SMTP_NOOP, 500, "5.5.2"},
    {"NOOP \xff", ALL, SMTP_NOOP, 500, "5.5.2"},
    {"MAIL FROM:<a@b>\tSIZE=1", ALL, SMTP_MAIL, 0, "from=a@b size=1"},
};

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct smtp_command command = {.bdat_size = 77};
        struct smtp_reply_text reply = {0};
        enum err err =
            smtp_command_parse_in(arena, slice_of(rows[i].line), rows[i].offered, &command, &reply);
        assert_row(command.verb == rows[i].verb, i);
        assert_row(reply.code == rows[i].code && (err == ERR_OK) == (reply.code == 0), i);
        assert_text(err ? slice_of(reply.status) : render(arena, &command), rows[i].wanted, i);
        if (err)
            assert_row(command.bdat_size == 77, i); /* nothing but verb and name is touched */
    }
    assert_string_equal(smtp_verb_name(SMTP_STARTTLS), "STARTTLS");
    assert_string_equal(smtp_verb_name(SMTP_UNKNOWN), "?");
    assert_string_equal(smtp_verb_name(SMTP_HTTP), "HTTP");
}

static void test_nul_and_many(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct smtp_command command;
    struct smtp_reply_text reply;
    assert_int_equal(smtp_command_parse_in(arena, slice_make("MAIL FROM:<a\0@b>", 16), ALL, &command, &reply),
                     ERR_BAD);
    assert_int_equal(reply.code, 500);
    static char line[SMTP_LINE_MAX];
    int len = snprintf(line, sizeof line, "MAIL FROM:<a@b>");
    for (size_t at = (size_t)len; at + 2 < sizeof line; at += 2)
        memcpy(line + at, " x", 2);
    assert_int_equal(smtp_command_parse_in(arena, slice_of(line), ALL, &command, &reply), ERR_BAD);
    assert_int_equal(reply.code, 555);
}

/* Every right and wrong line once more, one byte shorter each time: never a crash, always a reply. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t len = 0; len < strlen(rows[i].line); len++) {
            AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
            struct smtp_command command;
            struct smtp_reply_text reply = {0};
            char *copy = malloc(len ? len : 1); /* exactly as long, for the address sanitizer */
            memcpy(copy, rows[i].line, len);
            enum err err = smtp_command_parse_in(arena, slice_make(copy, len), ALL, &command, &reply);
            assert_row(err == ERR_OK || (reply.code >= 500 && reply.code < 560 && reply.text), i);
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_nul_and_many),
        cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
