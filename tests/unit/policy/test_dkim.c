/* DKIM: the vectors of RFC 6376 appendix A and RFC 8463 appendix A, canonical forms, our own signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "grammar/base64.h"
#include "grammar/header.h"
#include "policy/dkim_inside.h"

#define ARENA_MAX ((size_t)32 << 20)
#define NOW       1600000000u

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(ARENA_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* RFC 6376 appendix A.2, with errata 3192 (one blank in the body) and 4926 (six blanks of folding). */
#define LETTER                                                                                               \
    "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n"           \
    "Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"                           \
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
#define LETTER_BODY "Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n"
#define RFC6376                                                                                              \
    "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"                                      \
    "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"                                      \
    "      h=Received : From : To : Subject : Date : Message-ID;\r\n"                                        \
    "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"                                             \
    "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"                                       \
    "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"                                         \
    "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"                                         \
    "      4bmp/YzhwvcubU4=;\r\n"                                                                            \
    "Received: from client1.football.example.com  [192.0.2.1]\r\n"                                           \
    "      by submitserver.example.com with SUBMISSION;\r\n"                                                 \
    "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n" LETTER
#define RFC6376_RECORD                                                                                       \
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ"                                                          \
    "KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"                                                         \
    "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v"                                                         \
    "/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"                                                         \
    "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"

/* RFC 8463 appendix A.3. */
#define RFC8463_ED25519                                                                                      \
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"                                          \
    " d=football.example.com; i=@football.example.com;\r\n"                                                  \
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"                                                \
    " subject : date : message-id : from : subject : date;\r\n"                                              \
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"                                                  \
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"                                        \
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
#define RFC8463_RSA                                                                                          \
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"                                              \
    " d=football.example.com; i=@football.example.com;\r\n"                                                  \
    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"                                          \
    " date : message-id : from : subject : date;\r\n"                                                        \
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"                                                  \
    " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"                                        \
    " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"                                        \
    " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
#define RFC8463_ED25519_RECORD "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define RFC8463_RSA_RECORD                                                                                   \
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2" \
    "jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2Ee" \
    "C3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
#define RFC8463_SEED "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="

static enum dkim_result verify(struct slice header, struct slice body, const char *record_text, uint64_t now,
                               struct why *why)
{
    struct dkim_signature signature;
    struct dkim_record record;
    struct header_field field;
    const struct dkim_message message = {header, &body, 1};
    assert_true(header_find(header, SLICE("DKIM-Signature"), &field));
    if (dkim_signature_parse_in(arena, field.value, &signature, why) ||
        dkim_record_parse_in(arena, slice_of(record_text), &record, why))
        return DKIM_PERMERROR;
    return dkim_verify_in(arena, &signature, &record, &message, field.offset, now, why);
}

