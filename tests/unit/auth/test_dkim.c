/* What auth does for queue: tells it the keys that sign, signs, rewrites addresses; reloads; damaged files.
 */
#include "../role_rig.h"

#include "auth/auth.h"
#include "auth/dkim.h"
#include "base/coll.h"
#include "grammar/header.h"

#define PEERS (1u << ROLE_STORE | 1u << ROLE_QUEUE | 1u << ROLE_SMTP | 1u << ROLE_IMAP)
#define SEED  "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=" /* RFC 8463 appendix A.2 */
#define BODY  "Hello\r\n"
#define NOW   1600000000u

#define BASE                                                                                                 \
    "hostname: mail.example.org\ndata: /tmp/unused\n"                                                        \
    "listeners: [ { name: s, service: submission, address: \"127.0.0.1:2587\", tls: none } ]\n"
static const char yaml[] = BASE "srs: { domain: example.org, secret_file: /srs }\n"
                                "dkim:\n"
                                "  - { domain: Example.org, selector: mail, key_file: /rsa }\n"
                                "  - { domain: example.org, selector: ed, key_file: /ed }\n"
                                "  - { domain: example.org, selector: ED, key_file: /ed }\n"
                                "  - { domain: example.net, selector: mail, key_file: /broken }\n"
                                "  - { domain: example.com, selector: mail, key_file: /missing }\n";
static const char fewer[] = BASE "dkim: [ { domain: example.com, selector: s, key_file: /ed } ]\n";

static char rsa[4096]; /* PEM, made by main() */

static const struct rig_file files[] = {
    {SUP_FILE_DKIM_KEY, 0, "/rsa", rsa},       {SUP_FILE_DKIM_KEY, 1, "/ed", SEED "\n"},
    {SUP_FILE_DKIM_KEY, 2, "/ed", SEED "\n"},  {SUP_FILE_DKIM_KEY, 3, "/broken", "no key\n"},
    {SUP_FILE_SRS_SECRET, 0, "/srs", "one\n"}, {0},
};
static const struct rig_file fewer_files[] = {{SUP_FILE_DKIM_KEY, 0, "/ed", SEED}, {0}};
static const struct rig_file no_secret[] = {{SUP_FILE_DKIM_KEY, 0, "/rsa", rsa},
                                            {SUP_FILE_DKIM_KEY, 1, "/ed", SEED "\n"},
                                            {SUP_FILE_SRS_SECRET, 0, "/srs", "\n"},
                                            {0}};
/* The first key is cut; those that never worked may be gone. */
static const struct rig_file damaged[] = {{SUP_FILE_DKIM_KEY, 0, "/rsa", "-----BEGIN PRIVATE KEY-----\nMIIE"},
                                          {SUP_FILE_DKIM_KEY, 1, "/ed", SEED "\n"},
                                          {SUP_FILE_SRS_SECRET, 0, "/srs", "one\n"},
                                          {0}};

struct fake {
    char keys[200]; /* "domain selector type bytes, …" of the last list */
    unsigned lists;
    struct slice public[4];
};

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = rig->test;
    struct wire_dkim_keys m;
    (void)link;
    if (packet->type != WIRE_DKIM_KEYS)
        return true;
    assert_int_equal(self, ROLE_QUEUE);
    assert_int_equal(wire_decode(WIRE_DKIM_KEYS, packet->body, &m), ERR_OK);
    assert_int_equal(m.more, 0);
    size_t len = 0, count = 0;
    f->keys[0] = '\0';
    f->lists++;
    while (m.keys.len) {
        struct slice domain, selector, type, public;
        assert_true(wire_strings_take(&m.keys, &domain) && wire_strings_take(&m.keys, &selector) &&
                    wire_strings_take(&m.keys, &type) && wire_strings_take(&m.keys, &public));
        f->public[count++ % 4] = arena_dup(rig->arena, public);
        len += (size_t)snprintf(f->keys + len, sizeof f->keys - len, "%.*s %.*s %.*s %zu, ",
                                SLICE_ARG(domain), SLICE_ARG(selector), SLICE_ARG(type), public.len);
    }
    return true;
}

static struct rig *start(struct fake *f, const char *with_yaml, const struct rig_file *with)
{
    *f = (struct fake){0};
    struct rig *rig = rig_new(&auth_role, PEERS, with_yaml, with, handle, f);
    rig_for(rig, 20);
    return rig;
}

