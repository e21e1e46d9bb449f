/* The auth role, whole: logins by every mechanism, grants and who is told of them, the short memory, failures
 * and their delay, accounts by command, restarts of the others. */
#include "../role_rig.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <pthread.h>

#include "auth/auth.h"
#include "auth/context.h"
#include "grammar/base64.h"

#define PEERS (1u << ROLE_STORE | 1u << ROLE_QUEUE | 1u << ROLE_SMTP | 1u << ROLE_IMAP)

static const char yaml[] =
    "hostname: mail.example.org\n"
    "data: /tmp/unused\n"
    "listeners:\n"
    "  - { name: sub, service: submission, address: \"127.0.0.1:2587\", tls: none }\n"
    "  - { name: imap, service: imap, address: \"127.0.0.1:2143\", tls: none }\n"
    "accounts:\n"
    "  - { file: /accounts.cf }\n"
    "  - { file: /accounts.json, format: json }\n"
    "limits: { auth_failure_delay: 100ms, imap: { connections_per_user_and_address: 3 } }\n";

/* bcrypt without a prefix, a plain one, and one that no program can read */
static const struct rig_file files[] = {
    {SUP_FILE_ACCOUNTS, 0, "/accounts.cf",
     "jane@example.org|$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
     "broken@example.org|{SHA512-CRYPT}$6$x\n"},
    {SUP_FILE_ACCOUNTS, 1, "/accounts.json", "{\"john@example.org\": \"johns secret\"}"},
    {0},
};
static const struct rig_file plain_files[] = {
    {SUP_FILE_ACCOUNTS, 0, "/accounts.cf", ""},
    {SUP_FILE_ACCOUNTS, 1, "/accounts.json", "{\"john@example.org\": \"johns secret\"}"},
    {0},
};

struct fake {
    struct rig *rig;
    unsigned added[ROLE_COUNT], replayed[ROLE_COUNT], dropped[ROLE_COUNT], ends[ROLE_COUNT], accounts;
    struct grant last;
    char last_account[100], mechanisms[100];
    bool refuse_grants, hold_grants;
    struct ipc_link *held_link;
    uint32_t held;
};

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = rig->test;
    if (packet->type == WIRE_GRANT_ADD) {
        struct wire_grant_add m;
        assert_int_equal(wire_decode(WIRE_GRANT_ADD, packet->body, &m), ERR_OK);
        f->added[self]++;
        f->replayed[self] += m.replay;
        f->last = m.grant;
        f->held_link = link;
        f->held = packet->request;
        (void)snprintf(f->last_account, sizeof f->last_account, "%.*s", SLICE_ARG(m.account));
        if (!f->hold_grants)
            wire_reply_result(link, packet->request, f->refuse_grants ? ERR_LATER : ERR_OK, 0, SLICE_EMPTY);
    }
    f->dropped[self] += packet->type == WIRE_GRANT_DROP;
    f->ends[self] += packet->type == WIRE_GRANT_REPLAYED;
    f->accounts += packet->type == WIRE_ACCOUNTS;
    if (packet->type == WIRE_AUTH_MECHANISMS) {
        struct wire_auth_mechanisms m;
        assert_int_equal(wire_decode(WIRE_AUTH_MECHANISMS, packet->body, &m), ERR_OK);
        (void)snprintf(f->mechanisms, sizeof f->mechanisms, "%.*s", SLICE_ARG(m.names));
    }
    return true;
}

/* The role's context, to reach its threads. */
static struct auth *context;

static void *load(struct role_run *run, struct why *why)
{
    return context = auth_role.load(run, why);
}

static struct rig *start(struct fake *f, const struct rig_file *with)
{
    static struct role_ops ops;
    ops = auth_role;
    ops.load = load;
    memset(f, 0, sizeof *f);
    f->rig = rig_new(&ops, PEERS, yaml, with, handle, f);
    rig_for(f->rig, 20);
    return f->rig;
}

