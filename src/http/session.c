/* session.c: one HTTP connection: request after request, each answered from memory. Reads what anyone sends
 * who reaches the listener; grammar/http_request.c parses it. Called by role.c and by its stream. */
#include "http/session.h"

#include <stdlib.h>

#include "base/mem.h"

struct http_session {
    struct list node;
    struct http *http;
    struct stream *stream;
    unsigned requests;
    bool reading; /* a head has begun */
};

static void session_free(struct http_session *s)
{
    service_leave(&s->http->service, &s->node);
    metric_sub(METRIC_SESSIONS, METRIC_HTTP, 1);
    stream_free(&s->stream);
    free(s);
}

/* Sends what is in the output and closes. */
static void finish(struct http_session *s)
{
    stream_finish(&s->stream);
    session_free(s);
}

static const char *reason(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Service Unavailable";
    }
}

static void answer(struct http_session *s, const struct http_page *page, bool with_body, bool keep_alive)
{
    struct buf *out = stream_output(s->stream);
    metric_add(METRIC_HTTP_REQUESTS, page->status / 100 - 2, 1);
    buf_addf(out, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n",
             page->status, reason(page->status), page->type, page->body.len);
    if (page->status == 405)
        buf_add_str(out, "Allow: GET, HEAD\r\n");
    buf_add_str(out, keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
    if (with_body)
        buf_add(out, buf_slice(&page->body));
}

static void refuse(struct http_session *s, unsigned status)
{
    struct http_page page = {.status = status, .type = "text/plain; charset=utf-8", .body = buf_new(256)};
    buf_addf(&page.body, "%s\n", reason(status));
    answer(s, &page, true, false);
    buf_free(&page.body);
    finish(s);
}

/* False when the connection ends with this answer. */
static bool serve(struct http_session *s, const struct http_request *request)
{
    bool keep_alive = request->keep_alive && ++s->requests < HTTP_REQUESTS_MAX && !s->http->service.draining;
    struct http_page page;
    http_page_serve(s->http, request, &page);
    answer(s, &page, request->method != HTTP_HEAD, keep_alive);
    buf_free(&page.body);
    if (!keep_alive)
        finish(s);
    return keep_alive;
}

static void wait_for_more(struct http_session *s)
{
    bool reading = stream_input(s->stream).len > 0;
    if (reading && !s->reading)
        stream_set_deadline(s->stream, HTTP_REQUEST_MS);
    else if (!reading)
        stream_set_deadline(s->stream, HTTP_IDLE_MS);
    s->reading = reading;
}

static void on_readable(void *ctx, struct stream *stream)
{
    struct http_session *s = ctx;
    while (!stream_is_full(stream)) {
        struct http_request request;
        size_t consumed = 0;
        switch (http_request_parse(stream_input(stream), &request, &consumed)) {
        case HTTP_MORE:
            wait_for_more(s);
            return;
        case HTTP_BAD:
            refuse(s, 400);
            return;
        case HTTP_TOO_LARGE:
            refuse(s, 431);
            return;
        case HTTP_NO_VERSION:
            refuse(s, 505);
            return;
        case HTTP_DONE:
            break;
        }
        if (request.body_len > 0 || request.chunked) {
            refuse(s, 413); /* no page takes a body */
            return;
        }
        stream_consume(stream, consumed); /* the bytes stay where they are until the stream reads again */
        s->reading = false;
        if (!serve(s, &request))
            return;
    }
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    (void)stream;
    if (end == STREAM_EOF)
        finish(ctx); /* the client may still read what it asked for */
    else
        session_free(ctx);
}

static const struct stream_ops session_ops = {
    .readable = on_readable, .writable = on_readable, .ended = on_ended};

void http_session_begin(struct http *http, struct stream *stream, const struct listener_arrival *arrival)
{
    (void)arrival;
    if (http->service.session_count >= http->settings->limits.http_sessions) {
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_FULL, 1);
        stream_free(&stream);
        return;
    }
    struct http_session *s = mem_zero(1, sizeof *s);
    s->http = http;
    s->stream = stream;
    service_enter(&http->service, &s->node);
    metric_add(METRIC_CONNECTIONS, METRIC_HTTP, 1);
    metric_add(METRIC_SESSIONS, METRIC_HTTP, 1);
    stream_set_input_max(stream, HTTP_HEAD_MAX + 2);
    stream_set_deadline(stream, HTTP_IDLE_MS);
    stream_set_owner(stream, &session_ops, s);
}

void http_sessions_end(struct http *http)
{
    LIST_EACH(&http->service.sessions, node)
    session_free(CONTAINER_OF(node, struct http_session, node));
}
