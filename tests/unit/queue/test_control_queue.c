/* `rockdove queue …` on the whole role: what is chosen, what becomes of it, what is printed. */
#include "../role_rig.h"

#include "queue/control.h"
#include "queue/queue.h"

#define PEERS (1u << ROLE_STORE | 1u << ROLE_AUTH | 1u << ROLE_SMTP | 1u << ROLE_RELAY)
#define FILL  1200 /* rows: more than two pages */

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                           "domains:\n"
                           "  - { name: example.org }\n"
                           "postmaster: jane@example.org\n"
                           "queue: { retry_first: 1h }\n"
                           "relay: { host: relay.example.net, daily: 300, reserve: 20 }\n";

struct fake {
    struct rig *rig;
    unsigned tries, drops, bodies;
    bool works; /* local deliveries succeed */
    char body[100000];
    size_t body_len;
};

static void on_chunk(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_body_chunk m;
    assert_int_equal(wire_decode(WIRE_BODY_CHUNK, packet->body, &m), ERR_OK);
    f->body_len = m.flags & BODY_FIRST ? 0 : f->body_len;
    memcpy(f->body + f->body_len, m.data.ptr, m.data.len);
    f->body_len += m.data.len;
    f->body[f->body_len] = '\0';
    if (m.flags & BODY_LAST) {
        const struct wire_body_done done = {.size = f->body_len};
        f->bodies++;
        wire_reply(link, packet->request, WIRE_BODY_DONE, false, &done);
    }
}

static bool store(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    switch (packet->type) {
    case WIRE_DELIVER: {
        const struct wire_delivered d = {.err = f->works ? ERR_OK : ERR_LATER,
                                         .text = SLICE("disk \"away\"")};
        f->tries++;
        wire_reply(link, packet->request, WIRE_DELIVERED, false, &d);
        return true;
    }
    case WIRE_BODY_CHUNK:
        on_chunk(f, link, packet);
        return true;
    case WIRE_BODY_INFO: {
        const struct wire_body_facts facts = {.size = f->body_len};
        wire_reply(link, packet->request, WIRE_BODY_FACTS, false, &facts);
        return true;
    }
    case WIRE_QUEUE_FILE_OPEN: {
        int fd = rig_memfd(SLICE("Subject: x\r\n\r\nbody\r\n"));
        const struct wire_queue_file_fd m = {.size = 20, .header_len = 14};
        wire_reply_fds(link, packet->request, WIRE_QUEUE_FILE_FD, false, &m, &fd, 1);
        (void)close(fd);
        return true;
    }
    case WIRE_QUEUE_FILE_DROP:
        f->drops++;
        wire_reply_result(link, packet->request, ERR_OK, 0, SLICE_EMPTY);
        return true;
    case WIRE_QUEUE_FILE_PUT:
        wire_reply_result(link, packet->request, ERR_OK, 0, SLICE_EMPTY);
        return true;
    case WIRE_QUEUE_FILES:
        return true;
    default:
        return false;
    }
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    if (self == ROLE_STORE)
        return store(rig->test, link, packet);
    if (self == ROLE_RELAY && packet->type == WIRE_RELAY_TEST) {
        struct wire_relay_test m;
        assert_int_equal(wire_decode(WIRE_RELAY_TEST, packet->body, &m), ERR_OK);
        AUTO_BUF struct buf text = buf_new(1000);
        buf_addf(&text, "test of %u to=%.*s size=%llu fds=%u\n", m.relay, SLICE_ARG(m.to),
                 (unsigned long long)m.size, packet->fd_count);
        const struct wire_control_output out = {.text = buf_slice(&text)};
        wire_reply(link, packet->request, WIRE_CONTROL_OUTPUT, false, &out);
        return true;
    }
    return self == ROLE_RELAY; /* what is to be sent waits there */
}

static void *context;

static void *load(struct role_run *run, struct why *why)
{
    return context = queue_role.load(run, why);
}

