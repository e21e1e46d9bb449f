/* ipc.c: packets, credit, requests and their deadlines on one link. Trusts nothing but the packet boundaries
 * the kernel keeps; what is in a body is for wire/ to judge. */
#include "base/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum { FLAG_REPLY = 1, FLAG_MORE = 2, FLAG_CREDIT = 4 };

#define PACKETS_PER_TURN 64     /* then others get their turn */
#define PENDING_MAX      65535u /* slots are 16 bits of a request id */
#define DEADLINE_TICK_MS 100
#define SOCKET_BUFFER    (1 << 20)

/* A packet that waits for credit or for room in the socket. */
struct waiting {
    struct waiting *next;
    unsigned fd_count;
    int fds[IPC_FDS_MAX];
    size_t len;
    uint8_t bytes[];
};

struct pending {
    ipc_done *done; /* NULL: free slot or cancelled */
    void *ctx;
    uint64_t due;
    unsigned deadline_ms;
    uint16_t generation;
    bool used, failed;
    uint16_t next_free;
};

struct ipc_link {
    struct loop *loop;
    const char *name;
    const struct ipc_ops *ops;
    void *ctx;
    int fd;
    uint64_t epoch; /* of the descriptor */
    struct loop_watch *watch;
    struct loop_timer *timer;
    bool timer_armed, was_congested;
    uint8_t *in;
    /* what we may send, and what we took and have not told yet */
    uint32_t credit, fd_credit, taken, fds_taken;
    struct waiting *first, **last;
    size_t waiting_bytes;
    struct pending *slots;
    uint32_t slot_count, slot_cap, free_slot; /* free_slot: index + 1 */
    size_t pending;
};

struct header {
    uint16_t type, flags;
    uint32_t request;
    uint16_t credit, fd_credit;
    uint32_t len;
};

static void put16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *at, uint32_t v)
{
    put16(at, v & 0xffff);
    put16(at + 2, v >> 16);
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) | (uint32_t)get16(at + 2) << 16;
}

static void on_ready(void *arg, unsigned events);
static void on_tick(void *arg);
static void flush(struct ipc_link *link);

struct ipc_link *ipc_link_new(struct loop *loop, const char *name, const struct ipc_ops *ops, void *ctx)
{
    struct ipc_link *link = mem_zero(1, sizeof *link);
    link->loop = loop;
    link->name = name;
    link->ops = ops;
    link->ctx = ctx;
    link->fd = -1;
    link->last = &link->first;
    link->timer = loop_timer_new(loop, on_tick, link);
    return link;
}

