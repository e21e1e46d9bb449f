/* http_request.c: the head of an HTTP/1.x request. Reads what anyone sends; trusts nothing. Called by the
 * http role. */
#include "grammar/http_request.h"

/* tchar = any VCHAR except delimiters (RFC 9110 section 5.6.2) */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (!ascii_is_alnum(c) && slice_find(SLICE("!#$%&'*+-.^_`|~"), c) < 0)
            return false;
    }
    return s.len > 0;
}

/* VCHAR, obs-text, and blanks between them (RFC 9110 section 5.5); no control characters. */
static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* One line without its CRLF off the front; false when it is none. A bare LF or CR ends nothing here. */
static bool take_line(struct slice *rest, struct slice *line)
{
    ptrdiff_t lf = slice_find(*rest, '\n');
    if (lf < 1 || rest->ptr[lf - 1] != '\r')
        return false;
    *line = slice_sub(*rest, 0, (size_t)lf - 1);
    *rest = slice_from(*rest, (size_t)lf + 1);
    return slice_find(*line, '\r') < 0;
}

static enum http_method method_of(struct slice name)
{
    if (slice_eq(name, SLICE("GET")))
        return HTTP_GET;
    if (slice_eq(name, SLICE("HEAD")))
        return HTTP_HEAD;
    return slice_eq(name, SLICE("POST")) ? HTTP_POST : HTTP_OTHER_METHOD;
}

static bool is_target(struct slice target)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f)
            return false;
    return target.len > 0;
}

/* request-line = method SP request-target SP HTTP-version (RFC 9112 section 3) */
static enum http_state parse_request_line(struct slice line, struct http_request *r)
{
    ptrdiff_t first = slice_find(line, ' '), last = slice_rfind(line, ' ');
    if (first < 0 || first == last)
        return HTTP_BAD;
    struct slice method = slice_sub(line, 0, (size_t)first);
    struct slice version = slice_from(line, (size_t)last + 1);
    r->target = slice_sub(line, (size_t)first + 1, (size_t)(last - first) - 1);
    if (!is_token(method) || !is_target(r->target) || !slice_starts(version, SLICE("HTTP/")))
        return HTTP_BAD;
    if (!slice_eq(version, SLICE("HTTP/1.1")) && !slice_eq(version, SLICE("HTTP/1.0")))
        return HTTP_NO_VERSION;
    r->method = method_of(method);
    r->keep_alive = slice_ends(version, SLICE("1.1"));
    ptrdiff_t mark = slice_find(r->target, '?');
    r->path = mark < 0 ? r->target : slice_sub(r->target, 0, (size_t)mark);
    r->query = mark < 0 ? SLICE_EMPTY : slice_from(r->target, (size_t)mark + 1);
    return HTTP_DONE;
}

static bool list_has(struct slice list, struct slice word)
{
    struct slice item;
    while (slice_token(&list, ',', &item))
        if (slice_ieq(slice_trim(item), word))
            return true;
    return false;
}

/* What the fields said so far, to notice contradictions (RFC 9112 sections 3.2 and 6.3). */
struct seen {
    unsigned hosts, lengths;
    bool http11;
};

/* field-line = field-name ":" OWS field-value OWS (RFC 9112 section 5); no folding (section 5.2). */
static bool parse_field(struct slice line, struct http_request *r, struct seen *seen)
{
    ptrdiff_t colon = slice_find(line, ':');
    if (colon < 0)
        return false;
    struct slice name = slice_sub(line, 0, (size_t)colon),
                 value = slice_trim(slice_from(line, (size_t)colon + 1));
    if (!is_token(name) || !is_value(value))
        return false;
    if (slice_ieq(name, SLICE("Host")))
        return ++seen->hosts == 1;
    if (slice_ieq(name, SLICE("Content-Length")))
        return ++seen->lengths == 1 && slice_u64(value, INT64_MAX, &r->body_len);
    if (slice_ieq(name, SLICE("Transfer-Encoding"))) {
        r->chunked = true;
        return slice_ieq(value, SLICE("chunked"));
    }
    if (slice_ieq(name, SLICE("Connection"))) {
        if (list_has(value, SLICE("close")))
            r->keep_alive = false;
        else if (list_has(value, SLICE("keep-alive")))
            r->keep_alive = true;
    }
    return true;
}

/* Length of the head, or 0 while its end is not there. */
static size_t head_len(struct slice input)
{
    ptrdiff_t end = slice_search(input, SLICE("\r\n\r\n"));
    return end < 0 ? 0 : (size_t)end + 4;
}

/* A client that ends its lines in bare LF would be waited for for ever. */
static bool has_bare_lf(struct slice input)
{
    for (ptrdiff_t lf; (lf = slice_find(input, '\n')) >= 0; input = slice_from(input, (size_t)lf + 1))
        if (lf == 0 || input.ptr[lf - 1] != '\r')
            return true;
    return false;
}

enum http_state http_request_parse(struct slice input, struct http_request *request, size_t *consumed)
{
    struct http_request r = {0};
    struct seen seen = {0};
    size_t blank =
        slice_starts(input, SLICE("\r\n")) ? 2 : 0; /* RFC 9112 section 2.2: one before is forgiven */
    struct slice window = slice_sub(slice_from(input, blank), 0, HTTP_HEAD_MAX);
    size_t len = head_len(window);
    if (len == 0 && has_bare_lf(window))
        return HTTP_BAD;
    if (len == 0)
        return window.len < HTTP_HEAD_MAX ? HTTP_MORE : HTTP_TOO_LARGE;
    struct slice rest = slice_sub(window, 0, len), line;
    if (!take_line(&rest, &line))
        return HTTP_BAD;
    enum http_state state = parse_request_line(line, &r);
    if (state != HTTP_DONE)
        return state;
    seen.http11 = slice_ends(line, SLICE("1.1"));
    for (unsigned fields = 0; rest.len > 2; fields++) {
        if (fields == HTTP_FIELDS_MAX)
            return HTTP_TOO_LARGE;
        if (!take_line(&rest, &line) || !parse_field(line, &r, &seen))
            return HTTP_BAD;
    }
    if ((seen.http11 && seen.hosts == 0) || (r.chunked && seen.lengths > 0))
        return HTTP_BAD;
    *request = r;
    *consumed = blank + len;
    return HTTP_DONE;
}
