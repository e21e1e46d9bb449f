/* greet_rig.h: what test_greet.c and test_dns_list.c share: the smtp role with strangers at its door, a dns
 * role that answers, lies or hangs, and an auth that writes down what it is told. */
#ifndef TESTS_GREET_RIG_H
#define TESTS_GREET_RIG_H

#include "../net/net_test.h"

#include <assert.h>
#include <stdio.h>

#include "net/security.h"
#include "policy/dns_list.h"
#include "policy/rdata.h"
#include "smtp/greet.h"

#define PATIENCE_MS 5000
#define TOLD_MS     50 /* auth is told of offences by then */
#define WAIT_MS     200
#define LATE_MS     400 /* how late a machine under load may be */

enum manner { MANNER_GOOD, MANNER_SILENT, MANNER_LISTS_ALL, MANNER_EMPTY, MANNER_REFUSES, MANNER_PARKED };

struct client {
    int fd;
    bool eof;
    struct buf got;
};

struct fake {
    struct loop *loop;
    struct smtp *smtp;
    struct settings settings;
    struct settings_listener listeners[2];
    struct settings_dns_list lists[3];
    struct conf_network networks[2];
    struct service_port *ports[2];        /* mx, submission */
    struct ipc_link *mine[2], *theirs[2]; /* auth, dns */
    /* what the peers saw */
    unsigned offences[OFFENCE_COUNT], points, queries, held;
    char detail[300];
    struct buf saved[8];
    uint32_t saved_flags[8];
    unsigned saves;
    uint32_t held_requests[64];
    /* how dns behaves: per list */
    enum manner manners[3];
};

/* ---- the peers ---- */

static inline bool on_auth(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = ctx;
    (void)link;
    if (packet->type == WIRE_OFFENCE) {
        struct wire_offence m;
        assert_int_equal(wire_decode(WIRE_OFFENCE, packet->body, &m), ERR_OK);
        f->offences[m.kind] += m.count;
        (void)snprintf(f->detail, sizeof f->detail, "%.*s", SLICE_ARG(m.detail));
    } else if (packet->type == WIRE_DOOR_SAVE) {
        struct wire_door_save m;
        assert_int_equal(wire_decode(WIRE_DOOR_SAVE, packet->body, &m), ERR_OK);
        f->saved[f->saves] = buf_new(WIRE_BLOB_MAX);
        f->saved_flags[f->saves] = m.flags;
        buf_add(&f->saved[f->saves++], m.data);
    }
    return true;
}

static inline void answer(struct ipc_link *link, uint32_t request, const char *address)
{
    AUTO_BUF struct buf records = buf_new(1000);
    struct netaddr a;
    if (*address) {
        assert_true(netaddr_parse(slice_of(address), &a));
        wire_strings_add(&records, slice_make(a.bytes, 4));
    }
    const struct wire_dns_answer m = {.status = *address ? DNS_OK : DNS_NXDOMAIN,
                                      .records = buf_slice(&records)};
    wire_reply(link, request, WIRE_DNS_ANSWER, false, &m);
}

/* Who is listed has 66 at the end. */
static const char *right_answer(struct slice name)
{
    bool listed = slice_starts(name, SLICE("2.0.0.127.")) || slice_starts(name, SLICE("66."));
    return listed ? "127.0.0.2" : "";
}

static inline bool on_dns(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = ctx;
    struct wire_dns_query m;
    assert_int_equal(wire_decode(WIRE_DNS_QUERY, packet->body, &m), ERR_OK);
    if (m.rrtype != RR_A) { /* a client's name */
        answer(link, packet->request, "");
        return true;
    }
    f->queries++;
    ptrdiff_t at = slice_search(m.name, SLICE(".list"));
    assert_true(at > 0);
    switch (f->manners[m.name.ptr[at + 5] - '0']) {
    case MANNER_GOOD:
        answer(link, packet->request, right_answer(m.name));
        break;
    case MANNER_SILENT:
        f->held_requests[f->held++ % ARRAY_LEN(f->held_requests)] = packet->request;
        break;
    case MANNER_LISTS_ALL:
        answer(link, packet->request, "127.0.0.2");
        break;
    case MANNER_EMPTY:
        answer(link, packet->request, "");
        break;
    case MANNER_REFUSES:
        answer(link, packet->request, "127.255.255.254");
        break;
    case MANNER_PARKED:
        answer(link, packet->request, "203.0.113.80");
        break;
    }
    return true;
}