static void tell_accounts(struct rig *rig)
{
    AUTO_BUF struct buf list = buf_new(1 << 20);
    for (int i = 0; i < FILL; i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "u%04d@example.org", i);
        wire_strings_add(&list, slice_of(name));
    }
    wire_strings_add(&list, SLICE("jane@example.org"));
    wire_strings_add(&list, SLICE("john@example.org"));
    int fd = rig_memfd(buf_slice(&list));
    const struct wire_accounts message = {.generation = 1, .count = FILL + 2};
    assert_int_equal(wire_send_fds(rig->peers[ROLE_AUTH], WIRE_ACCOUNTS, &message, &fd, 1), ERR_OK);
    (void)close(fd);
    rig_for(rig, 50);
}

/* ---- a session of smtp ---- */

static void ask(struct rig *rig, enum wire_type type, const void *message, char id[QUEUE_ID_LEN + 1])
{
    struct rig_answer answer;
    struct wire_smtp_reply reply;
    rig_ask(rig, ROLE_SMTP, type, message, &answer);
    rig_get(rig, &answer, WIRE_SMTP_REPLY, &reply);
    assert_int_equal(reply.code, 250);
    if (id)
        (void)snprintf(id, QUEUE_ID_LEN + 1, "%.*s", SLICE_ARG(reply.id));
}

static uint64_t next_txn;

static uint64_t begin(struct rig *rig, const char *sender)
{
    const struct wire_queue_mail m = {
        .txn = ++next_txn, .sender = slice_of(sender), .session = SLICE("sess00000001"), .size = 100};
    rig_tell(rig, ROLE_SMTP, WIRE_QUEUE_MAIL, &m);
    return m.txn;
}

static void add(struct rig *rig, uint64_t txn, const char *address)
{
    const struct wire_queue_rcpt m = {.txn = txn, .address = slice_of(address)};
    ask(rig, WIRE_QUEUE_RCPT, &m, NULL);
}

static void finish(struct rig *rig, uint64_t txn, char id[QUEUE_ID_LEN + 1])
{
    const struct wire_queue_commit m = {.txn = txn, .body = 7};
    ask(rig, WIRE_QUEUE_COMMIT, &m, id);
    rig_for(rig, 60);
}

/* ---- the administrator ---- */

struct output {
    bool done;
    uint32_t code;
    char text[1 << 20];
    size_t len;
    unsigned packets;
};

static void on_output(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct output *o = ctx;
    struct wire_control_output out;
    assert_int_equal(wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &out), ERR_OK);
    assert_true(o->len + out.text.len < sizeof o->text);
    if (out.text.len)
        memcpy(o->text + o->len, out.text.ptr, out.text.len);
    o->len += out.text.len;
    o->text[o->len] = '\0';
    o->code = out.exit_code;
    o->packets++;
    o->done = !packet->more;
}

static struct output *command(struct rig *rig, struct ipc_link *link, bool json, const char *words)
{
    static struct output o;
    AUTO_BUF struct buf list = buf_new(4000);
    struct slice rest = slice_of(words), word;
    while (slice_token(&rest, ' ', &word))
        wire_strings_add(&list, word);
    const struct wire_control message = {.json = json, .arguments = buf_slice(&list)};
    o.done = false;
    o.len = o.packets = 0;
    (void)wire_call(link, WIRE_CONTROL, &message, RIG_PATIENCE_MS, on_output, &o);
    rig_until(rig, &o.done);
    return &o;
}

static unsigned count(const char *text, const char *word)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        n++;
    return n;
}

static struct ipc_link *dial(struct rig *rig)
{
    int fds[2];
    struct ipc_link *link = ipc_link_new(rig->loop, "queue", &rig_supervisor_ops, rig);
    rig_pair(fds);
    ipc_link_attach(link, fds[0]);
    control_serve(((struct queue *)context)->control, fds[1]);
    return link;
}

static struct rig *start(struct fake *f)
{
    static struct role_ops ops;
    memset(f, 0, sizeof *f);
    ops = queue_role;
    ops.load = load;
    f->rig = rig_new(&ops, PEERS, yaml, NULL, handle, f);
    tell_accounts(f->rig);
    return f->rig;
}

