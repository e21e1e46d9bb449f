/* The scan role, whole: tasks small and large, facts in packets and in memfds, a store that comes back,
 * draining. */
#include "../role_rig.h"

#include "scan/scan.h"
#include "wire/facts.h"

#define PEERS (1u << ROLE_STORE)
#define TASKS 8

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: imap, service: imap, address: \"127.0.0.1:2143\", tls: none }\n";

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)rig;
    (void)self;
    (void)link;
    (void)packet;
    return true;
}

struct reply {
    bool done;
    enum err err; /* of the call */
    struct wire_scan_facts message;
    struct slice facts; /* in the rig's arena */
    bool by_memfd;
    struct rig *rig;
};

static void on_facts(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct reply *reply = ctx;
    reply->done = true;
    reply->err = wire_answer(err, packet, WIRE_SCAN_FACTS, &reply->message);
    if (reply->err)
        return;
    reply->facts = arena_dup(reply->rig->arena, reply->message.facts);
    AUTO_FD int fd = ipc_take_fd(packet, 0);
    reply->by_memfd = fd >= 0;
    if (!reply->by_memfd)
        return;
    assert_true(io_is_sealed(fd));
    assert_int_equal(io_read_all_in(reply->rig->arena, fd, FACTS_MAX_ENCODED, &reply->facts, NULL), ERR_OK);
}

static void ask(struct rig *rig, uint32_t kind, struct slice message, uint64_t size, struct reply *reply)
{
    int fd = rig_memfd(message);
    const struct wire_scan_task task = {.kind = kind, .size = size, .hostname = SLICE("mail.example.org")};
    *reply = (struct reply){.rig = rig};
    (void)wire_call_fds(rig->peers[ROLE_STORE], WIRE_SCAN_TASK, &task, &fd, 1, RIG_PATIENCE_MS, on_facts,
                        reply);
    (void)close(fd);
}

static void make_message(struct buf *message, size_t size)
{
    buf_add_str(message, "X-Spam: yes\r\nSubject: x\r\n\r\n");
    while (message->len < size)
        buf_add_str(message, "a line of text\r\n");
}

static void check_reply(struct rig *rig, struct reply *reply, uint64_t received, bool by_memfd)
{
    struct facts facts;
    rig_until(rig, &reply->done);
    assert_int_equal(reply->err, ERR_OK);
    assert_int_equal(reply->message.err, ERR_OK);
    assert_int_equal(reply->by_memfd, by_memfd);
    assert_int_equal(facts_decode_in(rig->arena, reply->facts, &facts, NULL), ERR_OK);
    assert_int_equal(facts_check(&facts, received, NULL), ERR_OK);
    assert_int_equal(facts.size, received - 13);
}

/* All at once, so that small ones overtake large ones and several threads work. */
static void test_tasks(void **state)
{
    (void)state;
    static const size_t sizes[TASKS] = {1000, 70000, 5000000, 100, 40000, 66000, 3000000, 1000};
    struct reply replies[TASKS];
    size_t received[TASKS];
    struct rig *rig = rig_new(&scan_role, PEERS, yaml, NULL, handle, NULL);
    for (size_t i = 0; i < TASKS; i++) {
        AUTO_BUF struct buf message = buf_new(6000000);
        make_message(&message, sizes[i]);
        received[i] = message.len;
        ask(rig, BODY_MX, buf_slice(&message), message.len, &replies[i]);
    }
    for (size_t i = 0; i < TASKS; i++)
        check_reply(rig, &replies[i], received[i], sizes[i] > WIRE_BLOB_MAX);
    rig_free(rig);
}

/* The message is shorter than store said: an answer, and work goes on. */
static void test_failure(void **state)
{
    (void)state;
    struct reply reply;
    struct rig *rig = rig_new(&scan_role, PEERS, yaml, NULL, handle, NULL);
    ask(rig, BODY_MX, SLICE("Subject: x\r\n\r\n"), 100, &reply);
    rig_until(rig, &reply.done);
    assert_int_equal(reply.err, ERR_OK);
    assert_int_equal(reply.message.err, ERR_BAD);
    AUTO_BUF struct buf message = buf_new(10000);
    make_message(&message, 100);
    ask(rig, BODY_MX, buf_slice(&message), message.len, &reply);
    check_reply(rig, &reply, message.len, false);
    rig_free(rig);
}

/* Answers for a store that went away are not given to the one that came back, which counts its requests anew.
 */
static void test_store_restarts(void **state)
{
    (void)state;
    struct reply old, new;
    AUTO_BUF struct buf large = buf_new(9000000), larger = buf_new(17000000);
    struct rig *rig = rig_new(&scan_role, PEERS, yaml, NULL, handle, NULL);
    make_message(&large, 8000000);
    make_message(&larger, 16000000);
    ask(rig, BODY_MX, buf_slice(&large), large.len, &old);
    rig_turn(rig);
    ipc_link_free(&rig->peers[ROLE_STORE]);
    rig->peers[ROLE_STORE] = ipc_link_new(rig->loop, role_name(ROLE_STORE), &rig_peer_ops, rig);
    rig_connect(rig, ROLE_STORE);
    ask(rig, BODY_MX, buf_slice(&larger), larger.len, &new);
    check_reply(rig, &new, larger.len, true);
    rig_free(rig);
}

static void test_drain(void **state)
{
    (void)state;
    struct reply reply;
    AUTO_BUF struct buf large = buf_new(9000000);
    const struct wire_sup_drain drain = {.ms = 5000};
    struct rig *rig = rig_new(&scan_role, PEERS, yaml, NULL, handle, NULL);
    make_message(&large, 8000000);
    ask(rig, BODY_MX, buf_slice(&large), large.len, &reply);
    rig_turn(rig);
    assert_int_equal(wire_send(rig->supervisor, WIRE_SUP_DRAIN, &drain), ERR_OK);
    check_reply(rig, &reply, large.len, true);
    rig_until(rig, &rig->drained);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_store_restarts),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
