/* Whole SMTP sessions: whatever a client sends, in whatever pieces, the session ends when the client goes,
 * every message that reached the queue is free of bare CR and LF, and no more is committed than was begun.
 * The first byte chooses the listener's service, the size of the pieces, and whether a stranger waits for the
 * greeting, and is refused when he does not. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smtp/session.h"

#define PEERS       3
#define TURNS_MAX   2000
#define PATIENCE_MS 1000

struct world {
    struct loop *loop;
    struct smtp *smtp;
    struct settings settings;
    struct settings_listener listener;
    struct ipc_link *mine[PEERS], *theirs[PEERS]; /* queue, store, auth */
    unsigned begun, commits;
    struct buf body;
};

static bool on_queue(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct world *w = ctx;
    const struct wire_smtp_reply ok = {
        .code = 250, .enhanced = SLICE("2.0.0"), .text = SLICE("Ok"), .id = SLICE("q")};
    w->begun += packet->type == WIRE_QUEUE_MAIL;
    w->commits += packet->type == WIRE_QUEUE_COMMIT;
    if (w->commits > w->begun)
        abort();
    if (packet->request)
        wire_reply(link, packet->request, WIRE_SMTP_REPLY, false, &ok);
    return true;
}

static void check_lines(struct slice body)
{
    for (size_t i = 0; i < body.len; i++) {
        bool cr = i > 0 && body.ptr[i - 1] == '\r';
        if ((body.ptr[i] == '\n') != cr || body.ptr[i] == 0)
            abort();
    }
    if (body.len && body.ptr[body.len - 1] == '\r')
        abort();
}

static bool on_store(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct world *w = ctx;
    struct wire_body_chunk m;
    if (packet->type != WIRE_BODY_CHUNK)
        return true;
    if (wire_decode(WIRE_BODY_CHUNK, packet->body, &m) != ERR_OK)
        abort();
    if (m.flags & BODY_FIRST)
        buf_clear(&w->body);
    buf_add(&w->body, m.data);
    if (m.flags & BODY_LAST) {
        const struct wire_body_done done = {.err = ERR_OK, .size = w->body.len};
        check_lines(buf_slice(&w->body));
        wire_reply(link, packet->request, WIRE_BODY_DONE, false, &done);
    }
    return true;
}

static bool on_auth(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)ctx;
    bool step = packet->type == WIRE_AUTH_STEP;
    const struct wire_auth_result r = {.status = step ? AUTH_OK : AUTH_CONTINUE,
                                       .exchange = 1,
                                       .challenge = SLICE("?"),
                                       .account = SLICE("a@b.test"),
                                       .grant = {.name = {step}}};
    if (packet->request)
        wire_reply(link, packet->request, WIRE_AUTH_RESULT, false, &r);
    return true;
}

static bool on_nothing(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)ctx;
    (void)link;
    (void)packet;
    return false;
}

static void on_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static const struct ipc_ops my_ops = {.packet = on_nothing, .down = on_down};
static const struct ipc_ops peer_ops[PEERS] = {{.packet = on_queue, .down = on_down},
                                               {.packet = on_store, .down = on_down},
                                               {.packet = on_auth, .down = on_down}};

static void stop(void *arg)
{
    loop_stop(arg);
}

/* What is ready now is handled; the loop does not wait. */
static void turn(struct world *w)
{
    loop_post(w->loop, stop, w->loop);
    loop_run(w->loop);
}

static void world_new(struct world *w, unsigned choice)
{
    enum settings_service service = choice & 1 ? SETTINGS_SUBMISSION : SETTINGS_MX;
    static const char *const names[] = {"queue", "store", "auth"};
    const struct wire_auth_mechanisms mechanisms = {.names = SLICE("PLAIN LOGIN")};
    memset(w, 0, sizeof *w);
    w->loop = loop_new();
    w->body = buf_new(64u << 20);
    w->settings.hostname = SLICE("mx.example.test");
    w->settings.before_greeting.wait = choice & 8 ? 1 : 0;
    w->settings.before_greeting.text = choice & 16 ? SLICE("a moment") : SLICE_EMPTY;
    w->settings.before_greeting.reject_early = choice & 32;
    w->settings.limits.message_size = 100000;
    w->settings.limits.recipients = 100;
    w->settings.limits.received_headers = 50;
    w->settings.limits.smtp_sessions = 10;
    w->settings.limits.sessions_per_address = 10;
    w->listener = (struct settings_listener){.name = SLICE("x"), .service = service, .insecure_auth = true};
    w->smtp = smtp_new(w->loop, &w->settings);
    for (unsigned i = 0; i < PEERS; i++) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0)
            abort();
        w->mine[i] = ipc_link_new(w->loop, names[i], &my_ops, w);
        w->theirs[i] = ipc_link_new(w->loop, "smtp", &peer_ops[i], w);
        ipc_link_attach(w->mine[i], fds[0]);
        ipc_link_attach(w->theirs[i], fds[1]);
    }
    w->smtp->queue = w->mine[0];
    w->smtp->store = w->mine[1];
    w->smtp->auth = w->mine[2];
    (void)smtp_take_mechanisms(w->smtp, &mechanisms);
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < PEERS; i++) {
        ipc_link_close(w->mine[i]);
        ipc_link_free(&w->mine[i]);
        ipc_link_free(&w->theirs[i]);
    }
    smtp_free(w->smtp);
    buf_free(&w->body);
    loop_free(&w->loop);
}

static void drain(int fd)
{
    char trash[65536];
    while (recv(fd, trash, sizeof trash, MSG_DONTWAIT) > 0)
        ;
}

/* Sends all of it in pieces, as the server takes them. */
static void talk(struct world *w, int fd, const uint8_t *data, size_t len, size_t piece)
{
    for (unsigned turns = 0; len && w->smtp->service.session_count && turns < TURNS_MAX; turns++) {
        ssize_t put = send(fd, data, len < piece ? len : piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0) {
            data += put;
            len -= (size_t)put;
        }
        turn(w);
        drain(fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct stream_ops none = {0};
    static const size_t pieces[] = {1, 7, 100, 65536};
    struct world w;
    int fds[2];
    const struct netaddr peer = {.family = NETADDR_V4, .bytes = {192, 0, 2, 1}};
    if (len < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        return 0;
    log_setup("fuzz", SLICE("fuzz"), NULL, 0);
    world_new(&w, data[0]);
    struct service_port *port = service_port_new(&w.listener, 0);
    const struct listener_arrival arrival = {.settings = &w.listener};
    smtp_session_begin(w.smtp, stream_new(w.loop, fds[0], &peer, &none, NULL), &arrival, port);
    talk(&w, fds[1], data + 1, len - 1, pieces[data[0] >> 1 & 3]);
    (void)shutdown(fds[1], SHUT_WR);
    uint64_t patience = clock_mono_ms() + PATIENCE_MS; /* a stranger may wait for its greeting */
    for (unsigned turns = 0;
         w.smtp->service.session_count && (turns < TURNS_MAX || clock_mono_ms() < patience); turns++) {
        turn(&w);
        drain(fds[1]);
    }
    if (w.smtp->service.session_count)
        abort(); /* it hangs */
    (void)close(fds[1]);
    for (int i = 0; i < 4; i++)
        turn(&w);
    service_port_free(&port);
    world_free(&w);
    return 0;
}