static struct wire_auth_result begin_bound(struct rig *rig, enum role as, const char *mechanism,
                                           const struct slice *initial, struct slice bindings)
{
    struct wire_auth_begin m = {.service = as == ROLE_SMTP ? AUTH_SERVICE_SUBMISSION : AUTH_SERVICE_IMAP,
                                .tls = 1,
                                .has_initial = initial != NULL,
                                .mechanism = slice_of(mechanism),
                                .client = SLICE("192.0.2.7"),
                                .session = SLICE("sess00000001"),
                                .bindings = bindings};
    struct rig_answer answer;
    struct wire_auth_result result;
    if (initial)
        m.initial = *initial;
    rig_ask(rig, as, WIRE_AUTH_BEGIN, &m, &answer);
    rig_get(rig, &answer, WIRE_AUTH_RESULT, &result);
    return result;
}

static struct wire_auth_result begin(struct rig *rig, enum role as, const char *mechanism,
                                     const struct slice *initial)
{
    return begin_bound(rig, as, mechanism, initial, SLICE_EMPTY);
}

static struct wire_auth_result step(struct rig *rig, enum role as, uint64_t exchange, struct slice data)
{
    const struct wire_auth_step m = {.exchange = exchange, .data = data};
    struct rig_answer answer;
    struct wire_auth_result result;
    rig_ask(rig, as, WIRE_AUTH_STEP, &m, &answer);
    rig_get(rig, &answer, WIRE_AUTH_RESULT, &result);
    return result;
}

static struct wire_auth_result plain(struct rig *rig, enum role as, const char *user, const char *password)
{
    AUTO_BUF struct buf message = buf_new(2000);
    buf_add_byte(&message, 0);
    buf_add_str(&message, user);
    buf_add_byte(&message, 0);
    buf_add_str(&message, password);
    struct slice initial = buf_slice(&message);
    return begin(rig, as, "PLAIN", &initial);
}

static void test_passwords(void **state)
{
    (void)state;
    static const struct {
        const char *user, *password;
        enum auth_status status;
    } rows[] = {
        {"jane@example.org", "correct horse", AUTH_OK},
        {"JANE@Example.Org", "correct horse", AUTH_OK},
        {"jane@example.org", "wrong", AUTH_FAILED},
        {"nobody@example.org", "correct horse", AUTH_FAILED},
        {"john@example.org", "johns secret", AUTH_OK},
        {"john@example.org", "correct horse", AUTH_FAILED},
        {"broken@example.org", "$6$x", AUTH_FAILED},
        {"jane", "correct horse", AUTH_FAILED},
        {"jane+tag@example.org", "correct horse", AUTH_FAILED},
    };
    struct fake f;
    struct rig *rig = start(&f, files);
    assert_string_equal(f.mechanisms, "PLAIN LOGIN");
    assert_int_equal(f.accounts, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t begun = clock_mono_ms();
        struct wire_auth_result result = plain(rig, ROLE_IMAP, rows[i].user, rows[i].password);
        if (result.status != rows[i].status)
            print_message("%s: %u\n", rows[i].user, result.status);
        assert_int_equal(result.status, rows[i].status);
        if (rows[i].status == AUTH_FAILED) {
            assert_true(clock_mono_ms() - begun >= 90); /* the delay, counted from a turn of the loop */
            assert_true(slice_eq(result.text, SLICE("authentication failed")));
            assert_true(grant_is_none(&result.grant));
        } else {
            assert_true(grant_eq(&result.grant, &f.last));
            assert_true(slice_eq(result.account, slice_of(f.last_account)));
        }
    }
    assert_int_equal(f.added[ROLE_STORE], 3);
    assert_int_equal(f.added[ROLE_QUEUE], 0);
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "correct horse").status, AUTH_OK);
    assert_int_equal(f.added[ROLE_QUEUE], 1);
    assert_int_equal(begin(rig, ROLE_SMTP, "CRAM-MD5", NULL).status, AUTH_NO_MECHANISM);
    struct slice junk = SLICE("junk");
    assert_int_equal(begin(rig, ROLE_SMTP, "PLAIN", &junk).status, AUTH_MALFORMED);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* A name that does not exist takes as long as a wrong password: nobody learns who has an account here. */
