/* Queued messages on their way out: as they are, in 7-bit form, with a scan that misbehaves; what queue is
 * told of a body that is to be signed. */
#include "../role_rig.h"

#include "store/store.h"
#include "wire/facts.h"

#define PEERS   (1u << ROLE_SCAN | 1u << ROLE_AUTH | 1u << ROLE_QUEUE | 1u << ROLE_SMTP | 1u << ROLE_IMAP)
#define MESSAGE "From: a@b\r\n\r\nhello\r\n"
#define HEADER  13
#define ADDED   "Date: now\r\n"
#define HASH    "0123456789abcdef0123456789abcdef"

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                           "free_space_reserve: 0\n";

/* How scan answers a request for the 7-bit form. */
enum scan_way {
    SCAN_WELL,
    SCAN_REFUSES,
    SCAN_FAILS,
    SCAN_UNSEALED,
    SCAN_NO_FD,
    SCAN_TOO_LONG,
    SCAN_BINARY_TEXT
};

struct test {
    enum scan_way way;
    unsigned conversions;
};

static void send_facts(struct ipc_link *link, const struct ipc_packet *packet,
                       const struct wire_scan_task *task)
{
    struct facts_part parts[2] = {{.kind = FACTS_MESSAGE,
                                   .type = SLICE("message"),
                                   .subtype = SLICE("rfc822"),
                                   .body_len = task->size + sizeof ADDED - 1,
                                   .inner_header_len = HEADER + sizeof ADDED - 1},
                                  {.number = 1,
                                   .type = SLICE("text"),
                                   .subtype = SLICE("plain"),
                                   .header_len = HEADER + sizeof ADDED - 1,
                                   .body_off = HEADER + sizeof ADDED - 1,
                                   .body_len = task->size - HEADER}};
    const struct facts facts = {.flags = FACTS_TEXT_COMPLETE | FACTS_PARTS_COMPLETE,
                                .size = task->size + sizeof ADDED - 1,
                                .header_len = HEADER + sizeof ADDED - 1,
                                .sent = FACTS_NO_DATE,
                                .envelope = SLICE("(NIL)"),
                                .body = SLICE("(NIL)"),
                                .bodystructure = SLICE("(NIL)"),
                                .parts = parts,
                                .part_count = 2,
                                .added = SLICE(ADDED)};
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED);
    facts_encode(&facts, &encoded);
    const struct wire_scan_facts reply = {.eightbit = 1,
                                          .utf8_header = 1,
                                          .facts = buf_slice(&encoded),
                                          .dkim_hash = SLICE(HASH),
                                          .dkim_names = SLICE("from:from"),
                                          .dkim_fields = SLICE("from:a@b\r\n")};
    wire_reply(link, packet->request, WIRE_SCAN_FACTS, false, &reply);
}

static void send_converted(struct test *t, struct ipc_link *link, const struct ipc_packet *packet)
{
    static const struct {
        enum err err;
        const char *text;
    } answers[] = {[SCAN_REFUSES] = {ERR_REFUSED, "would break a signature"},
                   [SCAN_FAILS] = {ERR_INTERNAL, "broken"},
                   [SCAN_BINARY_TEXT] = {ERR_REFUSED, "\x01\r\n"},
                   [SCAN_TOO_LONG] = {ERR_OK, ""}};
    struct wire_scan_facts reply = {.err = answers[t->way].err,
                                    .header_len = t->way == SCAN_TOO_LONG ? 1000 : 9,
                                    .dkim_hash = SLICE(HASH),
                                    .dkim_names = SLICE("from:from"),
                                    .dkim_fields = SLICE("from:7bit\r\n"),
                                    .text = slice_of(answers[t->way].text ? answers[t->way].text : "")};
    int fd = -1;
    t->conversions++;
    assert_int_equal(io_memfd("converted", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, SLICE("From: c\r\n\r\n7bit\r\n"), NULL), ERR_OK);
    if (t->way != SCAN_UNSEALED)
        assert_int_equal(io_seal(fd, NULL), ERR_OK);
    bool has_fd = !reply.err && t->way != SCAN_NO_FD;
    wire_reply_fds(link, packet->request, WIRE_SCAN_FACTS, false, &reply, &fd, has_fd);
    (void)close(fd);
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_scan_task task;
    if (self != ROLE_SCAN || packet->type != WIRE_SCAN_TASK)
        return true;
    assert_int_equal(wire_decode(WIRE_SCAN_TASK, packet->body, &task), ERR_OK);
    if (task.kind == BODY_SEVEN_BIT)
        send_converted(rig->test, link, packet);
    else
        send_facts(link, packet, &task);
    return true;
}

