/* Bans through the whole auth role: offences of every network role count together, the image goes to all of
 * them, relay is told, decisions come in, `ban` by the administrator, a crash in between. */
#include "../role_rig.h"

#include <sys/stat.h>

#include "auth/auth.h"
#include "auth/context.h"
#include "net/ban_list.h"

#define PEERS                                                                                                \
    (1u << ROLE_STORE | 1u << ROLE_QUEUE | 1u << ROLE_SMTP | 1u << ROLE_IMAP | 1u << ROLE_HTTP |             \
     1u << ROLE_RELAY)

#define YAML(more)                                                                                           \
    "hostname: mail.example.org\ndata: /tmp/unused\n"                                                        \
    "listeners:\n"                                                                                           \
    "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"                                \
    "  - { name: sub, service: submission, address: \"127.0.0.1:2587\", tls: none }\n"                       \
    "accounts: [ { file: /accounts.json, format: json } ]\n"                                                 \
    "limits: { auth_failure_delay: 0s }\n" more

static const struct rig_file files[] = {
    {SUP_FILE_ACCOUNTS, 0, "/accounts.json", "{\"john@example.org\": \"johns secret\"}"}, {0}};

struct fake {
    struct ban_list *lists[ROLE_COUNT];
    unsigned images[ROLE_COUNT], reports;
    bool simulated;
    char address[64], scenario[128];
    uint64_t seconds;
};

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = rig->test;
    if (packet->type == WIRE_GRANT_ADD)
        wire_reply_result(link, packet->request, ERR_OK, 0, SLICE_EMPTY);
    if (packet->type == WIRE_BAN_LIST) {
        ban_list_free(&f->lists[self]);
        assert_int_equal(ban_list_map(packet->fds[0], &f->lists[self], NULL), ERR_OK);
        f->images[self]++;
    }
    if (packet->type == WIRE_BAN_REPORT) {
        struct wire_ban_report m;
        assert_int_equal(wire_decode(WIRE_BAN_REPORT, packet->body, &m), ERR_OK);
        f->reports++;
        f->simulated = m.simulated;
        f->seconds = m.seconds;
        (void)snprintf(f->address, sizeof f->address, "%.*s", SLICE_ARG(m.address));
        (void)snprintf(f->scenario, sizeof f->scenario, "%.*s", SLICE_ARG(m.scenario));
    }
    return true;
}

static struct rig *start(struct fake *f, const char *yaml)
{
    memset(f, 0, sizeof *f);
    struct rig *rig = rig_new(&auth_role, PEERS, yaml, files, handle, f);
    rig_for(rig, 20);
    return rig;
}

static void stop(struct rig *rig, struct fake *f)
{
    assert_int_equal(rig->condemned, 0);
    for (int r = 0; r < ROLE_COUNT; r++)
        ban_list_free(&f->lists[r]);
    rig_free(rig);
}

static bool refuses(struct fake *f, enum role role, const char *text)
{
    struct netaddr addr;
    assert_true(netaddr_parse(slice_of(text), &addr));
    return ban_list_has(f->lists[role], &addr, (uint64_t)clock_unix_s(), NULL);
}

/* All three, or none; waits a while for it. */
static bool all_refuse(struct rig *rig, const char *text, bool wanted)
{
    struct fake *f = rig->test;
    for (int i = 0; i < 100; i++) {
        int count = refuses(f, ROLE_SMTP, text) + refuses(f, ROLE_IMAP, text) + refuses(f, ROLE_HTTP, text);
        if (count == (wanted ? 3 : 0))
            return true;
        rig_for(rig, 10);
    }
    return false;
}

static void offend(struct rig *rig, enum role as, enum offence kind, uint32_t count)
{
    static const uint8_t client[] = {203, 0, 113, 9};
    const struct wire_offence m = {.kind = kind,
                                   .count = count,
                                   .client = slice_make(client, 4),
                                   .detail = SLICE("who@ever\r\n"),
                                   .session = SLICE("s")};
    rig_tell(rig, as, WIRE_OFFENCE, &m);
}