static void close_fds(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

static void waiting_free(struct waiting *w)
{
    close_fds(w->fds, w->fd_count);
    free(w);
}

static void drop_waiting(struct ipc_link *link)
{
    while (link->first) {
        struct waiting *w = link->first;
        link->first = w->next;
        waiting_free(w);
    }
    link->last = &link->first;
    link->waiting_bytes = 0;
    link->was_congested = false;
}

static void close_socket(struct ipc_link *link)
{
    if (link->fd < 0)
        return;
    loop_watch_free(&link->watch);
    (void)close(link->fd);
    link->fd = -1;
    link->epoch++;
    drop_waiting(link);
}

static void slot_release(struct ipc_link *link, uint32_t index)
{
    struct pending *p = &link->slots[index];
    p->used = false;
    p->done = NULL;
    p->generation++;
    p->next_free = (uint16_t)link->free_slot;
    link->free_slot = index + 1;
    link->pending--;
}

/* Fails the calls that `all` or their own state says; each callback may make new calls, which are not failed.
 */
static void fail_calls(struct ipc_link *link, bool all)
{
    uint64_t now = loop_now_ms(link->loop);
    for (uint32_t i = 0; i < link->slot_count; i++)
        if (link->slots[i].used && (all || link->slots[i].due <= now))
            link->slots[i].failed = true;
    for (uint32_t i = 0; i < link->slot_count; i++) {
        if (!link->slots[i].used || !link->slots[i].failed)
            continue;
        ipc_done *done = link->slots[i].done;
        void *ctx = link->slots[i].ctx;
        slot_release(link, i);
        if (done)
            done(ctx, ERR_LATER, NULL);
    }
}

static void arm(struct ipc_link *link, uint64_t ms)
{
    if (link->timer_armed && ms)
        return;
    link->timer_armed = true;
    loop_timer_set(link->timer, ms);
}

static void on_tick(void *arg)
{
    struct ipc_link *link = arg;
    link->timer_armed = false;
    fail_calls(link, false);
    if (link->pending)
        arm(link, DEADLINE_TICK_MS);
}

void ipc_link_close(struct ipc_link *link)
{
    if (link->fd < 0)
        return;
    close_socket(link);
    fail_calls(link, true);
    if (link->ops->down)
        link->ops->down(link->ctx, link);
}

void ipc_link_attach(struct ipc_link *link, int fd)
{
    int size = SOCKET_BUFFER;
    ipc_link_close(link);
    /* Forced where root may; otherwise as far as net.core.wmem_max lets us. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    link->fd = fd;
    link->epoch++;
    link->credit = IPC_CREDIT;
    link->fd_credit = IPC_FD_CREDIT;
    link->taken = link->fds_taken = 0;
    if (!link->in)
        link->in = mem_alloc(IPC_PACKET_MAX);
    link->watch = loop_watch_new(link->loop, fd, on_ready, link);
    loop_watch_set(link->watch, LOOP_READ);
    if (link->ops->up)
        link->ops->up(link->ctx, link);
}

void ipc_link_free(struct ipc_link **link_ref)
{
    struct ipc_link *link = link_ref ? *link_ref : NULL;
    if (!link)
        return;
    close_socket(link);
    loop_timer_free(&link->timer);
    free(link->slots);
    free(link->in);
    free(link);
    *link_ref = NULL;
}

bool ipc_link_is_up(const struct ipc_link *link)
{
    return link->fd >= 0;
}

const char *ipc_link_name(const struct ipc_link *link)
{
    return link->name;
}

size_t ipc_link_pending(const struct ipc_link *link)
{
    return link->pending;
}

bool ipc_congested(const struct ipc_link *link)
{
    return link->waiting_bytes > IPC_QUEUE_HIGH;
}

int ipc_take_fd(struct ipc_packet *packet, unsigned index)
{
    if (index >= packet->fd_count)
        return -1;
    int fd = packet->fds[index];
    packet->fds[index] = -1;
    return fd;
}

/* ---- sending ---- */

static void header_put(uint8_t *at, const struct header *h)
{
    put16(at, h->type);
    put16(at + 2, h->flags);
    put32(at + 4, h->request);
    put16(at + 8, h->credit);
    put16(at + 10, h->fd_credit);
    put32(at + 12, h->len);
}

/* One sendmsg(). The credit we return travels in every packet. 0, EAGAIN, or another errno. */
static int transmit(struct ipc_link *link, uint8_t *head, struct slice body, const int *fds,
                    unsigned fd_count)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
    } control;
    struct iovec parts[2] = {{head, IPC_HEADER_SIZE}, {(void *)(uintptr_t)body.ptr, body.len}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = body.len ? 2 : 1};
    put16(head + 8, link->taken);
    put16(head + 10, link->fds_taken);
    if (fd_count) {
        memset(&control, 0, sizeof control);
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        if (sendmsg(link->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            link->taken = link->fds_taken = 0;
            return 0;
        }
        if (errno != EINTR)
            return errno == ETOOMANYREFS ? EAGAIN : errno;
    }
}

static void update_watch(struct ipc_link *link)
{
    if (!link->watch)
        return;
    bool sendable = link->first && link->credit && link->fd_credit >= link->first->fd_count;
    loop_watch_set(link->watch, LOOP_READ | (sendable ? LOOP_WRITE : 0u));
}

static enum err enqueue(struct ipc_link *link, const uint8_t *head, struct slice body, const int *fds,
                        unsigned fd_count)
{
    if (link->waiting_bytes + body.len > IPC_QUEUE_MAX)
        return ERR_LATER;
    struct waiting *w = mem_alloc(sizeof *w + IPC_HEADER_SIZE + body.len);
    w->next = NULL;
    w->fd_count = 0;
    w->len = IPC_HEADER_SIZE + body.len;
    memcpy(w->bytes, head, IPC_HEADER_SIZE);
    if (body.len)
        memcpy(w->bytes + IPC_HEADER_SIZE, body.ptr, body.len);
    for (unsigned i = 0; i < fd_count; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            waiting_free(w);
            return ERR_LATER;
        }
        w->fds[w->fd_count++] = copy;
    }
    *link->last = w;
    link->last = &w->next;
    link->waiting_bytes += w->len;
    if (ipc_congested(link))
        link->was_congested = true;
    update_watch(link);
    return ERR_OK;
}

