/* test_stream.c: streams over socketpairs: bounds, order, pauses, ends, TLS. */
#include "net_test.h"

#include <sys/mman.h>
#include <time.h>

#include "base/io.h"

struct seen {
    struct loop *loop;
    struct stream *stream;
    int peer;
    struct buf got;
    size_t consume_max; /* per call of readable; SIZE_MAX: all */
    bool readable, ended, secured, writable;
    unsigned writables;
    enum stream_end end;
    bool free_on_read, finish_on_read;
};

static void on_readable(void *ctx, struct stream *stream)
{
    struct seen *seen = ctx;
    struct slice in = slice_sub(stream_input(stream), 0, seen->consume_max);
    seen->readable = true;
    buf_add(&seen->got, in);
    stream_consume(stream, in.len);
    if (seen->free_on_read)
        stream_free(&seen->stream);
    if (seen->finish_on_read) {
        stream_write(stream, SLICE("bye\r\n"));
        stream_finish(&seen->stream);
    }
}

static void on_writable(void *ctx, struct stream *stream)
{
    struct seen *seen = ctx;
    (void)stream;
    seen->writable = true;
    seen->writables++;
}

static void on_secured(void *ctx, struct stream *stream)
{
    struct seen *seen = ctx;
    (void)stream;
    seen->secured = true;
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct seen *seen = ctx;
    (void)stream;
    seen->ended = true;
    seen->end = end;
}

static const struct stream_ops ops = {on_readable, on_writable, on_secured, on_ended};

static void open_pair(struct seen *seen)
{
    int fds[2];
    const struct netaddr peer = netaddr_v4((const uint8_t[]){192, 0, 2, 1}, 4711);
    *seen = (struct seen){.got = buf_new(64u << 20), .consume_max = SIZE_MAX};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    seen->loop = loop_new();
    seen->peer = fds[1];
    seen->stream = stream_new(seen->loop, fds[0], &peer, &ops, seen);
}

static void close_pair(struct seen *seen)
{
    stream_free(&seen->stream);
    if (seen->peer >= 0)
        (void)close(seen->peer);
    run_for(seen->loop, 1);
    loop_free(&seen->loop);
    buf_free(&seen->got);
}

static void send_text(struct seen *seen, const char *text)
{
    assert_int_equal(write(seen->peer, text, strlen(text)), strlen(text));
}

static size_t read_peer(struct seen *seen, struct buf *into)
{
    size_t total = 0;
    for (;;) {
        uint8_t *at = buf_reserve(into, 65536);
        ssize_t got = at ? read(seen->peer, at, 65536) : -1;
        if (got <= 0)
            return total;
        buf_added(into, (size_t)got);
        total += (size_t)got;
    }
}

static void test_echo_and_address(void **state)
{
    (void)state;
    struct seen seen;
    open_pair(&seen);
    assert_true(stream_was_silent(seen.stream));
    send_text(&seen, "hello");
    run_until(seen.loop, &seen.readable);
    assert_true(slice_eq(buf_slice(&seen.got), SLICE("hello")));
    assert_string_equal(netaddr_text(stream_client(seen.stream)).text, "192.0.2.1");
    assert_false(stream_was_silent(seen.stream));
    stream_write(seen.stream, SLICE("one "));
    stream_write(seen.stream, SLICE("two"));
    assert_int_equal(stream_pending(seen.stream), 7); /* nothing is written before the end of the turn */
    run_until(seen.loop, &seen.writable);
    AUTO_BUF struct buf back = buf_new(1 << 20);
    assert_int_equal(read_peer(&seen, &back), 7);
    assert_true(slice_eq(buf_slice(&back), SLICE("one two")));
    close_pair(&seen);
}

static void test_ends(void **state)
{
    (void)state;
    struct seen seen;
    open_pair(&seen);
    send_text(&seen, "last words");
    assert_int_equal(shutdown(seen.peer, SHUT_WR), 0);
    run_until(seen.loop, &seen.ended);
    assert_int_equal(seen.end, STREAM_EOF);
    assert_true(slice_eq(buf_slice(&seen.got), SLICE("last words")));
    /* the peer closed only its half: we can still answer */
    stream_write(seen.stream, SLICE("answer"));
    stream_finish(&seen.stream);
    run_for(seen.loop, 10);
    AUTO_BUF struct buf back = buf_new(1 << 20);
    assert_int_equal(read_peer(&seen, &back), 6);
    close_pair(&seen);

    open_pair(&seen);
    (void)close(seen.peer);
    seen.peer = -1;
    stream_write(seen.stream, SLICE("into the void"));
    run_until(seen.loop, &seen.ended);
    close_pair(&seen);

    open_pair(&seen);
    stream_set_timeout(seen.stream, 30);
    run_until(seen.loop, &seen.ended);
    assert_int_equal(seen.end, STREAM_TIMEOUT);
    close_pair(&seen);

    open_pair(&seen);
    stream_set_deadline(seen.stream, 60);
    for (int i = 0; i < 200 && !seen.ended; i++) {
        send_text(&seen, "x"); /* a byte now and then does not help */
        run_for(seen.loop, 5);
    }
    assert_true(seen.ended && seen.end == STREAM_TIMEOUT);
    close_pair(&seen);
}