static void test_same_time(void **state)
{
    (void)state;
    static const char at_once[] =
        "hostname: mail.example.org\ndata: /tmp/unused\n"
        "listeners: [ { name: s, service: submission, address: \"127.0.0.1:2587\", tls: none } ]\n"
        "accounts: [ { file: /accounts.cf } ]\nlimits: { auth_failure_delay: 0s }\n";
    static const struct rig_file costly[] = {
        {SUP_FILE_ACCOUNTS, 0, "/accounts.cf",
         "jane@example.org|$2b$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu\n"},
        {0},
    };
    struct fake f = {0};
    struct rig *rig = rig_new(&auth_role, PEERS, at_once, costly, handle, &f);
    uint64_t begun = clock_mono_ms();
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "wrong").status, AUTH_FAILED);
    uint64_t wrong = clock_mono_ms() - begun;
    assert_int_equal(plain(rig, ROLE_SMTP, "nobody@example.org", "wrong").status, AUTH_FAILED);
    uint64_t unknown = clock_mono_ms() - begun - wrong;
    assert_true(wrong >= 20); /* cost 10 */
    assert_true(unknown >= wrong / 3);
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "correct horse").status, AUTH_OK);
    rig_free(rig);
}

/* A second login with the same password computes no hash, and a change of the secret is noticed at once. */
static void test_remembered(void **state)
{
    (void)state;
    static const struct rig_file changed[] = {
        {SUP_FILE_ACCOUNTS, 0, "/accounts.cf", "jane@example.org|{PLAIN}other\n"},
        {SUP_FILE_ACCOUNTS, 1, "/accounts.json", "{}"},
        {0},
    };
    struct fake f;
    struct rig *rig = start(&f, files);
    uint64_t hits = metric_get(METRIC_AUTH_MEMORY_HITS, 0);
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "correct horse").status, AUTH_OK);
    assert_int_equal(metric_get(METRIC_AUTH_MEMORY_HITS, 0), hits);
    for (int i = 0; i < 5; i++)
        assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "correct horse").status, AUTH_OK);
    assert_int_equal(metric_get(METRIC_AUTH_MEMORY_HITS, 0), hits + 5);
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "wrong").status, AUTH_FAILED);
    rig_reload(rig, yaml, changed);
    assert_int_equal(f.accounts, 2);
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "correct horse").status, AUTH_FAILED);
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "other").status, AUTH_OK);
    assert_int_equal(plain(rig, ROLE_SMTP, "john@example.org", "johns secret").status, AUTH_FAILED);
    rig_free(rig);
}

#define HELD_MAX 64 /* more than the role has threads for passwords */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void wait_held(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
}

static void no_answer(void *arg)
{
    (void)arg;
}

/* No password is looked at until `held` is unlocked. */
static void hold_verification(void)
{
    pthread_mutex_lock(&held);
    for (int i = 0; i < HELD_MAX; i++)
        loop_pool_run(verify_pool(context->verify), wait_held, no_answer, NULL);
}

