/* client_hello.c: from the connection to the login: greeting, EHLO, STARTTLS, AUTH. Replies are a stranger's;
 * what is said before TLS is forgotten behind it. Called by client.c. */
#include <stdio.h>

#include "base/random.h"
#include "grammar/base64.h"
#include "relay/client_int.h"

static void begin_handshake(struct client *c)
{
    client_enter(c, CLIENT_HANDSHAKE);
    /* False: bytes in the clear came before the handshake (the trick of CVE-2011-0411, the other way round).
     */
    if (!stream_connect_tls(c->stream, c->target.tls, &c->target.peer, c->target.timeouts.starttls))
        client_fail(c, CLIENT_TLS_FAILED, 7, 5, "the server spoke in the clear before TLS");
}

static void send_hello(struct client *c, const char *verb, enum client_state state)
{
    buf_addf(stream_output(c->stream), "%s %.*s\r\n", verb, SLICE_ARG(c->target.helo));
    client_commanded(c);
    client_enter(c, state);
}

void client_hello_connected(struct client *c)
{
    c->times.connect = client_lap(c);
    if (c->target.implicit_tls && c->target.tls)
        begin_handshake(c);
    else
        client_enter(c, CLIENT_GREETING);
}

void client_hello_secured(struct client *c)
{
    c->times.tls = client_lap(c);
    c->remote.verdict = stream_tls_verdict(c->stream);
    c->remote.tls = arena_dup(c->arena, stream_tls_text(c->stream));
    c->remote.tls_result = "success";
    c->remote.ehlo = (struct smtp_ehlo){0};
    if (c->target.implicit_tls)
        client_enter(c, CLIENT_GREETING);
    else
        send_hello(c, "EHLO", CLIENT_EHLO);
}

static void unreachable(struct client *c, const struct smtp_reply *reply)
{
    const struct client_reply word = client_reply_in(c->arena, reply);
    client_end(c, CLIENT_UNREACHABLE, &word);
}

void client_hello_greeting(struct client *c, const struct smtp_reply *reply)
{
    c->times.greeting = client_lap(c);
    c->remote.greeting = arena_dup(c->arena, smtp_ehlo_host(reply));
    if (reply->code == 220)
        send_hello(c, "EHLO", CLIENT_EHLO);
    else
        unreachable(c, reply);
}

/* ---- STARTTLS ---- */

static void tls_failed(struct client *c, const char *result, const char *text)
{
    c->remote.tls_result = result;
    client_fail(c, CLIENT_TLS_FAILED, 7, 4, text);
}

/* True when STARTTLS was sent or the connection ended for the lack of it. */
static bool wants_tls(struct client *c)
{
    bool offered = c->remote.ehlo.extensions & SMTP_EHLO_STARTTLS;
    if (stream_is_tls(c->stream) || c->target.level == CLIENT_TLS_NONE || c->refused_tls)
        return false;
    if (!offered || !c->target.tls) {
        if (!offered)
            c->remote.tls_result = "starttls-not-supported";
        if (c->target.level == CLIENT_TLS_OPPORTUNISTIC)
            return false;
        tls_failed(c, "starttls-not-supported", "the server does not offer STARTTLS");
        return true;
    }
    stream_write(c->stream, SLICE("STARTTLS\r\n"));
    client_commanded(c);
    client_enter(c, CLIENT_STARTTLS);
    return true;
}

static void go_on(struct client *c);

void client_hello_starttls(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code == 220) {
        begin_handshake(c);
    } else if (c->target.level == CLIENT_TLS_OPPORTUNISTIC) {
        c->refused_tls = true;
        c->remote.tls_result = "starttls-not-supported";
        go_on(c);
    } else {
        const struct client_reply word = client_reply_in(c->arena, reply);
        c->remote.tls_result = "starttls-not-supported";
        client_end(c, CLIENT_TLS_FAILED, &word);
    }
}

/* ---- AUTH ---- */

/* A line of an exchange: base64 with CRLF; "=" stands for an empty initial response (RFC 4954 section 4). */
static void send_sasl(struct client *c, struct slice text, const char *verb)
{
    struct buf *out = stream_output(c->stream);
    if (verb)
        buf_addf(out, "AUTH %s", verb);
    if (verb && text.ptr)
        buf_add_byte(out, ' ');
    if (verb && text.ptr && text.len == 0)
        buf_add_byte(out, '=');
    base64_encode(out, text, 0);
    buf_add(out, SLICE("\r\n"));
    client_commanded(c);
}