static inline void on_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static inline bool on_nothing(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)ctx;
    (void)link;
    (void)packet;
    return false;
}

static const struct ipc_ops my_ops = {.packet = on_nothing, .down = on_down};
static const struct ipc_ops peer_ops[2] = {{.packet = on_auth, .down = on_down},
                                           {.packet = on_dns, .down = on_down}};

/* ---- the rig ---- */

static inline void make_settings(struct fake *f)
{
    static const char *const zones[] = {"list0.test", "list1.test", "list2.test"};
    f->settings.hostname = SLICE("mx.example.test");
    f->settings.limits.message_size = 1000000;
    f->settings.limits.recipients = 100;
    f->settings.limits.smtp_sessions = 2000;
    f->settings.limits.sessions_per_address = 2000;
    f->settings.limits.ipv4_prefix = 32;
    f->settings.limits.ipv6_prefix = 64;
    f->settings.limits.network_share = 100;
    f->settings.timeouts.smtp_command = 60000;
    f->settings.timeouts.smtp_data = 60000;
    f->settings.before_greeting.wait = WAIT_MS;
    f->settings.before_greeting.remember = 3600000;
    f->settings.before_greeting.reject_early = true;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++)
        f->lists[i] = (struct settings_dns_list){.zone = slice_of(zones[i]), .weight = 2};
    f->settings.before_greeting.lists.items = f->lists;
    f->listeners[0] = (struct settings_listener){.name = SLICE("mx"), .service = SETTINGS_MX};
    f->listeners[1] = (struct settings_listener){.name = SLICE("subm"), .service = SETTINGS_SUBMISSION};
    f->settings.listeners.items = f->listeners;
    f->settings.listeners.count = 2;
    assert_true(conf_read_network(SLICE("10.1.0.0/16"), &f->networks[0]));
    assert_true(conf_read_network(SLICE("10.2.0.0/16"), &f->networks[1]));
    f->settings.trusted_networks.items = &f->networks[0];
    f->settings.trusted_networks.count = 1;
    f->settings.proxy_trusted_networks.items = &f->networks[1];
    f->settings.proxy_trusted_networks.count = 1;
}

