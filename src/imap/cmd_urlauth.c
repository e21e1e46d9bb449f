/* cmd_urlauth.c: GENURLAUTH, RESETKEY, URLFETCH (RFC 4467): URLs that let others read one message or a part
 * of it. The keys are at store, which signs and checks; the one mechanism is INTERNAL. */
#include <stdlib.h>

#include "base/io.h"
#include "grammar/imap_url.h"
#include "grammar/imap_write.h"
#include "imap/command.h"
#include "imap/fetch_section.h"

struct url_work {
    size_t at; /* the URL that is being done */
    struct slice tokens[IMAP_URLS_MAX];
};

static bool is_internal(struct slice mechanism)
{
    return slice_ieq(mechanism, SLICE("INTERNAL"));
}

/* All of them, or the command was answered. */
static bool check_mechanisms(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    for (size_t i = 0; i < c->urls.count; i++) {
        if (is_internal(c->urls.mechanisms[i]))
            continue;
        imap_session_done(s, "NO [URLMECH INTERNAL] Unknown mechanism");
        return false;
    }
    return true;
}

static void begin(struct session *s)
{
    s->run->state = ARENA_NEW(s->run->arena, struct url_work);
}

/* ---- GENURLAUTH: all of the URLs in one response ---- */

static void sign_next(struct session *s);

static void on_signed(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct url_work *work = s->run->state;
    struct wire_url_signed reply;
    err = wire_answer(err, packet, WIRE_URL_SIGNED, &reply);
    if (err || reply.err) {
        imap_session_refused(s, err ? err : reply.err, reply.code, reply.text);
        return;
    }
    work->tokens[work->at++] = arena_dup(s->run->arena, reply.token);
    sign_next(s);
}

static void write_signed(struct session *s)
{
    const struct url_work *work = s->run->state;
    const struct imap_command *c = &s->run->command;
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* GENURLAUTH");
    for (size_t i = 0; i < c->urls.count; i++) {
        AUTO_BUF struct buf url = buf_new(2 * IMAP_URL_MAX);
        buf_add(&url, c->urls.urls[i]);
        buf_add_str(&url, ":internal:");
        buf_add(&url, work->tokens[i]);
        buf_add_byte(out, ' ');
        imap_write_string(out, buf_slice(&url));
    }
    buf_add_str(out, "\r\n");
    imap_session_done(s, "OK GENURLAUTH completed");
}

static void sign_next(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    const struct url_work *work = s->run->state;
    if (work->at == c->urls.count) {
        write_signed(s);
        return;
    }
    const struct wire_url_sign sign = {.grant = s->grant, .rump = c->urls.urls[work->at]};
    imap_session_ask(s, ROLE_STORE, WIRE_URL_SIGN, &sign, on_signed);
}

void imap_cmd_genurlauth(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    struct why why;
    struct imap_url url;
    if (!check_mechanisms(s))
        return;
    for (size_t i = 0; i < c->urls.count; i++) {
        if (imap_url_parse_in(s->run->arena, c->urls.urls[i], &url, &why) == ERR_OK && url.absolute &&
            url.access != IMAP_URL_NOT_AUTHORISED && url.mechanism.len == 0)
            continue;
        imap_session_done(s, "BAD Not a URL to be authorised");
        return;
    }
    begin(s);
    sign_next(s);
}

/* ---- RESETKEY ---- */

static void on_reset(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    if (imap_session_result(s, err, packet))
        imap_session_done(s, "OK [URLMECH INTERNAL] All URLs of before are good no more");
}

void imap_cmd_resetkey(struct session *s)
{
    const struct wire_url_reset reset = {.grant = s->grant, .mailbox = s->run->command.urls.mailbox};
    if (check_mechanisms(s))
        imap_session_ask(s, ROLE_STORE, WIRE_URL_RESET, &reset, on_reset);
}

/* ---- URLFETCH: one response for each URL ---- */

static void fetch_next(struct session *s);

/* The octets of the section the URL names; -1 for none. */
static int open_section(struct session *s, const struct wire_body_file *reply, struct ipc_packet *packet,
                        uint64_t *offset, uint64_t *len)
{
    AUTO_ARENA struct arena *arena = arena_new(IMAP_RUN_ARENA);
    const struct url_work *work = s->run->state;
    AUTO_FD int whole = ipc_take_fd(packet, 0);
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct facts facts;
    struct imap_url url;
    struct why why;
    int fd = -1;
    if (whole >= 0 &&
        fetch_take_facts(reply->facts, packet->fd_count > 1 ? packet->fds[1] : -1, &bytes, &size) &&
        facts_decode_in(arena, slice_make(bytes, size), &facts, &why) == ERR_OK &&
        imap_url_parse_in(arena, s->run->command.urls.urls[work->at], &url, &why) == ERR_OK) {
        const struct fetch_file file = {
            .facts = &facts, .fd = whole, .size = reply->size, .block_len = reply->header_len};
        if (fetch_section_open(&file, &url.section, true, &fd, offset, len, &why) != ERR_OK)
            fd = -1;
    }
    free(bytes);
    return fd;
}

static void on_file(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct url_work *work = s->run->state;
    struct wire_body_file reply;
    uint64_t offset = 0, len = 0;
    err = wire_answer(err, packet, WIRE_BODY_FILE, &reply);
    if (err || (reply.err && reply.err != ERR_ABSENT)) {
        imap_session_refused(s, err ? err : reply.err, reply.code, reply.text);
        return;
    }
    int fd = reply.err ? -1 : open_section(s, &reply, packet, &offset, &len);
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* URLFETCH ");
    imap_write_string(out, s->run->command.urls.urls[work->at++]);
    if (fd < 0) {
        buf_add_str(out, " NIL");
    } else {
        buf_add_byte(out, ' ');
        imap_write_literal_head(out, len);
        if (len > 0)
            stream_write_file(s->stream, fd, offset, len);
        else
            io_close(&fd);
    }
    if (s->closing)
        return;
    buf_add_str(imap_session_output(s), "\r\n");
    fetch_next(s);
}

static void fetch_next(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    const struct url_work *work = s->run->state;
    s->run->resume = NULL;
    if (work->at == c->urls.count) {
        imap_session_done(s, "OK URLFETCH completed");
        return;
    }
    if (imap_session_is_full(s)) {
        s->run->resume = fetch_next;
        return;
    }
    const struct wire_url_fetch fetch = {.grant = s->grant, .url = c->urls.urls[work->at]};
    imap_session_ask(s, ROLE_STORE, WIRE_URL_FETCH, &fetch, on_file);
}

void imap_cmd_urlfetch(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    for (size_t i = 0; i < c->urls.count; i++)
        if (c->urls.urls[i].len > IMAP_URL_MAX) {
            imap_session_done(s, "BAD URL too long");
            return;
        }
    begin(s);
    fetch_next(s);
}