static void ask(struct rig *rig, const char *domain, const char *selectors, struct slice names,
                struct wire_dkim_signed *result)
{
    AUTO_BUF struct buf list = buf_new(1000);
    struct slice rest = slice_of(selectors), word;
    struct dkim_summary summary;
    struct rig_answer answer;
    const struct slice body = SLICE(BODY);
    while (slice_token(&rest, ' ', &word))
        wire_strings_add(&list, word);
    assert_int_equal(
        dkim_summarize_in(rig->arena, SLICE("From: a@example.org\r\n"), &body, 1, &summary, NULL), ERR_OK);
    const struct wire_dkim_sign m = {.time = NOW,
                                     .domain = slice_of(domain),
                                     .selectors = buf_slice(&list),
                                     .hash = slice_make(summary.hash, sizeof summary.hash),
                                     .names = names.len ? names : summary.names,
                                     .fields = summary.fields};
    rig_ask(rig, ROLE_QUEUE, WIRE_DKIM_SIGN, &m, &answer);
    rig_get(rig, &answer, WIRE_DKIM_SIGNED, result);
}

/* Verifies every signature of the header with the key at the same place. */
static size_t count_good(struct rig *rig, struct slice signatures, const struct slice *public,
                         const enum dkim_algorithm *algorithms)
{
    struct slice header = arena_printf(rig->arena, "%.*sFrom: a@example.org\r\n", SLICE_ARG(signatures));
    const struct slice body = SLICE(BODY);
    const struct dkim_message message = {header, &body, 1};
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    size_t good = 0;
    for (size_t i = 0; header_next(&iter, &field) && header_is(&field, SLICE("DKIM-Signature")); i++) {
        struct dkim_signature signature;
        const struct dkim_record record = {
            .algorithm = algorithms[i], .key = public[i], .sha256 = true, .email = true};
        assert_int_equal(dkim_signature_parse_in(rig->arena, field.value, &signature, NULL), ERR_OK);
        assert_true(slice_eq(signature.domain, SLICE("example.org")) && signature.time == NOW);
        good +=
            dkim_verify_in(rig->arena, &signature, &record, &message, field.offset, NOW, NULL) == DKIM_PASS;
    }
    return good;
}