static void test_vectors(void **state)
{
    static const struct {
        const char *header, *body, *record;
        enum dkim_result result;
    } rows[] = {
        {RFC6376, LETTER_BODY, RFC6376_RECORD, DKIM_PASS},
        {RFC6376, LETTER_BODY "\r\n\r\n", RFC6376_RECORD, DKIM_PASS},
        {RFC6376, LETTER_BODY " ", RFC6376_RECORD, DKIM_FAIL},
        {RFC6376 "To: another\r\n", LETTER_BODY, RFC6376_RECORD, DKIM_FAIL},
        {RFC6376 "X: another\r\n", LETTER_BODY, RFC6376_RECORD, DKIM_PASS},
        {RFC6376, LETTER_BODY, RFC8463_RSA_RECORD, DKIM_FAIL},
        {RFC6376, LETTER_BODY, RFC8463_ED25519_RECORD, DKIM_PERMERROR},
        {RFC8463_ED25519 LETTER, LETTER_BODY, RFC8463_ED25519_RECORD, DKIM_PASS},
        {RFC8463_ED25519 RFC8463_RSA LETTER, LETTER_BODY, RFC8463_ED25519_RECORD, DKIM_PASS},
        {RFC8463_RSA RFC8463_ED25519 LETTER, LETTER_BODY, RFC8463_RSA_RECORD, DKIM_PASS},
        {RFC8463_RSA LETTER, "Hi. \r\n\r\nWe lost\tthe  game. Are you hungry yet?\r\n\r\nJoe.",
         RFC8463_RSA_RECORD, DKIM_PASS},
        {RFC8463_RSA LETTER "Cc: another\r\n", LETTER_BODY, RFC8463_RSA_RECORD, DKIM_PASS},
        {RFC8463_RSA LETTER "Subject: another\r\n", LETTER_BODY, RFC8463_RSA_RECORD, DKIM_FAIL},
        {RFC8463_RSA "Subject: another\r\n" LETTER, LETTER_BODY, RFC8463_RSA_RECORD, DKIM_FAIL},
        {RFC8463_RSA LETTER, LETTER_BODY, "v=DKIM1; k=rsa; p=", DKIM_PERMERROR},
        {RFC8463_RSA LETTER, LETTER_BODY, "v=DKIM1; k=rsa; p=AAAA", DKIM_PERMERROR},
        {RFC8463_RSA LETTER, LETTER_BODY, RFC8463_RSA_RECORD "; h=sha1", DKIM_PERMERROR},
        {RFC8463_RSA LETTER, LETTER_BODY, RFC8463_RSA_RECORD "; s=tlsrpt", DKIM_PERMERROR},
        {RFC8463_RSA LETTER, LETTER_BODY, RFC8463_RSA_RECORD "; h=sha1:sha256; s=*; t=y:s; x=y", DKIM_PASS},
        {RFC6376, LETTER_BODY, RFC6376_RECORD "; t=s", DKIM_PERMERROR},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct why why = {""};
        enum dkim_result result =
            verify(slice_of(rows[i].header), slice_of(rows[i].body), rows[i].record, NOW, &why);
        if (result != rows[i].result)
            fail_msg("row %zu: %s: %s", i, dkim_result_name(result), why.text);
    }
}

static void assert_hash(struct slice expected, enum dkim_canon canon, struct slice body)
{
    uint8_t hash[DKIM_HASH_LEN], wanted[DKIM_HASH_LEN];
    const struct slice whole = expected;
    /* What is canonical hashes to itself in the simple form, if it is not empty. */
    dkim_body_hash(DKIM_SIMPLE, &whole, 1, wanted);
    if (!expected.len)
        (void)memcpy(
            wanted,
            "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\x27\xae\x41\xe4\x64\x9b\x93"
            "\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55",
            DKIM_HASH_LEN);
    for (size_t cut = 0; cut <= body.len; cut++) {
        const struct slice pieces[] = {slice_sub(body, 0, cut), SLICE_EMPTY, slice_from(body, cut)};
        dkim_body_hash(canon, pieces, 3, hash);
        if (memcmp(hash, wanted, DKIM_HASH_LEN) != 0)
            fail_msg("\"%.*s\" cut at %zu", SLICE_ARG(body), cut);
    }
}

