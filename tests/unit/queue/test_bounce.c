/* Notifications inside the whole role: who gets one, what stands in it, that rows end only with it; and which
 * DKIM keys sign. The store, auth and relay are the test's. */
#include "../role_rig.h"

#include "queue/bounce.h"
#include "queue/control.h"
#include "queue/keys.h"
#include "queue/queue.h"

#define PEERS (1u << ROLE_STORE | 1u << ROLE_AUTH | 1u << ROLE_SMTP | 1u << ROLE_RELAY)

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                           "domains:\n"
                           "  - { name: example.org }\n"
                           "postmaster: jane@example.org\n"
                           "dkim:\n"
                           "  - { domain: example.org, selector: mail, key_file: /key }\n";

struct fake {
    struct rig *rig;
    char body[1 << 20]; /* of the last notification */
    size_t body_len;
    unsigned bodies, puts, drops, deliveries, sends, signs, checks;
    char delivered[100], sent_to[100], sent_from[100];
    enum err open_err, put_err, sign_err;
    unsigned put_fails;   /* only this one; 0: as put_err says */
    bool silent, forbids; /* the record: what we would sign */
    const char *original; /* what the store has of the message */
    uint32_t dns;
    char published[20];
};

static void on_chunk(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_body_chunk m;
    assert_int_equal(wire_decode(WIRE_BODY_CHUNK, packet->body, &m), ERR_OK);
    assert_true(m.body & WIRE_BODY_OF_QUEUE);
    assert_int_equal(m.kind, m.flags & BODY_FIRST ? BODY_SUBMISSION : m.kind);
    if (m.flags & BODY_FIRST)
        f->body_len = 0;
    assert_true(f->body_len + m.data.len < sizeof f->body);
    memcpy(f->body + f->body_len, m.data.ptr, m.data.len);
    f->body_len += m.data.len;
    f->body[f->body_len] = '\0';
    if (m.flags & BODY_LAST) {
        const struct wire_body_done done = {.size = f->body_len};
        f->bodies++;
        wire_reply(link, packet->request, WIRE_BODY_DONE, false, &done);
    }
}

static void on_open(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct slice text = slice_of(f->original);
    int fd = rig_memfd(text);
    const struct wire_queue_file_fd m = {.err = f->open_err,
                                         .size = text.len,
                                         .header_len = (uint64_t)slice_search(text, SLICE("\r\n\r\n")) + 4};
    wire_reply_fds(link, packet->request, WIRE_QUEUE_FILE_FD, false, &m, &fd, f->open_err ? 0 : 1);
    (void)close(fd);
}

static void on_info(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    AUTO_BUF struct buf from = buf_new(1000);
    wire_strings_add(&from, SLICE("MAILER-DAEMON@mail.example.org"));
    const struct wire_body_facts facts = {.size = f->body_len,
                                          .from = buf_slice(&from),
                                          .dkim_hash = SLICE("01234567890123456789012345678901"),
                                          .dkim_names = SLICE("from"),
                                          .dkim_fields = SLICE("from:x\r\n")};
    wire_reply(link, packet->request, WIRE_BODY_FACTS, false, &facts);
}

static void on_deliver(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_deliver m;
    assert_int_equal(wire_decode(WIRE_DELIVER, packet->body, &m), ERR_OK);
    (void)snprintf(f->delivered, sizeof f->delivered, "%.*s", SLICE_ARG(m.account));
    f->deliveries++;
    const struct wire_delivered d = {.uid = 1};
    wire_reply(link, packet->request, WIRE_DELIVERED, false, &d);
}

static bool store(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    switch (packet->type) {
    case WIRE_BODY_CHUNK:
        on_chunk(f, link, packet);
        return true;
    case WIRE_QUEUE_FILE_OPEN:
        on_open(f, link, packet);
        return true;
    case WIRE_BODY_INFO:
        on_info(f, link, packet);
        return true;
    case WIRE_DELIVER:
        on_deliver(f, link, packet);
        return true;
    case WIRE_QUEUE_FILE_PUT:
        f->puts++;
        wire_reply_result(link, packet->request, f->puts == f->put_fails ? ERR_LATER : f->put_err, 0,
                          SLICE_EMPTY);
        return true;
    case WIRE_QUEUE_FILE_DROP:
        f->drops++;
        wire_reply_result(link, packet->request, ERR_OK, 0, SLICE_EMPTY);
        return true;
    case WIRE_QUEUE_FILES:
    case WIRE_BODY_DROP:
        return true;
    default:
        return false;
    }
}

