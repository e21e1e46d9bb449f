/* The queue role, whole: recipients, deliveries, what waits and what a restart finds, submission, control. */
#include "../role_rig.h"

#include "queue/control.h"
#include "queue/queue.h"
#include "queue/spool.h"

#define PEERS (1u << ROLE_STORE | 1u << ROLE_AUTH | 1u << ROLE_RELAY | 1u << ROLE_SMTP)

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                           "  - { name: sub, service: submission, address: \"127.0.0.1:2587\", tls: none }\n"
                           "domains:\n"
                           "  - { name: example.org }\n"
                           "  - { name: catch.example, catch_all: jane@example.org }\n"
                           "aliases:\n"
                           "  - { file: /virtual.cf }\n"
                           "quota: { files: [ /quotas.cf ] }\n";

static const struct rig_file files[] = {
    {SUP_FILE_ALIASES, 0, "/virtual.cf",
     "info@example.org jane@example.org\nall@example.org jane@example.org,john@example.org,mary@example.org\n"
     "out@example.org far@remote.example\n"},
    {SUP_FILE_QUOTAS, 0, "/quotas.cf", "mary@example.org:1M\n"},
    {0},
};

/* The store as the queue sees it. */
struct fake {
    struct rig *rig;
    char delivered[64][512]; /* account, space, queue id */
    char header[4096];       /* of the last delivery */
    unsigned delivery_count, puts, drops, lists;
    char listed[200], before[40]; /* of the last WIRE_QUEUE_FILES */
    enum err deliver_err;
    uint32_t deliver_code;
    const char *fail_account; /* only this one fails */
    bool quota_full, silent;
    uint64_t last_body;
    char from[200];
};

static void on_deliver(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_deliver m;
    assert_int_equal(wire_decode(WIRE_DELIVER, packet->body, &m), ERR_OK);
    struct wire_delivered d = {.err = f->deliver_err, .code = f->deliver_code, .uid = f->delivery_count + 1};
    if (f->fail_account && slice_eq(m.account, slice_of(f->fail_account)))
        d.err = ERR_LATER;
    if (d.err == ERR_OK) {
        (void)snprintf(f->delivered[f->delivery_count++ % 64], 512, "%.*s %.*s", SLICE_ARG(m.account),
                       SLICE_ARG(m.queue_id));
        (void)snprintf(f->header, sizeof f->header, "%.*s", SLICE_ARG(m.header));
        f->last_body = m.body;
    }
    wire_reply(link, packet->request, WIRE_DELIVERED, false, &d);
}

static void on_info(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    AUTO_BUF struct buf from = buf_new(1000);
    if (f->from[0])
        wire_strings_add(&from, slice_of(f->from));
    const struct wire_body_facts facts = {.size = 1234, .from = buf_slice(&from)};
    wire_reply(link, packet->request, WIRE_BODY_FACTS, false, &facts);
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = rig->test;
    if (self == ROLE_AUTH && packet->type == WIRE_CONTROL) {
        const struct wire_control_output out = {.text = SLICE("from auth\n"), .exit_code = 0};
        wire_reply(link, packet->request, WIRE_CONTROL_OUTPUT, false, &out);
        return true;
    }
    if (self != ROLE_STORE)
        return false;
    if (packet->type == WIRE_QUEUE_FILES) {
        struct wire_queue_files m;
        assert_int_equal(wire_decode(WIRE_QUEUE_FILES, packet->body, &m), ERR_OK);
        f->lists++;
        (void)snprintf(f->listed, sizeof f->listed, "%.*s", SLICE_ARG(m.ids));
        (void)snprintf(f->before, sizeof f->before, "%.*s", SLICE_ARG(m.before));
        return true;
    }
    if (f->silent)
        return true;
    switch (packet->type) {
    case WIRE_DELIVER:
        on_deliver(f, link, packet);
        return true;
    case WIRE_BODY_INFO:
        on_info(f, link, packet);
        return true;
    case WIRE_QUEUE_FILE_PUT:
        f->puts++;
        wire_reply_result(link, packet->request, f->deliver_err, 0, SLICE_EMPTY);
        return true;
    case WIRE_QUEUE_FILE_DROP:
        f->drops++;
        wire_reply_result(link, packet->request, ERR_OK, 0, SLICE_EMPTY);
        return true;
    case WIRE_QUOTA_CHECK:
        wire_reply_result(link, packet->request, f->quota_full ? ERR_REFUSED : ERR_OK, 0, SLICE_EMPTY);
        return true;
    case WIRE_CONTROL: {
        const struct wire_control_output out = {.text = SLICE("from the store\n")};
        wire_reply(link, packet->request, WIRE_CONTROL_OUTPUT, false, &out);
        return true;
    }
    default:
        return false;
    }
}