/* The file changes while the password is looked at: what was right a moment ago is wrong now. */
static void test_secret_changes_meanwhile(void **state)
{
    (void)state;
    static const struct {
        const char *accounts;
        enum auth_status status;
    } rows[] = {
        {"jane@example.org|$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n", AUTH_OK},
        {"jane@example.org|{PLAIN}correct horse\n",
         AUTH_FAILED}, /* the same password, but not what was checked */
        {"jane@example.org|{PLAIN}other\n", AUTH_FAILED},
        {"somebody@example.org|{PLAIN}correct horse\n", AUTH_FAILED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fake f;
        struct rig *rig = start(&f, files);
        const struct rig_file changed[] = {
            {SUP_FILE_ACCOUNTS, 0, "/accounts.cf", rows[i].accounts},
            {SUP_FILE_ACCOUNTS, 1, "/accounts.json", "{}"},
            {0},
        };
        const struct wire_auth_begin m = {.service = AUTH_SERVICE_SUBMISSION,
                                          .tls = 1,
                                          .has_initial = 1,
                                          .mechanism = SLICE("PLAIN"),
                                          .initial = slice_make("\0jane@example.org\0correct horse", 31),
                                          .client = SLICE("192.0.2.7"),
                                          .session = SLICE("sess00000001")};
        struct rig_answer answer;
        struct wire_auth_result r;
        hold_verification();
        rig_ask(rig, ROLE_SMTP, WIRE_AUTH_BEGIN, &m, &answer);
        rig_for(rig, 20);
        rig_reload(rig, yaml, changed);
        assert_false(answer.done);
        pthread_mutex_unlock(&held);
        rig_get(rig, &answer, WIRE_AUTH_RESULT, &r);
        assert_int_equal(r.status, rows[i].status);
        assert_int_equal(grant_is_none(&r.grant), r.status != AUTH_OK);
        rig_free(rig);
    }
}

static void test_steps(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, files);
    struct wire_auth_result r = begin(rig, ROLE_SMTP, "PLAIN", NULL);
    assert_int_equal(r.status, AUTH_CONTINUE);
    assert_int_equal(r.challenge.len, 0);
    r = step(rig, ROLE_SMTP, r.exchange, slice_make("\0john@example.org\0johns secret", 30));
    assert_int_equal(r.status, AUTH_OK);
    r = begin(rig, ROLE_SMTP, "LOGIN", NULL);
    assert_true(slice_eq(r.challenge, SLICE("Username:")));
    r = step(rig, ROLE_SMTP, r.exchange, SLICE("john@example.org"));
    assert_true(slice_eq(r.challenge, SLICE("Password:")));
    uint64_t exchange = r.exchange;
    r = step(rig, ROLE_SMTP, exchange, SLICE("johns secret"));
    assert_int_equal(r.status, AUTH_OK);
    assert_int_equal(step(rig, ROLE_SMTP, exchange, SLICE("again")).status, AUTH_LATER);
    struct slice user = SLICE("john@example.org");
    r = begin(rig, ROLE_SMTP, "LOGIN", &user);
    assert_true(slice_eq(r.challenge, SLICE("Password:")));
    const struct wire_auth_cancel cancel = {.exchange = r.exchange};
    rig_tell(rig, ROLE_SMTP, WIRE_AUTH_CANCEL, &cancel);
    assert_int_equal(step(rig, ROLE_SMTP, r.exchange, SLICE("johns secret")).status, AUTH_LATER);
    assert_int_equal(rig->condemned, 0);
    /* somebody else's exchange */
    r = begin(rig, ROLE_SMTP, "LOGIN", NULL);
    const struct wire_auth_step m = {.exchange = r.exchange, .data = SLICE("john@example.org")};
    struct rig_answer answer;
    rig_ask(rig, ROLE_IMAP, WIRE_AUTH_STEP, &m, &answer);
    rig_until(rig, &answer.done);
    assert_int_equal(answer.err, ERR_LATER);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    rig_free(rig);
}

/* ClientProof := ClientKey XOR HMAC(StoredKey, AuthMessage), made anew here (RFC 5802 section 3). */
static void client_proof(const char *password, const struct scram_verifier *v, struct slice auth,
                         uint8_t proof[SASL_SCRAM_KEY_LEN])
{
    uint8_t salted[32], client[32], stored[32], signature[32];
    unsigned len = 32;
    assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), v->salt, v->salt_len,
                                       (int)v->iterations, EVP_sha256(), 32, salted),
                     1);
    (void)HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Client Key", 10, client, &len);
    (void)SHA256(client, 32, stored);
    (void)HMAC(EVP_sha256(), stored, 32, auth.ptr, auth.len, signature, &len);
    for (int i = 0; i < 32; i++)
        proof[i] = client[i] ^ signature[i];
}

/* How a client binds its login. */
struct binding {
    const char *mechanism, *flag, *type, *ours, *theirs; /* the data as the client and as the server see it */
};