static bool auth(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_dkim_sign m;
    if (packet->type != WIRE_DKIM_SIGN)
        return false;
    assert_int_equal(wire_decode(WIRE_DKIM_SIGN, packet->body, &m), ERR_OK);
    assert_true(slice_eq(m.domain, SLICE("example.org")) ||
                slice_eq(m.domain, SLICE("xn--bcher-kva.example")));
    f->signs++;
    const struct wire_dkim_signed signed_ = {
        .err = f->sign_err, .header = f->sign_err ? SLICE_EMPTY : SLICE("DKIM-Signature: x\r\n")};
    wire_reply(link, packet->request, WIRE_DKIM_SIGNED, false, &signed_);
    return true;
}

static bool relay(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    if (packet->type == WIRE_DKIM_CHECK) {
        const struct wire_dkim_published m = {.status = f->dns,
                                              .forbids = f->forbids,
                                              .algorithm = SLICE("rsa"),
                                              .key = slice_of(f->published)};
        f->checks++;
        if (!f->silent)
            wire_reply(link, packet->request, WIRE_DKIM_PUBLISHED, false, &m);
        return true;
    }
    if (packet->type == WIRE_RELAY_SEND) {
        struct wire_relay_send m;
        assert_int_equal(wire_decode(WIRE_RELAY_SEND, packet->body, &m), ERR_OK);
        (void)snprintf(f->sent_to, sizeof f->sent_to, "%.*s", SLICE_ARG(m.host));
        (void)snprintf(f->sent_from, sizeof f->sent_from, "<%.*s>", SLICE_ARG(m.sender));
        assert_true(slice_search(m.prefix, SLICE("DKIM-Signature: x\r\n")) >= 0 || f->sign_err || f->dns);
        f->sends++;
        return true; /* the answer does not matter here */
    }
    return packet->type == WIRE_RELAY_FORGET;
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = rig->test;
    return self == ROLE_STORE   ? store(f, link, packet)
           : self == ROLE_AUTH  ? auth(f, link, packet)
           : self == ROLE_RELAY ? relay(f, link, packet)
                                : false;
}

static void *context;

static void *load(struct role_run *run, struct why *why)
{
    return context = queue_role.load(run, why);
}

static void tell_accounts(struct rig *rig)
{
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, SLICE("jane@example.org"));
    wire_strings_add(&list, SLICE("john@example.org"));
    int fd = rig_memfd(buf_slice(&list));
    const struct wire_accounts message = {.generation = 1, .count = 2};
    assert_int_equal(wire_send_fds(rig->peers[ROLE_AUTH], WIRE_ACCOUNTS, &message, &fd, 1), ERR_OK);
    (void)close(fd);
    rig_for(rig, 20);
}

static void tell_key_of(struct rig *rig, const char *domain, const char *key)
{
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, slice_of(domain));
    wire_strings_add(&list, SLICE("mail"));
    wire_strings_add(&list, SLICE("rsa"));
    wire_strings_add(&list, slice_of(key));
    const struct wire_dkim_keys m = {.keys = buf_slice(&list)};
    rig_tell(rig, ROLE_AUTH, WIRE_DKIM_KEYS, &m);
    rig_for(rig, 30);
}

static void tell_keys(struct rig *rig, const char *key)
{
    tell_key_of(rig, "example.org", key);
}

static const char original[] = "From: john@example.org\r\nSubject: Hello\r\n\r\nThe text.\r\n";

static struct rig *start(struct fake *f, const char *settings)
{
    memset(f, 0, sizeof *f);
    static struct role_ops ops;
    ops = queue_role;
    ops.load = load;
    f->original = original;
    (void)snprintf(f->published, sizeof f->published, "PUBLIC");
    f->rig = rig_new(&ops, PEERS, settings, NULL, handle, f);
    tell_accounts(f->rig);
    tell_keys(f->rig, "PUBLIC");
    return f->rig;
}

