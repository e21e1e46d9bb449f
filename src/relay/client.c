/* client.c: the life of an SMTP client session: its states, its replies, its end. What the server sends is a
 * stranger's. Called by pool.c and test_login.c, and by the stream. */
#include "relay/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "relay/client_int.h"

#define MINUTE 60000u

/* RFC 5321 section 4.5.3.2; connect, hello, TLS, AUTH and RSET are not in there. */
const struct client_timeouts client_timeouts_standard = {
    .connect = 30000,
    .greeting = 5 * MINUTE,
    .hello = 5 * MINUTE,
    .starttls = 2 * MINUTE,
    .auth = 2 * MINUTE,
    .mail = 5 * MINUTE,
    .rcpt = 5 * MINUTE,
    .data = 2 * MINUTE,
    .block = 3 * MINUTE,
    .final = 10 * MINUTE,
    .reset = MINUTE,
    .envelope = 15 * MINUTE,
    .job = 75 * MINUTE,
};

/* Each state: its name in the log, the command whose reply is due, who takes that reply, how long it may
 * take. */
static const struct state_row {
    const char *name, *stage;
    void (*reply)(struct client *c, const struct smtp_reply *reply); /* NULL: none is due */
    size_t timeout; /* offset in client_timeouts; SIZE_MAX: none */
} rows[CLIENT_STATE_COUNT] = {
#define LIMIT(member) offsetof(struct client_timeouts, member)
    [CLIENT_CONNECTING] = {"connecting", "connect", NULL, SIZE_MAX},
    [CLIENT_HANDSHAKE] = {"handshake", "TLS", NULL, SIZE_MAX},
    [CLIENT_GREETING] = {"greeting", "greeting", client_hello_greeting, LIMIT(greeting)},
    [CLIENT_EHLO] = {"ehlo", "EHLO", client_hello_ehlo, LIMIT(hello)},
    [CLIENT_HELO] = {"helo", "HELO", client_hello_helo, LIMIT(hello)},
    [CLIENT_STARTTLS] = {"starttls", "STARTTLS", client_hello_starttls, LIMIT(starttls)},
    [CLIENT_AUTH] = {"auth", "AUTH", client_hello_auth, LIMIT(auth)},
    [CLIENT_IDLE] = {"idle", "idle", NULL, SIZE_MAX},
    [CLIENT_REFUSING] = {"refusing", "EHLO", NULL, SIZE_MAX},
    [CLIENT_RSET] = {"rset", "RSET", client_txn_rset, LIMIT(reset)},
    [CLIENT_MAIL] = {"mail", "MAIL", client_txn_mail, LIMIT(mail)},
    [CLIENT_RCPT] = {"rcpt", "RCPT", client_txn_rcpt, LIMIT(rcpt)},
    [CLIENT_DATA] = {"data", "DATA", client_txn_data, LIMIT(data)},
    [CLIENT_TEXT] = {"text", "text", NULL, SIZE_MAX},
    [CLIENT_FINAL] = {"final", "end of data", client_txn_final, LIMIT(final)},
    [CLIENT_CLOSED] = {"closed", "closed", NULL, SIZE_MAX},
#undef LIMIT
};

const char *client_outcome_name(enum client_outcome outcome)
{
    static const char *const names[CLIENT_OUTCOME_COUNT] = {
        "pending",         "accepted", "temporary",   "permanent",  "unknown",
        "needs-seven-bit", "stale",    "unreachable", "tls-failed", "auth-refused"};
    return outcome < CLIENT_OUTCOME_COUNT ? names[outcome] : "?";
}

const char *client_stage(const struct client *c)
{
    return rows[c->state].stage;
}

/* ---- states ---- */

static bool is_envelope(enum client_state state)
{
    return state == CLIENT_RSET || state == CLIENT_MAIL || state == CLIENT_RCPT || state == CLIENT_DATA;
}