static void tell_accounts(struct rig *rig)
{
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, SLICE("jane@example.org"));
    wire_strings_add(&list, SLICE("john@example.org"));
    wire_strings_add(&list, SLICE("mary@example.org"));
    int fd = rig_memfd(buf_slice(&list));
    const struct wire_accounts message = {.generation = 1, .count = 3};
    assert_int_equal(wire_send_fds(rig->peers[ROLE_AUTH], WIRE_ACCOUNTS, &message, &fd, 1), ERR_OK);
    (void)close(fd);
    rig_for(rig, 20);
}

/* The role's context, to reach its control socket without a file. */
static void *context;

static void *load(struct role_run *run, struct why *why)
{
    return context = queue_role.load(run, why);
}

static struct rig *start(struct fake *f)
{
    memset(f, 0, sizeof *f);
    static struct role_ops ops;
    ops = queue_role;
    ops.load = load;
    f->rig = rig_new(&ops, PEERS, yaml, files, handle, f);
    return f->rig;
}

static void mail(struct rig *rig, uint64_t txn, const char *sender)
{
    const struct wire_queue_mail m = {.txn = txn,
                                      .sender = slice_of(sender),
                                      .client = SLICE("192.0.2.1"),
                                      .helo = SLICE("client.example"),
                                      .protocol = SLICE("ESMTP"),
                                      .session = SLICE("sess00000001")};
    rig_tell(rig, ROLE_SMTP, WIRE_QUEUE_MAIL, &m);
}

static struct wire_smtp_reply rcpt(struct rig *rig, uint64_t txn, const char *address)
{
    const struct wire_queue_rcpt m = {.txn = txn, .address = slice_of(address)};
    struct rig_answer answer;
    struct wire_smtp_reply reply;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_RCPT, &m, &answer);
    rig_get(rig, &answer, WIRE_SMTP_REPLY, &reply);
    return reply;
}

static struct wire_smtp_reply commit(struct rig *rig, uint64_t txn)
{
    const struct wire_queue_commit m = {.txn = txn, .body = 7};
    struct rig_answer answer;
    struct wire_smtp_reply reply;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_COMMIT, &m, &answer);
    rig_get(rig, &answer, WIRE_SMTP_REPLY, &reply);
    return reply;
}

static void until_count(struct rig *rig, const unsigned *count, unsigned wanted)
{
    for (int i = 0; i < 2000 && *count < wanted; i++)
        rig_turn(rig);
    assert_int_equal(*count, wanted);
}

static void test_recipients(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint32_t code;
        const char *enhanced;
    } rows[] = {
        {"jane@example.org", 250, "2.1.5"},     {"JANE@Example.ORG", 250, "2.1.5"},
        {"jane+tag@example.org", 250, "2.1.5"}, {"nobody@example.org", 550, "5.1.1"},
        {"info@example.org", 250, "2.1.5"},     {"x@catch.example", 250, "2.1.5"},
        {"far@remote.example", 550, "5.7.1"},   {"out@example.org", 250, "2.1.5"},
        {"postmaster", 250, "2.1.5"},           {"postmaster@example.org", 250, "2.1.5"},
        {"all@example.org", 250, "2.1.5"},      {"mary@example.org", 250, "2.1.5"},
    };
    struct fake f;
    struct rig *rig = start(&f);
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "jane@example.org").code, 451); /* the accounts have not come */
    tell_accounts(rig);
    mail(rig, 2, "a@b.example");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_smtp_reply reply = rcpt(rig, 2, rows[i].address);
        if (reply.code != rows[i].code)
            print_message("%s: %.*s\n", rows[i].address, SLICE_ARG(reply.text));
        assert_int_equal(reply.code, rows[i].code);
        assert_true(slice_eq(reply.enhanced, slice_of(rows[i].enhanced)));
    }
    f.quota_full = true;
    assert_int_equal(rcpt(rig, 2, "mary@example.org").code, 452);
    assert_int_equal(rcpt(rig, 2, "jane@example.org").code, 250); /* no quota, not asked */
    const struct wire_store_state low = {.space_low = 1};
    rig_tell(rig, ROLE_STORE, WIRE_STORE_STATE, &low);
    rig_for(rig, 10);
    assert_int_equal(rcpt(rig, 2, "jane@example.org").code, 452);
    assert_int_equal(rcpt(rig, 99, "jane@example.org").code, 451); /* no such transaction */
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