struct told {
    bool done;
    enum err err;
    size_t settled;
};

static void on_done(void *ctx, enum err err, size_t settled)
{
    struct told *told = ctx;
    assert_false(told->done);
    *told = (struct told){true, err, settled};
}

static const struct bounce_message message_of_john = {.id = SLICE("01jd3k5m7p9rtvx"),
                                                      .sender = SLICE("john@example.org"),
                                                      .session = SLICE("sess00000001"),
                                                      .message_id = SLICE("<one@example.org>"),
                                                      .account = SLICE("john@example.org"),
                                                      .size = sizeof original - 1,
                                                      .created_ms = 1795233600000};
static const struct bounce_row refused = {.address = SLICE("bob@example.net"),
                                          .target = SLICE("bob@example.net"),
                                          .action = DSN_FAILED,
                                          .status = SLICE("5.1.1"),
                                          .remote = SLICE("mx.example.net"),
                                          .diagnostic = SLICE("550 5.1.1 no such user"),
                                          .is_reply = true};

static enum err bounce(struct rig *rig, const struct bounce_message *message, const struct bounce_row *rows,
                       size_t count)
{
    struct told told = {0};
    bounce_send(context, message, rows, count, on_done, &told);
    assert_false(told.done);
    rig_until(rig, &told.done);
    rig_for(rig, 50);
    return told.err;
}

static bool holds(const struct fake *f, const char *text)
{
    return strstr(f->body, text) != NULL;
}

static void to_local_sender(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    assert_int_equal(bounce(rig, &message_of_john, &refused, 1), ERR_OK);
    assert_int_equal(f.puts, 1);
    assert_int_equal(f.deliveries, 1);
    assert_string_equal(f.delivered, "john@example.org");
    assert_int_equal(f.signs, 0); /* it stays here */
    assert_true(holds(&f, "To: <john@example.org>\r\n"));
    assert_true(holds(&f, "In-Reply-To: <one@example.org>\r\n"));
    assert_true(holds(&f, "Final-Recipient: rfc822; bob@example.net\r\n"));
    assert_true(holds(&f, "Content-Type: message/rfc822\r\n") && holds(&f, "The text.\r\n"));
    rig_free(rig);
}

/* What came from outside goes back as its header, and signed. */
static void to_remote_sender(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    struct bounce_message m = message_of_john;
    m.sender = SLICE("alice@remote.example");
    m.account = SLICE_EMPTY;
    assert_int_equal(bounce(rig, &m, &refused, 1), ERR_OK);
    assert_int_equal(f.signs, 1);
    assert_int_equal(f.deliveries, 0);
    assert_int_equal(f.sends, 1);
    assert_string_equal(f.sent_to, "remote.example");
    assert_string_equal(f.sent_from, "<>");
    assert_true(holds(&f, "Content-Type: text/rfc822-headers\r\n") && holds(&f, "Subject: Hello\r\n\r\n--"));
    assert_false(holds(&f, "The text."));
    m.ret = 1;
    m.id = SLICE("01jd3k5m7p9rtvy");
    assert_int_equal(bounce(rig, &m, &refused, 1), ERR_OK);
    assert_true(holds(&f, "The text."));
    rig_free(rig);
}

