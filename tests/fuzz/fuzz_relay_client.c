/* Whole SMTP client sessions: whatever a server replies, in whatever pieces, every recipient gets one
 * definite outcome, nothing counts as accepted that was not sent, texts come out clean, the password stays at
 * home without TLS, and the session ends when the server goes. The first byte chooses what we want of the
 * server, the second how its replies come; the rest is what it says. The TCP connection is a socket pair. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "net/connect.h"
#include "relay/client.h"

#define TURNS_MAX   3000
#define JOBS        2
#define QUIET_TURNS 5
#define RCPTS_MAX   5
#define TEXT        "Subject: x\r\n\r\n.one\r\ntwo\r\n"
#define SAID_MAX    (4u << 20)

/* ---- a connection that is there at once ---- */

struct connecting {
    struct loop_timer *timer;
    connect_done *done;
    void *ctx;
};

static int our_end;

static void on_connected(void *arg)
{
    struct connecting c = *(struct connecting *)arg;
    loop_timer_free(&c.timer);
    free(arg);
    c.done(c.ctx, our_end, 0);
}

struct connecting *connect_begin(struct loop *loop, const struct netaddr *to, const struct netaddr *source,
                                 uint64_t ms, connect_done *done, void *ctx)
{
    struct connecting *c = calloc(1, sizeof *c);
    (void)to;
    (void)source;
    (void)ms;
    if (!c)
        abort();
    *c = (struct connecting){.done = done, .ctx = ctx};
    c->timer = loop_timer_new(loop, on_connected, c);
    loop_timer_set(c->timer, 0);
    return c;
}

void connect_cancel(struct connecting **c)
{
    if (*c)
        abort(); /* nobody has a reason to */
}

const char *connect_error_text(int error)
{
    (void)error;
    return "";
}

/* ---- the owner ---- */

struct world {
    struct loop *loop;
    struct client *client;
    struct arena *arena;
    struct client_job jobs[JOBS];
    struct client_rcpt rcpts[JOBS][RCPTS_MAX];
    size_t begun, done;
    bool running, over;
    struct buf said; /* by the client */
    bool secret;     /* it may log in */
};

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_reply(const struct client_reply *reply)
{
    check(reply->text.len <= CLIENT_TEXT_MAX && slice_is_utf8(reply->text));
    for (size_t i = 0; i < reply->text.len; i++)
        check(reply->text.ptr[i] >= ' ' && reply->text.ptr[i] != 0x7f);
    check(reply->class >= 2 && reply->class <= 5);
    check(reply->code == 0 || reply->code / 100 == reply->class);
}

static void check_job(const struct client_job *job)
{
    for (size_t i = 0; i < job->rcpt_count; i++) {
        const struct client_rcpt *rcpt = &job->rcpts[i];
        check(rcpt->outcome > CLIENT_PENDING && rcpt->outcome < CLIENT_OUTCOME_COUNT);
        check(rcpt->stage != NULL);
        check_reply(&rcpt->reply);
        if (rcpt->outcome == CLIENT_ACCEPTED)
            check(rcpt->reply.code / 100 == 2 && strcmp(rcpt->stage, "end of data") == 0 &&
                  job->transactions > 0);
        if (rcpt->outcome == CLIENT_PERMANENT)
            check(rcpt->reply.class == 5);
    }
}

static void send_next(struct world *w)
{
    if (w->begun < JOBS) {
        w->running = true;
        client_send(w->client, &w->jobs[w->begun++]);
    } else {
        w->over = true;
        client_quit(&w->client);
    }
}

static void on_ready(void *ctx, struct client *client)
{
    struct world *w = ctx;
    check(w->begun == 0 && client_is_idle(client));
    send_next(w);
}

static void on_done(void *ctx, struct client *client, struct client_job *job)
{
    struct world *w = ctx;
    check(w->running && job == &w->jobs[w->begun - 1]);
    w->running = false;
    w->done++;
    check_job(job);
    if (client_is_idle(client))
        send_next(w);
}

static void on_ended(void *ctx, struct client *client, const struct client_end *end)
{
    struct world *w = ctx;
    (void)client;
    check(!w->running && !w->over);
    check(end->stage != NULL);
    check_reply(&end->reply);
    w->over = true;
    client_free(&w->client);
}

static const struct client_ops ops = {.ready = on_ready, .done = on_done, .ended = on_ended};

/* ---- set up ---- */

static int text_fd(void)
{
    static int fd = -1;
    if (fd < 0)
        check(io_memfd("text", &fd, NULL) == ERR_OK && io_write_all(fd, SLICE(TEXT), NULL) == ERR_OK);
    return fd;
}

static struct tls_client *trust(void)
{
    static struct tls_client *tls;
    if (!tls)
        check(tls_client_new(SLICE_EMPTY, SLICE_EMPTY, &tls, NULL) == ERR_OK);
    return tls;
}

