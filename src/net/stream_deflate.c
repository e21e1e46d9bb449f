/* stream_deflate.c: compression of both directions (RFC 1951, for RFC 4978), above TLS. Input: what a client
 * that has logged in compresses; it is inflated piece by piece, never further than the reader has room.
 * Called by stream_io.c. */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"
#include "net/stream_int.h"

#define RAW_SIZE    8192       /* octets of compressed input read at once */
#define PACK_SIZE   16384      /* octets of compressed output made at once */
#define TAKE_MAX    (64 << 10) /* octets of output handed to the compressor at once */
#define WINDOW_BITS (-12)      /* ours: small; raw DEFLATE */
#define PEER_WINDOW (-15)      /* the peer's choice, up to the largest */
#define MEM_LEVEL   5
#define LEVEL       3

struct stream_deflate {
    z_stream in, out;
    struct buf raw;    /* of the peer, not yet inflated from raw_at on */
    struct buf packed; /* ours, not yet written from packed_at on */
    size_t raw_at, packed_at;
    size_t plain;   /* octets of the output that still go as they are: the answer that begins it all */
    bool in_full;   /* the last inflate() filled what it was given: there may be more */
    bool unflushed; /* the compressor holds something back */
};

bool stream_is_deflated(const struct stream *s)
{
    return s->deflate != NULL;
}

bool stream_start_deflate(struct stream *s)
{
    if (s->deflate || s->failed || stream_input(s).len > 0 || s->file_count > 0 || s->piece.len > s->piece_at)
        return false;
    struct stream_deflate *d = mem_zero(1, sizeof *d);
    bool in = inflateInit2(&d->in, PEER_WINDOW) == Z_OK;
    bool out = deflateInit2(&d->out, LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
    if (!in || !out) {
        (void)inflateEnd(&d->in); /* either may have no state: that is said and does no harm */
        (void)deflateEnd(&d->out);
        free(d);
        return false;
    }
    d->raw = buf_new(RAW_SIZE);
    d->packed = buf_new(PACK_SIZE);
    d->plain = s->out.len - s->out_at;
    s->deflate = d;
    return true;
}

void stream_deflate_free(struct stream *s)
{
    struct stream_deflate *d = s->deflate;
    if (!d)
        return;
    s->deflate = NULL;
    (void)inflateEnd(&d->in);
    (void)deflateEnd(&d->out);
    buf_free(&d->raw);
    buf_free(&d->packed);
    free(d);
}

void stream_deflate_rest(struct stream *s)
{
    buf_free(&s->deflate->packed);
    s->deflate->packed_at = 0;
}

/* ---- input ---- */

bool stream_deflate_holds_input(const struct stream *s)
{
    const struct stream_deflate *d = s->deflate;
    return s->phase == STREAM_OPEN && (d->in_full || d->raw.len > d->raw_at);
}

/* What was left of the last piece, or a new one: as stream_wire_read(). */
static ssize_t refill(struct stream *s)
{
    struct stream_deflate *d = s->deflate;
    if (d->raw.len > d->raw_at)
        return (ssize_t)(d->raw.len - d->raw_at);
    buf_clear(&d->raw);
    d->raw_at = 0;
    ssize_t got = stream_read_some(s, buf_reserve(&d->raw, RAW_SIZE), RAW_SIZE);
    if (got > 0)
        buf_added(&d->raw, (size_t)got);
    else
        buf_free(&d->raw); /* an idle connection holds no buffer */
    return got;
}

/* Inflates what is there into `bytes`; 0 when that gave nothing. */
static ssize_t inflate_some(struct stream *s, void *bytes, size_t len)
{
    struct stream_deflate *d = s->deflate;
    d->in.next_in = d->raw.data + d->raw_at;
    d->in.avail_in = (uInt)(d->raw.len - d->raw_at);
    d->in.next_out = bytes;
    d->in.avail_out = (uInt)len;
    int result = inflate(&d->in, Z_SYNC_FLUSH);
    d->raw_at = d->raw.len - d->in.avail_in;
    d->in_full = d->in.avail_out == 0;
    if (result == Z_OK || (result == Z_BUF_ERROR && d->in.avail_in == 0))
        return (ssize_t)(len - d->in.avail_out);
    stream_fail(s, STREAM_RESET,
                result == Z_STREAM_END ? "the peer ended compression" : "malformed compression");
    errno = EPROTO;
    return -1;
}

ssize_t stream_deflate_read(struct stream *s, void *bytes, size_t len)
{
    struct stream_deflate *d = s->deflate;
    for (;;) {
        ssize_t got = d->in_full ? 1 : refill(s);
        if (got > 0)
            got = inflate_some(s, bytes, len);
        else
            return got;
        if (got != 0)
            return got;
    }
}

/* ---- output ---- */

size_t stream_deflate_pending(const struct stream *s)
{
    const struct stream_deflate *d = s->deflate;
    return d->packed.len - d->packed_at + (d->unflushed ? 1 : 0);
}

/* Compresses the next of the output, or flushes when there is none. False when there is nothing to write. */
static bool pack(struct stream *s)
{
    struct stream_deflate *d = s->deflate;
    struct slice next = stream_next_output(s);
    if (s->failed || (next.len == 0 && !d->unflushed))
        return false;
    buf_clear(&d->packed);
    d->packed_at = 0;
    next = slice_sub(next, 0, next.len < TAKE_MAX ? next.len : TAKE_MAX);
    d->out.next_in = (Bytef *)(uintptr_t)next.ptr;
    d->out.avail_in = (uInt)next.len;
    d->out.next_out = buf_reserve(&d->packed, PACK_SIZE);
    d->out.avail_out = PACK_SIZE;
    (void)deflate(&d->out, next.len ? Z_NO_FLUSH : Z_SYNC_FLUSH); /* cannot fail: the state is ours */
    buf_added(&d->packed, PACK_SIZE - d->out.avail_out);
    /* A flush that filled the buffer goes on in the next round. */
    d->unflushed = next.len > 0 || d->out.avail_out == 0;
    if (next.len > d->out.avail_in)
        stream_output_written(s, next.len - d->out.avail_in);
    return true;
}

static bool push_plain(struct stream *s, size_t *moved)
{
    struct stream_deflate *d = s->deflate;
    struct slice next = stream_next_output(s);
    size_t len = next.len < d->plain ? next.len : d->plain;
    ssize_t put = stream_write_some(s, next.ptr, len);
    if (put <= 0)
        return false;
    d->plain -= (size_t)put;
    stream_output_written(s, (size_t)put);
    *moved += (size_t)put;
    return true;
}

bool stream_deflate_push(struct stream *s, size_t *moved)
{
    struct stream_deflate *d = s->deflate;
    if (d->plain > 0)
        return push_plain(s, moved);
    if (d->packed.len == d->packed_at && !pack(s))
        return false;
    struct slice next = slice_from(buf_slice(&d->packed), d->packed_at);
    if (next.len == 0)
        return true; /* the compressor keeps it for now */
    ssize_t put = stream_write_some(s, next.ptr, next.len);
    if (put <= 0)
        return false;
    d->packed_at += (size_t)put;
    *moved += (size_t)put;
    return *moved < STREAM_TURN_BYTES;
}