static void test_body(void **state)
{
    static const struct {
        enum dkim_canon canon;
        struct slice body, canonical;
    } rows[] = {
        {DKIM_RELAXED, SLICE(" C \r\nD \t E\r\n\r\n\r\n"), SLICE(" C\r\nD E\r\n")}, /* RFC 6376 3.4.5 */
        {DKIM_SIMPLE, SLICE(" C \r\nD \t E\r\n\r\n\r\n"), SLICE(" C \r\nD \t E\r\n")},
        {DKIM_SIMPLE, SLICE(""), SLICE("\r\n")},
        {DKIM_SIMPLE, SLICE("\r\n\r\n"), SLICE("\r\n")},
        {DKIM_SIMPLE, SLICE("a"), SLICE("a\r\n")},
        {DKIM_RELAXED, SLICE(""), SLICE("")},
        {DKIM_RELAXED, SLICE("\r\n\r\n"), SLICE("")},
        {DKIM_RELAXED, SLICE(" \t\r\n \r\n"), SLICE("")},
        {DKIM_RELAXED, SLICE(" "), SLICE("")},
        {DKIM_RELAXED, SLICE("a"), SLICE("a\r\n")},
        {DKIM_RELAXED, SLICE("a "), SLICE("a\r\n")},
        {DKIM_RELAXED, SLICE("a b  c\td \t e"), SLICE("a b c d e\r\n")},
        {DKIM_RELAXED, SLICE("a\r\n \r\n\t\r\nb\r\n"), SLICE("a\r\n\r\n\r\nb\r\n")},
        {DKIM_RELAXED, SLICE("a\rb\nc \r d\r"), SLICE("a\rb\nc \r d\r\r\n")},
        {DKIM_RELAXED, SLICE("a\r\r\n"), SLICE("a\r\r\n")},
        {DKIM_SIMPLE, SLICE("a\r\r\n\r"), SLICE("a\r\r\n\r\r\n")},
        {DKIM_RELAXED, SLICE("\x00 \x00\r\n"), SLICE("\x00 \x00\r\n")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_hash(rows[i].canonical, rows[i].canon, rows[i].body);
}

static void test_long_body(void **state)
{
    (void)state;
    AUTO_BUF struct buf body = buf_new(1 << 20), canonical = buf_new(1 << 20);
    for (int i = 0; i < 3000; i++) {
        for (int j = 0; j < i % 97; j++) {
            buf_add_str(&body, "text  of\tmany ");
            buf_add_str(&canonical, j + 1 < i % 97 ? "text of many " : "text of many");
        }
        buf_add_str(&body, "\r\n");
        buf_add_str(&canonical, "\r\n");
        if (!buf_ok(&body))
            break;
    }
    uint8_t one[DKIM_HASH_LEN], two[DKIM_HASH_LEN];
    struct slice a = slice_sub(buf_slice(&body), 0, 700000), b = buf_slice(&canonical);
    ptrdiff_t end = slice_rfind(a, '\n');
    a.len = (size_t)end + 1;
    size_t lines = 0;
    for (size_t i = 0; i < a.len; i++)
        lines += a.ptr[i] == '\n';
    for (size_t i = 0; i < b.len; i++)
        if (b.ptr[i] == '\n' && --lines == 0)
            b.len = i + 1;
    dkim_body_hash(DKIM_RELAXED, &a, 1, one);
    dkim_body_hash(DKIM_RELAXED, &b, 1, two);
    assert_memory_equal(one, two, DKIM_HASH_LEN);
}

static void test_summary(void **state)
{
    static const struct {
        const char *header, *names, *fields;
    } rows[] = {
        {"From: a@b\r\n\r\n",
         "from:from:to:cc:subject:date:message-id:reply-to:in-reply-to:references:mime-version:content-type:"
         "content-transfer-encoding",
         "from:a@b\r\n"},
        {"Received: x\r\nTO : one,\r\n\ttwo \r\nX-Any: y\r\nSubject:\r\nSender: s\r\nLIST-ID: <l>\r\nfrom:  "
         "A  B\t<a@b>  \r\n"
         "Subject: again \r\n",
         "from:from:to:to:cc:subject:subject:subject:date:message-id:reply-to:in-reply-to:references:mime-"
         "version:"
         "content-type:content-transfer-encoding:sender:sender:list-id:list-id",
         "from:A B <a@b>\r\nto:one, two\r\nsubject:again\r\nsubject:\r\nsender:s\r\nlist-id:<l>\r\n"},
        {"Subject: none\r\n", NULL, NULL},
        {"", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dkim_summary summary;
        const struct slice body = SLICE(LETTER_BODY);
        enum err err = dkim_summarize_in(arena, slice_of(rows[i].header), &body, 1, &summary, NULL);
        assert_int_equal(err, rows[i].names ? ERR_OK : ERR_REFUSED);
        if (err)
            continue;
        assert_true(slice_eq(summary.names, slice_of(rows[i].names)));
        assert_true(slice_eq(summary.fields, slice_of(rows[i].fields)));
        struct slice hash = base64_encode_in(arena, slice_make(summary.hash, DKIM_HASH_LEN));
        assert_true(slice_eq(hash, SLICE("2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=")));
    }
}

/* A field too long is not signed, one too many is left alone; without From nothing is. */
static size_t times(struct slice names, struct slice wanted)
{
    struct slice name;
    size_t count = 0;
    while (slice_token(&names, ':', &name))
        count += slice_eq(name, wanted);
    return count;
}

/* A name in h= without a field of ours behind it must find none in the message either (section 5.4.2). */
static void test_summary_instances(void **state)
{
    (void)state;
    for (size_t there = 0; there < 3 * DKIM_INSTANCES_MAX; there++) {
        AUTO_BUF struct buf header = buf_new(1 << 16);
        struct dkim_summary summary;
        buf_add_str(&header, "From: a@b\r\n");
        for (size_t i = 0; i < there; i++)
            buf_addf(&header, "Cc: %zu@example.org\r\n", i);
        assert_int_equal(dkim_summarize_in(arena, buf_slice(&header), NULL, 0, &summary, NULL), ERR_OK);
        assert_int_equal(times(summary.names, SLICE("cc")),
                         there <= DKIM_INSTANCES_MAX ? there + 1 : DKIM_INSTANCES_MAX);
        struct dkim_fields fields = dkim_fields_in(arena, buf_slice(&header));
        struct slice names = summary.names, name;
        AUTO_BUF struct buf taken = buf_new(1 << 16);
        while (slice_token(&names, ':', &name)) {
            const struct header_field *field = dkim_fields_take(&fields, name);
            if (field)
                dkim_canon_field(DKIM_RELAXED, field, &taken);
        }
        assert_true(slice_eq(buf_slice(&taken), summary.fields));
    }
}

static void test_summary_bounds(void **state)
{
    (void)state;
    AUTO_BUF struct buf header = buf_new(1 << 20);
    struct dkim_summary summary;
    buf_add_str(&header, "From: a@b\r\nSubject: s\r\nTo: ");
    for (int i = 0; i < 5000; i++)
        buf_add_str(&header, "someone@example.org,\r\n ");
    buf_add_str(&header, "last@example.org\r\n");
    for (int i = 0; i < 100; i++)
        buf_add_str(&header, "Cc: x@example.org\r\n");
    assert_int_equal(dkim_summarize_in(arena, buf_slice(&header), NULL, 0, &summary, NULL), ERR_OK);
    assert_true(slice_search(summary.names, SLICE(":to:")) < 0);
    assert_true(slice_starts(summary.names, SLICE("from:from:cc:cc:cc:")));
    assert_true(summary.fields.len < 1000 && summary.names.len < 500);
    buf_clear(&header);
    buf_add_str(&header, "From: ");
    for (int i = 0; i < 5000; i++)
        buf_add_str(&header, "someone@example.org,\r\n ");
    buf_add_str(&header, "last@example.org\r\n");
    assert_int_equal(dkim_summarize_in(arena, buf_slice(&header), NULL, 0, &summary, NULL), ERR_REFUSED);
}

/* Signs and verifies; `field` is the DKIM-Signature. */
static void sign(const struct dkim_key *key, struct slice header, struct slice body, uint64_t expires,
                 struct slice *field, struct slice *record)
{
    struct dkim_summary summary;
    struct why why;
    AUTO_BUF struct buf text = buf_new(DKIM_RECORD_MAX);
    const struct dkim_signing signing = {SLICE("mail.example.org"), SLICE("2026._s1"), NOW, expires,
                                         &summary};
    assert_int_equal(dkim_summarize_in(arena, header, &body, 1, &summary, &why), ERR_OK);
    assert_int_equal(dkim_sign_in(arena, key, &signing, field, &why), ERR_OK);
    dkim_record_print(dkim_key_algorithm(key), dkim_key_public(key), &text);
    *record = arena_dup(arena, buf_slice(&text));
}

static void assert_folded(struct slice field)
{
    struct slice rest = field, line;
    while (slice_token(&rest, '\n', &line)) {
        assert_true(line.len <= 78 && slice_ends(line, SLICE("\r")));
        assert_true(line.ptr == field.ptr || line.ptr[0] == '\t');
    }
}

static void check_signing(const struct dkim_key *key)
{
    struct slice field, record, again;
    struct slice header =
        SLICE("To: x@y\r\nFrom: a@b\r\nSubject: caf\xc3\xa9 \r\n folded\r\nList-Id: <a>\r\n");
    sign(key, header, SLICE(LETTER_BODY), NOW + 10, &field, &record);
    assert_folded(field);
    const char *text = arena_cstr(arena, record);
    struct slice whole = arena_printf(arena, "%.*s%.*s", SLICE_ARG(field), SLICE_ARG(header));
    assert_int_equal(verify(whole, SLICE(LETTER_BODY), text, NOW + 10, NULL), DKIM_PASS);
    assert_int_equal(verify(whole, SLICE(LETTER_BODY), text, NOW + 11, NULL), DKIM_POLICY);
    assert_int_equal(verify(whole, SLICE(LETTER_BODY "x"), text, NOW, NULL), DKIM_FAIL);
    static const char *const added[] = {"From: c@d\r\n", "Content-Type: text/html\r\n", "List-Id: <b>\r\n",
                                        "Reply-To: e@f\r\n"};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        struct slice more = arena_printf(arena, "%s%.*s", added[i], SLICE_ARG(whole));
        assert_int_equal(verify(more, SLICE(LETTER_BODY), text, NOW, NULL), DKIM_FAIL);
    }
    /* A second signature above does not hurt the first. */
    sign(key, header, SLICE(LETTER_BODY), 0, &again, &record);
    whole = arena_printf(arena, "%.*s%.*s%.*s", SLICE_ARG(again), SLICE_ARG(field), SLICE_ARG(header));
    assert_int_equal(verify(whole, SLICE(LETTER_BODY), text, NOW, NULL), DKIM_PASS);
}

static void test_signing(void **state)
{
    static const enum dkim_algorithm algorithms[] = {DKIM_RSA_SHA256, DKIM_ED25519_SHA256};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct dkim_key *key = NULL;
        assert_int_equal(dkim_key_generate(algorithms[i], &key, NULL), ERR_OK);
        assert_int_equal(dkim_key_prove(key, NULL), ERR_OK);
        check_signing(key);
        dkim_key_free(&key);
    }
}

/* The seed of RFC 8463 signs deterministically: the value of appendix A, over its own field. */
static void test_known_signature(void **state)
{
    (void)state;
    struct dkim_key *key = NULL;
    struct slice field, record;
    assert_int_equal(dkim_key_read(SLICE(RFC8463_SEED), &key, NULL), ERR_OK);
    sign(key, SLICE(LETTER), SLICE(LETTER_BODY), 0, &field, &record);
    assert_true(slice_eq(record, SLICE(RFC8463_ED25519_RECORD)));
    struct slice again;
    sign(key, SLICE(LETTER), SLICE(LETTER_BODY), 0, &again, &record);
    assert_true(slice_eq(field, again));
    dkim_key_free(&key);
}

static void test_refused_signing(void **state)
{
    uint8_t hash[DKIM_HASH_LEN] = {0};
    const struct {
        struct slice domain, selector, names, fields;
    } rows[] = {
        {SLICE("example.org; a"), SLICE("s"), SLICE("from:to"), SLICE("from:a\r\n")},
        {SLICE("example.org"), SLICE("s\r\nX: y"), SLICE("from:to"), SLICE("from:a\r\n")},
        {SLICE("example.org"), SLICE(""), SLICE("from:to"), SLICE("from:a\r\n")},
        {SLICE("example.org"), SLICE("s"), SLICE("to:from"), SLICE("from:a\r\n")},
        {SLICE("example.org"), SLICE("s"), SLICE("from:;b=x"), SLICE("from:a\r\n")},
        {SLICE("example.org"), SLICE("s"), SLICE("from:\r\nX"), SLICE("from:a\r\n")},
        {SLICE("example.org"), SLICE("s"), SLICE("from::to"), SLICE("from:a\r\n")},
        {SLICE("example.org"), SLICE("s"), SLICE("from:to"), SLICE("to:a\r\n")},
        {SLICE("example.org"), SLICE("s"), SLICE("from:to"), SLICE("from:a")},
        {SLICE("example.org"), SLICE("s"), SLICE(""), SLICE("")},
    };
    (void)state;
    struct dkim_key *key = NULL;
    struct slice field;
    assert_int_equal(dkim_key_read(SLICE(RFC8463_SEED), &key, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dkim_summary summary = {.names = rows[i].names, .fields = rows[i].fields};
        memcpy(summary.hash, hash, sizeof hash);
        const struct dkim_signing signing = {rows[i].domain, rows[i].selector, NOW, 0, &summary};
        assert_int_equal(dkim_sign_in(arena, key, &signing, &field, NULL), ERR_BAD);
    }
    dkim_key_free(&key);
}

#define VALID                                                                                                \
    "v=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA"

static void test_signature_field(void **state)
{
    static const struct {
        const char *value;
        bool good;
    } rows[] = {
        {VALID, true},
        {VALID ";", true},
        {VALID "; ", true},
        {VALID ";;", false},
        {"v=1;;" VALID, false},
        {VALID "; v=1", false},
        {VALID "; x_own=1; l=0; q=dns/txt:x; t=1; x=2; z=From:a|To:b", true},
        {VALID "; q=dns/other", false},
        {VALID "; t=2; x=2", false},
        {VALID "; t=2; x=0", false},
        {VALID "; x=0", true},
        {VALID "; t=-1", false},
        {VALID "; l=99999999999999999999", false},
        {VALID "; c=relaxed", true},
        {VALID "; c=relaxed/nofws", false},
        {VALID "; i=a=40b@sub.example.org", true},
        {VALID "; i=@badexample.org", false},
        {"v=1; a=rsa-sha256; d=b\xc3\xbc.example; s=s; h=from; i=a@b\xc3\xbc.example; "
         "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA",
         true},
        {"v=1; a=rsa-sha256; d=xn--b-eha.example; s=s; h=from; i=a@sub.b\xc3\xbc.example; "
         "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA",
         true},
        {"v=1; a=rsa-sha256; d=b\xc3\xbc.example; s=s; h=from; i=a@\xc3\xbc.example; "
         "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA",
         false},
        {VALID "; i=example.org", false},
        {VALID "; i=a=4@example.org", false},
        {VALID "; i=a@example.org=", false},
        {"v=2; a=rsa-sha256; d=e.org; s=s; h=from; bh=AA==; b=AAAA", false},
        {"v=1; a=rsa-sha1; d=e.org; s=s; h=from; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=AAAA", true},
        {"v=1; a=rsa-sha256; d=e.org; s=s; h=from; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=AAAA", false},
        {"v=1; a=rsa-sha256; d=e.org; s=s; h=to; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA",
         false},
        {"v=1; a=rsa-sha256; d=e.org; s=s; h=from::to; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; "
         "b=AAAA",
         false},
        {"v=1; a=rsa-sha256; d=e org; s=s; h=from; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA",
         false},
        {"v=1; a=rsa-sha256; d=e.org; s=; h=from; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA",
         false},
        {"v=1; a=rsa-sha256; d=e.org; s=s; h=from; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=",
         false},
        {"v=1; a=rsa-sha256; d=e.org; s=s; h=from; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=A?AA",
         false},
        {"v=1; a=rsa-sha256; d=e.org; s=s; h=from; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=", false},
        {"", false},
        {"=", false},
        {";", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dkim_signature signature;
        struct why why = {""};
        enum err err = dkim_signature_parse_in(arena, slice_of(rows[i].value), &signature, &why);
        if ((err == ERR_OK) != rows[i].good)
            fail_msg("row %zu: %s", i, why.text);
    }
}

static void test_weak(void **state)
{
    (void)state;
    struct dkim_signature signature;
    /* rsa-sha1 is parsed and never verified. */
    assert_int_equal(dkim_signature_parse_in(arena,
                                             SLICE("v=1; a=rsa-sha1; d=e.org; s=s; h=from; bh=AAAA; b=AAAA"),
                                             &signature, NULL),
                     ERR_OK);
    assert_int_equal(signature.algorithm, DKIM_UNKNOWN);
    assert_true(slice_eq(signature.identity, SLICE("@e.org")));
    struct dkim_record record;
    assert_int_equal(dkim_record_parse_in(arena, SLICE(RFC6376_RECORD), &record, NULL), ERR_OK);
    const struct dkim_message message = {SLICE("DKIM-Signature: x\r\n"), NULL, 0};
    assert_int_equal(dkim_verify_in(arena, &signature, &record, &message, 0, NOW, NULL), DKIM_PERMERROR);
    /* Expired for ever. */
    assert_int_equal(dkim_signature_parse_in(arena, SLICE(VALID "; x=0"), &signature, NULL), ERR_OK);
    assert_int_equal(dkim_verify_in(arena, &signature, &record, &message, 0, NOW, NULL), DKIM_POLICY);
    /* An RSA key of 512 bits. */
    assert_int_equal(verify(SLICE(RFC6376), SLICE(LETTER_BODY),
                            "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKW7sTHuPVntJVeI3p6NuVjCj6UTfADe"
                            "E+r5ioQMAPY2W2nP27llOHTpktiURuvZsxEQNUmQankzbyIADW2Uc+ECAwEAAQ==",
                            NOW, NULL),
                     DKIM_POLICY);
}

/* What l= leaves out is signed by nobody: an l= of the whole body is fine, a shorter one is not honoured. */
static void test_length(void **state)
{
    (void)state;
    struct dkim_key *key = NULL;
    struct slice field, record;
    assert_int_equal(dkim_key_read(SLICE(RFC8463_SEED), &key, NULL), ERR_OK);
    sign(key, SLICE("From: a@b\r\n"), SLICE("one\r\n"), 0, &field, &record);
    dkim_key_free(&key);
    struct slice header = arena_printf(arena, "%.*sFrom: a@b\r\n", SLICE_ARG(field));
    struct dkim_signature signature;
    struct dkim_record parsed;
    struct header_field own;
    struct why why;
    assert_true(header_find(header, SLICE("DKIM-Signature"), &own));
    assert_int_equal(dkim_signature_parse_in(arena, own.value, &signature, &why), ERR_OK);
    assert_int_equal(dkim_record_parse_in(arena, record, &parsed, &why), ERR_OK);
    signature.has_length = true;
    signature.length = 5;
    const struct slice body = SLICE("one\r\nappended\r\n");
    const struct dkim_message message = {header, &body, 1};
    assert_int_equal(dkim_verify_in(arena, &signature, &parsed, &message, 0, NOW, &why), DKIM_FAIL);
    assert_non_null(strstr(why.text, "l="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary_instances, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_known_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_signing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signature_field, setup, teardown),
        cmocka_unit_test_setup_teardown(test_weak, setup, teardown),
        cmocka_unit_test_setup_teardown(test_length, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