/* The client's side of SCRAM-SHA-256 with what the server sent. */
static struct wire_auth_result scram_bound(struct rig *rig, const char *user, const char *password,
                                           bool *server_proven, const struct binding *b)
{
    AUTO_BUF struct buf bindings = buf_new(1000);
    if (b->type) {
        wire_strings_add(&bindings, SLICE("tls-other"));
        wire_strings_add(&bindings, SLICE("other"));
        wire_strings_add(&bindings, slice_of(b->type));
        wire_strings_add(&bindings, slice_of(b->theirs));
    }
    struct slice header = arena_printf(rig->arena, "%s,,", b->flag);
    struct slice first = arena_printf(rig->arena, "%.*sn=%s,r=clientnonce", SLICE_ARG(header), user);
    struct wire_auth_result r = begin_bound(rig, ROLE_IMAP, b->mechanism, &first, buf_slice(&bindings));
    if (r.status != AUTH_CONTINUE)
        return r;
    struct slice server_first = r.challenge, rest = server_first, part, salt;
    assert_true(slice_token(&rest, ',', &part) && slice_starts(part, SLICE("r=clientnonce")) &&
                part.len > 25);
    struct slice nonce = slice_from(part, 2);
    struct scram_verifier v = {0};
    uint64_t iterations;
    assert_true(slice_token(&rest, ',', &part) && base64_decode_in(rig->arena, slice_from(part, 2), &salt));
    assert_true(slice_u64(slice_from(rest, 2), 100000, &iterations));
    v.iterations = (uint32_t)iterations;
    v.salt_len = (uint8_t)salt.len;
    memcpy(v.salt, salt.ptr, salt.len);
    uint8_t proof[SASL_SCRAM_KEY_LEN], signature[SASL_SCRAM_KEY_LEN];
    struct slice channel = arena_printf(rig->arena, "%.*s%s", SLICE_ARG(header), b->ours ? b->ours : "");
    struct slice without = arena_printf(rig->arena, "c=%.*s,r=%.*s",
                                        SLICE_ARG(base64_encode_in(rig->arena, channel)), SLICE_ARG(nonce));
    struct slice auth = arena_printf(rig->arena, "%.*s,%.*s,%.*s", SLICE_ARG(slice_from(first, header.len)),
                                     SLICE_ARG(server_first), SLICE_ARG(without));
    client_proof(password, &v, auth, proof);
    assert_int_equal(scram_derive(slice_of(password), &v), ERR_OK);
    bool would = scram_verify_proof(&v, auth, proof, signature) == ERR_OK;
    assert_true(would);
    struct slice final =
        arena_printf(rig->arena, "%.*s,p=%.*s", SLICE_ARG(without),
                     SLICE_ARG(base64_encode_in(rig->arena, slice_make(proof, sizeof proof))));
    r = step(rig, ROLE_IMAP, r.exchange, final);
    if (r.status != AUTH_CONTINUE)
        return r;
    struct slice expected = base64_encode_in(rig->arena, slice_make(signature, sizeof signature));
    *server_proven = slice_starts(r.challenge, SLICE("v=")) && slice_eq(slice_from(r.challenge, 2), expected);
    return step(rig, ROLE_IMAP, r.exchange, SLICE_EMPTY);
}

static struct wire_auth_result scram(struct rig *rig, const char *user, const char *password,
                                     bool *server_proven)
{
    const struct binding none = {"SCRAM-SHA-256", "n", NULL, NULL, NULL};
    return scram_bound(rig, user, password, server_proven, &none);
}

/* RFC 5802 section 6: a login that is bound to another channel, or that was talked out of being bound, fails.
 */
static void test_scram_plus(void **state)
{
    (void)state;
    static const struct {
        struct binding binding;
        enum auth_status status;
    } rows[] = {
        {{"SCRAM-SHA-256-PLUS", "p=tls-exporter", "tls-exporter", "secret", "secret"}, AUTH_OK},
        {{"SCRAM-SHA-256-PLUS", "p=tls-other", "tls-exporter", "other", "secret"}, AUTH_OK},
        {{"SCRAM-SHA-256-PLUS", "p=tls-exporter", "tls-exporter", "secreT", "secret"}, AUTH_MALFORMED},
        {{"SCRAM-SHA-256-PLUS", "p=tls-exporter", "tls-exporter", "", "secret"}, AUTH_MALFORMED},
        {{"SCRAM-SHA-256-PLUS", "p=tls-unique", "tls-exporter", "secret", "secret"}, AUTH_FAILED},
        {{"SCRAM-SHA-256-PLUS", "n", "tls-exporter", NULL, "secret"}, AUTH_FAILED},
        {{"SCRAM-SHA-256-PLUS", "y", "tls-exporter", NULL, "secret"}, AUTH_FAILED},
        {{"SCRAM-SHA-256-PLUS", "p=tls-exporter", NULL, "secret", NULL}, AUTH_FAILED},
        {{"SCRAM-SHA-256", "p=tls-exporter", "tls-exporter", "secret", "secret"}, AUTH_FAILED},
        {{"SCRAM-SHA-256", "y", "tls-exporter", NULL, "secret"}, AUTH_FAILED},
        {{"SCRAM-SHA-256", "y", NULL, NULL, NULL}, AUTH_OK},
    };
    struct fake f;
    struct rig *rig = start(&f, plain_files);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool proven = false;
        const struct wire_auth_result r =
            scram_bound(rig, "john@example.org", "johns secret", &proven, &rows[i].binding);
        if (r.status != rows[i].status)
            print_message("row %zu: %u\n", i, r.status);
        assert_int_equal(r.status, rows[i].status);
        assert_int_equal(proven, r.status == AUTH_OK);
    }
    rig_free(rig);
}

