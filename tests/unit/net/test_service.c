/* test_service.c: a role of nothing but listeners: certificates, what a reload keeps, how a drain ends. */
#include "net_test.h"

#include "../role_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "net/service.h"

#define SESSIONS_MAX 4

struct visitor {
    struct list node;
    struct stream *stream;
    struct service_port *port;
};

/* The role. */
struct host {
    struct service service;
    struct visitor visitors[SESSIONS_MAX];
    unsigned arrivals, told, told_over;
    bool leave_when_told, leave_when_over;
};

static struct host *host; /* the one whose role runs */
static bool may_wait;     /* a drain of it waits for sessions */

static void leave(struct visitor *v)
{
    if (!v->stream)
        return;
    stream_free(&v->stream);
    service_port_free(&v->port);
    service_leave(&host->service, &v->node);
}

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival,
                       struct service_port *port)
{
    struct host *h = ctx;
    struct visitor *v = &h->visitors[h->arrivals++];
    static const struct stream_ops none = {0};
    assert_int_equal(arrival->index, port->index);
    assert_true(slice_eq(arrival->settings->name, port->settings.name));
    *v = (struct visitor){.stream = stream, .port = port};
    port->refs++;
    stream_set_owner(stream, &none, v);
    stream_pause(stream);
    service_enter(&h->service, &v->node);
}

static void on_send_away(void *ctx, bool over)
{
    struct host *h = ctx;
    h->told += !over;
    h->told_over += over;
    LIST_EACH(&h->service.sessions, node)
    {
        if (over ? h->leave_when_over : h->leave_when_told)
            leave(CONTAINER_OF(node, struct visitor, node));
    }
}

static const struct service_ops waiting = {
    .services = SERVICE_SET(SETTINGS_MX), .arrived = on_arrived, .send_away = on_send_away};
static const struct service_ops hasty = {.services = SERVICE_SET(SETTINGS_MX), .arrived = on_arrived};

static void *load(struct role_run *run, struct why *why)
{
    host = mem_zero(1, sizeof *host);
    service_init(&host->service, role_loop(run), may_wait ? &waiting : &hasty, host);
    assert_int_equal(service_load(&host->service, run, why), ERR_OK);
    return host;
}

static enum err start(void *ctx, struct why *why)
{
    (void)why;
    service_open(&((struct host *)ctx)->service);
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    return service_prepare(&((struct host *)ctx)->service, why);
}

static void commit(void *ctx)
{
    service_commit(&((struct host *)ctx)->service);
}

static void forget_next(void *ctx)
{
    service_abort(&((struct host *)ctx)->service);
}

static void drain(void *ctx, uint64_t ms)
{
    service_drain(&((struct host *)ctx)->service, ms);
}

static void free_host(void *ctx)
{
    struct host *h = ctx;
    service_free(&h->service);
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        leave(&h->visitors[i]);
    assert_int_equal(h->service.session_count, 0);
    free(h);
    host = NULL;
}

static unsigned heard; /* packets from auth */

static bool on_mechanisms(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    (void)link;
    (void)packet;
    (void)message;
    assert_non_null(ctx);
    heard++;
    return true;
}

static const struct role_dispatch dispatch[] = {{WIRE_AUTH_MECHANISMS, on_mechanisms}, {WIRE_NONE, NULL}};
static const struct role_ops ops = {.role = ROLE_SMTP,
                                    .dispatch = dispatch,
                                    .load = load,
                                    .start = start,
                                    .prepare = prepare,
                                    .commit = commit,
                                    .abort = forget_next,
                                    .drain = drain,
                                    .free = free_host};

/* ---- helpers ---- */

#define HEAD "hostname: mail.example.org\ndata: /tmp/unused\nproxy_trusted_networks: [ 127.0.0.0/8 ]\n"
#define TLS  "tls:\n  - { cert: /c.pem, key: /k.pem }\n"
#define DOOR(name, service, port, rest)                                                                      \
    "  - { name: " name ", service: " service ", address: \"127.0.0.1:" port "\", " rest " }\n"
#define NOBODY HEAD "listeners:\n" DOOR("mx", "mx", "1025", "tls: none")

static struct rig *begin(const char *yaml, const struct rig_file *files, bool wait)
{
    may_wait = wait;
    return rig_new(&ops, 0, yaml, files, NULL, NULL);
}

