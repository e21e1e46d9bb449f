/* stream.h: one accepted connection: bounded buffers, TLS, timeouts, the true client address.
 *
 * Reading: `readable` is called when new bytes are in stream_input(); the owner consumes what it can. When
 * the input buffer is full and nothing is consumed the stream stops reading (back-pressure). Writing:
 * stream_write() appends to the output; above STREAM_OUTPUT_HIGH stream_is_full() and the owner pauses until
 * `writable`. An idle stream holds no buffers. All callbacks come from the loop, never from inside a stream_
 * call. After stream_free() none comes.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/buf.h"
#include "base/loop.h"
#include "grammar/netaddr.h"
#include "net/tls.h"

#define STREAM_INPUT_MAX   (64u << 10) /* default bound of unread input */
#define STREAM_OUTPUT_HIGH (64u << 10) /* the owner should pause */
#define STREAM_OUTPUT_MAX  (8u << 20)  /* past it the stream fails */

struct stream;

enum stream_end {
    STREAM_EOF,     /* orderly end by the peer */
    STREAM_RESET,   /* ECONNRESET, EPIPE and the like */
    STREAM_TIMEOUT, /* stream_set_timeout() ran out */
    STREAM_TLS      /* TLS failed; stream_end_text() says why */
};

struct stream_ops {
    void (*readable)(void *ctx, struct stream *stream);
    /* Output went below the high-water mark after stream_is_full(), or became empty. May be NULL. */
    void (*writable)(void *ctx, struct stream *stream);
    /* stream_start_tls() succeeded. May be NULL. */
    void (*secured)(void *ctx, struct stream *stream);
    /* No more input will come (what is in stream_input() stays readable); the owner frees the stream. After
     * STREAM_EOF it may still write (the peer may have closed only its half) and finish later; when that
     * fails, `ended` is called a second time with another reason. */
    void (*ended)(void *ctx, struct stream *stream, enum stream_end end);
};

/* Takes the connected, non-blocking descriptor. */
struct stream *stream_new(struct loop *loop, int fd, const struct netaddr *peer, const struct stream_ops *ops,
                          void *ctx) __attribute__((returns_nonnull));
/* Closes at once, dropping output. Clears the pointer; takes NULL. */
void stream_free(struct stream **stream);
/* Writes what is left (bounded by 5 s), sends close_notify, closes and frees; no callback comes any more. */
void stream_finish(struct stream **stream);

/* For those turned away by the thousand: stream_finish() will close behind the last byte, and not read for a
 * while what the peer goes on sending. */
void stream_set_brief(struct stream *stream);

/* `closed` is called once, when the connection is closed, whoever owns it then and also behind
 * stream_finish(). One per stream. */
void stream_on_close(struct stream *stream, void (*closed)(void *arg), void *arg);

/* Hands the stream to another owner; `readable` follows when input is there. */
void stream_set_owner(struct stream *stream, const struct stream_ops *ops, void *ctx);

/* Unread bytes; valid until the next stream_ call or return to the loop. */
struct slice stream_input(const struct stream *stream);
void stream_consume(struct stream *stream, size_t len);
/* Raises or lowers the bound of unread input. */
void stream_set_input_max(struct stream *stream, size_t max);
/* Stops (starts) reading from the peer. `readable` is called again after stream_resume() if input is left. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

void stream_write(struct stream *stream, struct slice bytes);
/* Direct access to the output buffer, for builders; call stream_flush() (or return to the loop) afterwards.
 */
struct buf *stream_output(struct stream *stream);
void stream_flush(struct stream *stream);
/* Appends `len` bytes of the descriptor from `offset`, read in pieces as output drains; takes `fd` (closed
 * when done). Order with other writes is kept. At most STREAM_FILES_MAX at once. */
#define STREAM_FILES_MAX 64
void stream_write_file(struct stream *stream, int fd, uint64_t offset, uint64_t len);
bool stream_is_full(const struct stream *stream);
size_t stream_pending(const struct stream *stream); /* bytes not yet handed to the kernel */

/* Ends the stream with STREAM_TIMEOUT when neither input nor output moved for `ms`; 0: never. Armed anew by
 * every call and every progress. */
void stream_set_timeout(struct stream *stream, uint64_t ms);
/* The same end, but at a fixed time from now, whatever moves meanwhile; 0: none. Against those who send a
 * byte a minute. */
void stream_set_deadline(struct stream *stream, uint64_t ms);

/* Server side of a handshake after the pending output is written. False when unread input is there: bytes
 * sent before the handshake in the clear (CVE-2011-0411) — the caller refuses. */
bool stream_start_tls(struct stream *stream, struct tls_context *context) MUST_CHECK;
/* The same for implicit TLS behind a PROXY header: unread input is the beginning of the handshake. The
 * handshake ends with STREAM_TLS after `ms` (stream_start_tls(): STREAM_HANDSHAKE_MS). */
#define STREAM_HANDSHAKE_MS 10000
void stream_begin_tls(struct stream *stream, struct tls_context *context, uint64_t ms);
bool stream_is_tls(const struct stream *stream);
/* From now on both directions are compressed (raw DEFLATE, RFC 1951), behind what is in the output: COMPRESS
 * of IMAP. False, and nothing is changed, when unread input is there, files are in the output or it is on
 * already. What the peer sends is inflated only as far as the input has room. */
bool stream_start_deflate(struct stream *stream) MUST_CHECK;
bool stream_is_deflated(const struct stream *stream);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", static or owned by the stream; empty without TLS. */
struct slice stream_tls_text(const struct stream *stream);
/* What only the two ends of this TLS connection know of it, for channel binding; the length, 0 where there is
 * none: without TLS, or TLS 1.2 without extended master secret (RFC 9266 section 3, RFC 5929 sections 3 and
 * 4). */
#define STREAM_BINDING_MAX 64
enum stream_binding { STREAM_BINDING_EXPORTER, STREAM_BINDING_END_POINT, STREAM_BINDING_UNIQUE };
size_t stream_binding(const struct stream *stream, enum stream_binding type,
                      uint8_t data[STREAM_BINDING_MAX]);
/* Why it ended, constant; empty before. */
const char *stream_end_text(const struct stream *stream);
/* No byte of the peer ever came. */
bool stream_was_silent(const struct stream *stream);

/* The client: the PROXY header's address where there was one. */
const struct netaddr *stream_client(const struct stream *stream);
void stream_set_client(struct stream *stream, const struct netaddr *client);

#endif
