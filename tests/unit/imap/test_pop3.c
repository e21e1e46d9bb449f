/* Whole POP3 sessions of the imap role over a socket pair, with an auth and a store that only play their
 * parts: what QUIT asks of the store, and what happens when store refuses, dies, or the client has gone. */
#include "../role_rig.h"

#include <netinet/in.h>
#include <sys/mman.h>

#include "imap/imap.h"
#include "imap/pop3.h"
#include "wire/image.h"

#define PEERS (1u << ROLE_STORE | 1u << ROLE_AUTH)
#define MANY  20001 /* messages of the largest mailbox here */

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: pop3, service: pop3, address: \"127.0.0.1:1110\", tls: none }\n";

struct fake {
    struct rig *rig;
    int client;
    bool eof;
    struct buf got;
    struct image *image;
    int image_fd;
    uint32_t messages;
    unsigned unselects, logouts, expunges, seen_stores;
    uint32_t expunged;  /* messages named by EXPUNGE */
    struct buf pairs;   /* of the last EXPUNGE */
    struct buf seen;    /* pairs of FLAGS_STORE */
    const char *body;   /* of every message */
    uint64_t body_size; /* what store says of it; 0: the truth */
    uint32_t body_err, body_code, expunge_err;
    bool silent;
    bool hold_select;
    uint32_t held; /* a SELECT to be answered later */
};

static void *context;

static void *load(struct role_run *run, struct why *why)
{
    return context = imap_role.load(run, why);
}

/* ---- the store's part ---- */

/* UIDs 10, 20, …; the second message is expunged already. */
static void make_image(struct fake *f, uint32_t messages)
{
    size_t size = image_size(MANY);
    assert_int_equal(io_memfd("image", &f->image_fd, NULL), ERR_OK);
    assert_int_equal(io_truncate(f->image_fd, size, NULL), ERR_OK);
    f->image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->image_fd, 0);
    assert_true(f->image != MAP_FAILED);
    image_start(f->image, 3, 7, MANY);
    for (uint32_t i = 0; i < messages; i++) {
        const struct image_fixed fixed = {.uid = 10 * (i + 1), .size = 100 + i, .message = i + 100};
        image_place(f->image, i, &fixed, (struct image_state){.modseq = 1});
    }
    f->image->count = f->messages = messages;
    image_write(f->image, 1, 1, IMAGE_EXPUNGED);
    f->image->modseq = 1;
}

static void answer_select(struct fake *f, uint32_t request)
{
    const struct wire_mbox_selected m = {
        .watch = 1, .mailbox = 3, .modseq = 1, .uidvalidity = 7, .uidnext = 51};
    wire_reply_fds(f->rig->peers[ROLE_STORE], request, WIRE_MBOX_SELECTED, false, &m, &f->image_fd, 1);
}

static void answer_body(struct fake *f, struct ipc_link *link, uint32_t request)
{
    const struct wire_body_file refused = {.err = f->body_err, .code = f->body_code};
    const struct wire_body_file file = {.size = f->body_size ? f->body_size : strlen(f->body)};
    int fd = -1;
    if (f->body_err) {
        wire_reply(link, request, WIRE_BODY_FILE, false, &refused);
        return;
    }
    assert_int_equal(io_memfd("body", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, slice_of(f->body), NULL), ERR_OK);
    wire_reply_fds(link, request, WIRE_BODY_FILE, false, &file, &fd, 1);
    (void)close(fd);
}

static uint32_t count_named(const struct fake *f, struct slice pairs)
{
    uint32_t first, last, count = 0;
    while (wire_range_take(&pairs, &first, &last))
        for (uint32_t i = 0; i < f->messages; i++)
            count += f->image->entries[i].uid >= first && f->image->entries[i].uid <= last && i != 1;
    return count;
}

static void on_expunge(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_remove m;
    uint8_t list[WIRE_REMOVE_MAX / 64];
    size_t got = 0;
    assert_int_equal(wire_decode(WIRE_REMOVE, packet->body, &m), ERR_OK);
    assert_int_equal(packet->fd_count, m.uids.len == 0);
    if (packet->fd_count) {
        assert_true(io_is_sealed(packet->fds[0]));
        assert_int_equal(io_pread(packet->fds[0], list, sizeof list, 0, &got, NULL), ERR_OK);
        m.uids = slice_make(list, got);
    }
    f->expunges++;
    buf_clear(&f->pairs);
    buf_add(&f->pairs, slice_sub(m.uids, 0, WIRE_BLOB_MAX));
    f->expunged += f->messages < 100 ? count_named(f, m.uids) : (uint32_t)(m.uids.len / 8);
    const struct wire_expunged expunged = {.err = f->expunge_err};
    wire_reply(link, packet->request, WIRE_EXPUNGED, false, &expunged);
}