static enum auth_status login(struct rig *rig, enum role as, const char *from, const char *password)
{
    AUTO_BUF struct buf message = buf_new(2000);
    buf_addf(&message, "%cjohn@example.org%c%s", 0, 0, password);
    struct wire_auth_begin m = {.service = as == ROLE_SMTP   ? AUTH_SERVICE_SUBMISSION
                                           : as == ROLE_IMAP ? AUTH_SERVICE_IMAP
                                                             : AUTH_SERVICE_HTTP,
                                .tls = 1,
                                .has_initial = 1,
                                .mechanism = SLICE("PLAIN"),
                                .initial = buf_slice(&message),
                                .client = slice_of(from),
                                .session = SLICE("sess00000001")};
    struct rig_answer answer;
    struct wire_auth_result result;
    rig_ask(rig, as, WIRE_AUTH_BEGIN, &m, &answer);
    rig_get(rig, &answer, WIRE_AUTH_RESULT, &result);
    return (enum auth_status)result.status;
}

static struct wire_control_output control(struct rig *rig, const char *a, const char *b, const char *c)
{
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, SLICE("ban"));
    const char *words[] = {a, b, c};
    for (size_t i = 0; i < 3 && words[i]; i++)
        wire_strings_add(&list, slice_of(words[i]));
    const struct wire_control m = {.arguments = buf_slice(&list)};
    struct rig_answer answer;
    struct wire_control_output out;
    rig_ask(rig, ROLE_QUEUE, WIRE_CONTROL, &m, &answer);
    rig_get(rig, &answer, WIRE_CONTROL_OUTPUT, &out);
    return out;
}

/* Four on each service: none of them alone would be enough. */
static void test_guesses_add_up(void **state)
{
    (void)state;
    static const enum role roles[] = {ROLE_SMTP, ROLE_IMAP, ROLE_HTTP};
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: local\n"));
    assert_true(f.images[ROLE_SMTP] && f.images[ROLE_IMAP] && f.images[ROLE_HTTP]);
    for (int i = 0; i < 10; i++) {
        char password[20];
        assert_true(all_refuse(rig, "203.0.113.9", false));
        (void)snprintf(password, sizeof password, "guess %d", i);
        assert_int_equal(login(rig, roles[i % 3], "203.0.113.9", password), AUTH_FAILED);
    }
    assert_true(all_refuse(rig, "203.0.113.9", true));
    assert_int_equal(f.reports, 1);
    assert_false(f.simulated);
    assert_string_equal(f.address, "203.0.113.9");
    assert_string_equal(f.scenario, "rockdove/failed-login");
    assert_int_equal(f.seconds, 900);
    /* a session of before the ban that knows the password after all */
    assert_int_equal(login(rig, ROLE_IMAP, "203.0.113.9", "johns secret"), AUTH_OK);
    assert_true(all_refuse(rig, "203.0.113.9", false));
    stop(rig, &f);
}

static void test_same_password(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: local\n"));
    for (int i = 0; i < 60; i++)
        assert_int_equal(login(rig, i % 2 ? ROLE_IMAP : ROLE_SMTP, "203.0.113.9", "old"), AUTH_FAILED);
    rig_for(rig, 300);
    assert_true(all_refuse(rig, "203.0.113.9", false));
    assert_int_equal(f.reports, 0);
    struct wire_control_output out = control(rig, "explain", "203.0.113.9", NULL);
    assert_true(slice_search(out.text, SLICE("the same wrong password came 59 times again")) > 0);
    stop(rig, &f);
}

