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

    bool paused : 1, eof : 1, failed : 1, end_told : 1, eof_told : 1, silent : 1;
    bool input_news : 1; /* `readable` is due */
    bool emptied : 1;    /* `writable` is due */
    bool above : 1;      /* output went over the high-water mark */
    bool blocked : 1;    /* the socket takes no more */
    bool secured_news : 1;
    bool read_wants_write : 1, tls_broken : 1;
    bool brief : 1;       /* does not linger */
    bool tls_starved : 1; /* what OpenSSL holds is half a record: only the socket can help */
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
    struct stream_deflate *deflate; /* NULL: nothing is compressed */

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

/* Unread input below this layer that no event of the socket will tell of. */
bool stream_holds_input(const struct stream *s);
/* Through TLS where there is TLS: as stream_wire_read/write. */
ssize_t stream_read_some(struct stream *s, void *bytes, size_t len);
ssize_t stream_write_some(struct stream *s, const void *bytes, size_t len);
/* The next bytes of the output and its files in order; stream_output_written() takes them off. */
struct slice stream_next_output(struct stream *s);
void stream_output_written(struct stream *s, size_t len);

/* stream_deflate.c; all but the last for streams that compress */
ssize_t stream_deflate_read(struct stream *s, void *bytes, size_t len);
bool stream_deflate_holds_input(const struct stream *s);
/* Compressed and not yet with the kernel: never 0 while something must still be flushed. */
size_t stream_deflate_pending(const struct stream *s);
/* Writes once; false when nothing more can be written now. */
bool stream_deflate_push(struct stream *s, size_t *moved);
/* All is written: what was needed for it is freed. */
void stream_deflate_rest(struct stream *s);
void stream_deflate_free(struct stream *s);

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