static void expect(struct rig *rig, struct ipc_link *link, const char *words, uint32_t code,
                   const char *holds, unsigned times)
{
    const struct output *o = command(rig, link, false, words);
    if (o->code != code || count(o->text, holds) != times)
        fail_msg("%s: %u\n%s", words, o->code, o->text);
}

static void verbs(void **state)
{
    (void)state;
    static struct fake f;
    char one[QUEUE_ID_LEN + 1], two[QUEUE_ID_LEN + 1], words[200];
    struct rig *rig = start(&f);
    struct ipc_link *link = dial(rig);
    expect(rig, link, "queue list", 0, "the queue is empty", 1);
    expect(rig, link, "queue list --sender a@b.example", 1, "nothing matched", 1);
    expect(rig, link, "queue retry --all", 1, "nothing matched", 1);
    uint64_t txn = begin(rig, "alice@remote.example");
    add(rig, txn, "jane@example.org");
    add(rig, txn, "john@example.org");
    finish(rig, txn, one);
    txn = begin(rig, "");
    add(rig, txn, "jane@example.org");
    add(rig, txn, "u0001@example.org");
    finish(rig, txn, two);
    expect(rig, link, "queue list", 0, "  deferred  ", 4);
    expect(rig, link, "queue list --limit 3", 0, "  deferred  ", 3);
    expect(rig, link, "queue list --sender <>", 0, two, 2);
    expect(rig, link, "queue list --sender @REMOTE.example", 0, one, 2);
    expect(rig, link, "queue list --recipient jane@example.org", 0, "jane@example.org", 2);
    expect(rig, link, "queue list --domain example.org --reason AWAY", 0, "disk \"away\"", 4);
    expect(rig, link, "queue list --reason nothing", 1, "nothing matched", 1);
    expect(rig, link, "queue list --older 1h", 1, "nothing matched", 1);
    expect(rig, link, "queue list --newer 1h", 0, "example.org", 4);
    expect(rig, link, "queue list --state held", 1, "nothing matched", 1);
    expect(rig, link, "queue list --state", 2, "usage", 1);
    const struct output *o = command(rig, link, true, "queue list --sender alice@remote.example");
    assert_int_equal(o->text[0], '[');
    assert_int_equal(count(o->text, "\"state\":\"deferred\""), 2);
    assert_int_equal(count(o->text, "disk \\\"away\\\""), 2);
    o = command(rig, link, true, "queue list --state held");
    assert_int_equal(o->code, 1);
    assert_string_equal(o->text, "[]\n");
    (void)snprintf(words, sizeof words, "queue show %s", one);
    expect(rig, link, words, 0, "message queued", 1); /* with its trace */

    unsigned before = f.tries;
    (void)snprintf(words, sizeof words, "queue hold %s", one);
    expect(rig, link, words, 0, "2 recipients of 1 messages held", 1);
    expect(rig, link, "queue list --state held", 0, "stopped by the operator", 2);
    expect(rig, link, "queue hold --state held", 1, "nothing matched", 1);
    expect(rig, link, "queue flush", 0, "2 recipients of 1 messages tried again", 1);
    rig_for(rig, 100);
    assert_int_equal(f.tries, before + 2); /* not the held ones */
    expect(rig, link, "queue retry --recipient @example.org", 0, "2 recipients", 1);
    rig_for(rig, 100);
    assert_int_equal(f.tries, before + 4);
    expect(rig, link, "queue release --recipient john@example.org", 0, "1 recipients of 1 messages released",
           1);
    rig_for(rig, 100);
    assert_int_equal(f.tries, before + 5);
    expect(rig, link, "queue list --state held", 0, "jane@example.org", 1);

    expect(rig, link, "queue bounce --sender alice@remote.example", 0, "2 recipients of 1 messages bounced",
           1);
    assert_int_equal(f.bodies, 1);
    assert_non_null(strstr(f.body, "To: <alice@remote.example>"));
    assert_non_null(strstr(f.body, "rfc822; jane@example.org"));
    assert_non_null(strstr(f.body, "rfc822; john@example.org"));
    rig_for(rig, 50);
    assert_int_equal(f.drops, 1);
    expect(rig, link, "queue list --domain remote.example", 0, "<> -> alice@remote.example", 1);
    expect(rig, link, "queue delete --recipient u0001@example.org", 0, "1 recipients of 1 messages deleted",
           1);
    rig_for(rig, 50);
    assert_int_equal(f.drops, 1);
    (void)snprintf(words, sizeof words, "queue delete %s", two);
    expect(rig, link, words, 0, "1 recipients of 1 messages deleted", 1);
    rig_for(rig, 50);
    assert_int_equal(f.drops, 2);
    assert_int_equal(f.bodies, 1);
    expect(rig, link, words, 1, "nothing matched", 1);
    ipc_link_free(&link);
    rig_free(rig);
}