static void make_jobs(struct world *w, unsigned wishes)
{
    static const char *const addresses[RCPTS_MAX] = {"a@example.org", "b@example.org", "\303\274@example.org",
                                                     "d@example.org", "e@example.org"};
    for (size_t i = 0; i < JOBS; i++) {
        w->jobs[i] = (struct client_job){.arena = w->arena,
                                         .sender = i ? SLICE_EMPTY : SLICE("s@example.net"),
                                         .prefix = SLICE("X: y\r\n"),
                                         .fd = text_fd(),
                                         .size = sizeof TEXT - 1,
                                         .eightbit = wishes & 1,
                                         .smtputf8 = wishes & 2,
                                         .requiretls = (wishes & 7) == 7,
                                         .ret = wishes & 4 ? SMTP_RET_FULL : SMTP_RET_NONE,
                                         .envid = wishes & 4 ? SLICE("id=1") : SLICE_EMPTY,
                                         .rcpts = w->rcpts[i],
                                         .rcpt_count = wishes & 2 ? RCPTS_MAX : 2};
        for (size_t r = 0; r < RCPTS_MAX; r++)
            w->rcpts[i][r] = (struct client_rcpt){.address = slice_of(addresses[r]),
                                                  .notify = wishes & 4 ? SMTP_NOTIFY_SUCCESS : 0,
                                                  .orcpt_type = SLICE("rfc822"),
                                                  .orcpt = slice_of(addresses[r])};
    }
}

static void begin(struct world *w, unsigned wishes)
{
    static const unsigned mechanisms[] = {0, SMTP_SASL_LOGIN, SMTP_SASL_XOAUTH2, SMTP_SASL_SCRAM_SHA_256};
    unsigned login = wishes >> 3 & 7;
    struct client_target target = {.host = SLICE("mx.example.org"),
                                   .helo = SLICE("client.example.net"),
                                   .level = wishes & 64 ? CLIENT_TLS_OPPORTUNISTIC : CLIENT_TLS_NONE,
                                   .tls = wishes & 64 ? trust() : NULL,
                                   .auth_in_clear = login & 4,
                                   .timeouts = client_timeouts_standard};
    target.address = netaddr_v4((const uint8_t[]){127, 0, 0, 1}, 25);
    if (wishes & 128)
        target.login = (struct sasl_login){
            .user = SLICE("user"), .secret = SLICE("pencil"), .mechanisms = mechanisms[login & 3]};
    w->secret = wishes & 128 && login & 4;
    w->loop = loop_new();
    w->arena = arena_new(16u << 20);
    w->said = buf_new(SAID_MAX);
    make_jobs(w, wishes);
    w->client = client_new(w->loop, &target, &ops, w);
}

/* ---- the server ---- */

static void stop(void *arg)
{
    loop_stop(arg);
}

/* What is ready now is handled; the loop does not wait. */
static void turn(struct world *w, int fd)
{
    char bytes[65536];
    loop_post(w->loop, stop, w->loop);
    loop_run(w->loop);
    for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;)
        buf_add(&w->said, slice_make(bytes, (size_t)got));
}

/* A line, so that each reply comes behind the command it answers; or so many bytes. */
static size_t piece_of(struct slice rest, unsigned how)
{
    static const size_t pieces[] = {1, 7, 100, 65536};
    ptrdiff_t lf = slice_find(rest, '\n');
    if ((how & 12) != 12)
        return lf < 0 ? rest.len : (size_t)lf + 1;
    return rest.len < pieces[how & 3] ? rest.len : pieces[how & 3];
}

static void talk(struct world *w, int fd, struct slice rest, unsigned how)
{
    for (unsigned turns = 0; rest.len && !w->over && turns < TURNS_MAX; turns++) {
        ssize_t put = send(fd, rest.ptr, piece_of(rest, how), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0)
            rest = slice_from(rest, (size_t)put);
        for (unsigned i = 0; i < QUIET_TURNS && !w->over; i++)
            turn(w, fd); /* what it says to that needs some */
    }
}

static void check_said(const struct world *w)
{
    struct slice said = buf_slice(&w->said);
    size_t accepted = 0;
    if (!w->secret)
        check(slice_search(said, SLICE("AUTH ")) < 0);
    for (size_t i = 0; i < w->begun; i++)
        for (size_t r = 0; r < w->jobs[i].rcpt_count; r++)
            accepted += w->jobs[i].rcpts[r].outcome == CLIENT_ACCEPTED;
    if (accepted)
        check(slice_search(said, SLICE("X: y\r\nSubject: x\r\n\r\n")) > 0 &&
              (slice_search(said, SLICE("\r\n..one\r\ntwo\r\n.\r\n")) > 0 ||
               slice_search(said, SLICE("\r\n.one\r\ntwo\r\n")) > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct world w = {0};
    int fds[2];
    if (len < 2 || len > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        return 0;
    log_setup("fuzz", SLICE("fuzz"), NULL, 0);
    our_end = fds[0];
    begin(&w, data[0]);
    turn(&w, fds[1]);
    talk(&w, fds[1], slice_make(data + 2, len - 2), data[1]);
    (void)shutdown(fds[1], SHUT_WR);
    for (unsigned turns = 0; !w.over && turns < TURNS_MAX; turns++)
        turn(&w, fds[1]);
    check(w.over); /* else it hangs */
    check(w.done == w.begun && !w.client);
    for (int i = 0; i < 4; i++)
        turn(&w, fds[1]);
    check_said(&w);
    (void)close(fds[1]);
    turn(&w, fds[1]);
    loop_free(&w.loop);
    arena_free(&w.arena);
    buf_free(&w.said);
    return 0;
}