static uint64_t limit_of(const struct client *c, enum client_state state)
{
    if (rows[state].timeout == SIZE_MAX)
        return 0;
    uint64_t ms;
    memcpy(&ms, (const char *)&c->target.timeouts + rows[state].timeout, sizeof ms);
    if (!is_envelope(state))
        return ms;
    uint64_t now = loop_now_ms(c->loop), left = c->txn.deadline_ms > now ? c->txn.deadline_ms - now : 1;
    return ms < left ? ms : left;
}

/* While the text goes out it has to go on moving, and to end some day. */
static uint64_t text_limit(const struct client *c)
{
    uint64_t ms = c->target.timeouts.final + c->job->size * 1000 / CLIENT_TEXT_RATE_MIN;
    uint64_t now = loop_now_ms(c->loop), left = c->job_due_ms > now ? c->job_due_ms - now : 1;
    return ms < left ? ms : left;
}

void client_enter(struct client *c, enum client_state state)
{
    if (log_wants(LOG_LEVEL_DEBUG) && state != c->state)
        log_debug("relay.state", LOG_STR("session", client_id(c)), LOG_CSTR("from", rows[c->state].name),
                  LOG_CSTR("to", rows[state].name));
    c->state = state;
    if (!c->stream)
        return;
    bool text = state == CLIENT_TEXT;
    stream_set_timeout(c->stream, text ? c->target.timeouts.block : 0);
    stream_set_deadline(c->stream, text ? text_limit(c) : limit_of(c, state));
}

void client_commanded(struct client *c)
{
    c->outstanding++;
}

uint32_t client_lap(struct client *c)
{
    uint64_t now = loop_now_ms(c->loop), ms = now - c->begun_ms;
    c->begun_ms = now;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void client_rest(struct client *c)
{
    c->idle_ms = loop_now_ms(c->loop);
    client_enter(c, CLIENT_IDLE);
}

/* ---- replies in words ---- */

struct client_reply client_word(unsigned class, unsigned subject, unsigned detail, const char *text)
{
    return (struct client_reply){.class = (uint8_t) class,
                                 .subject = (uint16_t)subject,
                                 .detail = (uint16_t)detail,
                                 .text = slice_of(text)};
}

struct client_reply client_reply_in(struct arena *arena, const struct smtp_reply *reply)
{
    AUTO_BUF struct buf text = buf_new(CLIENT_TEXT_MAX);
    smtp_reply_text(reply, CLIENT_TEXT_MAX, &text);
    uint8_t *copy = text.len ? arena_try(arena, text.len) : NULL;
    if (copy)
        memcpy(copy, text.data, text.len);
    struct client_reply found = {.code = reply->code,
                                 .class = reply->class,
                                 .subject = reply->subject,
                                 .detail = reply->detail,
                                 .text = slice_make(copy, copy ? text.len : 0)};
    if (found.class == 0)
        found.class = (uint8_t)(reply->code / 100);
    return found;
}

/* ---- the end ---- */

/* Nothing was answered to this job on a connection that was used before: it was gone already. */
static bool is_stale(const struct client *c)
{
    return c->job && c->jobs > 0 && c->txn.round == 1 && (c->state == CLIENT_RSET || c->state == CLIENT_MAIL);
}

/* RFC 5321 section 4.1.1.4: who loses the connection behind the final dot does not know. What is still in our
 * own buffers never reached the server. */
static enum client_outcome outcome_of_loss(const struct client *c)
{
    bool sent = c->job && c->txn.text_done && stream_pending(c->stream) == 0;
    if (is_stale(c))
        return CLIENT_STALE;
    if (sent && ((c->state == CLIENT_FINAL && c->txn.accepted > 0) || c->state == CLIENT_RCPT))
        return CLIENT_UNKNOWN;
    return CLIENT_TEMPORARY;
}

void client_end(struct client *c, enum client_outcome outcome, const struct client_reply *reply)
{
    const struct client_end end = {.outcome = outcome, .stage = client_stage(c), .reply = *reply};
    if (c->state == CLIENT_CLOSED)
        return;
    c->busy++;
    if (c->job && c->state != CLIENT_REFUSING)
        client_txn_settle(c, outcome, reply);
    connect_cancel(&c->connecting);
    stream_free(&c->stream);
    client_enter(c, CLIENT_CLOSED);
    if (c->job)
        client_txn_done(c);
    if (!c->dead)
        c->ops->ended(c->ctx, c, &end);
    c->busy--;
}

void client_fail(struct client *c, enum client_outcome outcome, unsigned subject, unsigned detail,
                 const char *text)
{
    unsigned class = outcome == CLIENT_ACCEPTED ? 2 : outcome == CLIENT_PERMANENT ? 5 : 4;
    const struct client_reply word = client_word(class, subject, detail, text);
    client_end(c, outcome, &word);
}

/* ---- replies ---- */

/* The server breaks the protocol: nothing it says can be told from what we asked. */
static void broken(struct client *c, const char *text)
{
    bool greets = c->state == CLIENT_GREETING || c->state == CLIENT_EHLO || c->state == CLIENT_HELO;
    enum client_outcome outcome = outcome_of_loss(c);
    if (greets)
        outcome = CLIENT_UNREACHABLE;
    else if (c->state == CLIENT_STARTTLS)
        outcome = CLIENT_TLS_FAILED;
    client_fail(c, outcome, 5, 0, text);
}

/* RFC 5321 section 3.8: 421 may come at any moment, and the connection ends with it. */
static void shut_down(struct client *c, const struct smtp_reply *reply)
{
    const struct client_reply word = client_reply_in(c->arena, reply);
    enum client_outcome outcome = CLIENT_TEMPORARY;
    if (c->state == CLIENT_IDLE)
        outcome = CLIENT_ACCEPTED;
    else if (is_stale(c))
        outcome = CLIENT_STALE;
    else if (!c->job && c->state != CLIENT_AUTH)
        outcome = CLIENT_UNREACHABLE;
    client_end(c, outcome, &word);
}

/* Replies nobody asked for. */
static void unasked(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code == 421)
        shut_down(c, reply);
    else if (c->state == CLIENT_TEXT)
        client_txn_early(c, reply);
    else
        broken(c, "the server spoke without being asked");
}