static void test_scram(void **state)
{
    (void)state;
    bool proven = false;
    struct fake f;
    struct rig *rig = start(&f, plain_files);
    assert_string_equal(f.mechanisms, "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
    assert_int_equal(scram(rig, "john@example.org", "johns secret", &proven).status, AUTH_OK);
    assert_true(proven);
    assert_string_equal(f.last_account, "john@example.org");
    assert_int_equal(scram(rig, "john@example.org", "johns secrets", &proven).status, AUTH_FAILED);
    assert_int_equal(scram(rig, "nobody@example.org", "johns secret", &proven).status, AUTH_FAILED);
    rig_free(rig);
}

/* ---- grants ---- */

static void test_grants(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, files);
    struct wire_auth_result r[3];
    for (int i = 0; i < 3; i++)
        r[i] = plain(rig, ROLE_IMAP, "john@example.org", "johns secret");
    assert_int_equal(r[2].status, AUTH_OK);
    assert_int_equal(plain(rig, ROLE_IMAP, "john@example.org", "johns secret").status,
                     AUTH_LATER); /* three at most */
    const struct wire_auth_logout out = {.grant = r[0].grant};
    rig_tell(rig, ROLE_IMAP, WIRE_AUTH_LOGOUT, &out);
    rig_for(rig, 10);
    assert_int_equal(f.dropped[ROLE_STORE], 1);
    assert_int_equal(plain(rig, ROLE_IMAP, "john@example.org", "johns secret").status, AUTH_OK);
    assert_int_equal(plain(rig, ROLE_SMTP, "john@example.org", "johns secret").status, AUTH_OK);
    /* the store is restarted: everything of its sessions is told again */
    unsigned added = f.added[ROLE_STORE], ends = f.ends[ROLE_STORE];
    rig_connect(rig, ROLE_STORE);
    rig_for(rig, 20);
    assert_int_equal(f.added[ROLE_STORE] - added, 3);
    assert_int_equal(f.replayed[ROLE_STORE], 3);
    assert_int_equal(f.ends[ROLE_STORE] - ends, 1);
    assert_int_equal(f.replayed[ROLE_QUEUE], 0);
    /* imap is restarted: its grants are over */
    unsigned dropped = f.dropped[ROLE_STORE];
    rig_connect(rig, ROLE_IMAP);
    rig_for(rig, 20);
    assert_int_equal(f.dropped[ROLE_STORE] - dropped, 3);
    assert_int_equal(f.dropped[ROLE_QUEUE], 0);
    assert_int_equal(plain(rig, ROLE_IMAP, "john@example.org", "johns secret").status, AUTH_OK);
    f.refuse_grants = true;
    assert_int_equal(plain(rig, ROLE_IMAP, "john@example.org", "johns secret").status, AUTH_LATER);
    assert_int_equal(metric_get(METRIC_AUTH_GRANTS, 0) > 1000, 0);
    assert_int_equal(rig->condemned, 0);
    /* somebody else's grant */
    f.refuse_grants = false;
    assert_int_equal(plain(rig, ROLE_SMTP, "john@example.org", "johns secret").status, AUTH_OK);
    const struct wire_auth_logout theirs = {.grant = f.last};
    rig_tell(rig, ROLE_IMAP, WIRE_AUTH_LOGOUT, &theirs);
    rig_for(rig, 10);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    rig_free(rig);
}

/* ---- accounts by command ---- */

struct output {
    bool done;
    uint32_t code;
    char text[2000];
};

