/* stream_io.c: a stream's bytes: from the socket into the bounded input, from the output and its files to the
 * socket. Judges nothing of what the stranger sends. Called by stream.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "net/stream_int.h"

ssize_t stream_wire_read(void *arg, void *bytes, size_t len)
{
    struct stream *s = arg;
    ssize_t got;
    do
        got = recv(s->fd, bytes, len, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        s->silent = false;
        stream_moved(s);
    }
    return got;
}

/* MSG_NOSIGNAL: a peer that went away is a value, not a signal. */
ssize_t stream_wire_write(void *arg, const void *bytes, size_t len)
{
    struct stream *s = arg;
    ssize_t put;
    do
        put = send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put > 0)
        stream_moved(s);
    return put;
}

/* ---- input ---- */

struct slice stream_input(const struct stream *s)
{
    return slice_from(buf_slice(&s->in), s->in_at);
}

void stream_consume(struct stream *s, size_t len)
{
    size_t there = s->in.len - s->in_at;
    if (len >= there || there >= s->in.max)
        stream_schedule(s); /* the buffer can go; or there is room again to read on */
    s->in_at += len < there ? len : there;
    if (s->in_at == s->in.len) {
        s->in_at = 0;
        buf_clear(&s->in);
    }
}

void stream_set_input_max(struct stream *s, size_t max)
{
    s->in.max = max > s->in.len ? max : s->in.len;
    stream_schedule(s);
}

ssize_t stream_read_some(struct stream *s, void *bytes, size_t len)
{
    return s->ssl ? stream_tls_read(s, bytes, len) : stream_wire_read(s, bytes, len);
}

bool stream_holds_input(const struct stream *s)
{
    return stream_tls_holds_input(s) || (s->deflate && stream_deflate_holds_input(s));
}

/* Once, or until the TLS layer holds nothing back (no event would tell of that). False when there is no more.
 */
static bool fill_once(struct stream *s)
{
    buf_consume(&s->in, s->in_at);
    s->in_at = 0;
    size_t space = s->in.max - s->in.len;
    size_t want = s->read_size < space ? s->read_size : space;
    uint8_t *at = want ? buf_reserve(&s->in, want) : NULL;
    if (!at)
        return false;
    ssize_t got = s->deflate ? stream_deflate_read(s, at, want) : stream_read_some(s, at, want);
    if (got > 0) {
        buf_added(&s->in, (size_t)got);
        s->input_news = true;
        if ((size_t)got == want && s->read_size < STREAM_READ_MAX)
            s->read_size *= 2;
        return stream_holds_input(s);
    }
    if (got == 0)
        s->eof = true;
    else if (errno != EAGAIN && !s->failed)
        stream_fail(s, STREAM_RESET, "connection reset");
    return false;
}

void stream_fill(struct stream *s)
{
    if (s->paused || s->eof || s->failed || s->phase != STREAM_OPEN)
        return;
    while (fill_once(s))
        ;
}

