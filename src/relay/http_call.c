/* http_call.c: one request to a web service. What DNS and that server answer is not trusted: keys and
 * passwords go over plain HTTP to loopback and private addresses only. */
#include "relay/http_call.h"

#include <stdlib.h>

#include "base/mem.h"
#include "policy/rdata.h"
#include "relay/crowdsec.h"
#include "relay/resolve_dns.h"

#define SCRATCH_MAX (4u << 20) /* of one DNS answer taken apart */

struct http_call {
    const struct http_peer *peer;
    struct http_question question;
    struct buf headers, post;
    struct loop_timer *begin;
    uint32_t requests[2]; /* to dns; 0: none */
    struct netaddr addresses[HTTPS_ADDRESSES_MAX];
    size_t count;
    struct https_fetch *fetch;
};

static void call_free(struct http_call *call)
{
    for (size_t i = 0; i < 2; i++)
        ipc_cancel(call->peer->dns, call->requests[i]);
    https_cancel(&call->fetch);
    loop_timer_free(&call->begin);
    if (call->headers.data)
        mem_wipe(call->headers.data, call->headers.len);
    buf_free(&call->headers);
    if (call->post.data)
        mem_wipe(call->post.data, call->post.len);
    buf_free(&call->post);
    free(call);
}

static void on_answer(void *ctx, const struct https_answer *answer)
{
    struct http_call *call = ctx;
    https_done *done = call->question.done;
    void *whose = call->question.ctx;
    call->fetch = NULL;
    done(whose, answer);
    call_free(call);
}

static bool on_piece(void *ctx, struct slice bytes)
{
    struct http_call *call = ctx;
    return call->question.piece(call->question.ctx, bytes);
}

static void fail(struct http_call *call, const char *text)
{
    const struct https_answer answer = {.outcome = HTTPS_FAILED, .text = text};
    on_answer(call, &answer);
}

/* ---- sending ---- */

/* Addresses a key may be told in the clear. */
static size_t keep_private(struct netaddr *addresses, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (netaddr_is_private(&addresses[i]))
            addresses[kept++] = addresses[i];
    return kept;
}

static void send_request(struct http_call *call)
{
    const struct http_url *url = &call->peer->url;
    AUTO_BUF struct buf path = buf_new(2 * HTTP_URL_MAX), host = buf_new(HTTP_URL_MAX);
    bool six = url->address.family == NETADDR_V6;
    if (url->plain)
        call->count = keep_private(call->addresses, call->count);
    if (call->count == 0) {
        fail(call, url->plain ? "http:// is for loopback and private networks; use https://"
                              : "its name has no address");
        return;
    }
    buf_addf(&path, "%.*s%s", SLICE_ARG(url->path), call->question.path);
    buf_addf(&host, "%s%.*s%s", six ? "[" : "", SLICE_ARG(url->host), six ? "]" : "");
    const struct https_request request = {.plain = url->plain,
                                          .host = buf_slice(&host),
                                          .port = url->port,
                                          .addresses = call->addresses,
                                          .count = call->count,
                                          .path = buf_slice(&path),
                                          .headers = buf_slice(&call->headers),
                                          .post = call->post.len > 0,
                                          .body = buf_slice(&call->post),
                                          .max = call->question.max,
                                          .type = call->question.type,
                                          .ms = call->question.ms,
                                          .piece = call->question.piece ? on_piece : NULL,
                                          .done = on_answer,
                                          .ctx = call};
    call->fetch = https_send(call->peer->https, &request);
}

/* ---- the host's addresses ---- */

static void note_addresses(struct http_call *call, size_t which, enum err err,
                           const struct ipc_packet *packet)
{
    AUTO_ARENA struct arena *scratch = arena_new(SCRATCH_MAX);
    struct dns_reply reply;
    call->requests[which] = 0;
    resolve_dns_read_in(scratch, err, packet, &reply);
    if (reply.status == DNS_OK)
        call->count += resolve_dns_addresses(&reply, call->peer->url.port, call->addresses + call->count,
                                             HTTPS_ADDRESSES_MAX - call->count);
    if (call->requests[0] || call->requests[1])
        return;
    if (call->count)
        send_request(call);
    else
        fail(call, "its name has no address");
}

static void on_ipv6(void *ctx, enum err err, struct ipc_packet *packet)
{
    note_addresses(ctx, 0, err, packet);
}

static void on_ipv4(void *ctx, enum err err, struct ipc_packet *packet)
{
    note_addresses(ctx, 1, err, packet);
}

/* RFC 6761 section 6.3: "localhost" is not asked for. */
static void use_localhost(struct http_call *call)
{
    static const uint8_t four[4] = {127, 0, 0, 1}, six[16] = {[15] = 1};
    call->addresses[0] = netaddr_v4(four, call->peer->url.port);
    call->addresses[1] = netaddr_v6(six, call->peer->url.port);
    call->count = 2;
    send_request(call);
}

static void on_begin(void *arg)
{
    struct http_call *call = arg;
    const struct http_url *url = &call->peer->url;
    if (url->address.family != NETADDR_NONE) {
        call->addresses[0] = url->address;
        call->count = 1;
        send_request(call);
    } else if (slice_ieq(url->host, SLICE("localhost"))) {
        use_localhost(call);
    } else {
        call->requests[0] = resolve_dns_ask(call->peer->dns, RR_AAAA, url->host, on_ipv6, call);
        call->requests[1] = resolve_dns_ask(call->peer->dns, RR_A, url->host, on_ipv4, call);
    }
}

struct http_call *http_ask(const struct http_peer *peer, const struct http_question *question)
{
    struct http_call *call = mem_zero(1, sizeof *call);
    *call = (struct http_call){.peer = peer,
                               .question = *question,
                               .headers = buf_new(HTTPS_HEADER_MAX + 100),
                               .post = buf_new(question->post.len)};
    buf_add_str(&call->headers, "User-Agent: rockdove/1\n"); /* "name/version": the LAPI wants both */
    if (question->header)
        buf_addf(&call->headers, "%s%.*s\n", question->header, SLICE_ARG(question->secret));
    buf_add(&call->post, question->post);
    call->begin = loop_timer_new(peer->loop, on_begin, call);
    loop_timer_set(call->begin, 0);
    return call;
}

void http_call_cancel(struct http_call **call)
{
    if (*call)
        call_free(*call);
    *call = NULL;
}
