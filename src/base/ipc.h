/* ipc.h: one end of a typed link between two roles, over a SOCK_SEQPACKET pair the supervisor made.
 *
 * A packet is a header (type, flags, request id, returned credit) and a body that base does not look into;
 * wire/ encodes and decodes it. What flows is bounded: a sender has credit for IPC_CREDIT packets and
 * IPC_FD_CREDIT descriptors that the receiver has not taken yet (the kernel stops at 1,024 descriptors in
 * flight); what has no credit waits in a queue of at most IPC_QUEUE_MAX bytes, past which a call fails with
 * ERR_LATER. Every request has a deadline and its callback runs exactly once: with the reply, or with
 * ERR_LATER when the peer died, the deadline passed or the link was down.
 *
 * Links live on the loop's thread. An ill-formed packet closes the link (`condemned` is called first).
 */
#ifndef BASE_IPC_H
#define BASE_IPC_H

#include "base/err.h"
#include "base/loop.h"

#define IPC_PACKET_MAX  65536u
#define IPC_HEADER_SIZE 16u
#define IPC_BODY_MAX    (IPC_PACKET_MAX - IPC_HEADER_SIZE)
#define IPC_FDS_MAX     16u         /* descriptors in one packet */
#define IPC_CREDIT      256u        /* packets sent and not yet taken */
#define IPC_FD_CREDIT   192u        /* descriptors sent and not yet taken */
#define IPC_QUEUE_MAX   (64u << 20) /* bytes waiting for credit */
#define IPC_QUEUE_HIGH  (1u << 20)  /* above it ipc_congested() */

struct ipc_link;

/* A packet as received. Body and descriptors are the link's: valid until the handler returns; a handler that
 * keeps a descriptor takes it with ipc_take_fd(), the others are closed afterwards. */
struct ipc_packet {
    uint16_t type;
    uint32_t request; /* 0: a notice. Otherwise answer with ipc_reply(). */
    bool more;        /* a reply after which further replies to the same request follow */
    struct slice body;
    unsigned fd_count;
    int fds[IPC_FDS_MAX];
};

/* The descriptor at `index`, now the caller's; -1 when there is none. */
int ipc_take_fd(struct ipc_packet *packet, unsigned index);

struct ipc_ops {
    /* A request or notice arrived. False when it is ill-formed or not allowed: the link is closed. */
    bool (*packet)(void *ctx, struct ipc_link *link, struct ipc_packet *packet);
    /* The peer is gone (or was condemned). Pending calls have been failed already. The link may be attached
     * to a new descriptor later. */
    void (*down)(void *ctx, struct ipc_link *link);
    /* A descriptor was attached: calls work again. May be NULL. */
    void (*up)(void *ctx, struct ipc_link *link);
    /* Output that was congested went below IPC_QUEUE_HIGH. May be NULL. */
    void (*drained)(void *ctx, struct ipc_link *link);
};

/* Called once per reply: `err` is ERR_OK with a packet, or another code with NULL. While packet->more is set
 * further calls follow; it ends with one where `more` is false or `err` is set. */
typedef void ipc_done(void *ctx, enum err err, struct ipc_packet *packet);

/* A link that is down until attached. `name` (the peer's role) must outlive it. */
struct ipc_link *ipc_link_new(struct loop *loop, const char *name, const struct ipc_ops *ops, void *ctx)
    __attribute__((returns_nonnull));
/* Takes the descriptor; an earlier one is closed and its pending calls fail. */
void ipc_link_attach(struct ipc_link *link, int fd);
void ipc_link_close(struct ipc_link *link);
void ipc_link_free(struct ipc_link **link);
bool ipc_link_is_up(const struct ipc_link *link);
const char *ipc_link_name(const struct ipc_link *link);
/* Calls without an answer yet. */
size_t ipc_link_pending(const struct ipc_link *link);
/* More than IPC_QUEUE_HIGH bytes wait: stop producing until `drained`. */
bool ipc_congested(const struct ipc_link *link);

/* Sends a notice. Descriptors are duplicated by the kernel; the caller keeps his. ERR_LATER when the link is
 * down or its queue is full. */
enum err ipc_send(struct ipc_link *link, uint16_t type, struct slice body, const int *fds,
                  unsigned fd_count) MUST_CHECK;
/* Sends a request; done(ctx, …) is called later (never from inside ipc_call) exactly as described above.
 * Returns the request id, for ipc_cancel(). */
uint32_t ipc_call(struct ipc_link *link, uint16_t type, struct slice body, const int *fds, unsigned fd_count,
                  unsigned deadline_ms, ipc_done *done, void *ctx);
/* The callback of this request will not be called any more; a late reply is dropped. 0 is ignored. */
void ipc_cancel(struct ipc_link *link, uint32_t request);
/* Answers a request. With `more` set another reply must follow. Silently dropped when the link went down. */
void ipc_reply(struct ipc_link *link, uint32_t request, uint16_t type, bool more, struct slice body,
               const int *fds, unsigned fd_count);

#endif