static void on_output(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct output *o = ctx;
    struct wire_control_output out;
    assert_int_equal(wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &out), ERR_OK);
    (void)snprintf(o->text, sizeof o->text, "%.*s", SLICE_ARG(out.text));
    o->code = out.exit_code;
    o->done = true;
}

static struct output command(struct rig *rig, const char *words)
{
    AUTO_BUF struct buf list = buf_new(4000);
    struct slice rest = slice_of(words), word;
    struct output o = {0};
    while (slice_token(&rest, ' ', &word))
        wire_strings_add(&list, word);
    const struct wire_control message = {.arguments = buf_slice(&list)};
    (void)wire_call(rig->peers[ROLE_QUEUE], WIRE_CONTROL, &message, RIG_PATIENCE_MS, on_output, &o);
    rig_until(rig, &o.done);
    return o;
}

static void test_commands(void **state)
{
    (void)state;
    bool proven = false;
    struct fake f;
    struct rig *rig = start(&f, plain_files);
    assert_int_equal(command(rig, "account add ann@example.org first").code, 0);
    assert_int_equal(f.accounts, 2);
    assert_int_equal(plain(rig, ROLE_SMTP, "Ann@example.org", "first").status, AUTH_OK);
    assert_string_equal(f.mechanisms,
                        "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"); /* a verifier was stored too */
    assert_int_equal(scram(rig, "ann@example.org", "first", &proven).status, AUTH_OK);
    assert_true(proven);
    assert_int_equal(command(rig, "account add ann@example.org second").code, 1);
    assert_int_equal(command(rig, "account add john@example.org second").code, 1); /* stands in a file */
    assert_int_equal(command(rig, "account passwd ann@example.org second").code, 0);
    assert_int_equal(plain(rig, ROLE_SMTP, "ann@example.org", "first").status, AUTH_FAILED);
    assert_int_equal(plain(rig, ROLE_SMTP, "ann@example.org", "second").status, AUTH_OK);
    assert_int_equal(command(rig, "account passwd nobody@example.org second").code, 1);
    assert_int_equal(command(rig, "account add not-an-address second").code, 1);
    assert_int_equal(command(rig, "account add ../../etc@example.org x").code, 1);
    assert_int_equal(command(rig, "account").code, 2);
    struct output o = command(rig, "account list");
    assert_non_null(strstr(o.text, "ann@example.org  secrets.db"));
    assert_non_null(strstr(o.text, "john@example.org  /accounts.json"));
    assert_null(strstr(o.text, "secret\n"));
    /* kept over a restart */
    rig_halt(rig);
    rig_boot(rig, yaml, plain_files);
    assert_int_equal(plain(rig, ROLE_SMTP, "ann@example.org", "second").status, AUTH_OK);
    unsigned dropped = f.dropped[ROLE_QUEUE];
    assert_int_equal(command(rig, "account remove ann@example.org").code, 0);
    assert_int_equal(f.dropped[ROLE_QUEUE] - dropped, 1); /* her session is over */
    assert_int_equal(plain(rig, ROLE_SMTP, "ann@example.org", "second").status, AUTH_FAILED);
    assert_int_equal(command(rig, "account remove ann@example.org").code, 1);
    rig_free(rig);
}

/* smtp goes away while a hash is computed for it. */
static void test_gone(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, files);
    for (int i = 0; i < 20; i++) {
        const struct wire_auth_begin m = {.service = AUTH_SERVICE_SUBMISSION,
                                          .has_initial = 1,
                                          .mechanism = SLICE("PLAIN"),
                                          .initial = slice_make("\0jane@example.org\0correct horse", 31),
                                          .client = SLICE("192.0.2.7")};
        struct rig_answer answer;
        rig_ask(rig, ROLE_SMTP, WIRE_AUTH_BEGIN, &m, &answer);
        rig_turn(rig);
        rig_connect(rig, ROLE_SMTP);
        rig_turn(rig);
    }
    rig_for(rig, 300);
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "correct horse").status, AUTH_OK);
    rig_free(rig);
}