static enum err submit(struct ipc_link *link, const struct header *h, struct slice body, const int *fds,
                       unsigned fd_count)
{
    uint8_t head[IPC_HEADER_SIZE];
    if (link->fd < 0)
        return ERR_LATER;
    if (body.len > IPC_BODY_MAX || fd_count > IPC_FDS_MAX)
        return ERR_INTERNAL;
    header_put(head, h);
    if (!link->first && link->credit && link->fd_credit >= fd_count) {
        int error = transmit(link, head, body, fds, fd_count);
        if (error == 0) {
            link->credit--;
            link->fd_credit -= fd_count;
            return ERR_OK;
        }
        /* A dead peer is noticed, and its calls are failed, when the descriptor is read. */
        if (error != EAGAIN)
            return ERR_LATER;
    }
    return enqueue(link, head, body, fds, fd_count);
}

static void flush(struct ipc_link *link)
{
    while (link->fd >= 0 && link->first && link->credit && link->fd_credit >= link->first->fd_count) {
        struct waiting *w = link->first;
        int error = transmit(link, w->bytes, slice_make(w->bytes + IPC_HEADER_SIZE, w->len - IPC_HEADER_SIZE),
                             w->fds, w->fd_count);
        if (error)
            break;
        link->credit--;
        link->fd_credit -= w->fd_count;
        link->first = w->next;
        if (!link->first)
            link->last = &link->first;
        link->waiting_bytes -= w->len;
        waiting_free(w);
    }
    update_watch(link);
    if (link->was_congested && !ipc_congested(link)) {
        link->was_congested = false;
        if (link->ops->drained)
            link->ops->drained(link->ctx, link);
    }
}

/* Tells the peer what we took when no packet of ours did for a while. Needs no credit itself. */
static void return_credit(struct ipc_link *link)
{
    if (link->fd < 0 || (link->taken < IPC_CREDIT / 2 && link->fds_taken < IPC_FD_CREDIT / 2))
        return;
    uint8_t head[IPC_HEADER_SIZE];
    const struct header h = {.flags = FLAG_CREDIT};
    header_put(head, &h);
    (void)transmit(link, head, SLICE_EMPTY, NULL, 0);
}

enum err ipc_send(struct ipc_link *link, uint16_t type, struct slice body, const int *fds, unsigned fd_count)
{
    const struct header h = {.type = type, .len = (uint32_t)body.len};
    return submit(link, &h, body, fds, fd_count);
}

static uint32_t slot_take(struct ipc_link *link)
{
    if (link->free_slot) {
        uint32_t index = link->free_slot - 1;
        link->free_slot = link->slots[index].next_free;
        return index;
    }
    if (link->slot_count == link->slot_cap) {
        link->slot_cap = link->slot_cap ? link->slot_cap * 2 : 16;
        link->slots = mem_realloc(link->slots, link->slot_cap * sizeof *link->slots);
    }
    link->slots[link->slot_count] = (struct pending){.generation = 1};
    return link->slot_count++;
}

uint32_t ipc_call(struct ipc_link *link, uint16_t type, struct slice body, const int *fds, unsigned fd_count,
                  unsigned deadline_ms, ipc_done *done, void *ctx)
{
    if (link->pending >= PENDING_MAX - 1)
        abort(); /* callers bound their sessions far below */
    uint32_t index = slot_take(link);
    struct pending *p = &link->slots[index];
    if (p->generation == 0)
        p->generation = 1;
    p->used = true;
    p->failed = false;
    p->done = done;
    p->ctx = ctx;
    p->deadline_ms = deadline_ms;
    p->due = loop_now_ms(link->loop) + deadline_ms;
    link->pending++;
    uint32_t request = (uint32_t)p->generation << 16 | (index + 1);
    const struct header h = {.type = type, .request = request, .len = (uint32_t)body.len};
    if (submit(link, &h, body, fds, fd_count) != ERR_OK) {
        link->slots[index].due = 0;
        arm(link, 0);
    } else {
        arm(link, DEADLINE_TICK_MS);
    }
    return request;
}