/* The message is named by its Subject where that is known and plain; it is a stranger's text. */
static void names_the_subject(void **state)
{
    (void)state;
    static const struct {
        const char *subject, *line; /* NULL: not named */
    } rows[] = {
        {"Lunch tomorrow", "    Subject: Lunch tomorrow\r\n"},
        {"Lunch\r\nBcc: x@example.net", "    Subject: Lunch Bcc: x@example.net\r\n"},
        {"a\x1b[31mb\xe2\x80\xae", "    Subject: a?[31mb?\r\n"},
        {"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", NULL},
        {"\xff\xfe", NULL},
        {"", NULL},
    };
    static struct fake f;
    struct rig *rig = start(&f, yaml);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bounce_message m = message_of_john;
        m.subject = slice_of(rows[i].subject);
        assert_int_equal(bounce(rig, &m, &refused, 1), ERR_OK);
        if (rows[i].line ? !holds(&f, rows[i].line) : holds(&f, "    Subject: "))
            fail_msg("row %zu: %s", i, f.body);
    }
    /* letters beyond ASCII: the text part says how it is written, no header field holds them */
    struct bounce_message m = message_of_john;
    m.subject = SLICE("Gr\xc3\xbc\xc3\x9f"
                      "e");
    assert_int_equal(bounce(rig, &m, &refused, 1), ERR_OK);
    struct slice body = slice_make(f.body, f.body_len);
    ptrdiff_t text = slice_search(body, SLICE("\r\n\r\n"));
    assert_true(slice_is_ascii(slice_sub(body, 0, (size_t)text)));
    assert_true(holds(&f, "charset=utf-8") && holds(&f, "    Subject: Gr=C3=BC=C3=9Fe\r\n"));
    assert_true(holds(&f, "Content-Transfer-Encoding: quoted-printable"));
    rig_free(rig);
}

static void who_wants_it(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    struct bounce_row rows[3] = {refused, refused, refused};
    rows[0].notify = 1;
    rows[1].action = DSN_DELIVERED;
    rows[2].action = DSN_DELAYED;
    rows[2].notify = 4;
    assert_int_equal(bounce(rig, &message_of_john, rows, 3), ERR_OK);
    assert_int_equal(f.bodies, 0);
    rows[1].notify = 2;
    rows[1].address = SLICE("carl@example.net");
    assert_int_equal(bounce(rig, &message_of_john, rows, 3), ERR_OK);
    assert_int_equal(f.bodies, 1);
    assert_true(holds(&f, "carl@example.net"));
    assert_false(holds(&f, "bob@example.net"));
    rig_free(rig);
}

/* An alias with two targets: the sender knows one address. */
static void alias(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    struct bounce_row rows[2] = {refused, refused};
    rows[0].target = SLICE("one@hidden.example");
    rows[1].target = SLICE("two@hidden.example");
    rows[1].diagnostic = rows[0].diagnostic = SLICE("550 5.1.1 <one@hidden.example> unknown");
    assert_int_equal(bounce(rig, &message_of_john, rows, 2), ERR_OK);
    assert_false(holds(&f, "hidden.example"));
    const char *first = strstr(f.body, "Final-Recipient:");
    assert_non_null(first);
    assert_null(strstr(first + 1, "Final-Recipient:"));
    rig_free(rig);
}

static void to_postmaster(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    struct bounce_message m = message_of_john;
    struct bounce_row row = refused;
    m.sender = SLICE_EMPTY;
    row.action = DSN_DELAYED;
    assert_int_equal(bounce(rig, &m, &row, 1), ERR_OK);
    assert_int_equal(f.bodies, 0);
    row.action = DSN_FAILED;
    assert_int_equal(bounce(rig, &m, &row, 1), ERR_OK);
    assert_string_equal(f.delivered, "jane@example.org");
    assert_true(holds(&f, "You get it as postmaster"));
    /* that one failed as well: the end */
    row.address = SLICE("jane@example.org");
    assert_int_equal(bounce(rig, &m, &row, 1), ERR_OK);
    assert_int_equal(f.bodies, 1);
    /* a sender of ours that does not exist */
    m.sender = SLICE("nobody@example.org");
    row.address = SLICE("bob@example.net");
    assert_int_equal(bounce(rig, &m, &row, 1), ERR_OK);
    assert_int_equal(f.bodies, 2);
    assert_string_equal(f.delivered, "jane@example.org");
    rig_free(rig);
}

