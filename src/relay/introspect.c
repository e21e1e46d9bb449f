/* introspect.c: token introspection (RFC 7662 section 2). The token was chosen by a stranger, the answer
 * comes over the network: both are passed on as they are, bounded; auth reads them. Called by role.c. */
#include "relay/introspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/base64.h"
#include "relay/http_call.h"
#include "wire/wire.h"

struct introspect {
    struct http_peer peer;
    bool on;
    char url_text[HTTP_URL_MAX];
    struct buf login; /* "Basic …" or empty */
    struct list questions;
    size_t count;
};

struct question {
    struct list node;
    struct introspect *whose;
    struct ipc_link *link;
    uint32_t request;
    struct http_call *call;
};

static void question_free(struct question *q)
{
    http_call_cancel(&q->call);
    list_remove(&q->node);
    q->whose->count--;
    free(q);
}

static void fail(struct ipc_link *link, uint32_t request, const char *text)
{
    const struct wire_token_checked told = {.err = ERR_LATER, .text = slice_of(text)};
    wire_reply(link, request, WIRE_TOKEN_CHECKED, false, &told);
}

static void on_answer(void *ctx, const struct https_answer *answer)
{
    struct question *q = ctx;
    char status[60];
    q->call = NULL;
    if (answer->outcome == HTTPS_OK) {
        const struct wire_token_checked told = {.err = ERR_OK, .claims = answer->body};
        wire_reply(q->link, q->request, WIRE_TOKEN_CHECKED, false, &told);
    } else if (answer->outcome == HTTPS_STATUS) {
        (void)snprintf(status, sizeof status, "the issuer answers with status %u", answer->status);
        fail(q->link, q->request, status);
    } else {
        fail(q->link, q->request, answer->text ? answer->text : "no answer");
    }
    question_free(q);
}

/* application/x-www-form-urlencoded; everything but letters and digits is escaped. */
static void add_escaped(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_is_alnum(text.ptr[i]))
            buf_add_byte(out, text.ptr[i]);
        else
            buf_addf(out, "%%%02X", text.ptr[i]);
    }
}

void introspect_token(struct introspect *in, struct ipc_link *link, uint32_t request, struct slice token)
{
    if (!in->on || in->count >= INTROSPECT_AT_ONCE) {
        fail(link, request, in->on ? "too many tokens at once" : "no issuer is configured");
        return;
    }
    struct question *q = mem_zero(1, sizeof *q);
    *q = (struct question){.whose = in, .link = link, .request = request};
    list_push_back(&in->questions, &q->node);
    in->count++;
    AUTO_BUF struct buf post = buf_new(3 * token.len + 100);
    buf_add_str(&post, "token=");
    add_escaped(&post, token);
    buf_add_str(&post, "&token_type_hint=access_token");
    const struct http_question question = {.path = "",
                                           .header = in->login.len ? "Authorization: " : NULL,
                                           .secret = buf_slice(&in->login),
                                           .post = buf_slice(&post),
                                           .type = "application/x-www-form-urlencoded",
                                           .max = INTROSPECT_ANSWER_MAX,
                                           .ms = INTROSPECT_MS,
                                           .done = on_answer,
                                           .ctx = q};
    q->call = http_ask(&in->peer, &question);
}

/* ---- settings ---- */

static void wipe_login(struct introspect *in)
{
    if (in->login.data)
        mem_wipe(in->login.data, in->login.len);
    buf_clear(&in->login);
}

/* RFC 6749 section 2.3.1: name and secret are escaped before they become a Basic login. */
static void read_login(struct introspect *in, const struct settings *s, const struct role_file *file)
{
    AUTO_BUF struct buf pair = buf_new(4 * INTROSPECT_SECRET_MAX);
    struct slice secret = file && !file->missing.len ? slice_trim(file->content) : SLICE_EMPTY;
    wipe_login(in);
    if (s->auth.oauth.introspection.client_id.len == 0)
        return;
    add_escaped(&pair, s->auth.oauth.introspection.client_id);
    buf_add_byte(&pair, ':');
    add_escaped(&pair, secret);
    if (secret.len && buf_ok(&pair)) {
        buf_add_str(&in->login, "Basic ");
        base64_encode(&in->login, buf_slice(&pair), 0);
    } else {
        log_error("relay.introspection", LOG_STR("file", s->auth.oauth.introspection.secret_file),
                  LOG_STR("why", file && file->missing.len
                                     ? file->missing
                                     : SLICE("it holds no secret, or one that is too long")));
    }
    mem_wipe(pair.data, pair.len);
}

void introspect_update(struct introspect *in, const struct settings *s, const struct role_file *secret_file)
{
    struct slice url = s->auth.oauth.introspection.url;
    struct why why;
    LIST_EACH(&in->questions, node)
    {
        struct question *q = CONTAINER_OF(node, struct question, node);
        fail(q->link, q->request, "the settings were read again");
        question_free(q);
    }
    in->on = false;
    if (url.len == 0 || url.len >= sizeof in->url_text)
        return;
    memcpy(in->url_text, url.ptr, url.len);
    if (http_url_parse(slice_make(in->url_text, url.len), &in->peer.url, &why)) {
        log_error("relay.introspection", LOG_STR("url", url), LOG_WHY(&why));
        return;
    }
    read_login(in, s, secret_file);
    in->on = true;
}

/* ---- life ---- */

struct introspect *introspect_new(struct loop *loop, struct https *https, struct ipc_link *dns)
{
    struct introspect *in = mem_zero(1, sizeof *in);
    *in = (struct introspect){.peer = {.loop = loop, .https = https, .dns = dns},
                              .login = buf_new(8 * INTROSPECT_SECRET_MAX)};
    list_init(&in->questions);
    return in;
}

void introspect_forget(struct introspect *in)
{
    LIST_EACH(&in->questions, node)
    question_free(CONTAINER_OF(node, struct question, node));
}

void introspect_free(struct introspect **introspect)
{
    struct introspect *in = *introspect;
    if (!in)
        return;
    introspect_forget(in);
    wipe_login(in);
    buf_free(&in->login);
    free(in);
    *introspect = NULL;
}
