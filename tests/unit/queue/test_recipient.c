/* Recipients at their bounds, and addresses that SRS made. */
#include "../role_rig.h"

#include "queue/context.h"
#include "queue/queue.h"

#define PEERS (1u << ROLE_STORE | 1u << ROLE_AUTH | 1u << ROLE_RELAY | 1u << ROLE_SMTP)
#define LISTS 5
#define ELEMS 999 /* of one list */

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                           "domains:\n"
                           "  - { name: example.org }\n"
                           "aliases:\n"
                           "  - { file: /virtual.cf }\n";
static const char yaml_srs[] = "hostname: mail.example.org\n"
                               "data: /tmp/unused\n"
                               "listeners:\n"
                               "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                               "domains:\n"
                               "  - { name: example.org }\n"
                               "srs: { domain: srs.example.org, secret_file: /srs }\n";

/* How auth answers: what is asked, and whom it stands for; NULL: a forgery. */
static const struct {
    const char *asked, *original;
} rewritten[] = {
    {"SRS0=aaaa=bb=far.example=jo@srs.example.org", "jo@far.example"},
    {"\"SRS0=aaaa=bb=far.example=jo x\"@srs.example.org", "\"jo x\"@far.example"},
    {"SRS1=cccc=srs.example.org==aaaa=bb=far.example=jo@srs.example.org",
     "SRS0=aaaa=bb=far.example=jo@srs.example.org"},
    {"SRS1=dddd=srs.example.org==forged=bb=far.example=jo@srs.example.org",
     "SRS0=forged=bb=far.example=jo@srs.example.org"},
    {"SRS0=forged=bb=far.example=jo@srs.example.org", NULL},
    {"SRS1=eeee=srs.example.org==round@srs.example.org", "SRS1=eeee=srs.example.org==round@srs.example.org"},
};
static unsigned asked;

static void *context;

static void *load(struct role_run *run, struct why *why)
{
    return context = queue_role.load(run, why);
}

static void on_srs(struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_srs m;
    struct wire_srs_address answer = {.err = ERR_ABSENT};
    assert_int_equal(wire_decode(WIRE_SRS, packet->body, &m), ERR_OK);
    assert_int_equal(m.reverse, 1);
    asked++;
    for (size_t i = 0; i < ARRAY_LEN(rewritten); i++)
        if (slice_eq(m.address, slice_of(rewritten[i].asked))) {
            answer.err = rewritten[i].original ? ERR_OK : ERR_REFUSED;
            answer.address = slice_of(rewritten[i].original ? rewritten[i].original : "");
            answer.text = SLICE("forged");
        }
    wire_reply(link, packet->request, WIRE_SRS_ADDRESS, false, &answer);
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)rig;
    if (self == ROLE_AUTH && packet->type == WIRE_SRS) {
        on_srs(link, packet);
        return true;
    }
    return packet->type == WIRE_QUEUE_FILES;
}

static struct rig *start(const char *text, const char *aliases)
{
    static struct role_ops ops;
    const struct rig_file files[] = {{SUP_FILE_ALIASES, 0, "/virtual.cf", aliases}, {0}};
    ops = queue_role;
    ops.load = load;
    struct rig *rig = rig_new(&ops, PEERS, text, files, handle, NULL);
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, SLICE("jane@example.org"));
    int fd = rig_memfd(buf_slice(&list));
    const struct wire_accounts message = {.generation = 1, .count = 1};
    assert_int_equal(wire_send_fds(rig->peers[ROLE_AUTH], WIRE_ACCOUNTS, &message, &fd, 1), ERR_OK);
    (void)close(fd);
    rig_for(rig, 20);
    const struct wire_queue_mail mail = {.txn = 1, .sender = SLICE("a@b.example")};
    rig_tell(rig, ROLE_SMTP, WIRE_QUEUE_MAIL, &mail);
    return rig;
}

static uint32_t rcpt(struct rig *rig, const char *address)
{
    const struct wire_queue_rcpt m = {.txn = 1, .address = slice_of(address)};
    struct rig_answer answer;
    struct wire_smtp_reply reply;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_RCPT, &m, &answer);
    rig_get(rig, &answer, WIRE_SMTP_REPLY, &reply);
    return reply.code;
}

static size_t targets(void)
{
    return txn_find(context, 1)->targets.len;
}