static void take_reply(struct client *c, const struct smtp_reply *reply)
{
    bool greeting = c->state == CLIENT_GREETING, asked = greeting || c->outstanding > 0;
    if (!asked || !rows[c->state].reply) {
        unasked(c, reply);
        return;
    }
    if (!greeting)
        c->outstanding--;
    /* Whatever stands behind the last reply that is due was said too early: it is never taken for the answer
     * to a command that follows. */
    c->spoiled = c->outstanding == 0 && stream_input(c->stream).len > 0;
    if (reply->code == 421)
        shut_down(c, reply);
    else
        rows[c->state].reply(c, reply);
    if (c->spoiled && c->outstanding > 0 && !c->dead && c->state != CLIENT_CLOSED)
        broken(c, "the server spoke before it was asked");
}

/* True when there may be another. */
static bool read_reply(struct client *c)
{
    struct slice input = stream_input(c->stream);
    struct smtp_reply reply;
    enum smtp_reply_fault fault = SMTP_REPLY_SOUND;
    size_t used = 0;
    if (input.len == 0)
        return false;
    switch (smtp_reply_parse(input, &reply, &used, &fault)) {
    case SMTP_REPLY_MORE:
        return false;
    case SMTP_REPLY_BAD:
        broken(c, smtp_reply_fault_text(fault));
        return false;
    case SMTP_REPLY_DONE:
        break;
    }
    stream_consume(c->stream, used); /* the bytes stay where they are until the stream reads again */
    take_reply(c, &reply);
    return true;
}

static void leave(struct client *c);