static void test_offences(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: local\n"));
    offend(rig, ROLE_SMTP, OFFENCE_BANNED, 1000);
    offend(rig, ROLE_SMTP, OFFENCE_LIMIT, 1000);
    offend(rig, ROLE_SMTP, OFFENCE_UNKNOWN_RECIPIENT, 20);
    rig_for(rig, 300);
    assert_true(all_refuse(rig, "203.0.113.9", false));
    offend(rig, ROLE_IMAP, OFFENCE_PROTOCOL_ABUSE, 1);
    assert_true(all_refuse(rig, "203.0.113.9", true));
    struct wire_control_output out = control(rig, "explain", "203.0.113.9", NULL);
    assert_true(slice_search(out.text, SLICE("20x unknown_recipient on mx: who@ever??, 2 points each")) > 0);
    assert_int_equal(control(rig, "remove", "203.0.113.9", NULL).exit_code, 0);
    assert_true(!refuses(&f, ROLE_SMTP, "203.0.113.9")); /* when it is answered everybody has it */
    assert_true(!refuses(&f, ROLE_IMAP, "203.0.113.9"));
    assert_int_equal(control(rig, "remove", "203.0.113.9", NULL).exit_code, 1);
    stop(rig, &f);
}

static void test_observe(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: observe\n"));
    offend(rig, ROLE_SMTP, OFFENCE_SPAM_TRAP, 2);
    rig_for(rig, 300);
    assert_int_equal(f.reports, 1);
    assert_true(f.simulated);
    assert_true(all_refuse(rig, "203.0.113.9", false));
    struct wire_control_output out = control(rig, "list", NULL, NULL);
    assert_true(slice_search(out.text, SLICE("not refused")) > 0);
    out = control(rig, "explain", "203.0.113.9", NULL);
    assert_true(slice_search(out.text, SLICE("would be with bans: local")) > 0);
    /* by hand and CrowdSec's are kept all the same */
    assert_int_equal(control(rig, "add", "198.51.100.0/24", NULL).exit_code, 0);
    assert_true(refuses(&f, ROLE_SMTP, "198.51.100.77") && refuses(&f, ROLE_HTTP, "198.51.100.77"));
    rig_reload(rig, YAML("bans: off\n"), files);
    assert_true(all_refuse(rig, "198.51.100.77", false));
    rig_reload(rig, YAML("bans: local\nban_policy: { except: [ 198.51.100.77 ] }\n"), files);
    assert_true(all_refuse(rig, "198.51.100.78", true));
    assert_true(all_refuse(rig, "198.51.100.77", false));
    stop(rig, &f);
}

static void test_crash(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: local\n"));
    offend(rig, ROLE_SMTP, OFFENCE_SPAM_TRAP, 2);
    assert_true(all_refuse(rig, "203.0.113.9", true));
    assert_int_equal(login(rig, ROLE_IMAP, "192.0.2.7", "johns secret"), AUTH_OK);
    assert_int_equal(control(rig, "add", "192.0.2.8", NULL).exit_code, 0); /* behind the others */
    rig_halt(rig);
    for (int r = 0; r < ROLE_COUNT; r++)
        ban_list_free(&f.lists[r]);
    rig_boot(rig, YAML("bans: local\n"), files);
    assert_true(all_refuse(rig, "203.0.113.9", true));
    assert_true(all_refuse(rig, "192.0.2.8", true));
    struct wire_control_output out = control(rig, "explain", "203.0.113.9", NULL);
    assert_true(slice_search(out.text, SLICE("2x spam_trap on mx: who@ever??, 50 points each")) > 0);
    out = control(rig, "explain", "192.0.2.7", NULL);
    assert_true(slice_search(out.text, SLICE("somebody logged in from there")) > 0);
    stop(rig, &f);
}