static void test_sign(void **state)
{
    (void)state;
    static const enum dkim_algorithm both[] = {DKIM_RSA_SHA256, DKIM_ED25519_SHA256};
    static const enum dkim_algorithm second[] = {DKIM_ED25519_SHA256};
    struct fake f;
    struct wire_dkim_signed result;
    struct rig *rig = start(&f, yaml, files);
    assert_string_equal(f.keys, "example.org mail rsa 294, example.org ed ed25519 32, ");
    ask(rig, "example.org", "mail ed", SLICE_EMPTY, &result);
    assert_int_equal(result.err, ERR_OK);
    assert_int_equal(count_good(rig, result.header, f.public, both), 2);
    ask(rig, "EXAMPLE.org", "ed", SLICE_EMPTY, &result);
    assert_int_equal(count_good(rig, result.header, f.public + 1, second), 1);
    ask(rig, "example.org", "ed gone", SLICE_EMPTY, &result);
    assert_int_equal(count_good(rig, result.header, f.public + 1, second), 1);
    static const struct {
        const char *domain, *selectors;
        struct slice names;
        enum err err;
    } refused[] = {
        {"example.org", "gone", SLICE_EMPTY, ERR_ABSENT},
        {"example.net", "mail", SLICE_EMPTY, ERR_ABSENT},
        {"example.org", "", SLICE_EMPTY, ERR_ABSENT},
        {"example.org", "ed", SLICE("from:\r\nTo"), ERR_BAD},
        {"example.org", "ed", SLICE("to"), ERR_BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        ask(rig, refused[i].domain, refused[i].selectors, refused[i].names, &result);
        assert_int_equal(result.err, refused[i].err);
        assert_int_equal(result.header.len, 0);
        assert_true(result.text.len > 0);
    }
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* A queue that comes back is told again; a reload swaps the keys, also under signatures on their way. */
static void test_reload(void **state)
{
    (void)state;
    struct fake f;
    struct wire_dkim_signed result;
    struct rig *rig = start(&f, yaml, files);
    assert_int_equal(f.lists, 1);
    rig_connect(rig, ROLE_QUEUE);
    rig_for(rig, 20);
    assert_int_equal(f.lists, 2);
    struct rig_answer pending[20];
    for (size_t i = 0; i < ARRAY_LEN(pending); i++) {
        AUTO_BUF struct buf list = buf_new(100);
        static const uint8_t hash[DKIM_HASH_LEN];
        wire_strings_add(&list, SLICE("mail"));
        const struct wire_dkim_sign m = {.domain = SLICE("example.org"),
                                         .selectors = buf_slice(&list),
                                         .hash = slice_make(hash, sizeof hash),
                                         .names = SLICE("from:from"),
                                         .fields = SLICE("from:a\r\n")};
        rig_ask(rig, ROLE_QUEUE, WIRE_DKIM_SIGN, &m, &pending[i]);
    }
    rig_reload(rig, fewer, fewer_files);
    assert_string_equal(f.keys, "example.com s ed25519 32, ");
    for (size_t i = 0; i < ARRAY_LEN(pending); i++) {
        rig_get(rig, &pending[i], WIRE_DKIM_SIGNED, &result);
        assert_int_equal(result.err, ERR_OK);
    }
    ask(rig, "example.org", "mail", SLICE_EMPTY, &result);
    assert_int_equal(result.err, ERR_ABSENT);
    ask(rig, "example.com", "s", SLICE_EMPTY, &result);
    assert_int_equal(result.err, ERR_OK);
    rig_reload(rig, BASE, NULL);
    assert_string_equal(f.keys, "");
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* A key that signs is not lost because its file is damaged: nothing of that reload is used. */
static void test_damaged(void **state)
{
    (void)state;
    struct fake f;
    struct wire_dkim_signed result;
    struct rig *rig = start(&f, yaml, files);
    rig->ready = false;
    rig_send_settings(rig, yaml);
    rig_send_files(rig, damaged);
    rig_phase(rig, WIRE_SUP_PREPARE);
    rig_until(rig, &rig->ready);
    assert_true(rig->failed);
    rig_phase(rig, WIRE_SUP_ABORT);
    ask(rig, "example.org", "mail ed", SLICE_EMPTY, &result);
    static const enum dkim_algorithm both[] = {DKIM_RSA_SHA256, DKIM_ED25519_SHA256};
    assert_int_equal(count_good(rig, result.header, f.public, both), 2);
    rig_reload(rig, yaml, no_secret); /* /broken and /missing were not there before either */
    rig_free(rig);
}

static void rewrite(struct rig *rig, uint32_t reverse, struct slice address, struct wire_srs_address *result)
{
    const struct wire_srs m = {.reverse = reverse, .address = address};
    struct rig_answer answer;
    rig_ask(rig, ROLE_QUEUE, WIRE_SRS, &m, &answer);
    rig_get(rig, &answer, WIRE_SRS_ADDRESS, result);
}

static void test_srs(void **state)
{
    (void)state;
    struct fake f;
    struct wire_srs_address result;
    struct rig *rig = start(&f, yaml, files);
    rewrite(rig, 0, SLICE("jane@example.net"), &result);
    assert_int_equal(result.err, ERR_OK);
    assert_true(slice_istarts(result.address, SLICE("SRS0=")) &&
                slice_ends(result.address, SLICE("=example.net=jane@example.org")));
    struct slice address = result.address;
    rewrite(rig, 1, address, &result);
    assert_int_equal(result.err, ERR_OK);
    assert_true(slice_eq(result.address, SLICE("jane@example.net")));
    rewrite(rig, 0, SLICE("jane@example.org"), &result);
    assert_true(result.err == ERR_OK && slice_eq(result.address, SLICE("jane@example.org")));
    rewrite(rig, 0, SLICE_EMPTY, &result);
    assert_true(result.err == ERR_OK && result.address.len == 0);
    rewrite(rig, 1, SLICE("jane@example.org"), &result);
    assert_int_equal(result.err, ERR_ABSENT);
    rewrite(rig, 1, SLICE("SRS0=AAAA=BB=example.net=jane@example.org"), &result);
    assert_int_equal(result.err, ERR_REFUSED);
    assert_true(result.text.len > 0 && result.address.len == 0);
    /* a secret that cannot be read: forwarding goes on without, a bounce may come again */
    rig_reload(rig, yaml, no_secret);
    rewrite(rig, 0, SLICE("jane@example.net"), &result);
    assert_true(result.err == ERR_OK && slice_eq(result.address, SLICE("jane@example.net")));
    rewrite(rig, 1, address, &result);
    assert_int_equal(result.err, ERR_LATER);
    rig_reload(rig, BASE, NULL); /* no SRS at all: an address like any other */
    rewrite(rig, 1, address, &result);
    assert_int_equal(result.err, ERR_ABSENT);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* What only a queue that was taken over would send. */
static void test_hostile(void **state)
{
    (void)state;
    static const uint8_t hash[DKIM_HASH_LEN];
    struct fake f;
    struct rig *rig = start(&f, yaml, files);
    const struct wire_dkim_sign m = {.domain = SLICE("example.org"),
                                     .selectors = SLICE("\xff\xff"),
                                     .hash = slice_make(hash, sizeof hash),
                                     .names = SLICE("from:from"),
                                     .fields = SLICE("from:a\r\n")};
    struct rig_answer answer;
    rig_ask(rig, ROLE_QUEUE, WIRE_DKIM_SIGN, &m, &answer);
    rig_until(rig, &answer.done);
    assert_int_not_equal(answer.err, ERR_OK);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign), cmocka_unit_test(test_reload),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_srs),  cmocka_unit_test(test_hostile),
    };
    AUTO_BUF struct buf pem = buf_new(sizeof rsa - 1);
    struct dkim_key *key = NULL;
    if (dkim_key_generate(DKIM_RSA_SHA256, &key, NULL) || dkim_key_pem(key, &pem, NULL))
        return 1;
    (void)memcpy(rsa, pem.data, pem.len);
    dkim_key_free(&key);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