static void on_readable(void *ctx, struct stream *stream)
{
    struct client *c = ctx;
    (void)stream;
    c->busy++;
    while (!c->dead && c->state != CLIENT_CLOSED && c->state != CLIENT_HANDSHAKE && read_reply(c))
        ;
    leave(c);
}

static void on_writable(void *ctx, struct stream *stream)
{
    struct client *c = ctx;
    (void)stream;
    c->busy++;
    if (c->state == CLIENT_TEXT)
        client_text_go_on(c);
    leave(c);
}

static void on_secured(void *ctx, struct stream *stream)
{
    struct client *c = ctx;
    (void)stream;
    c->busy++;
    client_hello_secured(c);
    leave(c);
}

static void handshake_failed(struct client *c)
{
    c->remote.verdict = stream_tls_verdict(c->stream);
    const char *text = c->remote.verdict.text;
    client_fail(c, CLIENT_TLS_FAILED, 7, 5, text && *text ? text : stream_end_text(c->stream));
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct client *c = ctx;
    static const char *const texts[] = {[STREAM_EOF] = "the server closed the connection",
                                        [STREAM_RESET] = "the connection was lost",
                                        [STREAM_TIMEOUT] = "the server did not answer in time",
                                        [STREAM_TLS] = "the encrypted connection broke"};
    (void)stream;
    c->busy++;
    bool set_up = c->state != CLIENT_GREETING && c->state != CLIENT_EHLO && c->state != CLIENT_HELO;
    if (c->state == CLIENT_HANDSHAKE)
        handshake_failed(c);
    else if (c->state == CLIENT_STARTTLS) /* some servers and what stands before them drop it there */
        client_fail(c, CLIENT_TLS_FAILED, 7, 5, texts[end]);
    else if (c->state == CLIENT_IDLE)
        client_fail(c, CLIENT_ACCEPTED, 4, 2, texts[end]);
    else
        client_fail(c, set_up ? outcome_of_loss(c) : CLIENT_UNREACHABLE, 4, 2, texts[end]);
    leave(c);
}

static const struct stream_ops stream_ops = {
    .readable = on_readable, .writable = on_writable, .secured = on_secured, .ended = on_ended};

/* ---- life ---- */

static void destroy(struct client *c)
{
    connect_cancel(&c->connecting);
    stream_free(&c->stream);
    loop_timer_free(&c->timer);
    tls_client_free(&c->target.tls);
    mem_wipe(c->secret, c->target.login.secret.len);
    free(c->secret);
    arena_free(&c->sasl_arena);
    arena_free(&c->arena);
    free(c);
}

static void leave(struct client *c)
{
    c->busy--;
    if (c->busy == 0 && c->dead)
        destroy(c);
}

static void on_connected(void *ctx, int fd, int error)
{
    struct client *c = ctx;
    c->connecting = NULL;
    c->busy++;
    if (fd < 0) {
        client_fail(c, CLIENT_UNREACHABLE, 4, 1, connect_error_text(error));
    } else {
        c->stream = stream_new(c->loop, fd, &c->target.address, &stream_ops, c);
        stream_set_input_max(c->stream, SMTP_REPLY_REMOTE_MAX);
        client_hello_connected(c);
    }
    leave(c);
}

/* A job that cannot be sent here, or a message that cannot be read: told outside of client_send(). */
static void on_timer(void *arg)
{
    struct client *c = arg;
    c->busy++;
    if (c->unreadable) {
        client_fail(c, CLIENT_TEMPORARY, 3, 0, "the message could not be read");
    } else if (c->state == CLIENT_REFUSING) {
        client_enter(c, CLIENT_IDLE);
        c->idle_ms = loop_now_ms(c->loop);
        client_txn_done(c);
    }
    leave(c);
}