static void damage(long from)
{
    struct stat st;
    FILE *file = fopen("bans.db", "r+");
    assert_non_null(file);
    assert_int_not_equal(stat("bans.db-wal", &st), 0); /* or it would heal it */
    assert_int_equal(stat("bans.db", &st), 0);
    assert_int_equal(fseek(file, from, SEEK_SET), 0);
    for (long at = from; at < st.st_size; at++)
        assert_true(fputc(0xee, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

/* A damaged database is moved aside: mail goes on, new bans are kept again. */
static void test_damaged_database(void **state)
{
    (void)state;
    static const long from[] = {0, 100, 4096, 8192};
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: local\n"));
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        struct stat st;
        char text[40];
        assert_int_equal(control(rig, "add", "198.51.100.0/24", NULL).exit_code, 0);
        assert_int_equal(login(rig, ROLE_IMAP, "192.0.2.7", "johns secret"), AUTH_OK);
        rig_for(rig, 100);
        rig_halt(rig);
        for (int r = 0; r < ROLE_COUNT; r++)
            ban_list_free(&f.lists[r]);
        (void)unlink("bans.db.damaged");
        damage(from[i]);
        rig_boot(rig, YAML("bans: local\n"), files);
        assert_int_equal(stat("bans.db.damaged", &st), 0);
        (void)snprintf(text, sizeof text, "203.0.113.%zu", i + 20);
        assert_int_equal(control(rig, "add", text, NULL).exit_code, 0);
        rig_halt(rig);
        for (int r = 0; r < ROLE_COUNT; r++)
            ban_list_free(&f.lists[r]);
        rig_boot(rig, YAML("bans: local\n"), files);
        assert_true(all_refuse(rig, text, true));
        /* the last time only the owners' page was hit: what could be read is kept */
        assert_true(i < 3 || all_refuse(rig, "198.51.100.7", true));
    }
    stop(rig, &f);
}

/* ---- CrowdSec ---- */

static void decide(struct rig *rig, uint32_t flags, unsigned first, unsigned count, const char *sign)
{
    AUTO_BUF struct buf list = buf_new(WIRE_BLOB_MAX);
    struct rig_answer answer;
    struct wire_result result;
    for (unsigned i = first; i < first + count; i++) {
        char line[100];
        int len =
            snprintf(line, sizeof line, "%s %u 198.18.%u.%u 600 ban crowdsec crowdsecurity/dovecot-spam",
                     sign, i, i >> 8, i & 255);
        wire_strings_add(&list, slice_make(line, (size_t)len));
    }
    const struct wire_decisions m = {.flags = flags, .entries = buf_slice(&list)};
    rig_ask(rig, ROLE_RELAY, WIRE_DECISIONS, &m, &answer);
    rig_get(rig, &answer, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_OK);
}

static void test_decisions(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: observe\n"));
    decide(rig, DECISIONS_FIRST | DECISIONS_LAST, 1, 3, "+");
    assert_true(all_refuse(rig, "198.18.0.3", true));
    decide(rig, DECISIONS_LAST, 4, 1, "+");
    assert_true(all_refuse(rig, "198.18.0.4", true));
    decide(rig, DECISIONS_LAST, 1, 1, "-");
    assert_true(all_refuse(rig, "198.18.0.1", false));
    /* a full answer in pieces: the old ones hold until it is whole, or for good when it breaks off */
    decide(rig, DECISIONS_FIRST, 100, 500, "+");
    rig_for(rig, 300);
    assert_true(refuses(&f, ROLE_SMTP, "198.18.0.4") && !refuses(&f, ROLE_SMTP, "198.18.0.200"));
    rig_connect(rig, ROLE_RELAY);
    rig_for(rig, 50);
    decide(rig, DECISIONS_FIRST, 100, 500, "+");
    decide(rig, DECISIONS_LAST, 600, 500, "+");
    assert_true(all_refuse(rig, "198.18.0.200", true));
    assert_true(all_refuse(rig, "198.18.4.0", true));
    assert_true(all_refuse(rig, "198.18.0.4", false));
    struct wire_control_output out = control(rig, "explain", "198.18.0.200", NULL);
    assert_true(slice_search(out.text, SLICE("CrowdSec's decision 200 on 198.18.0.200")) > 0);
    /* a network role that starts anew gets all of it */
    ban_list_free(&f.lists[ROLE_SMTP]);
    rig_connect(rig, ROLE_SMTP);
    rig_for(rig, 50);
    assert_true(refuses(&f, ROLE_SMTP, "198.18.0.200"));
    assert_int_equal(rig->condemned, 0);
    const struct wire_decisions broken = {.entries = SLICE("\x05 nope")};
    struct rig_answer answer;
    rig_ask(rig, ROLE_RELAY, WIRE_DECISIONS, &broken, &answer);
    rig_until(rig, &answer.done);
    assert_int_equal(rig->condemned, 1u << ROLE_RELAY);
    rig->condemned = 0;
    stop(rig, &f);
}

/* The LAPI is away when the server starts again: the last decisions hold. */
static void test_decisions_are_kept(void **state)
{
    (void)state;
    static const char lapi[] =
        YAML("bans: observe\ncrowdsec: { url: \"http://127.0.0.1:1/\", key_file: /key }\n");
    struct fake f;
    struct rig *rig = start(&f, lapi);
    struct stat st;
    decide(rig, DECISIONS_FIRST | DECISIONS_LAST, 1, 300, "+");
    assert_true(all_refuse(rig, "198.18.0.3", true));
    for (int i = 0; i < 300 && stat("decisions", &st) != 0; i++)
        rig_for(rig, 10);
    rig_halt(rig);
    for (int r = 0; r < ROLE_COUNT; r++)
        ban_list_free(&f.lists[r]);
    rig_boot(rig, lapi, files);
    assert_true(all_refuse(rig, "198.18.0.3", true));
    assert_true(all_refuse(rig, "198.18.1.44", true));
    rig_reload(rig, YAML("bans: observe\n"), files); /* CrowdSec is no longer wanted */
    assert_true(all_refuse(rig, "198.18.0.3", false));
    rig_reload(rig, lapi, files);
    decide(rig, DECISIONS_FIRST | DECISIONS_LAST, 1, 300, "+");
    assert_true(all_refuse(rig, "198.18.0.3", true));
    decide(rig, DECISIONS_FIRST | DECISIONS_LAST, 5, 1, "+"); /* it is back */
    assert_true(all_refuse(rig, "198.18.0.3", false));
    assert_true(all_refuse(rig, "198.18.0.5", true));
    rig_halt(rig);
    for (int r = 0; r < ROLE_COUNT; r++)
        ban_list_free(&f.lists[r]);
    FILE *damaged = fopen("decisions", "r+");
    assert_non_null(damaged);
    assert_true(fputs("\xff\xff\xff\xff", damaged) >= 0);
    (void)fclose(damaged);
    rig_boot(rig, lapi, files);
    assert_true(all_refuse(rig, "198.18.0.3", false));
    stop(rig, &f);
}

/* Many changes are a few images, and 100,000 decisions do not hold up a login. */
static void test_many(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, YAML("bans: observe\n"));
    uint64_t worst = 0, begun = clock_mono_ms();
    unsigned images = f.images[ROLE_SMTP];
    for (unsigned i = 0; i < 200; i++) {
        decide(rig, (i ? 0 : DECISIONS_FIRST) | (i == 199 ? DECISIONS_LAST : 0), i * 500, 500, "+");
        uint64_t before = clock_mono_ms();
        if (i % 20 == 0)
            assert_int_equal(login(rig, ROLE_IMAP, "203.0.113.9", "johns secret"), AUTH_OK);
        uint64_t took = clock_mono_ms() - before;
        worst = took > worst ? took : worst;
    }
    assert_true(all_refuse(rig, "198.18.77.7", true));
    assert_true(f.images[ROLE_SMTP] - images <= 2 + (clock_mono_ms() - begun) / 250);
    print_message("100,000 decisions in %llu ms; the slowest login between them took %llu ms\n",
                  (unsigned long long)(clock_mono_ms() - begun), (unsigned long long)worst);
    struct wire_control_output out = control(rig, "list", "--source", "crowdsec");
    assert_int_equal(out.exit_code, 0);
    stop(rig, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guesses_add_up), cmocka_unit_test(test_same_password),
        cmocka_unit_test(test_offences),       cmocka_unit_test(test_observe),
        cmocka_unit_test(test_crash),          cmocka_unit_test(test_damaged_database),
        cmocka_unit_test(test_decisions),      cmocka_unit_test(test_decisions_are_kept),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