static void test_single(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "info@example.org").code, 250);
    assert_int_equal(rcpt(rig, 1, "jane@example.org").code,
                     250); /* the same mailbox: one copy, still direct */
    struct wire_smtp_reply reply = commit(rig, 1);
    assert_int_equal(reply.code, 250);
    assert_true(queue_id_ok(reply.id));
    assert_int_equal(f.delivery_count, 1);
    assert_int_equal(f.puts, 0);
    assert_int_equal(f.last_body, 7);
    assert_memory_equal(f.delivered[0], "jane@example.org ", 17);
    assert_non_null(strstr(
        f.header, "Return-Path: <a@b.example>\r\nDelivered-To: jane@example.org\r\nReceived: from "
                  "client.example (unknown [192.0.2.1])\r\n\tby mail.example.org (Rockdove) with ESMTP id "));
    assert_null(strstr(f.header, "for <")); /* two recipients: neither is told of the other */
    /* failures of the store are the client's to repeat */
    static const struct {
        enum err err;
        uint32_t code, reply;
    } rows[] = {{ERR_LATER, STORE_CODE_NONE, 451},
                {ERR_REFUSED, STORE_CODE_OVERQUOTA, 452},
                {ERR_INTERNAL, 0, 451},
                {ERR_BAD, 0, 554}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f.deliver_err = rows[i].err;
        f.deliver_code = rows[i].code;
        mail(rig, 10 + i, "a@b.example");
        assert_int_equal(rcpt(rig, 10 + i, "jane@example.org").code, 250);
        assert_int_equal(commit(rig, 10 + i).code, rows[i].reply);
    }
    mail(rig, 20, "");
    assert_int_equal(commit(rig, 20).code, 554);
    assert_int_equal(commit(rig, 21).code, 451);
    rig_free(rig);
}

static void test_several(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "all@example.org").code, 250);
    assert_int_equal(rcpt(rig, 1, "john@example.org").code, 250);
    assert_int_equal(commit(rig, 1).code, 250);
    until_count(rig, &f.delivery_count, 3);
    until_count(rig, &f.drops, 1);
    assert_int_equal(f.puts, 1);
    assert_int_equal(f.last_body, 0); /* from the queue file */
    rig_for(rig, 50);
    assert_int_equal(f.delivery_count, 3);
    rig_free(rig);
}

/* What was accepted and not delivered is delivered after a restart, and only that. */
static void test_restart(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    f.fail_account = "john@example.org";
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "all@example.org").code, 250);
    struct wire_smtp_reply reply = commit(rig, 1);
    assert_int_equal(reply.code, 250);
    until_count(rig, &f.delivery_count, 2);
    rig_for(rig, 100);
    assert_int_equal(f.drops, 0);
    until_count(rig, &f.lists, 1);
    assert_string_equal(f.listed, "");
    assert_true(slice_cmp(slice_of(f.before), reply.id) < 0); /* what comes is never older */
    rig_halt(rig);
    f.fail_account = NULL;
    rig_boot(rig, yaml, files);
    tell_accounts(rig);
    until_count(rig, &f.lists, 2); /* the store is told what waits */
    assert_int_equal(f.listed[0], QUEUE_ID_LEN);
    assert_true(slice_eq(slice_of(f.listed + 1), reply.id));
    assert_true(slice_cmp(slice_of(f.before), reply.id) > 0);
    rig_connect(rig, ROLE_STORE);
    until_count(rig, &f.lists, 3);                         /* also a store that was restarted */
    for (int i = 0; i < 4000 && f.delivery_count < 3; i++) /* the back-off of the first failure: 5 s */
        rig_turn(rig);
    assert_int_equal(f.delivery_count, 3);
    assert_memory_equal(f.delivered[2], "john@example.org ", 17);
    assert_true(slice_eq(slice_of(f.delivered[2] + 17), reply.id));
    until_count(rig, &f.drops, 1);
    rig_free(rig);
}