static void copy_target(struct client *c, const struct client_target *from)
{
    struct client_target *t = &c->target;
    struct tls_peer *peer = &t->peer;
    struct arena *arena = c->arena;
    *t = *from;
    t->host = arena_dup(arena, from->host);
    t->helo = arena_dup(arena, from->helo);
    t->tls = tls_client_ref(from->tls);
    t->login.user = arena_dup(arena, from->login.user);
    c->secret = mem_dup(from->login.secret.ptr, from->login.secret.len);
    t->login.secret = slice_make(c->secret, from->login.secret.len);
    if (t->timeouts.connect == 0)
        t->timeouts = client_timeouts_standard;
    peer->server_name = arena_dup(arena, from->peer.server_name);
    peer->session_key = arena_dup(arena, from->peer.session_key);
    peer->name_count = peer->name_count < TLS_PEER_NAMES_MAX ? peer->name_count : TLS_PEER_NAMES_MAX;
    for (size_t i = 0; i < peer->name_count; i++)
        c->tlsa_names[i] = arena_dup(arena, from->peer.names[i]);
    peer->names = c->tlsa_names;
    peer->tlsa_count = peer->tlsa_count < TLS_PEER_TLSA_MAX ? peer->tlsa_count : TLS_PEER_TLSA_MAX;
    for (size_t i = 0; i < peer->tlsa_count; i++) {
        c->tlsa[i] = from->peer.tlsa[i];
        c->tlsa[i].data = arena_dup(arena, from->peer.tlsa[i].data);
    }
    peer->tlsa = c->tlsa;
}

static void make_id(char id[CLIENT_ID_LEN])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t bytes[CLIENT_ID_LEN];
    random_fill(bytes, sizeof bytes);
    for (size_t i = 0; i < CLIENT_ID_LEN; i++)
        id[i] = letters[bytes[i] % (sizeof letters - 1)];
}

struct client *client_new(struct loop *loop, const struct client_target *target, const struct client_ops *ops,
                          void *ctx)
{
    struct client *c = mem_zero(1, sizeof *c);
    c->loop = loop;
    c->ops = ops;
    c->ctx = ctx;
    c->arena = arena_new(CLIENT_ARENA_MAX);
    c->state = CLIENT_CONNECTING;
    c->begun_ms = loop_now_ms(loop);
    make_id(c->id);
    copy_target(c, target);
    c->remote = (struct client_remote){.address = target->address, .host = c->target.host, .tls_result = ""};
    c->timer = loop_timer_new(loop, on_timer, c);
    c->connecting = connect_begin(loop, &c->target.address, &c->target.source, c->target.timeouts.connect,
                                  on_connected, c);
    return c;
}

void client_free(struct client **ref)
{
    struct client *c = ref ? *ref : NULL;
    if (!c)
        return;
    *ref = NULL;
    c->dead = true;
    c->job = NULL;
    if (c->busy == 0)
        destroy(c);
}

void client_quit(struct client **ref)
{
    struct client *c = ref ? *ref : NULL;
    if (!c || c->state != CLIENT_IDLE) {
        client_free(ref);
        return;
    }
    stream_write(c->stream, SLICE("QUIT\r\n"));
    stream_finish(&c->stream);
    client_free(ref);
}

void client_send(struct client *c, struct client_job *job)
{
    c->busy++;
    c->job = job;
    if (client_txn_begin(c))
        stream_flush(c->stream);
    else
        loop_timer_set(c->timer, 0);
    c->busy--;
}

bool client_is_idle(const struct client *c)
{
    return c->state == CLIENT_IDLE && !c->job;
}

unsigned client_job_count(const struct client *c)
{
    return c->jobs;
}

uint64_t client_idle_ms(const struct client *c)
{
    return client_is_idle(c) ? loop_now_ms(c->loop) - c->idle_ms : 0;
}

const struct client_remote *client_remote(const struct client *c)
{
    return &c->remote;
}

struct slice client_id(const struct client *c)
{
    return slice_make(c->id, CLIENT_ID_LEN);
}
