/* Links: requests, deadlines, credit, descriptors, hostile packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ipc.h"

struct side {
    struct loop *loop;
    struct ipc_link *link;
    unsigned packets, downs, drained, fds;
    bool hold;     /* never answer */
    bool refuse;   /* condemn the sender */
    unsigned more; /* extra replies per request */
    uint32_t last_type;
    size_t last_len;
};

static bool on_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct side *side = ctx;
    side->packets++;
    side->last_type = packet->type;
    side->last_len = packet->body.len;
    int fd = ipc_take_fd(packet, 0);
    if (fd >= 0) {
        side->fds++;
        (void)close(fd);
    }
    if (side->refuse)
        return false;
    for (unsigned i = 0; packet->request && !side->hold && i < side->more; i++)
        ipc_reply(link, packet->request, 9, true, packet->body, NULL, 0);
    if (packet->request && !side->hold)
        ipc_reply(link, packet->request, 9, false, packet->body, NULL, 0);
    return true;
}

static void on_down(void *ctx, struct ipc_link *link)
{
    struct side *side = ctx;
    (void)link;
    side->downs++;
}

static void on_drained(void *ctx, struct ipc_link *link)
{
    struct side *side = ctx;
    (void)link;
    side->drained++;
}

static const struct ipc_ops ops = {on_packet, on_down, NULL, on_drained};

struct pair {
    struct loop *loop;
    struct side a, b;
    struct loop_timer *limit;
};

static void on_limit(void *arg)
{
    loop_stop(arg);
}

static void pair_make(struct pair *p)
{
    int fds[2];
    memset(p, 0, sizeof *p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    p->loop = loop_new();
    p->a.loop = p->b.loop = p->loop;
    p->a.link = ipc_link_new(p->loop, "a", &ops, &p->a);
    p->b.link = ipc_link_new(p->loop, "b", &ops, &p->b);
    ipc_link_attach(p->a.link, fds[0]);
    ipc_link_attach(p->b.link, fds[1]);
    p->limit = loop_timer_new(p->loop, on_limit, p->loop);
}

static void run(struct pair *p, unsigned ms)
{
    loop_timer_set(p->limit, ms);
    loop_run(p->loop);
}

static void pair_free(struct pair *p)
{
    ipc_link_free(&p->a.link);
    ipc_link_free(&p->b.link);
    loop_timer_free(&p->limit);
    loop_free(&p->loop);
}

struct answers {
    struct loop *loop;
    unsigned count, failed, want;
    bool ended;
};

static void on_answer(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct answers *answers = ctx;
    answers->count++;
    answers->failed += err != ERR_OK;
    answers->ended = err != ERR_OK || !packet->more;
    if (answers->count == answers->want)
        loop_stop(answers->loop);
}

static void test_many_requests(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p);
    struct answers answers = {.loop = p.loop, .want = 5000};
    uint8_t body[1000];
    memset(body, 'x', sizeof body);
    for (int i = 0; i < 5000; i++)
        (void)ipc_call(p.a.link, 7, slice_make(body, sizeof body), NULL, 0, 5000, on_answer, &answers);
    assert_true(ipc_congested(p.a.link)); /* far more than the credit */
    run(&p, 5000);
    assert_int_equal(answers.count, 5000);
    assert_int_equal(answers.failed, 0);
    assert_int_equal(p.b.packets, 5000);
    assert_int_equal(p.a.drained, 1);
    assert_int_equal(ipc_link_pending(p.a.link), 0);
    pair_free(&p);
}

static void test_deadline_and_cancel(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p);
    p.b.hold = true;
    struct answers answers = {.loop = p.loop, .want = 1}, cancelled = {.loop = p.loop};
    (void)ipc_call(p.a.link, 7, SLICE("x"), NULL, 0, 50, on_answer, &answers);
    uint32_t id = ipc_call(p.a.link, 7, SLICE("x"), NULL, 0, 50, on_answer, &cancelled);
    ipc_cancel(p.a.link, id);
    run(&p, 2000);
    assert_int_equal(answers.failed, 1);
    assert_int_equal(cancelled.count, 0);
    pair_free(&p);
}