static void on_flags(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_flags_store m;
    assert_int_equal(wire_decode(WIRE_FLAGS_STORE, packet->body, &m), ERR_OK);
    assert_int_equal(m.mode, FLAGS_ADD);
    assert_int_equal(m.flags, IMAGE_SEEN);
    f->seen_stores++;
    buf_add(&f->seen, m.uids);
    const struct wire_flags_stored stored = {.modseq = 2};
    wire_reply(link, packet->request, WIRE_FLAGS_STORED, false, &stored);
}

static bool on_store(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    if (packet->type == WIRE_MBOX_UNSELECT) {
        f->unselects++;
        return true;
    }
    if (f->silent)
        return true;
    switch (packet->type) {
    case WIRE_MBOX_SELECT:
        if (f->hold_select)
            f->held = packet->request;
        else
            answer_select(f, packet->request);
        return true;
    case WIRE_BODY_OPEN:
        answer_body(f, link, packet->request);
        return true;
    case WIRE_REMOVE:
        on_expunge(f, link, packet);
        return true;
    case WIRE_FLAGS_STORE:
        on_flags(f, link, packet);
        return true;
    default:
        return false;
    }
}

static bool on_auth(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_auth_begin m;
    struct wire_auth_result r = {.status = AUTH_FAILED};
    f->logouts += packet->type == WIRE_AUTH_LOGOUT;
    if (packet->type != WIRE_AUTH_BEGIN)
        return true;
    assert_int_equal(wire_decode(WIRE_AUTH_BEGIN, packet->body, &m), ERR_OK);
    assert_int_equal(m.service, AUTH_SERVICE_POP3);
    if (slice_ends(m.initial, SLICE("secret"))) {
        r.status = AUTH_OK;
        r.account = SLICE("jane@example.org");
        memset(r.grant.name, 5, sizeof r.grant.name);
    }
    wire_reply(link, packet->request, WIRE_AUTH_RESULT, false, &r);
    return true;
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    return self == ROLE_STORE ? on_store(rig->test, link, packet) : on_auth(rig->test, link, packet);
}

/* ---- the client's part ---- */

static const struct stream_ops no_ops;

static void connect_client(struct fake *f)
{
    int fds[2];
    struct netaddr peer = netaddr_v4((const uint8_t[]){192, 0, 2, 1}, 1000);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    f->client = fds[0];
    struct stream *stream = stream_new(f->rig->loop, fds[1], &peer, &no_ops, NULL);
    struct settings_listener listener = {
        .name = SLICE("pop3"), .service = SETTINGS_POP3, .insecure_auth = true};
    const struct listener_arrival arrival = {.settings = &listener};
    pop3_session_new(context, stream, &arrival);
}

static void receive(struct fake *f)
{
    uint8_t bytes[65536];
    ssize_t got = recv(f->client, bytes, sizeof bytes, MSG_DONTWAIT);
    f->eof = f->eof || got == 0;
    if (got > 0)
        buf_add(&f->got, slice_make(bytes, (size_t)got));
}

/* Waits until the server has said `text` (since the last send). */
static void expect(struct fake *f, const char *text)
{
    uint64_t end = clock_mono_ms() + RIG_PATIENCE_MS;
    while (slice_search(buf_slice(&f->got), slice_of(text)) < 0 && clock_mono_ms() < end && !f->eof) {
        rig_turn(f->rig);
        receive(f);
    }
    if (slice_search(buf_slice(&f->got), slice_of(text)) < 0)
        fail_msg("expected %s, got %.*s", text, SLICE_ARG(slice_sub(buf_slice(&f->got), 0, 500)));
}

static void expect_end(struct fake *f)
{
    for (int i = 0; i < 1000 && !f->eof; i++) {
        rig_turn(f->rig);
        receive(f);
    }
    assert_true(f->eof);
}

static void say(struct fake *f, const char *text)
{
    buf_clear(&f->got);
    assert_int_equal(send(f->client, text, strlen(text), 0), strlen(text));
}