/* Killed between the commit of the rows and the first answer of the store: everything comes after the
 * restart. */
static void test_restart_claimed(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "all@example.org").code, 250);
    f.fail_account = NULL;
    const struct wire_queue_commit m = {.txn = 1, .body = 7};
    struct rig_answer answer;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_COMMIT, &m, &answer);
    until_count(rig, &f.puts, 1);
    f.silent = true;
    struct wire_smtp_reply reply;
    rig_get(rig, &answer, WIRE_SMTP_REPLY, &reply);
    assert_int_equal(reply.code, 250);
    assert_int_equal(f.delivery_count, 0);
    rig_halt(rig);
    f.silent = false;
    rig_boot(rig, yaml, files);
    until_count(rig, &f.delivery_count, 3);
    until_count(rig, &f.drops, 1);
    rig_free(rig);
}

static void test_file_fails(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    f.deliver_err = ERR_LATER;
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "all@example.org").code, 250);
    assert_int_equal(commit(rig, 1).code, 451);
    rig_for(rig, 50);
    assert_int_equal(f.delivery_count, 0);
    rig_free(rig);
}

/* ---- submission ---- */

static const struct grant grant = {.name = {1, 2, 3, 4}};

static struct wire_smtp_reply submit(struct rig *rig, uint64_t txn, const char *sender,
                                     const struct grant *as)
{
    const struct wire_queue_mail m = {.txn = txn,
                                      .grant = *as,
                                      .listener = 1,
                                      .sender = slice_of(sender),
                                      .client = SLICE("192.0.2.1"),
                                      .helo = SLICE("laptop"),
                                      .protocol = SLICE("ESMTPSA"),
                                      .tls = SLICE("TLSv1.3 TLS_AES_256_GCM_SHA384"),
                                      .session = SLICE("sess00000002")};
    struct rig_answer answer;
    struct wire_smtp_reply reply;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_MAIL, &m, &answer);
    rig_get(rig, &answer, WIRE_SMTP_REPLY, &reply);
    return reply;
}

static void add_grant(struct rig *rig)
{
    const struct wire_grant_add add = {.grant = grant,
                                       .holder = ROLE_SMTP,
                                       .account = SLICE("jane@example.org"),
                                       .session = SLICE("sess00000002")};
    struct rig_answer answer;
    struct wire_result result;
    rig_ask(rig, ROLE_AUTH, WIRE_GRANT_ADD, &add, &answer);
    rig_get(rig, &answer, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_OK);
}

static void test_submission(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    assert_int_equal(submit(rig, 1, "jane@example.org", &grant).code, 451); /* auth has not told everything */
    const struct wire_grant_replayed replayed = {0};
    rig_tell(rig, ROLE_AUTH, WIRE_GRANT_REPLAYED, &replayed);
    add_grant(rig);
    assert_int_equal(submit(rig, 2, "john@example.org", &grant).code, 553);
    assert_int_equal(submit(rig, 3, "jane+x@example.org", &grant).code, 250);
    assert_int_equal(rcpt(rig, 3, "far@remote.example").code, 250);
    assert_int_equal(rcpt(rig, 3, "john@example.org").code, 250);
    (void)snprintf(f.from, sizeof f.from, "john@example.org");
    assert_int_equal(commit(rig, 3).code, 550);
    assert_int_equal(f.delivery_count, 0);
    (void)snprintf(f.from, sizeof f.from, "info@example.org");
    assert_int_equal(submit(rig, 4, "jane@example.org", &grant).code, 250);
    assert_int_equal(rcpt(rig, 4, "john@example.org").code, 250);
    assert_int_equal(commit(rig, 4).code, 250);
    assert_null(strstr(f.header, "192.0.2.1")); /* nobody learns where she sits */
    assert_null(strstr(f.header, "laptop"));
    assert_non_null(strstr(f.header, "with ESMTPSA id "));
    assert_non_null(strstr(f.header, "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)"));
    assert_non_null(strstr(f.header, "for <john@example.org>;"));
    const struct wire_store_state low = {.space_low = 1}, fine = {.space_low = 0};
    rig_tell(rig, ROLE_STORE, WIRE_STORE_STATE, &low);
    rig_for(rig, 10);
    assert_int_equal(submit(rig, 6, "jane@example.org", &grant).code, 250);
    struct wire_smtp_reply reply = rcpt(rig, 6, "far@remote.example");
    assert_int_equal(reply.code, 452);
    assert_true(slice_eq(reply.enhanced, SLICE("4.3.1")));
    rig_tell(rig, ROLE_STORE, WIRE_STORE_STATE, &fine);
    rig_for(rig, 10);
    assert_int_equal(rcpt(rig, 6, "far@remote.example").code, 250);
    const struct wire_grant_drop drop = {.grant = grant};
    rig_tell(rig, ROLE_AUTH, WIRE_GRANT_DROP, &drop);
    rig_for(rig, 10);
    assert_int_equal(submit(rig, 5, "jane@example.org", &grant).code, 421);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

static void test_forged_grant(void **state)
{
    (void)state;
    static const struct grant forged = {.name = {9, 9, 9}};
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    const struct wire_grant_replayed replayed = {0};
    rig_tell(rig, ROLE_AUTH, WIRE_GRANT_REPLAYED, &replayed);
    rig_for(rig, 10);
    const struct wire_queue_mail m = {
        .txn = 1, .grant = forged, .listener = 1, .sender = SLICE("jane@example.org")};
    struct rig_answer answer;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_MAIL, &m, &answer);
    rig_until(rig, &answer.done);
    assert_int_equal(answer.err, ERR_LATER);
    assert_int_equal(rig->condemned, 1u << ROLE_SMTP);
    rig_free(rig);
}