static void send_body(struct rig *rig, uint64_t number)
{
    const struct wire_body_chunk m = {
        .body = number, .flags = BODY_FIRST | BODY_LAST, .kind = BODY_SUBMISSION, .data = SLICE(MESSAGE)};
    struct rig_answer a;
    struct wire_body_done done;
    rig_ask(rig, ROLE_SMTP, WIRE_BODY_CHUNK, &m, &a);
    rig_get(rig, &a, WIRE_BODY_DONE, &done);
    assert_int_equal(done.err, ERR_OK);
}

static void put(struct rig *rig, uint64_t number, const char *id)
{
    const struct wire_queue_file m = {.queue_id = slice_of(id), .body = number};
    struct rig_answer a;
    struct wire_result result;
    rig_ask(rig, ROLE_QUEUE, WIRE_QUEUE_FILE_PUT, &m, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_OK);
}

struct opened {
    struct rig *rig;
    bool done;
    struct wire_queue_file_fd m;
    struct slice content, names, fields;
    bool writable;
};

static void on_fd(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct opened *o = ctx;
    assert_int_equal(wire_answer(err, packet, WIRE_QUEUE_FILE_FD, &o->m), ERR_OK);
    AUTO_FD int fd = ipc_take_fd(packet, 0);
    o->done = true;
    assert_int_equal(fd >= 0, o->m.err == ERR_OK);
    o->names = arena_dup(o->rig->arena, o->m.dkim_names);
    o->fields = arena_dup(o->rig->arena, o->m.dkim_fields);
    o->m.text = arena_dup(o->rig->arena, o->m.text);
    if (fd < 0)
        return;
    assert_int_equal(io_read_all_in(o->rig->arena, fd, 10000, &o->content, NULL), ERR_OK);
    o->content = slice_sub(o->content, 0, o->m.size); /* behind it stands what scan found */
    o->writable = write(fd, "x", 1) == 1;
}

static struct opened open_file(struct rig *rig, const char *id, bool seven_bit)
{
    const struct wire_queue_file_open m = {.queue_id = slice_of(id), .seven_bit = seven_bit};
    struct opened o = {.rig = rig};
    (void)wire_call(rig->peers[ROLE_QUEUE], WIRE_QUEUE_FILE_OPEN, &m, RIG_PATIENCE_MS, on_fd, &o);
    rig_until(rig, &o.done);
    return o;
}

static struct rig *start(struct test *t)
{
    const struct wire_grant_replayed m = {.count = 1};
    *t = (struct test){0};
    struct rig *rig = rig_new(&store_role, PEERS, yaml, NULL, handle, t);
    rig_tell(rig, ROLE_AUTH, WIRE_GRANT_REPLAYED, &m);
    rig_for(rig, 10);
    return rig;
}