static void failures(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    f.put_err = ERR_LATER;
    assert_int_equal(bounce(rig, &message_of_john, &refused, 1), ERR_LATER);
    assert_int_equal(f.deliveries, 0);
    f.put_err = ERR_OK;
    f.open_err = ERR_LATER;
    assert_int_equal(bounce(rig, &message_of_john, &refused, 1), ERR_LATER);
    f.open_err = ERR_ABSENT; /* told all the same, without the original */
    assert_int_equal(bounce(rig, &message_of_john, &refused, 1), ERR_OK);
    assert_int_equal(f.deliveries, 1);
    assert_false(holds(&f, "Subject: Hello"));
    ipc_link_close(rig->peers[ROLE_STORE]);
    rig_for(rig, 20);
    assert_int_equal(bounce(rig, &message_of_john, &refused, 1), ERR_LATER);
    rig_free(rig);
}

/* More rows than one notification holds: several, and none is forgotten. */
static void many_rows(void **state)
{
    (void)state;
    enum { ROWS = 1200, PARTS = (ROWS + BOUNCE_ROWS_MAX - 1) / BOUNCE_ROWS_MAX };
    static struct fake f;
    static char names[ROWS][40];
    static struct bounce_row rows[ROWS];
    struct rig *rig = start(&f, yaml);
    for (size_t i = 0; i < ROWS; i++) {
        (void)snprintf(names[i], sizeof names[i], "r%04zu@example.net", i);
        rows[i] = refused;
        rows[i].ordinal = (uint32_t)i;
        rows[i].address = rows[i].target = slice_of(names[i]);
    }
    struct told told = {0};
    bounce_send(context, &message_of_john, rows, ROWS, on_done, &told);
    rig_until(rig, &told.done);
    assert_int_equal(told.err, ERR_OK);
    assert_int_equal(told.settled, ROWS);
    assert_int_equal(f.puts, PARTS);
    assert_true(holds(&f, "Final-Recipient: rfc822; r1199@example.net\r\n"));
    assert_true(holds(&f, "r1000@") && !holds(&f, "r0999@"));
    /* the second of them fails: what was told of is known */
    told = (struct told){0};
    f.put_fails = f.puts + 2;
    bounce_send(context, &message_of_john, rows, ROWS, on_done, &told);
    rig_until(rig, &told.done);
    assert_int_equal(told.err, ERR_LATER);
    assert_int_equal(told.settled, BOUNCE_ROWS_MAX);
    assert_int_equal(f.puts, PARTS + 2);
    told = (struct told){0};
    bounce_send(context, &message_of_john, rows, ROWS, on_done, &told); /* the role ends before */
    rig_turn(rig);
    rig_free(rig);
    assert_false(told.done);
}

static void many_at_once(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    static struct told told[200];
    memset(told, 0, sizeof told);
    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        bounce_send(context, &message_of_john, &refused, 1, on_done, &told[i]);
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        rig_until(rig, &told[i].done);
        assert_int_equal(told[i].err, ERR_OK);
    }
    assert_int_equal(f.bodies, 200);
    bounce_send(context, &message_of_john, &refused, 1, on_done,
                &told[0]); /* never comes back: the role ends */
    rig_free(rig);
}

/* ---- keys ---- */

struct signature {
    bool done;
    enum err err;
    char header[100], why[200];
};

static void on_signature(void *ctx, enum err err, struct slice header, struct slice why)
{
    struct signature *s = ctx;
    (void)snprintf(s->why, sizeof s->why, "%.*s", SLICE_ARG(why));
    s->done = true;
    s->err = err;
    (void)snprintf(s->header, sizeof s->header, "%.*s", SLICE_ARG(header));
}

static struct signature sign(struct rig *rig, const char *from)
{
    struct signature s = {0};
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, slice_of(from));
    const struct keys_facts facts = {.from = buf_slice(&list),
                                     .hash = SLICE("01234567890123456789012345678901"),
                                     .names = SLICE("from"),
                                     .fields = SLICE("from:x\r\n")};
    (void)keys_sign(context, &facts, on_signature, &s);
    assert_false(s.done);
    rig_until(rig, &s.done);
    return s;
}