/* smtp dies in the middle of a commit: the next smtp's numbers and answers are its own. */
static void test_smtp_restart(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    f.silent = true;
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "jane@example.org").code, 250);
    const struct wire_queue_commit m = {.txn = 1, .body = 7};
    struct rig_answer answer;
    rig_ask(rig, ROLE_SMTP, WIRE_QUEUE_COMMIT, &m, &answer);
    rig_for(rig, 20);
    rig_connect(rig, ROLE_SMTP);
    rig_for(rig, 20);
    assert_true(answer.done);
    mail(rig, 1, "c@d.example");
    assert_int_equal(rcpt(rig, 1, "john@example.org").code, 250);
    rig_connect(rig, ROLE_STORE); /* fails what waits */
    rig_for(rig, 20);
    f.silent = false;
    assert_int_equal(commit(rig, 1).code, 250);
    assert_int_equal(f.delivery_count, 1);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

static void test_reload(void **state)
{
    (void)state;
    static const struct rig_file other[] = {
        {SUP_FILE_ALIASES, 0, "/virtual.cf", "sales@example.org john@example.org\n"},
        {SUP_FILE_QUOTAS, 0, "/quotas.cf", ""},
        {0},
    };
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "sales@example.org").code, 550);
    rig_reload(rig, yaml, other);
    assert_int_equal(rcpt(rig, 1, "sales@example.org").code, 250);
    assert_int_equal(rcpt(rig, 1, "info@example.org").code, 550);
    assert_int_equal(commit(rig, 1).code, 250);
    rig_free(rig);
}

static void test_drain(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f);
    tell_accounts(rig);
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "jane@example.org").code, 250);
    assert_int_equal(commit(rig, 1).code, 250);
    const struct wire_sup_drain m = {.ms = 5000};
    assert_int_equal(wire_send(rig->supervisor, WIRE_SUP_DRAIN, &m), ERR_OK);
    rig_until(rig, &rig->drained);
    rig_free(rig);
}

/* ---- control ---- */

struct output {
    bool done;
    uint32_t code;
    enum err err;
    char text[4000];
    size_t len;
};

static void on_output(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct output *o = ctx;
    struct wire_control_output out;
    o->err = wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &out);
    size_t len = out.text.len < sizeof o->text - 1 - o->len ? out.text.len : sizeof o->text - 1 - o->len;
    if (len)
        memcpy(o->text + o->len, out.text.ptr, len);
    o->len += len;
    o->code = out.exit_code;
    o->done = !packet || !packet->more;
}

static void command(struct rig *rig, struct ipc_link *link, const char *words, bool json, struct output *o)
{
    AUTO_BUF struct buf list = buf_new(4000);
    struct slice rest = slice_of(words), word;
    while (slice_token(&rest, ' ', &word))
        wire_strings_add(&list, word);
    const struct wire_control message = {.json = json, .arguments = buf_slice(&list)};
    *o = (struct output){0};
    (void)wire_call(link, WIRE_CONTROL, &message, RIG_PATIENCE_MS, on_output, o);
    rig_until(rig, &o->done);
}