static int listening(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static int dial(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof *at), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static bool is_closed(int fd)
{
    char c;
    set_nonblocking(fd);
    ssize_t got = read(fd, &c, 1);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

/* A reload with `fd` as the listener of this index; true when it was taken, otherwise it is aborted. */
static bool reload(struct rig *rig, const char *yaml, const struct rig_file *files, uint32_t index, int fd)
{
    const struct wire_sup_listener at = {.generation = rig->generation + 1, .index = index};
    rig->ready = false;
    rig_send_settings(rig, yaml);
    rig_send_files(rig, files);
    if (fd >= 0)
        assert_int_equal(wire_send_fds(rig->supervisor, WIRE_SUP_LISTENER, &at, &fd, 1), ERR_OK);
    rig_phase(rig, WIRE_SUP_PREPARE);
    rig_until(rig, &rig->ready);
    rig_phase(rig, rig->failed ? WIRE_SUP_ABORT : WIRE_SUP_COMMIT);
    rig_for(rig, 20);
    return !rig->failed;
}

static void send_drain(struct rig *rig, uint64_t ms)
{
    const struct wire_sup_drain message = {.ms = ms};
    assert_int_equal(wire_send(rig->supervisor, WIRE_SUP_DRAIN, &message), ERR_OK);
    rig_for(rig, 30);
}

static void wait_arrivals(struct rig *rig, unsigned count)
{
    for (int i = 0; i < 1000 && host->arrivals < count; i++)
        rig_turn(rig);
    assert_int_equal(host->arrivals, count);
}

/* ---- certificates ---- */

static void test_certificates(void **state)
{
    (void)state;
    static const char plain[] = HEAD TLS "listeners:\n" DOOR("mx", "mx", "1025", "tls: none");
    static const char secure[] = HEAD TLS "listeners:\n" DOOR("mx", "mx", "1025", "tls: starttls");
    static const char others[] = HEAD TLS "listeners:\n" DOOR("mx", "mx", "1025", "tls: none")
        DOOR("imap", "imap", "1143", "tls: implicit");
    struct pem a = make_cert("a.test"), b = make_cert("b.test");
    const struct rig_file good[] = {
        {SUP_FILE_TLS_CERT, 0, "/c.pem", a.cert}, {SUP_FILE_TLS_KEY, 0, "/k.pem", a.key}, {0}};
    const struct rig_file wrong[] = {
        {SUP_FILE_TLS_CERT, 0, "/c.pem", a.cert}, {SUP_FILE_TLS_KEY, 0, "/k.pem", b.key}, {0}};
    const struct rig_file keyless[] = {{SUP_FILE_TLS_CERT, 0, "/c.pem", a.cert}, {0}};
    const struct {
        const char *yaml;
        const struct rig_file *files;
        bool taken, tls;
    } rows[] = {
        {secure, good, true, true},     {secure, wrong, false, true}, /* what was in use stays */
        {secure, keyless, false, true}, {others, wrong, true, false}, /* no listener of ours needs it */
        {secure, good, true, true},     {NOBODY, NULL, true, false},
    };
    struct rig *rig = begin(plain, wrong, true);
    assert_null(host->service.tls);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct tls_context *before = host->service.tls;
        assert_int_equal(reload(rig, rows[i].yaml, rows[i].files, 0, -1), rows[i].taken);
        assert_int_equal(host->service.tls != NULL, rows[i].tls);
        assert_true(rows[i].taken || host->service.tls == before);
        assert_null(host->service.next_tls);
    }
    rig_free(rig);
    free_cert(&a);
    free_cert(&b);
}

/* ---- reloads ---- */

/* A connection in the middle of its PROXY header goes on where a listener of the same name is left, also at
 * another place in the list; with the name goes the connection. */
static void test_listeners_go_by_name(void **state)
{
    (void)state;
    static const char first[] = HEAD "listeners:\n" DOOR("door", "mx", "1025", "tls: none, proxy: required");
    static const struct {
        const char *yaml;
        uint32_t index;
        bool kept;
    } rows[] = {
        {first, 0, true},
        {HEAD "listeners:\n" DOOR("imap", "imap", "1143", "tls: none")
             DOOR("door", "mx", "1025", "tls: none, proxy: required"),
         1, true},
        {HEAD "listeners:\n" DOOR("gate", "mx", "1025", "tls: none, proxy: required"), 0, false},
        {HEAD "listeners:\n" DOOR("door", "imap", "1025", "tls: none, proxy: required"), 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_in at;
        struct rig *rig = begin(NOBODY, NULL, true);
        int socket = listening(&at);
        assert_true(reload(rig, first, NULL, 0, socket));
        int client = dial(&at);
        say(client, "PROXY TCP4 192.0.2.7 ");
        rig_for(rig, 30);
        assert_true(reload(rig, rows[i].yaml, NULL, rows[i].index, socket));
        assert_int_equal(is_closed(client), !rows[i].kept);
        if (rows[i].kept) {
            say(client, "192.0.2.8 1000 25\r\n");
            wait_arrivals(rig, 1);
            assert_int_equal(host->visitors[0].port->index, rows[i].index);
        }
        rig_free(rig);
        (void)close(client);
        (void)close(socket);
    }
}

/* A reload does not forget who is there. */
static void test_strangers_outlive_reloads(void **state)
{
    (void)state;
    static const char one[] =
        HEAD "listeners:\n" DOOR("door", "mx", "1025", "tls: none, proxy: required, connections: 1");
    struct sockaddr_in at;
    struct rig *rig = begin(NOBODY, NULL, true);
    int socket = listening(&at), clients[3];
    assert_true(reload(rig, one, NULL, 0, socket));
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = dial(&at);
        say(clients[i], "PROXY TCP4 192.0.2.7 192.0.2.8 1000 25\r\n");
        if (i == 1) {
            rig_for(rig, 30);
            assert_int_equal(host->arrivals, 1); /* there is one already */
            leave(&host->visitors[0]);
            rig_for(rig, 30);
        } else {
            wait_arrivals(rig, i == 0 ? 1 : 2);
        }
        assert_true(reload(rig, one, NULL, 0, socket));
        assert_true(reload(rig, one, NULL, 0, socket));
    }
    rig_free(rig);
    for (unsigned i = 0; i < 3; i++)
        (void)close(clients[i]);
    (void)close(socket);
}

/* What a session arrived with is there as long as the session is. */
static void test_ports_outlive_reloads(void **state)
{
    (void)state;
    struct sockaddr_in at;
    struct rig *rig = begin(NOBODY, NULL, true);
    int socket = listening(&at);
    assert_true(reload(rig, HEAD "listeners:\n" DOOR("door", "mx", "1025", "tls: none, insecure_auth: true"),
                       NULL, 0, socket));
    int one = dial(&at), two = -1;
    wait_arrivals(rig, 1);
    assert_true(reload(rig,
                       HEAD "listeners:\n" DOOR("imap", "imap", "1143", "tls: none")
                           DOOR("door", "mx", "1025", "tls: none"),
                       NULL, 1, socket));
    two = dial(&at);
    wait_arrivals(rig, 2);
    const struct service_port *old = host->visitors[0].port, *new = host->visitors[1].port;
    assert_true(slice_eq(old->settings.name, SLICE("door")) && slice_eq(new->settings.name, SLICE("door")));
    assert_true(old->settings.insecure_auth && !new->settings.insecure_auth);
    assert_int_equal(old->index, 0);
    assert_int_equal(new->index, 1);
    assert_int_equal(old->refs, 1);
    assert_int_equal(new->refs, 3); /* the old one counts in it */
    rig_free(rig);
    (void)close(one);
    (void)close(two);
    (void)close(socket);
}

/* ---- the end ---- */

/* Two sessions are there when the drain begins. */
static void auth_speaks(struct rig *rig)
{
    const struct wire_auth_mechanisms message = {.names = SLICE("PLAIN")};
    assert_int_equal(wire_send(rig->peers[ROLE_AUTH], WIRE_AUTH_MECHANISMS, &message), ERR_OK);
    rig_for(rig, 30);
    assert_int_equal(heard, 0);
}

/* What a quick auth says to a role that is slow to start waits until there is somebody to hear it. */
static void test_early_peer(void **state)
{
    (void)state;
    may_wait = true;
    rig_early = auth_speaks;
    struct rig *rig = rig_new(&ops, 1u << ROLE_AUTH, NOBODY, NULL, NULL, NULL);
    rig_early = NULL;
    rig_for(rig, 30);
    assert_int_equal(heard, 1);
    rig_free(rig);
}

static void test_drains(void **state)
{
    (void)state;
    static const struct {
        bool waits, leave_when_told, leave_when_over;
        uint64_t ms;
        bool over;    /* the time runs out */
        bool drained; /* without more to do */
    } rows[] = {
        {false, false, false, 60000, false, true}, {true, true, false, 60000, false, true},
        {true, false, false, 60000, false, false}, {true, false, true, 20, true, true},
        {true, false, false, 20, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_in at;
        struct rig *rig = begin(NOBODY, NULL, rows[i].waits);
        int socket = listening(&at);
        assert_true(reload(rig, NOBODY, NULL, 0, socket));
        int clients[] = {dial(&at), dial(&at)}, late;
        wait_arrivals(rig, 2);
        host->leave_when_told = rows[i].leave_when_told;
        host->leave_when_over = rows[i].leave_when_over;
        send_drain(rig, rows[i].ms);
        rig_for(rig, 40);
        assert_int_equal(host->told, rows[i].waits);
        assert_int_equal(host->told_over, rows[i].over);
        assert_int_equal(rig->drained, rows[i].drained);
        assert_true(reload(rig, NOBODY, NULL, 0, socket)); /* opens nothing any more */
        late = dial(&at);
        rig_for(rig, 30);
        assert_int_equal(host->arrivals, 2);
        leave(&host->visitors[0]);
        rig_for(rig, 10);
        assert_int_equal(rig->drained, rows[i].drained);
        leave(&host->visitors[1]);
        rig_until(rig, &rig->drained);
        rig_free(rig);
        (void)close(late);
        (void)close(clients[0]);
        (void)close(clients[1]);
        (void)close(socket);
    }
}

/* Where a load balancer has looked, its checks learn of the end first: for a while they fail, and clients
 * come and go as before. */
static void test_notice(void **state)
{
    (void)state;
    static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00";
    static const char client_header[] = "PROXY TCP4 192.0.2.7 192.0.2.8 1000 25\r\n";
    static const char yaml[] = HEAD "timeouts: { drain_notice: 300ms }\nlisteners:\n" DOOR(
        "door", "mx", "1025", "tls: none, proxy: required");
    for (int probed = 0; probed < 2; probed++) {
        struct sockaddr_in at;
        struct rig *rig = begin(NOBODY, NULL, true);
        int socket = listening(&at), clients[2] = {-1, -1};
        assert_true(reload(rig, yaml, NULL, 0, socket));
        clients[0] = dial(&at);
        if (probed)
            assert_int_equal(write(clients[0], local, sizeof local), sizeof local);
        else
            say(clients[0], client_header);
        wait_arrivals(rig, 1);
        send_drain(rig, 60000);
        assert_true(host->service.leaving);
        assert_int_equal(host->service.draining, !probed);
        assert_int_equal(host->told, !probed);
        if (probed) {
            clients[1] = dial(&at);
            say(clients[1], client_header);
            wait_arrivals(rig, 2);
            rig_for(rig, 400);
            assert_true(host->service.draining);
            assert_int_equal(host->told, 1);
        }
        for (size_t i = 0; i < 2; i++)
            leave(&host->visitors[i]);
        rig_until(rig, &rig->drained);
        rig_free(rig);
        (void)close(clients[0]);
        (void)close(clients[1]);
        (void)close(socket);
    }
}

/* Nobody is there; and the role may be freed in the middle of a drain. */
static void test_drain_of_nobody(void **state)
{
    (void)state;
    struct sockaddr_in at;
    struct rig *rig = begin(NOBODY, NULL, true);
    send_drain(rig, 60000);
    assert_true(rig->drained);
    assert_int_equal(host->told_over, 0);
    rig_free(rig);
    rig = begin(NOBODY, NULL, true);
    int socket = listening(&at);
    assert_true(reload(rig, NOBODY, NULL, 0, socket));
    int client = dial(&at);
    wait_arrivals(rig, 1);
    send_drain(rig, 60000);
    role_run_free(&rig->run);
    rig_for(rig, 10);
    assert_false(rig->drained);
    rig_free(rig);
    (void)close(client);
    (void)close(socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_listeners_go_by_name),
        cmocka_unit_test(test_strangers_outlive_reloads),
        cmocka_unit_test(test_ports_outlive_reloads),
        cmocka_unit_test(test_early_peer),
        cmocka_unit_test(test_drains),
        cmocka_unit_test(test_notice),
        cmocka_unit_test(test_drain_of_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