static void signing(void **state)
{
    (void)state;
    struct fake f;
    struct rig *rig = start(&f, yaml);
    struct signature s = sign(rig, "john@example.org");
    assert_int_equal(s.err, ERR_OK);
    assert_string_equal(s.header, "DKIM-Signature: x\r\n");
    assert_string_equal(sign(rig, "john@SUB.example.org").header, "DKIM-Signature: x\r\n");
    assert_string_equal(sign(rig, "john@example.net").header, "");
    assert_string_equal(sign(rig, "").header, "");
    f.sign_err = ERR_INTERNAL;
    assert_string_equal(sign(rig, "john@example.org").header, "");
    assert_int_equal(sign(rig, "john@example.org").err, ERR_OK);
    f.sign_err = ERR_LATER;
    assert_int_equal(sign(rig, "john@example.org").err, ERR_LATER);
    f.sign_err = ERR_OK;
    struct signature cancelled = {0};
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, SLICE("john@example.org"));
    const struct keys_facts facts = {.from = buf_slice(&list), .hash = SLICE("x")};
    keys_cancel(context, keys_sign(context, &facts, on_signature, &cancelled));
    const struct keys_facts none = {.from = SLICE_EMPTY};
    keys_cancel(context, keys_sign(context, &none, on_signature, &cancelled));
    rig_for(rig, 30);
    assert_false(cancelled.done);
    (void)keys_sign(context, &facts, on_signature, &cancelled); /* the role ends before */
    rig_free(rig);
}

/* What DNS says of a new key decides; that it says nothing decides nothing. */
static void first_answer(void **state)
{
    (void)state;
    static const struct {
        uint32_t dns;
        const char *key;
        bool signs, forbids;
    } table[] = {{DNS_OK, "FRESH", true}, {DNS_OK, "FRESH", false, true}, {DNS_NXDOMAIN, "", false},
                 {DNS_NODATA, "", false}, {DNS_OK, "OTHER", false},       {DNS_OK, "", false},
                 {DNS_FAILED, "", true},  {DNS_BOGUS, "", true}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct fake f;
        struct rig *rig = start(&f, yaml);
        f.dns = table[i].dns;
        f.forbids = table[i].forbids;
        (void)snprintf(f.published, sizeof f.published, "%s", table[i].key);
        tell_keys(rig, "FRESH");
        if (table[i].signs != (sign(rig, "john@example.org").header[0] != '\0'))
            fail_msg("row %zu", i);
        rig_free(rig);
    }
}

/* Letters of any script on either side name the same domain. */
static void labels(void **state)
{
    (void)state;
    static const char settings[] = "hostname: mail.example.org\n"
                                   "data: /tmp/unused\n"
                                   "listeners:\n"
                                   "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                                   "domains:\n"
                                   "  - { name: example.org }\n"
                                   "  - { name: b\303\274cher.example }\n"
                                   "dkim_missing: hold\n"
                                   "dkim:\n"
                                   "  - { domain: b\303\274cher.example, selector: mail, key_file: /key }\n";
    static const char *const names[] = {"jo@b\303\274cher.example", "jo@xn--bcher-kva.example",
                                        "jo@B\303\234CHER.example", "jo@sub.b\303\274cher.example"};
    struct fake f;
    struct rig *rig = start(&f, settings);
    tell_key_of(rig, "xn--bcher-kva.example", "PUBLIC");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(sign(rig, names[i]).header, "DKIM-Signature: x\r\n");
    const struct wire_dkim_keys none = {0}; /* the row alone says that there should be one */
    rig_tell(rig, ROLE_AUTH, WIRE_DKIM_KEYS, &none);
    rig_for(rig, 20);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(sign(rig, names[i]).err, ERR_REFUSED);
    rig_free(rig);
}