/* The real socket, also after a reload. */
static void test_control_socket(void **state)
{
    (void)state;
    struct fake f;
    struct output o;
    rig_listen = true;
    struct rig *rig = start(&f);
    rig_listen = false;
    tell_accounts(rig);
    for (int i = 0; i < 3; i++) {
        struct ipc_link *link = ipc_link_new(rig->loop, "queue", &rig_supervisor_ops, rig);
        ipc_link_attach(link, rig_dial());
        command(rig, link, "route jane@example.org", false, &o);
        assert_int_equal(o.code, 0);
        ipc_link_close(link);
        ipc_link_free(&link);
        rig_reload(rig, yaml, files);
    }
    rig_free(rig);
}

static void test_control(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        uint32_t code;
        const char *holds;
    } rows[] = {
        {"route jane@example.org", 0, "account jane@example.org"},
        {"route nobody@example.org", 1, "unknown"},
        {"route --compare-postfix", 0, "mail would go elsewhere"},
        {"queue list", 0, "-> john@example.org  attempts=1"},
        {"queue", 2, "usage"},
        {"account list", 0, "from auth"},
        {"account remove jane@example.org", 2, "--keep-mail"},
        {"account remove jane@example.org --keep-mail --delete-mail", 2, "usage"},
        {"account remove jane@example.org --keep-mail", 0, "from auth"},
        {"account remove jane@example.org --delete-mail", 0, "from auth\nfrom the store"},
        {"store verify", 0, "from the store"},
        {"status", 0, "from the supervisor"},
        {"trace", 2, "usage"},
        {"trace sess00000001", 0, "250 2.0.0 message queued from=<a@b.example>"},
        {"trace sess99999999", 1, "nothing is known of this id"},
        {"no such thing", 2, "unknown command"},
    };
    struct fake f;
    struct output o;
    int fds[2];
    struct rig *rig = start(&f);
    tell_accounts(rig);
    f.fail_account = "john@example.org";
    mail(rig, 1, "a@b.example");
    assert_int_equal(rcpt(rig, 1, "all@example.org").code, 250);
    struct wire_smtp_reply reply = commit(rig, 1);
    rig_for(rig, 100);
    struct control *control = ((struct queue *)context)->control;
    struct ipc_link *link = ipc_link_new(rig->loop, "queue", &rig_supervisor_ops, rig);
    rig_pair(fds);
    ipc_link_attach(link, fds[0]);
    control_serve(control, fds[1]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        command(rig, link, rows[i].words, false, &o);
        if (!strstr(o.text, rows[i].holds) || o.code != rows[i].code)
            print_message("%s: %u\n%s\n", rows[i].words, o.code, o.text);
        assert_int_equal(o.err, ERR_OK);
        assert_int_equal(o.code, rows[i].code);
        assert_non_null(strstr(o.text, rows[i].holds));
    }
    char words[64];
    (void)snprintf(words, sizeof words, "trace %.*s", SLICE_ARG(reply.id));
    command(rig, link, words, true, &o);
    assert_non_null(strstr(o.text, "delivered to mary@example.org uid="));
    assert_non_null(strstr(o.text, "delivery to john@example.org deferred: try later"));
    assert_int_equal(o.text[0], '[');
    /* the other end goes away in the middle of a command */
    const struct wire_control half = {.arguments = SLICE("\5trace\1x")};
    (void)wire_call(link, WIRE_CONTROL, &half, RIG_PATIENCE_MS, on_output, &o);
    ipc_link_close(link);
    rig_for(rig, 50);
    ipc_link_free(&link);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipients),      cmocka_unit_test(test_single),
        cmocka_unit_test(test_several),         cmocka_unit_test(test_restart),
        cmocka_unit_test(test_restart_claimed), cmocka_unit_test(test_file_fails),
        cmocka_unit_test(test_submission),      cmocka_unit_test(test_forged_grant),
        cmocka_unit_test(test_smtp_restart),    cmocka_unit_test(test_reload),
        cmocka_unit_test(test_drain),           cmocka_unit_test(test_control),
        cmocka_unit_test(test_control_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
