/* stream_int.h: the inside of a stream, shared by stream.c (life and callbacks), stream_io.c (bytes) and
 * stream_tls.c. */
#ifndef NET_STREAM_INT_H
#define NET_STREAM_INT_H

#include <event2/event_struct.h>
#include <openssl/ssl.h>

#include "base/coll.h"
#include "net/stream.h"
#include "net/tls_client.h"

#define STREAM_READ_FIRST                                                                                    \
    (8u << 10) /* what the first read of an idle stream asks for; doubled when it was all there */
#define STREAM_READ_MAX    (64u << 10)
#define STREAM_PIECE       (64u << 10)  /* of a file, read at once */
#define STREAM_INLINE_FILE (32u << 10)  /* files up to this are copied at once instead of kept open */
#define STREAM_TURN_BYTES  (512u << 10) /* written in one turn of the loop, then others get theirs */
#define STREAM_FINISH_MS   5000
#define STREAM_LINGER_MS                                                                                     \
    2000 /* for the peer to read our last words before unread input resets the connection */
#define STREAM_LINGER_MAX (1u << 20) /* bytes thrown away meanwhile */

enum stream_phase {
    STREAM_OPEN,
    STREAM_TLS_WAITS, /* the pending output goes out in the clear first */
    STREAM_HANDSHAKES,
    STREAM_FINISHES, /* no owner any more: the rest is written */
    STREAM_LINGERS,  /* written and shut down; input is thrown away */
    STREAM_DEAD      /* freed as soon as nothing of ours is on the stack */
};

struct stream_file {
    struct list node;
    int fd;
    uint64_t offset, len;
    uint64_t at; /* comes when this many bytes of `out` were written since the beginning */
};

struct stream {
    struct loop *loop;
    const struct stream_ops *ops; /* NULL without owner */
    void *ctx;
    int fd;
    enum stream_phase phase;
    unsigned busy; /* handlers on the stack */
    struct loop_watch *watch;
    struct loop_timer *timer;
    struct event turn;
    uint64_t moved_ms, timeout_ms, deadline_ms, handshake_ms,
        timer_ms; /* the first and last three are points in time */

    bool paused, eof, failed, end_told, eof_told, silent;
    bool input_news; /* `readable` is due */
    bool emptied;    /* `writable` is due */
    bool above;      /* output went over the high-water mark */
    bool blocked;    /* the socket takes no more */
    bool secured_news;
    bool read_wants_write, tls_broken;
    bool brief;       /* does not linger */
    bool tls_starved; /* what OpenSSL holds is half a record: only the socket can help */
    enum stream_end end;
    const char *end_text;

    struct buf in; /* unread from in_at on */
    size_t in_at, read_size, lingered;
    struct buf out; /* unwritten from out_at on */
    size_t out_at;
    uint64_t out_written; /* bytes of `out` since the beginning */
    struct list files;
    unsigned file_count;
    uint64_t file_bytes;
    struct buf piece; /* of the first file */
    size_t piece_at;

    SSL *ssl;
    struct tls_context *tls;
    struct tls_client *tls_client; /* instead of `tls`: we are the client */
    struct tls_verdict verdict;
    struct buf raw; /* came before the handshake and belongs to it */
    size_t raw_at;
    char *tls_text;
    struct netaddr client;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* stream_io.c */
/* Reads what is there, within the bound; sets input_news, eof or failed. */
void stream_fill(struct stream *s);
/* Writes until blocked or empty; sets blocked, emptied or failed. */
void stream_push(struct stream *s);
bool stream_has_output(const struct stream *s);
void stream_drop_output(struct stream *s);
/* Raw bytes of the socket, for plain streams and below TLS: -1 and errno EAGAIN when it would block, 0 at the
 * end. */
ssize_t stream_wire_read(void *arg, void *bytes, size_t len);
ssize_t stream_wire_write(void *arg, const void *bytes, size_t len);
/* Throws input away; false when lingering is over. */
bool stream_linger(struct stream *s);

/* stream_tls.c */
void stream_handshake(struct stream *s);
/* As stream_wire_read/write, through TLS. A failure of TLS has been told to stream_fail(). */
ssize_t stream_tls_read(struct stream *s, void *bytes, size_t len);
ssize_t stream_tls_write(struct stream *s, const void *bytes, size_t len);
bool stream_tls_holds_input(const struct stream *s);
void stream_tls_close(struct stream *s);
void stream_tls_free(struct stream *s);

/* stream.c */
void stream_fail(struct stream *s, enum stream_end end, const char *text);
/* run() at the end of this turn of the loop, when no handler of this stream is on the stack. */
void stream_schedule(struct stream *s);
/* Something moved. */
void stream_moved(struct stream *s);

#endif