static void test_timeout_moves_on(void **state)
{
    (void)state;
    struct seen seen;
    open_pair(&seen);
    stream_set_timeout(seen.stream, 150);
    for (int i = 0; i < 8; i++) {
        send_text(&seen, "x");
        run_for(seen.loop, 50);
    }
    assert_false(seen.ended);
    run_for(seen.loop, 250);
    assert_true(seen.ended);
    close_pair(&seen);
}

static void test_input_is_bounded(void **state)
{
    (void)state;
    struct seen seen;
    static char block[200000];
    open_pair(&seen);
    seen.consume_max = 0;
    stream_set_input_max(seen.stream, 10000);
    memset(block, 'a', sizeof block);
    ssize_t sent = write(seen.peer, block, sizeof block);
    assert_true(sent > 20000);
    run_for(seen.loop, 30);
    assert_int_equal(stream_input(seen.stream).len, 10000);
    seen.consume_max = SIZE_MAX;
    seen.readable = false;
    stream_consume(seen.stream, 1);
    run_for(seen.loop, 50);
    assert_int_equal((ssize_t)seen.got.len, sent - 1);
    close_pair(&seen);
}

static void test_pause(void **state)
{
    (void)state;
    struct seen seen;
    open_pair(&seen);
    stream_pause(seen.stream);
    send_text(&seen, "later");
    assert_int_equal(shutdown(seen.peer, SHUT_WR), 0);
    run_for(seen.loop, 10);
    assert_false(seen.readable);
    assert_false(seen.ended);
    stream_resume(seen.stream);
    run_until(seen.loop, &seen.ended);
    assert_true(slice_eq(buf_slice(&seen.got), SLICE("later")));
    close_pair(&seen);
}

static void test_slow_reader(void **state)
{
    (void)state;
    struct seen seen;
    static char block[100000];
    open_pair(&seen);
    memset(block, 'b', sizeof block);
    size_t total = 0;
    while (!stream_is_full(seen.stream) || total < 2000000) {
        stream_write(seen.stream, slice_make(block, sizeof block));
        total += sizeof block;
    }
    run_for(seen.loop, 10);
    assert_true(stream_is_full(seen.stream));
    AUTO_BUF struct buf back = buf_new(64u << 20);
    for (int i = 0; i < 1000 && back.len < total; i++) {
        (void)read_peer(&seen, &back);
        run_for(seen.loop, 1);
    }
    assert_int_equal(back.len, total);
    assert_true(seen.writable);
    assert_int_equal(stream_pending(seen.stream), 0);

    /* past the maximum the stream fails instead of growing */
    for (int i = 0; i < 100; i++)
        stream_write(seen.stream, slice_make(block, sizeof block));
    run_until(seen.loop, &seen.ended);
    assert_int_equal(seen.end, STREAM_RESET);
    close_pair(&seen);
}

static int make_file(uint8_t byte, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    static uint8_t block[1 << 20];
    assert_true(fd >= 0 && len <= sizeof block);
    memset(block, byte, len);
    assert_int_equal(pwrite(fd, block, len, 0), len);
    return fd;
}

static void test_files_keep_order(void **state)
{
    (void)state;
    struct seen seen;
    open_pair(&seen);
    stream_write(seen.stream, SLICE("<"));
    stream_write_file(seen.stream, make_file('s', 1000), 10, 5);
    stream_write(seen.stream, SLICE("|"));
    stream_write_file(seen.stream, make_file('L', 500000), 100, 300000);
    stream_write(seen.stream, SLICE("|"));
    stream_write_file(seen.stream, make_file('t', 70000), 0, 70000);
    stream_write_file(seen.stream, make_file('u', 10), 0, 0);
    stream_write(seen.stream, SLICE(">"));
    assert_int_equal(stream_pending(seen.stream), 1 + 5 + 1 + 300000 + 1 + 70000 + 1);
    AUTO_BUF struct buf back = buf_new(64u << 20);
    for (int i = 0; i < 200 && back.len < 370009; i++) {
        run_for(seen.loop, 1);
        (void)read_peer(&seen, &back);
    }
    assert_int_equal(back.len, 370009);
    assert_memory_equal(back.data, "<sssss|LLL", 10);
    assert_int_equal(back.data[7 + 299999], 'L');
    assert_memory_equal(back.data + 7 + 300000, "|ttt", 4);
    assert_memory_equal(back.data + back.len - 3, "tt>", 3);
    /* a file that is shorter than promised cannot be made good */
    stream_write_file(seen.stream, make_file('x', 100), 0, 50000);
    run_until(seen.loop, &seen.ended);
    close_pair(&seen);
}

