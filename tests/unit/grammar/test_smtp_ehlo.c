/* What servers offer behind EHLO. */
#include "check.h"
#include "grammar/smtp_ehlo.h"

#define E(name) SMTP_EHLO_##name
#define M(name) SMTP_SASL_##name

static const struct {
    const char *lines; /* behind the first, each with LF */
    unsigned extensions, mechanisms;
    uint64_t size, rcptmax, mailmax;
} rows[] = {
    {"", 0, 0, 0, 0, 0},
    {"PIPELINING\nSIZE 35882577\n8BITMIME\nAUTH PLAIN LOGIN\nSTARTTLS\n",
     E(PIPELINING) | E(SIZE) | E(8BITMIME) | E(AUTH) | E(STARTTLS), M(PLAIN) | M(LOGIN), 35882577, 0, 0},
    {"size 10\nsmtputf8\nChunking\nBINARYMIME\nDSN\nREQUIRETLS\nENHANCEDSTATUSCODES\n",
     E(SIZE) | E(SMTPUTF8) | E(CHUNKING) | E(BINARYMIME) | E(DSN) | E(REQUIRETLS) | E(STATUSCODES), 0, 10, 0,
     0},
    {"SIZE\n", E(SIZE), 0, 0, 0, 0},
    {"SIZE 0\n", E(SIZE), 0, 0, 0, 0},
    {"SIZE x\n", E(SIZE), 0, 0, 0, 0},
    {"SIZE 99999999999999999999999\n", E(SIZE), 0, 0, 0, 0},
    {"LIMITS RCPTMAX=100 MAILMAX=5 X=1\n", E(LIMITS), 0, 0, 100, 5},
    {"limits rcptmax=100\n", E(LIMITS), 0, 0, 100, 0},
    {"LIMITS RCPTMAX RCPTMAX= RCPTMAX=-1 RCPTMAX=9999999999\n", E(LIMITS), 0, 0, 0, 0},
    {"AUTH=LOGIN\n", E(AUTH), M(LOGIN), 0, 0, 0},
    {"AUTH CRAM-MD5 SCRAM-SHA-256 XOAUTH2 SCRAM-SHA-256-PLUS\n", E(AUTH),
     M(SCRAM_SHA_256) | M(XOAUTH2) | M(OTHER), 0, 0, 0},
    {"AUTH plain  login\n", E(AUTH), M(PLAIN) | M(LOGIN), 0, 0, 0},
    {"AUTH\n", 0, 0, 0, 0, 0},
    {"PIPELININGX\nXPIPELINING\n\n STARTTLS \n", E(STARTTLS), 0, 0, 0, 0},
};

static void build(struct buf *out, const char *lines)
{
    struct slice rest = slice_of(lines), line;
    buf_add(out,
            rest.len ? SLICE("250-mx.example.org at your service\r\n") : SLICE("250 mx.example.org\r\n"));
    while (slice_token(&rest, '\n', &line)) {
        buf_add(out, rest.len ? SLICE("250-") : SLICE("250 "));
        buf_add(out, line);
        buf_add(out, SLICE("\r\n"));
    }
}

static struct smtp_reply read_reply(struct slice input)
{
    struct smtp_reply reply = {0};
    enum smtp_reply_fault fault;
    size_t used;
    assert_int_equal(smtp_reply_parse(input, &reply, &used, &fault), SMTP_REPLY_DONE);
    return reply;
}

static void test_keywords(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(10000);
        build(&out, rows[i].lines);
        const struct smtp_reply reply = read_reply(buf_slice(&out));
        struct smtp_ehlo ehlo;
        smtp_ehlo_parse(&reply, &ehlo);
        assert_row(ehlo.extensions == rows[i].extensions, i);
        assert_row(ehlo.mechanisms == rows[i].mechanisms, i);
        assert_row(ehlo.size == rows[i].size, i);
        assert_row(ehlo.rcptmax == rows[i].rcptmax && ehlo.mailmax == rows[i].mailmax, i);
        assert_text(smtp_ehlo_host(&reply), "mx.example.org", i);
    }
}

static void test_host(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *wanted;
    } hosts[] = {
        {"220 mx.example.org ESMTP\r\n", "mx.example.org"},
        {"220-[192.0.2.1] hi\r\n220 x\r\n", "[192.0.2.1]"},
        {"220 <script> ESMTP\r\n", ""},
        {"220\r\n", ""},
        {"220  mail_1\r\n", "mail_1"},
    };
    for (size_t i = 0; i < COUNT(hosts); i++) {
        const struct smtp_reply reply = read_reply(slice_of(hosts[i].reply));
        assert_text(smtp_ehlo_host(&reply), hosts[i].wanted, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keywords),
        cmocka_unit_test(test_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