static struct pending *slot_find(struct ipc_link *link, uint32_t request)
{
    uint32_t index = (request & 0xffff) - 1;
    if (!request || index >= link->slot_count)
        return NULL;
    struct pending *p = &link->slots[index];
    return p->used && p->generation == request >> 16 ? p : NULL;
}

void ipc_cancel(struct ipc_link *link, uint32_t request)
{
    struct pending *p = slot_find(link, request);
    if (p)
        p->done = NULL; /* the slot is free when the reply or the deadline comes */
}

void ipc_reply(struct ipc_link *link, uint32_t request, uint16_t type, bool more, struct slice body,
               const int *fds, unsigned fd_count)
{
    const struct header h = {.type = type,
                             .flags = FLAG_REPLY | (more ? FLAG_MORE : 0),
                             .request = request,
                             .len = (uint32_t)body.len};
    if (submit(link, &h, body, fds, fd_count) == ERR_INTERNAL)
        abort(); /* a reply larger than a packet is our own fault */
}

/* ---- receiving ---- */

static void on_reply(struct ipc_link *link, struct ipc_packet *packet)
{
    struct pending *p = slot_find(link, packet->request);
    if (!p)
        return; /* late: the deadline was first */
    ipc_done *done = p->done;
    void *ctx = p->ctx;
    if (packet->more)
        p->due = loop_now_ms(link->loop) + p->deadline_ms;
    else
        slot_release(link, (uint32_t)(p - link->slots));
    if (done)
        done(ctx, ERR_OK, packet);
}

/* Descriptors of a packet; those past IPC_FDS_MAX cannot come, the control buffer has no room for them. */
static unsigned take_fds(struct msghdr *m, int *fds)
{
    unsigned count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && count < IPC_FDS_MAX; i++)
            memcpy(&fds[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return count;
}

/* False when the packet condemns its sender. */
static bool accept_packet(struct ipc_link *link, size_t len, struct ipc_packet *packet)
{
    const uint8_t *in = link->in;
    if (len < IPC_HEADER_SIZE || get32(in + 12) != len - IPC_HEADER_SIZE)
        return false;
    uint16_t flags = get16(in + 2);
    link->credit += get16(in + 8);
    link->fd_credit += get16(in + 10);
    if (link->credit > IPC_CREDIT || link->fd_credit > IPC_FD_CREDIT)
        return false; /* credit for what we never sent */
    if (flags & FLAG_CREDIT)
        return true;
    link->taken++;
    link->fds_taken += packet->fd_count;
    packet->type = get16(in);
    packet->request = get32(in + 4);
    packet->more = flags & FLAG_MORE;
    packet->body = slice_make(in + IPC_HEADER_SIZE, len - IPC_HEADER_SIZE);
    if (flags & FLAG_REPLY) {
        on_reply(link, packet);
        return true;
    }
    return link->ops->packet(link->ctx, link, packet);
}

/* False when there is nothing more to read now. */
static bool receive(struct ipc_link *link)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
    } control;
    struct iovec part = {link->in, IPC_PACKET_MAX};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    struct ipc_packet packet = {0};
    ssize_t len = recvmsg(link->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (len > 0)
        packet.fd_count = take_fds(&m, packet.fds);
    uint64_t epoch = link->epoch;
    bool good =
        len > 0 && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && accept_packet(link, (size_t)len, &packet);
    close_fds(packet.fds, packet.fd_count);
    if (epoch != link->epoch)
        return false; /* the handler closed or re-attached the link */
    if (!good)
        ipc_link_close(link);
    return good;
}

static void on_ready(void *arg, unsigned events)
{
    struct ipc_link *link = arg;
    uint64_t epoch = link->epoch;
    if (events & LOOP_READ)
        for (int i = 0; i < PACKETS_PER_TURN && receive(link); i++)
            ;
    if (epoch != link->epoch)
        return;
    return_credit(link);
    flush(link);
}