static void ask(struct fake *f, const char *text, const char *answer)
{
    say(f, text);
    expect(f, answer);
}

static void start(struct fake *f, uint32_t messages)
{
    static struct role_ops ops;
    ops = imap_role;
    ops.load = load;
    *f = (struct fake){.client = -1,
                       .got = buf_new(4u << 20),
                       .pairs = buf_new(WIRE_BLOB_MAX),
                       .seen = buf_new(WIRE_BLOB_MAX),
                       .body = "Subject: x\r\n\r\n.dot\r\n"};
    f->rig = rig_new(&ops, PEERS, yaml, NULL, handle, f);
    make_image(f, messages);
    connect_client(f);
    expect(f, "+OK mail.example.org Rockdove ready\r\n");
}

static void login(struct fake *f)
{
    ask(f, "USER jane@example.org\r\nPASS secret\r\n", "+OK Say PASS\r\n+OK Logged in, ");
}

static void finish(struct fake *f)
{
    (void)close(f->client);
    rig_for(f->rig, 30);
    rig_free(f->rig);
    (void)munmap(f->image, image_size(MANY));
    (void)close(f->image_fd);
    buf_free(&f->got);
    buf_free(&f->pairs);
    buf_free(&f->seen);
}

/* ---- the tests ---- */

static void assert_range(struct slice *pairs, uint32_t first, uint32_t last)
{
    uint32_t lo = 0, hi = 0;
    assert_true(wire_range_take(pairs, &lo, &hi));
    assert_int_equal(lo, first);
    assert_int_equal(hi, last);
}

/* One request, with the messages of the login as few ranges, those expunged before not counted. */
static void test_update(void **state)
{
    (void)state;
    struct fake f;
    start(&f, 6);
    login(&f);
    expect(&f, "Logged in, 5 messages\r\n");
    ask(&f, "STAT\r\n", "+OK 5 514\r\n"); /* 100, 102 to 105 */
    ask(&f, "UIDL\r\n", "1 7.10\r\n2 7.30\r\n3 7.40\r\n4 7.50\r\n5 7.60\r\n.\r\n");
    ask(&f, "RETR 3\r\nRETR 5\r\n", "+OK 20 octets\r\nSubject: x\r\n\r\n..dot\r\n.\r\n+OK 20 octets\r\n");
    ask(&f, "DELE 1\r\nDELE 2\r\nDELE 5\r\nSTAT\r\n", "+OK 2 207\r\n");
    ask(&f, "QUIT\r\n", "+OK 3 messages removed, bye\r\n");
    expect_end(&f);
    rig_for(f.rig, 20);
    assert_int_equal(f.expunges, 1);
    assert_int_equal(f.expunged, 3);
    struct slice pairs = buf_slice(&f.pairs), seen = buf_slice(&f.seen);
    assert_range(&pairs, 10, 30);
    assert_range(&pairs, 60, 60);
    assert_int_equal(pairs.len, 0);
    assert_range(&seen, 40, 40); /* the fifth goes: nobody sees it any more */
    assert_int_equal(seen.len, 0);
    assert_int_equal(f.unselects, 1);
    assert_int_equal(f.logouts, 1);
    finish(&f);
}

/* More islands than a packet holds: still one request, so that all go or none. */
static void test_update_of_many(void **state)
{
    (void)state;
    struct fake f;
    start(&f, MANY);
    login(&f);
    AUTO_BUF struct buf commands = buf_new(1u << 20);
    for (uint32_t number = 1; number <= MANY - 1; number += 2)
        buf_addf(&commands, "DELE %u\r\n", number);
    buf_add_str(&commands, "QUIT\r\n");
    buf_clear(&f.got);
    for (size_t at = 0; at < commands.len;) {
        ssize_t sent = send(f.client, commands.data + at, commands.len - at, MSG_DONTWAIT);
        at += sent > 0 ? (size_t)sent : 0;
        rig_turn(f.rig);
        receive(&f);
    }
    expect(&f, "+OK 10000 messages removed, bye\r\n");
    assert_int_equal(f.expunges, 1);
    assert_int_equal(f.expunged, 10000);
    finish(&f);
}

