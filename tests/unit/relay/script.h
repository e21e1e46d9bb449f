/* script.h: a scripted server in the test's own process and loop: what it says and what it must hear, line by
 * line.
 *
 * A script's lines:
 *   S text     says the line (CRLF added)
 *   R text     says the bytes as they are; \r \n \0 are written as such
 *   C text     the next line of the client begins so
 *   D text     the client's text up to the lone dot is this, dots undone; lines are joined by '|'
 *   B text     the client's chunk of BDAT: as D; its size stood in the C line before
 *   T          a TLS handshake as server
 *   X          closes the connection
 *   W          waits for ever
 * At the end of the script the connection stays open; what else comes is an error.
 */
#ifndef TESTS_RELAY_SCRIPT_H
#define TESTS_RELAY_SCRIPT_H

#include "../net/net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/io.h"

struct script {
    struct loop *loop;
    struct loop_watch *watch;
    int listener;
    uint16_t port;
    const char *const *scripts; /* one per connection, in order; NULL at the end */
    size_t next;
    struct tls_context *tls;
    struct stream *stream;
    const char *at; /* in the current script */
    size_t chunk;
    bool over;       /* the last script was played to its end */
    bool failed;     /* the client did not play its part */
    bool closed;     /* by the client */
    struct buf said; /* what it said instead */
};

static inline void script_run(struct script *s);

static inline void script_readable(void *ctx, struct stream *stream)
{
    (void)stream;
    script_run(ctx);
}

static inline void script_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct script *s = ctx;
    (void)stream;
    (void)end;
    s->closed = true;
    stream_free(&s->stream);
}

static const struct stream_ops script_stream_ops = {
    .readable = script_readable, .writable = NULL, .secured = script_readable, .ended = script_ended};

static inline void script_fail(struct script *s, struct slice line)
{
    s->failed = true;
    buf_add(&s->said, line);
}

/* A line of the client; false: not there yet. */
static inline bool script_take_line(struct script *s, struct slice *line)
{
    struct slice input = stream_input(s->stream);
    ptrdiff_t lf = slice_find(input, '\n');
    if (lf < 0)
        return false;
    *line = slice_sub(input, 0, (size_t)lf);
    if (slice_ends(*line, SLICE("\r")))
        line->len--;
    stream_consume(s->stream, (size_t)lf + 1);
    return true;
}

/* What stands behind the keyword; moves on to the next line of the script. */
static inline struct slice script_next(struct script *s)
{
    struct slice all = slice_of(s->at), line = SLICE_EMPTY;
    (void)slice_token(&all, '\n', &line);
    s->at = (const char *)line.ptr + line.len + (line.ptr[line.len] == '\n');
    return slice_from(line, 2);
}

static inline void script_say(struct script *s, struct slice text, bool raw)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (raw && c == '\\' && i + 1 < text.len) {
            c = text.ptr[++i];
            c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? 0 : c;
        }
        buf_add_byte(stream_output(s->stream), c);
    }
    if (!raw)
        stream_write(s->stream, SLICE("\r\n"));
}

static inline bool script_expect(struct script *s)
{
    struct slice line;
    if (!script_take_line(s, &line))
        return false;
    struct slice wanted = script_next(s);
    if (!slice_starts(line, wanted))
        script_fail(s, line);
    return true;
}

static inline bool script_text(struct script *s)
{
    struct slice input = stream_input(s->stream), rest = input, line;
    AUTO_BUF struct buf got = buf_new(10 << 20);
    ptrdiff_t end = slice_search(input, SLICE("\r\n.\r\n"));
    if (slice_starts(input, SLICE(".\r\n")))
        end = -2; /* an empty text */
    else if (end < 0)
        return false;
    rest = slice_sub(input, 0, (size_t)(end + 2));
    while (slice_token(&rest, '\n', &line)) {
        buf_add(&got, slice_from(slice_sub(line, 0, line.len - 1), slice_starts(line, SLICE(".")) ? 1 : 0));
        buf_add_byte(&got, '|');
    }
    stream_consume(s->stream, (size_t)(end + 5));
    struct slice wanted = script_next(s);
    if (!slice_eq(buf_slice(&got), wanted) && !slice_eq(wanted, SLICE("*")))
        script_fail(s, buf_slice(&got));
    return true;
}

static inline bool script_chunk(struct script *s)
{
    struct slice script = slice_of(s->at), wanted = SLICE_EMPTY, input = stream_input(s->stream);
    AUTO_BUF struct buf got = buf_new(10 << 20);
    (void)slice_token(&script, '\n', &wanted);
    size_t len = wanted.len - 2;
    for (size_t i = 2; i < wanted.len; i++)
        len += wanted.ptr[i] == '|';
    if (input.len < len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (input.ptr[i] != '\r')
            buf_add_byte(&got, input.ptr[i] == '\n' ? '|' : input.ptr[i]);
    stream_consume(s->stream, len);
    if (!slice_eq(buf_slice(&got), script_next(s)))
        script_fail(s, buf_slice(&got));
    return true;
}

static inline bool script_step(struct script *s)
{
    switch (*s->at) {
    case 'S':
        script_say(s, script_next(s), false);
        return true;
    case 'R':
        script_say(s, script_next(s), true);
        return true;
    case 'C':
        return script_expect(s);
    case 'D':
        return script_text(s);
    case 'B':
        return script_chunk(s);
    case 'T':
        (void)script_next(s);
        if (!stream_start_tls(s->stream, s->tls))
            script_fail(s, SLICE("clear text behind STARTTLS"));
        return false;
    case 'X':
        (void)script_next(s);
        stream_finish(&s->stream);
        return false;
    default:
        return false; /* W */
    }
}

static inline void script_run(struct script *s)
{
    while (s->stream && !s->failed && *s->at)
        if (!script_step(s))
            break;
    if (s->stream && !*s->at && stream_input(s->stream).len > 0)
        script_fail(s, stream_input(s->stream));
    s->over = !*s->at && !s->scripts[s->next];
}

static inline void script_accept(void *arg, unsigned events)
{
    struct script *s = arg;
    const struct netaddr nobody = {0};
    (void)events;
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 || !s->scripts[s->next]) {
        script_fail(s, SLICE("a connection nobody expects"));
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    stream_free(&s->stream);
    s->closed = false;
    s->at = s->scripts[s->next++];
    s->stream = stream_new(s->loop, fd, &nobody, &script_stream_ops, s);
    stream_set_input_max(s->stream, 4 << 20);
    script_run(s);
}

static inline void script_open_at(struct script *s, struct loop *loop, const char *const *scripts,
                                  struct tls_context *tls, uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001), .sin_port = htons(port)};
    socklen_t len = sizeof in;
    *s = (struct script){.loop = loop, .scripts = scripts, .tls = tls, .said = buf_new(10 << 20), .at = ""};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(s->listener, 10), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
    s->watch = loop_watch_new(loop, s->listener, script_accept, s);
    loop_watch_set(s->watch, LOOP_READ);
}

static inline void script_open(struct script *s, struct loop *loop, const char *const *scripts,
                               struct tls_context *tls)
{
    script_open_at(s, loop, scripts, tls, 0);
}

static inline void script_close(struct script *s)
{
    loop_watch_free(&s->watch);
    (void)close(s->listener);
    stream_free(&s->stream);
    buf_free(&s->said);
}

#endif