static void begin_auth(struct client *c, unsigned mechanism)
{
    AUTO_BUF struct buf initial = buf_new(CLIENT_COMMAND_MAX);
    uint8_t bytes[SASL_NONCE_LEN / 4 * 3];
    random_fill(bytes, sizeof bytes);
    c->sasl_arena = arena_new(CLIENT_SASL_MAX);
    sasl_client_begin(&c->sasl, c->sasl_arena, mechanism, &c->target.login,
                      base64_encode_in(c->sasl_arena, slice_make(bytes, sizeof bytes)));
    c->remote.mechanism = sasl_mechanism_name(mechanism);
    client_enter(c, CLIENT_AUTH);
    bool has_initial = sasl_client_initial(&c->sasl, &initial);
    send_sasl(c, has_initial ? buf_slice(&initial) : SLICE_EMPTY, c->remote.mechanism);
}

/* Name and password are wrong, or this account is not allowed to send (RFC 4954 section 6). Not: 454 and
 * other temporary failures; 500 to 504, which say that the server does not understand. */
static bool is_refusal(unsigned code)
{
    return code == 535 || code == 534 || code == 538 || code == 530 || code == 550 || code == 554 ||
           code == 525;
}

static void login_failed(struct client *c, const struct smtp_reply *reply)
{
    const struct client_reply word = client_reply_in(c->arena, reply);
    client_end(c, is_refusal(reply->code) ? CLIENT_AUTH_REFUSED : CLIENT_TEMPORARY, &word);
}

static void ready(struct client *c)
{
    arena_free(&c->sasl_arena);
    if (c->spoiled) {
        client_fail(c, CLIENT_UNREACHABLE, 5, 0, "the server said more than it was asked");
        return;
    }
    client_rest(c);
    c->ops->ready(c->ctx, c);
}

/* The server does not play its part: no word about name and password. */
static void mistrusted(struct client *c, const struct why *why)
{
    struct client_reply word = client_word(4, 7, 0, why->text);
    word.text = arena_dup(c->arena, word.text);
    client_end(c, CLIENT_TEMPORARY, &word);
}

static void answer_challenge(struct client *c, const struct smtp_reply *reply)
{
    AUTO_BUF struct buf answer = buf_new(CLIENT_COMMAND_MAX);
    struct slice rest = reply->raw, line = SLICE_EMPTY, challenge;
    struct why why = {""};
    (void)smtp_reply_line(&rest, &line);
    enum err err = ERR_BAD;
    if (!base64_decode_in(c->sasl_arena, slice_trim(line), &challenge))
        (void)err_set(&why, ERR_BAD, "the server's challenge is not base64");
    else
        err = sasl_client_answer(&c->sasl, challenge, &answer, &why);
    if (err) {
        mistrusted(c, &why);
        return;
    }
    send_sasl(c, buf_slice(&answer), NULL);
    client_enter(c, CLIENT_AUTH);
}

void client_hello_auth(struct client *c, const struct smtp_reply *reply)
{
    struct why why = {""};
    if (reply->code == 334) {
        answer_challenge(c, reply);
    } else if (reply->code / 100 != 2) {
        login_failed(c, reply);
    } else if (sasl_client_finish(&c->sasl, &why)) {
        mistrusted(c, &why);
    } else {
        c->times.auth = client_lap(c);
        ready(c);
    }
}

/* Behind the EHLO that counts. */
static void log_in(struct client *c)
{
    bool in_clear = !stream_is_tls(c->stream);
    if (c->target.login.user.len == 0) {
        ready(c);
        return;
    }
    if (in_clear && !c->target.auth_in_clear) {
        client_fail(c, CLIENT_TEMPORARY, 7, 11, "the password is not sent without encryption");
        return;
    }
    unsigned mechanism = sasl_client_choose(c->remote.ehlo.mechanisms, &c->target.login);
    if (mechanism)
        begin_auth(c, mechanism);
    else
        client_fail(c, CLIENT_TEMPORARY, 7, 4,
                    c->remote.ehlo.extensions & SMTP_EHLO_AUTH
                        ? "the server offers no AUTH mechanism we may use"
                        : "the server does not offer AUTH");
}

static void go_on(struct client *c)
{
    if (!wants_tls(c))
        log_in(c);
}

/* ---- EHLO, HELO ---- */

void client_hello_ehlo(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 == 2) {
        struct slice host = smtp_ehlo_host(reply);
        smtp_ehlo_parse(reply, &c->remote.ehlo);
        if (!stream_is_tls(c->stream))
            c->remote.starttls_offered = c->remote.ehlo.extensions & SMTP_EHLO_STARTTLS;
        if (host.len)
            c->remote.greeting = arena_dup(c->arena, host);
        go_on(c);
    } else if (reply->code / 100 == 5) {
        send_hello(c, "HELO", CLIENT_HELO); /* RFC 5321 section 3.2 */
    } else {
        unreachable(c, reply);
    }
}

void client_hello_helo(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 == 2)
        go_on(c);
    else
        unreachable(c, reply);
}