bool stream_linger(struct stream *s)
{
    uint8_t trash[4096];
    for (;;) {
        ssize_t got = recv(s->fd, trash, sizeof trash, MSG_DONTWAIT);
        if (got > 0 && (s->lingered += (size_t)got) < STREAM_LINGER_MAX)
            continue;
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
}

/* ---- output ---- */

bool stream_has_output(const struct stream *s)
{
    return s->out.len > s->out_at || s->file_count > 0 || s->piece.len > s->piece_at ||
           (s->deflate && stream_deflate_pending(s) > 0);
}

size_t stream_pending(const struct stream *s)
{
    size_t packed = s->deflate ? stream_deflate_pending(s) : 0;
    return s->out.len - s->out_at + (s->piece.len - s->piece_at) + (size_t)s->file_bytes + packed;
}

bool stream_is_full(const struct stream *s)
{
    return stream_pending(s) > STREAM_OUTPUT_HIGH || s->file_count >= STREAM_FILES_MAX / 2;
}

static void file_free(struct stream *s, struct stream_file *file)
{
    list_remove(&file->node);
    s->file_count--;
    s->file_bytes -= file->len;
    (void)close(file->fd);
    free(file);
}

void stream_drop_output(struct stream *s)
{
    while (!list_empty(&s->files))
        file_free(s, CONTAINER_OF(s->files.next, struct stream_file, node));
    buf_free(&s->out);
    buf_free(&s->piece);
    s->out_at = s->piece_at = 0;
}

/* The next piece of a file into `to`. A file that ends early was cut under our hands: what was promised
 * cannot be sent. */
static bool read_file(struct stream *s, int fd, uint64_t offset, size_t len, struct buf *to)
{
    uint8_t *at = buf_reserve(to, len);
    size_t got = 0;
    if (!at || io_pread(fd, at, len, offset, &got, NULL) != ERR_OK || got != len) {
        stream_fail(s, STREAM_RESET, "a file to send could not be read");
        return false;
    }
    buf_added(to, len);
    return true;
}

static void load_piece(struct stream *s, struct stream_file *file)
{
    size_t len = file->len < STREAM_PIECE ? (size_t)file->len : STREAM_PIECE;
    if (!read_file(s, file->fd, file->offset, len, &s->piece))
        return;
    file->offset += len;
    file->len -= len;
    s->file_bytes -= len;
    if (file->len == 0)
        file_free(s, file);
}

struct slice stream_next_output(struct stream *s)
{
    if (s->piece.len > s->piece_at)
        return slice_from(buf_slice(&s->piece), s->piece_at);
    struct slice rest = slice_from(buf_slice(&s->out), s->out_at);
    if (s->file_count == 0)
        return rest;
    struct stream_file *file = CONTAINER_OF(s->files.next, struct stream_file, node);
    if (file->at > s->out_written)
        return slice_sub(rest, 0, (size_t)(file->at - s->out_written));
    buf_clear(&s->piece);
    s->piece_at = 0;
    load_piece(s, file);
    return buf_slice(&s->piece);
}

void stream_output_written(struct stream *s, size_t len)
{
    if (s->piece.len > s->piece_at) {
        s->piece_at += len;
        return;
    }
    s->out_at += len;
    s->out_written += len;
    if (s->out_at == s->out.len) {
        buf_clear(&s->out);
        s->out_at = 0;
    } else if (s->out_at >= s->out.len / 2 && s->out_at > STREAM_OUTPUT_HIGH) {
        buf_consume(&s->out, s->out_at);
        s->out_at = 0;
    }
}

ssize_t stream_write_some(struct stream *s, const void *bytes, size_t len)
{
    bool tls = s->ssl && s->phase != STREAM_TLS_WAITS;
    ssize_t put = tls ? stream_tls_write(s, bytes, len) : stream_wire_write(s, bytes, len);
    if (put < 0 && errno == EAGAIN)
        s->blocked = true;
    else if (put <= 0 && !s->failed)
        stream_fail(s, STREAM_RESET, "connection reset");
    return put;
}

static bool push_once(struct stream *s, size_t *moved)
{
    struct slice next = stream_next_output(s);
    if (s->failed || next.len == 0)
        return false;
    ssize_t put = stream_write_some(s, next.ptr, next.len);
    if (put <= 0)
        return false;
    *moved += (size_t)put;
    stream_output_written(s, (size_t)put);
    return *moved < STREAM_TURN_BYTES;
}

void stream_push(struct stream *s)
{
    if (s->failed || s->phase == STREAM_HANDSHAKES || !stream_has_output(s))
        return;
    size_t moved = 0;
    if (!buf_ok(&s->out)) {
        stream_fail(s, STREAM_RESET, "too much output");
        return;
    }
    s->blocked = false;
    while (s->deflate ? stream_deflate_push(s, &moved) : push_once(s, &moved))
        ;
    if (s->failed)
        return;
    if (!stream_has_output(s)) {
        buf_free(&s->out);
        buf_free(&s->piece);
        s->piece_at = 0;
        if (s->deflate)
            stream_deflate_rest(s);
        s->emptied = true;
        s->above = false;
    } else {
        bool full = stream_is_full(s);
        s->blocked = true; /* the rest when the socket, or the next turn, allows */
        s->emptied = s->emptied || (s->above && !full);
        s->above = full;
    }
}

void stream_write_file(struct stream *s, int fd, uint64_t offset, uint64_t len)
{
    bool small = len <= STREAM_INLINE_FILE && stream_pending(s) <= STREAM_OUTPUT_HIGH;
    if (!s->failed && (len == 0 || small || s->file_count >= STREAM_FILES_MAX)) {
        if (len > 0 && (!small || !read_file(s, fd, offset, (size_t)len, stream_output(s))))
            stream_fail(s, STREAM_RESET, "too much output");
        (void)close(fd);
        return;
    }
    if (s->failed) {
        (void)close(fd);
        return;
    }
    struct stream_file *file = mem_alloc(sizeof *file);
    *file = (struct stream_file){.fd = fd, .offset = offset, .len = len};
    file->at = s->out_written + (s->out.len - s->out_at);
    list_push_back(&s->files, &file->node);
    s->file_count++;
    s->file_bytes += len;
    (void)stream_output(s); /* marks and schedules */
}