static void test_peer_dies(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p);
    p.b.hold = true;
    struct answers answers = {.loop = p.loop, .want = 3};
    for (int i = 0; i < 2; i++)
        (void)ipc_call(p.a.link, 7, SLICE("x"), NULL, 0, 60000, on_answer, &answers);
    ipc_link_close(p.b.link);
    run(&p, 200);
    assert_int_equal(answers.failed, 2);
    assert_int_equal(p.a.downs, 1);
    assert_false(ipc_link_is_up(p.a.link));
    /* A call on a link that is down fails too, but not from inside the call. */
    (void)ipc_call(p.a.link, 7, SLICE("x"), NULL, 0, 60000, on_answer, &answers);
    assert_int_equal(answers.failed, 2);
    run(&p, 2000);
    assert_int_equal(answers.failed, 3);
    pair_free(&p);
}

static void test_more_replies(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p);
    p.b.more = 3;
    struct answers answers = {.loop = p.loop, .want = 4};
    (void)ipc_call(p.a.link, 7, SLICE("x"), NULL, 0, 5000, on_answer, &answers);
    run(&p, 2000);
    assert_int_equal(answers.count, 4);
    assert_true(answers.ended);
    pair_free(&p);
}

static void test_descriptors_are_bounded(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p);
    int fd = memfd_create("x", MFD_CLOEXEC);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ipc_send(p.a.link, 5, SLICE("f"), &fd, 1), ERR_OK);
    run(&p, 300);
    assert_int_equal(p.b.fds, 1000);
    (void)close(fd);
    pair_free(&p);
}

static void test_refusal_closes(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p);
    p.b.refuse = true;
    assert_int_equal(ipc_send(p.a.link, 5, SLICE("bad"), NULL, 0), ERR_OK);
    assert_int_equal(ipc_send(p.a.link, 5, SLICE("never seen"), NULL, 0), ERR_OK);
    run(&p, 100);
    assert_int_equal(p.b.packets, 1);
    assert_int_equal(p.b.downs, 1);
    assert_int_equal(p.a.downs, 1);
    pair_free(&p);
}

/* What a hijacked peer may write on the bare socket: each closes the link, none is handed on. */
static void test_hostile_packets(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},
        {"short", 5},
        {"\7\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0four", 20}, /* length does not fit */
        {"\7\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 16},     /* credit for what was never sent */
        {"\7\0\0\0\0\0\0\0\0\0\377\377\0\0\0\0", 16}, /* the same with descriptors */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pair p;
        int fds[2];
        pair_make(&p);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        ipc_link_attach(p.b.link, fds[1]);
        unsigned before = p.b.downs;
        assert_int_equal(send(fds[0], rows[i].bytes, rows[i].len, 0), rows[i].len);
        if (rows[i].len == 0)
            (void)close(fds[0]);
        run(&p, 50);
        assert_int_equal(p.b.packets, 0);
        assert_int_equal(p.b.downs, before + 1);
        if (rows[i].len)
            (void)close(fds[0]);
        pair_free(&p);
    }
}

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static unsigned order[100], order_count;

static void work_order(void *arg)
{
    order[order_count++] = (unsigned)(uintptr_t)arg;
}

static void test_strand_keeps_order(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct loop_pool *pool = loop_pool_new(loop, "test", 4);
    struct loop_strand *strand = loop_strand_new(pool);
    struct loop_timer *limit = loop_timer_new(loop, on_limit, loop);
    unsigned done = 0, others[50] = {0};
    for (uintptr_t i = 0; i < 100; i++)
        loop_strand_run(strand, work_order, NULL, (void *)i);
    for (int i = 0; i < 50; i++)
        loop_pool_run(pool, count, NULL, &others[i]);
    loop_strand_run(strand, count, count, &done);
    loop_timer_set(limit, 300);
    loop_run(loop);
    assert_int_equal(order_count, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(done, 2);
    assert_int_equal(loop_strand_pending(strand), 0);
    assert_int_equal(loop_pool_pending(pool), 0);
    loop_strand_free(&strand);
    loop_pool_free(&pool);
    loop_timer_free(&limit);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_requests),
        cmocka_unit_test(test_deadline_and_cancel),
        cmocka_unit_test(test_peer_dies),
        cmocka_unit_test(test_more_replies),
        cmocka_unit_test(test_descriptors_are_bounded),
        cmocka_unit_test(test_refusal_closes),
        cmocka_unit_test(test_hostile_packets),
        cmocka_unit_test(test_strand_keeps_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