static void test_facts(void **state)
{
    (void)state;
    struct test t;
    struct rig_answer a;
    struct wire_body_facts facts;
    const struct wire_body_info m = {.body = 1};
    struct rig *rig = start(&t);
    send_body(rig, 1);
    rig_ask(rig, ROLE_QUEUE, WIRE_BODY_INFO, &m, &a);
    rig_get(rig, &a, WIRE_BODY_FACTS, &facts);
    assert_int_equal(facts.err, ERR_OK);
    assert_true(facts.eightbit && facts.utf8_header);
    assert_true(slice_eq(facts.dkim_hash, SLICE(HASH)) && slice_eq(facts.dkim_names, SLICE("from:from")) &&
                slice_eq(facts.dkim_fields, SLICE("from:a@b\r\n")));
    rig_free(rig);
}

static void test_open(void **state)
{
    (void)state;
    struct test t;
    struct rig *rig = start(&t);
    send_body(rig, 1);
    put(rig, 1, "q1");
    struct opened o = open_file(rig, "q1", false);
    assert_int_equal(o.m.err, ERR_OK);
    assert_true(slice_eq(slice_sub(o.content, 0, o.m.size), SLICE(ADDED MESSAGE)));
    assert_int_equal(o.m.size, sizeof ADDED MESSAGE - 1);
    assert_int_equal(o.m.header_len, HEADER + sizeof ADDED - 1);
    assert_true(o.names.len == 0 && !o.writable && t.conversions == 0);
    o = open_file(rig, "q1", true);
    assert_int_equal(o.m.err, ERR_OK);
    assert_true(slice_eq(o.content, SLICE("From: c\r\n\r\n7bit\r\n")) && !o.writable);
    assert_int_equal(o.m.size, o.content.len);
    assert_int_equal(o.m.header_len, 9);
    assert_true(slice_eq(o.names, SLICE("from:from")) && slice_eq(o.fields, SLICE("from:7bit\r\n")));
    assert_int_equal(open_file(rig, "gone", false).m.err, ERR_ABSENT);
    assert_int_equal(open_file(rig, "gone", true).m.err, ERR_ABSENT);
    assert_int_equal(t.conversions, 1);
    rig_free(rig);
}

static void test_scan_misbehaves(void **state)
{
    static const struct {
        enum scan_way way;
        enum err err;
        const char *text;
    } rows[] = {
        {SCAN_REFUSES, ERR_REFUSED, "would break a signature"},
        {SCAN_BINARY_TEXT, ERR_REFUSED, ""},
        {SCAN_FAILS, ERR_LATER, "broken"},
        {SCAN_UNSEALED, ERR_LATER, NULL},
        {SCAN_NO_FD, ERR_LATER, NULL},
        {SCAN_TOO_LONG, ERR_LATER, NULL},
    };
    (void)state;
    struct test t;
    struct rig *rig = start(&t);
    send_body(rig, 1);
    put(rig, 1, "q1");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        t.way = rows[i].way;
        struct opened o = open_file(rig, "q1", true);
        assert_int_equal(o.m.err, rows[i].err);
        assert_true(o.m.size == 0 && o.fields.len == 0);
        if (rows[i].text)
            assert_true(slice_eq(o.m.text, slice_of(rows[i].text)));
    }
    rig_free(rig);
}

/* A file that was cut off, or is gone, is not sent. */
static void test_damaged(void **state)
{
    (void)state;
    struct test t;
    struct rig *rig = start(&t);
    for (uint64_t i = 1; i <= 3; i++)
        send_body(rig, i);
    put(rig, 1, "q1");
    put(rig, 2, "q2");
    put(rig, 3, "q3");
    assert_int_equal(truncate("queue/q1.eml", 5), 0);
    struct stat st;
    assert_int_equal(stat("queue/q2.eml", &st), 0);
    assert_int_equal(truncate("queue/q2.eml", st.st_size - 1), 0);
    assert_int_equal(unlink("queue/q3.eml"), 0);
    assert_int_equal(open_file(rig, "q1", false).m.err, ERR_LATER);
    assert_int_equal(open_file(rig, "q2", false).m.err, ERR_LATER);
    assert_int_equal(open_file(rig, "q3", false).m.err, ERR_ABSENT);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_scan_misbehaves),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