/* What was taken back with a refused list is not there for the next recipient either. */
static void too_many(void **state)
{
    (void)state;
    AUTO_BUF struct buf aliases = buf_new(1u << 20);
    for (unsigned l = 0; l < LISTS; l++) {
        buf_addf(&aliases, "list%u@example.org ", l);
        for (unsigned i = 0; i < ELEMS; i++)
            buf_addf(&aliases, "%sm%u-%u@far.example", i ? "," : "", l, i);
        buf_addf(&aliases, "\n");
    }
    buf_addf(&aliases, "four@example.org n0@far.example,n1@far.example,n2@far.example,n3@far.example\n"
                       "two@example.org first@far.example,second@far.example\n"
                       "one@example.org first@far.example\n");
    buf_add_byte(&aliases, '\0');
    struct rig *rig = start(yaml, (const char *)buf_slice(&aliases).ptr);
    for (unsigned l = 0; l < LISTS; l++) {
        char name[40];
        (void)snprintf(name, sizeof name, "list%u@example.org", l);
        assert_int_equal(rcpt(rig, name), 250);
    }
    assert_int_equal(rcpt(rig, "four@example.org"), 250);
    assert_int_equal(targets(), QUEUE_TXN_TARGETS - 1);
    assert_int_equal(rcpt(rig, "two@example.org"), 452);
    assert_int_equal(targets(), QUEUE_TXN_TARGETS - 1);
    assert_int_equal(rcpt(rig, "one@example.org"), 250);
    assert_int_equal(targets(), QUEUE_TXN_TARGETS);
    rig_free(rig);
}

static void rcpt_notify(struct rig *rig, const char *address, uint32_t notify)
{
    const struct wire_queue_rcpt m = {.txn = 1, .address = slice_of(address), .notify = notify};
    struct rig_answer answer;
    struct wire_smtp_reply reply;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_RCPT, &m, &answer);
    rig_get(rig, &answer, WIRE_SMTP_REPLY, &reply);
    assert_int_equal(reply.code, 250);
}

/* Two recipients lead to one mailbox: if one of them wants to hear of a failure, it is that one's. */
static void notify(void **state)
{
    (void)state;
    enum { NEVER = 1, FAILURE = 4 };
    static const struct {
        uint32_t first, second, whose;
    } rows[] = {{NEVER, FAILURE, 1}, {NEVER, 0, 1}, {0, NEVER, 0}, {0, FAILURE, 0}, {NEVER, NEVER, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig *rig = start(yaml, "one@example.org jane@example.org\n");
        rcpt_notify(rig, "one@example.org", rows[i].first);
        rcpt_notify(rig, "jane@example.org", rows[i].second);
        assert_int_equal(targets(), 1);
        assert_int_equal(VEC_AT(&txn_find(context, 1)->targets, struct txn_target, 0)->recipient,
                         rows[i].whose);
        rig_free(rig);
    }
}

/* A bounce to an address we rewrote goes to whom it stands for, also where the address is in quotes and where
 * one of ours leads to another of ours; no further than that. */
static void srs(void **state)
{
    (void)state;
    static const struct {
        const char *address, *to; /* NULL: refused */
        unsigned asked;
    } rows[] = {
        {"SRS0=aaaa=bb=far.example=jo@srs.example.org", "jo@far.example", 1},
        {"\"SRS0=aaaa=bb=far.example=jo x\"@srs.example.org", "\"jo x\"@far.example", 1},
        {"SRS1=cccc=srs.example.org==aaaa=bb=far.example=jo@srs.example.org", "jo@far.example", 2},
        {"SRS1=dddd=srs.example.org==forged=bb=far.example=jo@srs.example.org", NULL, 2},
        {"SRS0=forged=bb=far.example=jo@srs.example.org", NULL, 1},
        {"SRS1=eeee=srs.example.org==round@srs.example.org", NULL, 2},
        {"\"SRS\"@srs.example.org", NULL, 0},
        {"\"@srs.example.org", NULL, 0},
        {"jo@srs.example.org", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig *rig = start(yaml_srs, "");
        asked = 0;
        print_message("%s\n", rows[i].address);
        assert_int_equal(rcpt(rig, rows[i].address) == 250, rows[i].to != NULL);
        assert_int_equal(asked, rows[i].asked);
        assert_int_equal(targets(), rows[i].to ? 1 : 0);
        if (rows[i].to) {
            const struct txn *txn = txn_find(context, 1);
            assert_true(slice_eq(VEC_AT(&txn->targets, struct txn_target, 0)->address, slice_of(rows[i].to)));
            assert_true(slice_eq(VEC_AT(&txn->recipients, struct txn_recipient, 0)->address,
                                 slice_of(rows[i].address)));
        }
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(too_many), cmocka_unit_test(notify),
                                       cmocka_unit_test(srs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