static void test_free_and_finish_in_callback(void **state)
{
    (void)state;
    struct seen seen;
    open_pair(&seen);
    seen.free_on_read = true;
    send_text(&seen, "x");
    run_until(seen.loop, &seen.readable);
    assert_null(seen.stream);
    char c;
    assert_int_equal(read(seen.peer, &c, 1), 0);
    close_pair(&seen);

    open_pair(&seen);
    seen.finish_on_read = true;
    send_text(&seen, "x");
    run_until(seen.loop, &seen.readable);
    AUTO_BUF struct buf back = buf_new(1 << 20);
    (void)read_peer(&seen, &back);
    assert_true(slice_eq(buf_slice(&back), SLICE("bye\r\n")));
    assert_false(seen.ended);
    close_pair(&seen);
}

/* Both ends see the same of the channel. */
static void check_bindings(const struct seen *seen, const struct test_client *client)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    uint8_t ours[STREAM_BINDING_MAX], theirs[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    assert_int_equal(stream_binding(seen->stream, STREAM_BINDING_EXPORTER, ours), 32);
    assert_int_equal(SSL_export_keying_material(client->ssl, theirs, 32, label, sizeof label - 1, NULL, 0, 1),
                     1);
    assert_memory_equal(ours, theirs, 32);
    X509 *cert = SSL_get1_peer_certificate(client->ssl);
    assert_int_equal(X509_digest(cert, EVP_sha256(), theirs, &len), 1);
    X509_free(cert);
    assert_int_equal(stream_binding(seen->stream, STREAM_BINDING_END_POINT, ours), len);
    assert_memory_equal(ours, theirs, len);
    assert_int_equal(stream_binding(seen->stream, STREAM_BINDING_UNIQUE, ours), 0); /* none in TLS 1.3 */
}

static void test_starttls(void **state)
{
    (void)state;
    struct seen seen;
    struct pem pem = make_cert("mail.example.test");
    struct tls_context *context = make_context(&pem, 1);
    open_pair(&seen);
    /* bytes in the clear behind STARTTLS are refused */
    seen.consume_max = 0;
    send_text(&seen, "RCPT TO");
    run_until(seen.loop, &seen.readable);
    assert_false(stream_start_tls(seen.stream, context));
    stream_consume(seen.stream, 7);
    seen.consume_max = SIZE_MAX;
    stream_write(seen.stream, SLICE("220 go\r\n"));
    assert_true(stream_start_tls(seen.stream, context));
    run_for(seen.loop, 5);
    AUTO_BUF struct buf clear = buf_new(1 << 20);
    (void)read_peer(&seen, &clear);
    assert_true(slice_eq(buf_slice(&clear), SLICE("220 go\r\n")));
    struct test_client client = test_client_new(seen.peer, "mail.example.test", NULL);
    test_client_connect(seen.loop, &client);
    run_until(seen.loop, &seen.secured);
    assert_true(stream_is_tls(seen.stream));
    assert_true(slice_starts(stream_tls_text(seen.stream), SLICE("TLSv1.3 TLS_")));
    check_bindings(&seen, &client);
    seen.readable = false;
    static char block[150000];
    memset(block, 'q', sizeof block);
    size_t sent = 0;
    for (int i = 0; i < 1000 && sent < sizeof block; i++) {
        int put = SSL_write(client.ssl, block + sent, (int)(sizeof block - sent));
        if (put > 0)
            sent += (size_t)put;
        run_for(seen.loop, 1);
    }
    run_for(seen.loop, 20);
    assert_int_equal(seen.got.len, sizeof block);
    for (int i = 0; i < 3; i++)
        stream_write(seen.stream, slice_make(block, sizeof block));
    size_t back = 0;
    for (int i = 0; i < 1000 && back < 3 * sizeof block; i++) {
        int got;
        while ((got = SSL_read(client.ssl, block, sizeof block)) > 0)
            back += (size_t)got;
        run_for(seen.loop, 1);
    }
    assert_int_equal(back, 3 * sizeof block);
    SSL_SESSION *session = SSL_get1_session(client.ssl);
    assert_true(SSL_SESSION_is_resumable(session));
    (void)SSL_shutdown(client.ssl);
    run_until(seen.loop, &seen.ended);
    assert_int_equal(seen.end, STREAM_EOF);
    test_client_free(&client);
    close_pair(&seen);

    /* the ticket is good for another connection */
    open_pair(&seen);
    stream_begin_tls(seen.stream, context, 1000);
    client = test_client_new(seen.peer, "mail.example.test", session);
    test_client_connect(seen.loop, &client);
    assert_true(SSL_session_reused(client.ssl));
    run_until(seen.loop, &seen.secured);
    /* gone without close_notify */
    test_client_free(&client);
    (void)close(seen.peer);
    seen.peer = -1;
    run_until(seen.loop, &seen.ended);
    assert_true(seen.end == STREAM_EOF || seen.end == STREAM_RESET);
    close_pair(&seen);
    SSL_SESSION_free(session);
    tls_context_free(&context);
    free_cert(&pem);
}