static inline void setup(struct fake *f)
{
    static const char *const names[] = {"auth", "dns"};
    memset(f, 0, sizeof *f);
    f->loop = loop_new();
    make_settings(f);
    f->smtp = smtp_new(f->loop, &f->settings);
    for (unsigned i = 0; i < 2; i++) {
        int fds[2];
        f->mine[i] = ipc_link_new(f->loop, names[i], &my_ops, f);
        f->theirs[i] = ipc_link_new(f->loop, "smtp", &peer_ops[i], f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        ipc_link_attach(f->mine[i], fds[0]);
        ipc_link_attach(f->theirs[i], fds[1]);
        f->ports[i] = service_port_new(&f->listeners[i], i);
    }
    f->smtp->auth = f->mine[0];
    f->smtp->dns = f->mine[1];
    security_use(f->smtp->service.security, f->smtp->auth, &f->settings);
    smtp_greeter_start(f->smtp->greeter);
}

static inline void stop(void *arg)
{
    loop_stop(arg);
}

static inline void turns(struct fake *f, unsigned ms)
{
    struct loop_timer *timer = loop_timer_new(f->loop, stop, f->loop);
    loop_timer_set(timer, ms);
    loop_run(f->loop);
    loop_timer_free(&timer);
}

static inline void teardown(struct fake *f)
{
    turns(f, 5);
    assert_int_equal(f->smtp->service.session_count, 0);
    assert_true(list_empty(&f->smtp->greeter->waiting));
    smtp_free(f->smtp);
    for (unsigned i = 0; i < 2; i++) {
        ipc_link_close(f->mine[i]);
        ipc_link_free(&f->mine[i]);
        ipc_link_free(&f->theirs[i]);
        service_port_free(&f->ports[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(f->saved); i++)
        buf_free(&f->saved[i]);
    loop_free(&f->loop);
}

/* The lists are in use, as far as their tests allow. */
static inline void use_lists(struct fake *f, unsigned count, uint64_t reject_score)
{
    f->settings.before_greeting.lists.count = count;
    f->settings.before_greeting.reject_score = reject_score;
    smtp_greeter_start(f->smtp->greeter);
    turns(f, 10);
    f->queries = 0;
}

struct from {
    const char *address;
    bool probe, submission;
};

static inline struct client connect_from(struct fake *f, struct from from)
{
    static const struct stream_ops none = {0};
    int fds[2];
    struct netaddr peer;
    assert_true(netaddr_parse(slice_of(from.address), &peer));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct stream *stream = stream_new(f->loop, fds[0], &peer, &none, NULL);
    const struct listener_arrival arrival = {.index = from.submission,
                                             .settings = &f->listeners[from.submission],
                                             .probe = from.probe,
                                             .trusted = settings_is_trusted(&f->settings, &peer)};
    smtp_session_begin(f->smtp, stream, &arrival, f->ports[from.submission]);
    return (struct client){.fd = fds[1], .got = buf_new(1u << 16)};
}

static inline struct client stranger(struct fake *f, const char *address)
{
    return connect_from(f, (struct from){.address = address});
}

static inline void leave(struct client *c)
{
    (void)close(c->fd);
    buf_free(&c->got);
}

static inline void receive(struct client *c)
{
    uint8_t *at = buf_reserve(&c->got, 4096);
    ssize_t got = at ? read(c->fd, at, 4096) : -1;
    if (got > 0)
        buf_added(&c->got, (size_t)got);
    c->eof = c->eof || got == 0;
}

static inline void say(const struct client *c, const char *text)
{
    assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Until all of that was received, in this order, from the beginning on; then it is taken off. The
 * milliseconds it took. */
static inline uint64_t expect(struct fake *f, struct client *c, const char *text)
{
    uint64_t begun = clock_mono_ms();
    struct slice wanted = slice_of(text);
    while (clock_mono_ms() < begun + PATIENCE_MS) {
        if (slice_starts(buf_slice(&c->got), wanted)) {
            buf_consume(&c->got, wanted.len);
            return clock_mono_ms() - begun;
        }
        if (c->eof || !slice_starts(wanted, slice_sub(buf_slice(&c->got), 0, wanted.len)))
            break;
        turns(f, 1);
        receive(c);
    }
    fail_msg("expected \"%s\", got \"%.*s\"%s", text, SLICE_ARG(buf_slice(&c->got)),
             c->eof ? " and the end" : "");
    return 0;
}

static inline void expect_end(struct fake *f, struct client *c)
{
    for (int i = 0; i < PATIENCE_MS && !c->eof; i++) {
        turns(f, 1);
        receive(c);
    }
    assert_true(c->eof);
    if (c->got.len)
        fail_msg("expected the end, got \"%.*s\"", SLICE_ARG(buf_slice(&c->got)));
    leave(c);
}

#define GREETING "220 mx.example.test ESMTP Rockdove\r\n"
#define BYE      "221 2.0.0 Bye\r\n"

static inline void quit(struct fake *f, struct client *c)
{
    say(c, "QUIT\r\n");
    (void)expect(f, c, BYE);
    expect_end(f, c);
}

static inline void assert_waited(uint64_t ms)
{
    assert_in_range(ms, WAIT_MS - 2, WAIT_MS + LATE_MS);
}

#endif