static void test_update_that_fails(void **state)
{
    (void)state;
    struct fake f;
    start(&f, 5);
    login(&f);
    f.expunge_err = ERR_LATER;
    ask(&f, "DELE 1\r\nQUIT\r\n", "-ERR [SYS/TEMP] Deleted messages were not removed\r\n");
    expect_end(&f);
    finish(&f);
    start(&f, 5);
    login(&f);
    say(&f, "DELE 1\r\nQUIT\r\n");
    f.silent = true;
    rig_for(f.rig, 30);
    rig_connect(f.rig, ROLE_STORE); /* the old one is dead */
    expect(&f, "-ERR [SYS/TEMP]");
    expect_end(&f);
    finish(&f);
}

static void test_gone_without_quit(void **state)
{
    (void)state;
    struct fake f;
    start(&f, 5);
    login(&f);
    ask(&f, "DELE 1\r\n", "+OK");
    ask(&f, "RETR 2\r\n", "\r\n.\r\n");
    (void)shutdown(f.client, SHUT_WR);
    expect_end(&f);
    rig_for(f.rig, 20);
    assert_int_equal(f.expunges + f.seen_stores, 0);
    assert_int_equal(f.unselects, 1);
    assert_int_equal(f.logouts, 1);
    finish(&f);
}

/* The use of the mailbox that store counts when it answers at last is given back. */
static void test_gone_while_the_maildrop_opens(void **state)
{
    (void)state;
    struct fake f;
    start(&f, 5);
    f.hold_select = true;
    say(&f, "USER jane@example.org\r\nPASS secret\r\n");
    expect(&f, "Say PASS");
    rig_for(f.rig, 30);
    const struct wire_sup_drain drain = {.ms = 10};
    assert_int_equal(wire_send(f.rig->supervisor, WIRE_SUP_DRAIN, &drain), ERR_OK);
    expect_end(&f);
    rig_until(f.rig, &f.rig->drained);
    assert_int_equal(f.logouts, 1);
    answer_select(&f, f.held);
    rig_for(f.rig, 30);
    assert_int_equal(f.unselects, 1);
    finish(&f);
}

static void test_bodies_that_cannot_be_had(void **state)
{
    (void)state;
    struct fake f;
    start(&f, 5);
    login(&f);
    f.body_err = ERR_ABSENT;
    f.body_code = STORE_CODE_EXPUNGEISSUED;
    ask(&f, "RETR 1\r\n", "-ERR Message is gone");
    f.body_err = ERR_LATER;
    f.body_code = STORE_CODE_NONE;
    ask(&f, "TOP 1 0\r\n", "-ERR [SYS/TEMP]");
    f.body_err = 0;
    f.body = "";
    ask(&f, "RETR 1\r\n", "+OK 0 octets\r\n.\r\n");
    f.body = "Subject: y";
    ask(&f, "TOP 1 5\r\n", "Subject: y\r\n.\r\n");
    f.body_size = 11; /* half a message must not look whole */
    ask(&f, "RETR 1\r\nNOOP\r\n", "");
    expect_end(&f);
    assert_true(slice_search(buf_slice(&f.got), SLICE(".\r\n")) < 0);
    finish(&f);
    start(&f, 5);
    login(&f);
    f.body_err = ERR_REFUSED;
    f.body_code = STORE_CODE_EXPIRED;
    ask(&f, "RETR 1\r\n", "-ERR [SYS/TEMP] The login is over");
    expect_end(&f);
    finish(&f);
}

static void test_drain(void **state)
{
    (void)state;
    struct fake f;
    start(&f, 5);
    login(&f);
    const struct wire_sup_drain drain = {.ms = 10000};
    assert_int_equal(wire_send(f.rig->supervisor, WIRE_SUP_DRAIN, &drain), ERR_OK);
    expect(&f, "-ERR [SYS/TEMP] The server is going down\r\n");
    expect_end(&f);
    rig_until(f.rig, &f.rig->drained);
    finish(&f);
}

static void test_hopeless(void **state)
{
    (void)state;
    struct fake f;
    start(&f, 5);
    for (int i = 0; i < CALLER_FAILURES; i++)
        ask(&f, "USER jane\r\nPASS wrong\r\n", "-ERR [AUTH] Authentication failed\r\n");
    expect_end(&f);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_update_of_many),
        cmocka_unit_test(test_update_that_fails),
        cmocka_unit_test(test_gone_without_quit),
        cmocka_unit_test(test_gone_while_the_maildrop_opens),
        cmocka_unit_test(test_bodies_that_cannot_be_had),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_hopeless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