static void test_tls_input_bound(void **state)
{
    (void)state;
    struct seen seen;
    struct pem pem = make_cert("a.test");
    struct tls_context *context = make_context(&pem, 1);
    open_pair(&seen);
    stream_begin_tls(seen.stream, context, 1000);
    struct test_client client = test_client_new(seen.peer, NULL, NULL);
    test_client_connect(seen.loop, &client);
    seen.consume_max = 0;
    stream_set_input_max(seen.stream, 4000);
    static char block[16000];
    assert_int_equal(SSL_write(client.ssl, block, sizeof block), sizeof block);
    run_for(seen.loop, 20);
    assert_int_equal(stream_input(seen.stream).len, 4000);
    /* the rest is inside the TLS layer: no event of the socket tells of it */
    seen.consume_max = SIZE_MAX;
    stream_consume(seen.stream, 4000);
    run_for(seen.loop, 20);
    assert_int_equal(seen.got.len, 12000);
    test_client_free(&client);
    close_pair(&seen);
    tls_context_free(&context);
    free_cert(&pem);
}

static uint64_t cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Half a record must not keep the loop busy until the other half comes. */
static void test_tls_half_a_record(void **state)
{
    (void)state;
    struct seen seen;
    struct pem pem = make_cert("a.test");
    struct tls_context *context = make_context(&pem, 1);
    open_pair(&seen);
    stream_begin_tls(seen.stream, context, 1000);
    struct test_client client = test_client_new(seen.peer, NULL, NULL);
    test_client_connect(seen.loop, &client);
    run_for(seen.loop, 10);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set0_wbio(client.ssl, out);
    assert_int_equal(SSL_write(client.ssl, "hello hello hello", 17), 17);
    char record[200];
    int len = BIO_read(out, record, sizeof record);
    assert_true(len > 20);
    assert_int_equal(write(seen.peer, record, 10), 10);
    run_for(seen.loop, 10);
    uint64_t before = cpu_ms();
    run_for(seen.loop, 300);
    assert_true(cpu_ms() - before < 100);
    assert_int_equal(seen.got.len, 0);
    assert_int_equal(write(seen.peer, record + 10, (size_t)len - 10), len - 10);
    run_for(seen.loop, 10);
    assert_int_equal(seen.got.len, 17);
    test_client_free(&client);
    close_pair(&seen);
    tls_context_free(&context);
    free_cert(&pem);
}

static void test_tls_garbage_and_silence(void **state)
{
    (void)state;
    struct seen seen;
    struct pem pem = make_cert("a.test");
    struct tls_context *context = make_context(&pem, 1);
    open_pair(&seen);
    stream_begin_tls(seen.stream, context, 1000);
    send_text(&seen, "EHLO this is no handshake at all, not one byte of it\r\n");
    run_until(seen.loop, &seen.ended);
    assert_int_equal(seen.end, STREAM_TLS);
    assert_true(strlen(stream_end_text(seen.stream)) > 3);
    close_pair(&seen);

    open_pair(&seen);
    stream_begin_tls(seen.stream, context, 30);
    run_until(seen.loop, &seen.ended);
    assert_int_equal(seen.end, STREAM_TLS);
    close_pair(&seen);

    open_pair(&seen);
    stream_begin_tls(seen.stream, context, 1000);
    (void)close(seen.peer);
    seen.peer = -1;
    run_until(seen.loop, &seen.ended);
    assert_int_equal(seen.end, STREAM_EOF);
    close_pair(&seen);
    tls_context_free(&context);
    free_cert(&pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_and_address),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_timeout_moves_on),
        cmocka_unit_test(test_input_is_bounded),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_files_keep_order),
        cmocka_unit_test(test_free_and_finish_in_callback),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_tls_input_bound),
        cmocka_unit_test(test_tls_half_a_record),
        cmocka_unit_test(test_tls_garbage_and_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