/* One of our domains that nobody thought of in `dkim:` does not leave unsigned in silence. */
static void no_row(void **state)
{
    (void)state;
    char other[sizeof yaml + 100];
    struct fake f;
    (void)snprintf(other, sizeof other, "%sdkim_missing: send\n", yaml);
    char *at = strstr(other, "dkim:\n  - { domain: example.org");
    memcpy(strstr(at, "example.org"), "example.com", 11);
    struct rig *rig = start(&f, other);
    tell_key_of(rig, "example.com", "PUBLIC");
    uint64_t before = metric_get(METRIC_DKIM_MESSAGES, METRIC_DKIM_UNSIGNED);
    struct signature s = sign(rig, "john@example.org");
    assert_int_equal(s.err, ERR_OK);
    assert_string_equal(s.header, "");
    assert_int_equal(metric_get(METRIC_DKIM_MESSAGES, METRIC_DKIM_UNSIGNED), before + 1);
    assert_string_equal(sign(rig, "john@example.net").header, ""); /* not ours to sign */
    assert_int_equal(metric_get(METRIC_DKIM_MESSAGES, METRIC_DKIM_UNSIGNED), before + 1);
    rig_free(rig);
    memcpy(strstr(other, "dkim_missing: send"), "dkim_missing: hold", 18);
    rig = start(&f, other);
    tell_key_of(rig, "example.com", "PUBLIC");
    s = sign(rig, "john@example.org");
    assert_int_equal(s.err, ERR_REFUSED);
    assert_non_null(strstr(s.why, "example.org"));
    assert_int_equal(sign(rig, "john@example.net").err, ERR_OK);
    rig_free(rig);
}

/* A message nobody could sign: it is told of as such, the key is not to blame. */
static void no_text(void **state)
{
    (void)state;
    char hold[sizeof yaml + 40];
    struct fake f;
    (void)snprintf(hold, sizeof hold, "%sdkim_missing: hold\n", yaml);
    struct rig *rig = start(&f, hold);
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, SLICE("john@example.org"));
    const struct keys_facts facts = {.from = buf_slice(&list)};
    struct signature s = {0};
    (void)keys_sign(context, &facts, on_signature, &s);
    rig_until(rig, &s.done);
    assert_int_equal(s.err, ERR_REFUSED);
    assert_null(strstr(s.why, "DKIM key"));
    assert_non_null(strstr(s.why, "header"));
    rig_free(rig);
}

/* `dkim_missing: hold`, and a failure after a good answer changes nothing. */
static void missing(void **state)
{
    (void)state;
    char hold[sizeof yaml + 40];
    struct fake f;
    (void)snprintf(hold, sizeof hold, "%sdkim_missing: hold\n", yaml);
    struct rig *rig = start(&f, hold);
    assert_string_equal(sign(rig, "john@example.org").header, "DKIM-Signature: x\r\n");
    f.dns = DNS_FAILED;
    rig_connect(rig, ROLE_RELAY);
    rig_for(rig, 30);
    assert_string_equal(sign(rig, "john@example.org").header, "DKIM-Signature: x\r\n");
    f.dns = DNS_NXDOMAIN;
    tell_keys(rig, "FRESH");
    assert_int_equal(sign(rig, "john@example.org").err, ERR_REFUSED);
    f.dns = DNS_FAILED; /* absent before: still does not sign */
    rig_connect(rig, ROLE_RELAY);
    rig_for(rig, 30);
    assert_int_equal(sign(rig, "john@example.org").err, ERR_REFUSED);
    tell_keys(rig, "FRESH"); /* told again: what is known of it stays known */
    assert_int_equal(sign(rig, "john@example.org").err, ERR_REFUSED);
    f.dns = DNS_OK;
    (void)snprintf(f.published, sizeof f.published, "FRESH");
    rig_connect(rig, ROLE_RELAY);
    rig_for(rig, 30);
    assert_string_equal(sign(rig, "john@example.org").header, "DKIM-Signature: x\r\n");
    const struct wire_dkim_keys none = {0}; /* unreadable: configured, but auth has none */
    rig_tell(rig, ROLE_AUTH, WIRE_DKIM_KEYS, &none);
    rig_for(rig, 20);
    assert_int_equal(sign(rig, "john@example.org").err, ERR_REFUSED);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_local_sender), cmocka_unit_test(to_remote_sender),
        cmocka_unit_test(who_wants_it),    cmocka_unit_test(names_the_subject),
        cmocka_unit_test(alias),           cmocka_unit_test(to_postmaster),
        cmocka_unit_test(failures),        cmocka_unit_test(many_rows),
        cmocka_unit_test(many_at_once),    cmocka_unit_test(signing),
        cmocka_unit_test(first_answer),    cmocka_unit_test(missing),
        cmocka_unit_test(labels),          cmocka_unit_test(no_row),
        cmocka_unit_test(no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