/* The role or the account is gone before store or queue has taken the grant. */
static void test_gone_before_the_grant(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, plain_files);
    const struct wire_auth_begin m = {.service = AUTH_SERVICE_IMAP,
                                      .has_initial = 1,
                                      .mechanism = SLICE("PLAIN"),
                                      .initial = slice_make("\0john@example.org\0johns secret", 30),
                                      .client = SLICE("192.0.2.7")};
    struct rig_answer answer;
    f.hold_grants = true;
    rig_ask(rig, ROLE_IMAP, WIRE_AUTH_BEGIN, &m, &answer);
    for (int i = 0; i < 100 && !f.held_link; i++)
        rig_for(rig, 10);
    assert_non_null(f.held_link);
    rig_connect(rig, ROLE_IMAP);
    rig_for(rig, 20);
    wire_reply_result(f.held_link, f.held, ERR_OK, 0, SLICE_EMPTY);
    rig_for(rig, 20);
    assert_int_equal(f.dropped[ROLE_STORE], 1);
    assert_int_equal(command(rig, "account add ann@example.org first").code, 0);
    struct wire_auth_begin ann = m;
    struct wire_auth_result result;
    ann.service = AUTH_SERVICE_SUBMISSION;
    ann.initial = slice_make("\0ann@example.org\0first", 22);
    f.held_link = NULL;
    rig_ask(rig, ROLE_SMTP, WIRE_AUTH_BEGIN, &ann, &answer);
    for (int i = 0; i < 100 && !f.held_link; i++)
        rig_for(rig, 10);
    assert_non_null(f.held_link);
    assert_int_equal(command(rig, "account remove ann@example.org").code, 0);
    wire_reply_result(f.held_link, f.held, ERR_OK, 0, SLICE_EMPTY);
    rig_get(rig, &answer, WIRE_AUTH_RESULT, &result);
    assert_int_equal(result.status, AUTH_LATER);
    assert_int_equal(f.dropped[ROLE_QUEUE], 1);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* A grant that comes when its asker waits no more would never end, and count against the user. */
static void test_too_late(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, files);
    const struct wire_auth_begin m = {.service = AUTH_SERVICE_SUBMISSION,
                                      .has_initial = 1,
                                      .mechanism = SLICE("PLAIN"),
                                      .initial = slice_make("\0jane@example.org\0correct horse", 31),
                                      .client = SLICE("192.0.2.7")};
    struct rig_answer answer;
    struct wire_auth_result r;
    context->answer_ms = 30;
    hold_verification();
    rig_ask(rig, ROLE_SMTP, WIRE_AUTH_BEGIN, &m, &answer);
    rig_for(rig, 60);
    pthread_mutex_unlock(&held);
    rig_get(rig, &answer, WIRE_AUTH_RESULT, &r);
    assert_int_equal(r.status, AUTH_LATER);
    assert_true(grant_is_none(&r.grant));
    assert_int_equal(f.added[ROLE_QUEUE], 0);
    context->answer_ms = AUTH_ANSWER_MS; /* it was right, and is remembered */
    assert_int_equal(plain(rig, ROLE_SMTP, "jane@example.org", "correct horse").status, AUTH_OK);
    rig_free(rig);
}

/* A name that does not exist has one salt in all spellings, as one that does. */
static void test_salt(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"john@example.org", "John@EXAMPLE.org"},
                                           {"nobody@example.org", "NoBody@Example.org"}};
    struct fake f;
    struct rig *rig = start(&f, plain_files);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice salts[2];
        for (size_t k = 0; k < 2; k++) {
            struct slice first = arena_printf(rig->arena, "n,,n=%s,r=clientnonce", names[i][k]);
            struct wire_auth_result r = begin(rig, ROLE_IMAP, "SCRAM-SHA-256", &first);
            assert_int_equal(r.status, AUTH_CONTINUE);
            struct slice rest = r.challenge;
            assert_true(slice_token(&rest, ',', &salts[k]) && slice_token(&rest, ',', &salts[k]));
            salts[k] = arena_dup(rig->arena, salts[k]);
        }
        assert_true(slice_eq(salts[0], salts[1]));
    }
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gone_before_the_grant),
        cmocka_unit_test(test_salt),
        cmocka_unit_test(test_too_late),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_remembered),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_secret_changes_meanwhile),
        cmocka_unit_test(test_scram),
        cmocka_unit_test(test_scram_plus),
        cmocka_unit_test(test_grants),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