/* More than a page; a reader that goes away. */
static void pages(void **state)
{
    (void)state;
    static struct fake f;
    struct rig *rig = start(&f);
    struct ipc_link *link = dial(rig);
    for (int i = 0; i < FILL;) {
        uint64_t txn = begin(rig, "alice@remote.example");
        for (int n = 0; n < 400 && i < FILL; n++, i++) {
            char name[40];
            (void)snprintf(name, sizeof name, "u%04d@example.org", i);
            add(rig, txn, name);
        }
        finish(rig, txn, NULL);
    }
    rig_for(rig, 300);
    const struct output *o = command(rig, link, false, "queue list");
    assert_int_equal(count(o->text, " -> u"), FILL);
    assert_true(o->packets > 2);
    o = command(rig, link, true, "queue list --limit 700");
    assert_int_equal(count(o->text, "\"id\""), 700);
    o = command(rig, link, true, "queue destinations --limit 3");
    unsigned waiting = 0, sending = 0;
    assert_int_equal(sscanf(o->text, "[{\"route\":\"local\",\"waiting\":%u,\"sending\":%u,\"held\":0,",
                            &waiting, &sending),
                     2);
    assert_int_equal(waiting + sending, FILL);
    expect(rig, link, "queue hold --all", 0, "1200 recipients of 3 messages held", 1);
    expect(rig, link, "queue list --state held", 0, "  held  ", FILL);
    expect(rig, link, "queue destinations", 0, "local  waiting=0  sending=0  held=1200\n", 1);
    const struct wire_control half = {.arguments = SLICE("\5queue\4list")};
    static struct output gone;
    (void)wire_call(link, WIRE_CONTROL, &half, RIG_PATIENCE_MS, on_output, &gone);
    rig_turn(rig);
    ipc_link_free(&link);
    rig_for(rig, 50);
    link = dial(rig);
    expect(rig, link, "queue delete --all", 0, "1200 recipients of 3 messages deleted", 1);
    rig_for(rig, 100);
    assert_int_equal(f.drops, 3);
    expect(rig, link, "queue destinations", 0, "the queue is empty", 1);
    ipc_link_free(&link);
    rig_free(rig);
}

static void relays(void **state)
{
    (void)state;
    static struct fake f;
    struct rig *rig = start(&f);
    struct ipc_link *link = dial(rig);
    expect(rig, link, "relay list", 0, "default  relay.example.net:", 1);
    expect(rig, link, "relay count default 72", 0, "used today: 72 of 300", 1);
    expect(rig, link, "relay list", 0, "used=72 of 300 (20 reserved)", 1);
    expect(rig, link, "relay count other 1", 1, "no relay of this name", 1);
    expect(rig, link, "relay count default x", 2, "usage", 1);
    expect(rig, link, "relay", 2, "usage", 1);
    expect(rig, link, "relay test", 0, "test of 0 to= size=0 fds=0", 1);
    expect(rig, link, "relay test default --to you@example.net", 0, "to=you@example.net size=", 1);
    expect(rig, link, "relay test --to nonsense", 2, "is none", 1);
    expect(rig, link, "relay test other", 1, "no relay of this name", 1);
    expect(rig, link, "dkim", 0, "no keys", 1);
    assert_int_equal(command(rig, link, true, "relay list")->text[0], '[');
    ipc_link_free(&link);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verbs), cmocka_unit_test(pages),
                                       cmocka_unit_test(relays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
