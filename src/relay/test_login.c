/* test_login.c: a trial of one relay for the administrator, step by step. What the relay says was made
 * printable by client.c. Called by role.c. */
#include "relay/test_login.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/coll.h"
#include "base/mem.h"

#define TRIAL_ARENA   (1u << 20)
#define TRIAL_TEXT    (60u << 10) /* of the whole answer as JSON */
#define ADDRESSES_MAX 4           /* tried one after the other */

struct test_logins {
    struct loop *loop;
    struct resolve *resolve;
    struct identity *identity;
    struct list trials;
    size_t count;
};

struct trial {
    struct list node;
    struct test_logins *tests;
    struct ipc_link *link;
    uint32_t request;
    struct arena *arena;
    bool json, facts; /* facts: one was told */
    struct buf text;  /* JSON, until the end */
    struct slice to, sender;
    int fd;
    uint64_t size;

    const struct settings_relay *relay; /* a copy */
    struct netaddr sources[2];          /* IPv4, IPv6; family NONE: any */
    struct sasl_login login;
    struct tls_client *tls;

    struct resolve_call *call;
    const struct resolve_answer *answer;
    size_t host, address, tried;
    struct client *client;
    struct client_job job;
    struct client_rcpt rcpt;
};

/* A person waits. */
static const struct client_timeouts timeouts = {
    .connect = 10000,
    .greeting = 30000,
    .hello = 30000,
    .starttls = 20000,
    .auth = 30000,
    .mail = 30000,
    .rcpt = 30000,
    .data = 30000,
    .block = 30000,
    .final = 120000,
    .reset = 10000,
    .envelope = 60000,
    .job = 300000,
};

/* ---- telling ---- */

static void send_text(struct trial *t, struct slice text, bool more, uint32_t exit_code)
{
    const struct wire_control_output output = {.exit_code = exit_code,
                                               .text = slice_sub(text, 0, WIRE_BLOB_MAX)};
    wire_reply(t->link, t->request, WIRE_CONTROL_OUTPUT, more, &output);
}

/* A line for people at once, or a member of the object at the end. */
static void tell(struct trial *t, const char *key, struct slice value)
{
    if (t->json) {
        buf_addf(&t->text, "%s\"%s\":", t->facts ? "," : "{", key);
        buf_add_json_string(&t->text, value);
        t->facts = true;
        return;
    }
    AUTO_BUF struct buf line = buf_new(WIRE_BLOB_MAX);
    size_t label = 0;
    for (; key[label]; label++)
        buf_add_byte(&line, key[label] == '_' ? ' ' : (uint8_t)key[label]);
    buf_add_str(&line, ": ");
    buf_add(&line, value);
    buf_add_byte(&line, '\n');
    send_text(t, buf_slice(&line), true, 0);
}

static void tell_number(struct trial *t, const char *key, uint64_t number)
{
    if (!t->json) {
        tell(t, key, arena_printf(t->arena, "%llu", (unsigned long long)number));
        return;
    }
    buf_addf(&t->text, "%s\"%s\":%llu", t->facts ? "," : "{", key, (unsigned long long)number);
    t->facts = true;
}

static struct slice reply_text(struct trial *t, const struct client_reply *reply)
{
    if (reply->code == 0)
        return reply->text;
    return arena_printf(t->arena, "%u %u.%u.%u %.*s", reply->code, reply->class, reply->subject,
                        reply->detail, SLICE_ARG(reply->text));
}

static void trial_free(struct trial *t)
{
    list_remove(&t->node);
    t->tests->count--;
    resolve_cancel(&t->call);
    client_free(&t->client);
    tls_client_free(&t->tls);
    if (t->fd >= 0)
        (void)close(t->fd);
    mem_wipe((void *)(uintptr_t)t->login.secret.ptr, t->login.secret.len);
    buf_free(&t->text);
    arena_free(&t->arena);
    free(t);
}

static void finish(struct trial *t, bool good)
{
    if (t->json) {
        buf_addf(&t->text, "%s\"ok\":%s}\n", t->facts ? "," : "{", good ? "true" : "false");
        send_text(t, buf_slice(&t->text), false, good ? 0 : 1);
    } else {
        send_text(t, good ? SLICE("ok\n") : SLICE("failed\n"), false, good ? 0 : 1);
    }
    if (t->client && client_is_idle(t->client))
        client_quit(&t->client);
    trial_free(t);
}

/* ---- what the relay shows ---- */

static void tell_extensions(struct trial *t, const struct smtp_ehlo *ehlo)
{
    static const struct {
        unsigned bit;
        const char *name;
    } extensions[] = {
        {SMTP_EHLO_PIPELINING, "PIPELINING"},
        {SMTP_EHLO_SIZE, "SIZE"},
        {SMTP_EHLO_8BITMIME, "8BITMIME"},
        {SMTP_EHLO_SMTPUTF8, "SMTPUTF8"},
        {SMTP_EHLO_CHUNKING, "CHUNKING"},
        {SMTP_EHLO_BINARYMIME, "BINARYMIME"},
        {SMTP_EHLO_DSN, "DSN"},
        {SMTP_EHLO_STARTTLS, "STARTTLS"},
        {SMTP_EHLO_AUTH, "AUTH"},
        {SMTP_EHLO_REQUIRETLS, "REQUIRETLS"},
        {SMTP_EHLO_LIMITS, "LIMITS"},
        {SMTP_EHLO_STATUSCODES, "ENHANCEDSTATUSCODES"},
    };
    static const struct {
        unsigned bit;
        const char *name;
    } mechanisms[] = {
        {SMTP_SASL_PLAIN, "PLAIN"},
        {SMTP_SASL_LOGIN, "LOGIN"},
        {SMTP_SASL_SCRAM_SHA_256, "SCRAM-SHA-256"},
        {SMTP_SASL_XOAUTH2, "XOAUTH2"},
        {SMTP_SASL_OTHER, "others"},
    };
    AUTO_BUF struct buf names = buf_new(1000);
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        if (ehlo->extensions & extensions[i].bit)
            buf_addf(&names, "%s%s", names.len ? " " : "", extensions[i].name);
    tell(t, "offers", buf_slice(&names));
    buf_clear(&names);
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
        if (ehlo->mechanisms & mechanisms[i].bit)
            buf_addf(&names, "%s%s", names.len ? " " : "", mechanisms[i].name);
    tell(t, "mechanisms", names.len ? buf_slice(&names) : SLICE("none"));
    if (ehlo->extensions & SMTP_EHLO_SIZE)
        tell_number(t, "largest_message", ehlo->size);
    if (ehlo->rcptmax)
        tell_number(t, "most_recipients", ehlo->rcptmax);
    if (ehlo->mailmax)
        tell_number(t, "most_messages_of_a_connection", ehlo->mailmax);
}

static void tell_tls(struct trial *t, const struct client_remote *remote)
{
    const struct tls_verdict *v = &remote->verdict;
    tell(t, "tls", remote->tls.len ? remote->tls : SLICE("none: the connection is not encrypted"));
    if (remote->tls.len == 0)
        return;
    if (v->trust != TLS_TRUST_NONE)
        tell(t, "certificate", slice_of(tls_trust_name(v->trust)));
    else
        tell(t, "certificate",
             arena_printf(t->arena, "not verified (%s)",
                          v->text && v->text[0] ? v->text : "nobody vouches for it"));
}

static void tell_server(struct trial *t)
{
    const struct client_remote *remote = client_remote(t->client);
    tell(t, "greeting", remote->greeting.len ? remote->greeting : SLICE("without a name"));
    tell_tls(t, remote);
    tell_extensions(t, &remote->ehlo);
    if (t->login.user.len == 0)
        tell(t, "login", SLICE("none: no secret is configured"));
    else if (remote->mechanism)
        tell(t, "login", arena_printf(t->arena, "accepted (%s)", remote->mechanism));
    else
        tell(t, "login", SLICE("not possible: the relay offers no mechanism that may be used"));
}

static void tell_identity(struct trial *t)
{
    struct identity *identity = t->tests->identity;
    struct slice text = identity_text(identity);
    tell(t, "ehlo_name", identity_name(identity));
    tell(t, "ehlo_name_in_dns", text.len ? text : slice_of(identity_state_name(identity_state(identity))));
}

/* ---- the steps ---- */

static void try_next(struct trial *t);

static void on_ready(void *ctx, struct client *client)
{
    struct trial *t = ctx;
    tell_server(t);
    tell_identity(t);
    bool logged_in = t->login.user.len == 0 || client_remote(client)->mechanism;
    if (t->to.len == 0 || !logged_in) {
        finish(t, logged_in);
        return;
    }
    t->rcpt = (struct client_rcpt){.address = t->to};
    t->job = (struct client_job){.arena = t->arena,
                                 .sender = t->sender,
                                 .fd = t->fd,
                                 .size = t->size,
                                 .rcpts = &t->rcpt,
                                 .rcpt_count = 1};
    client_send(client, &t->job);
}

static void on_done(void *ctx, struct client *client, struct client_job *job)
{
    struct trial *t = ctx;
    bool sent = t->rcpt.outcome == CLIENT_ACCEPTED;
    (void)client;
    (void)job;
    tell(t, "message",
         arena_printf(t->arena, "%s: %.*s", sent ? "accepted" : "not accepted",
                      SLICE_ARG(reply_text(t, &t->rcpt.reply))));
    finish(t, sent);
}

static void on_ended(void *ctx, struct client *client, const struct client_end *end)
{
    struct trial *t = ctx;
    (void)client;
    struct slice text = arena_dup(t->arena, reply_text(t, &end->reply)); /* the client's, until it is freed */
    tell(t, end->outcome == CLIENT_AUTH_REFUSED ? "login" : "failure",
         arena_printf(t->arena, "%s: %.*s", end->stage ? end->stage : "connection", SLICE_ARG(text)));
    enum client_outcome outcome = end->outcome;
    client_free(&t->client);
    if (outcome == CLIENT_UNREACHABLE)
        try_next(t);
    else
        finish(t, false);
}

static const struct client_ops ops = {.ready = on_ready, .done = on_done, .ended = on_ended};

/* The next address of the same host, else of the next host. */
static const struct resolve_host *next_target(struct trial *t, const struct netaddr **address)
{
    while (t->host < t->answer->host_count && t->tried < ADDRESSES_MAX) {
        const struct resolve_host *host = &t->answer->hosts[t->host];
        if (t->address < host->address_count) {
            *address = &host->addresses[t->address++];
            t->tried++;
            return host;
        }
        t->host++;
        t->address = 0;
    }
    return NULL;
}

static void try_next(struct trial *t)
{
    const struct netaddr *address;
    const struct resolve_host *host = next_target(t, &address);
    if (!host) {
        finish(t, false);
        return;
    }
    const struct client_target target = {.address = *address,
                                         .source = t->sources[address->family == NETADDR_V6],
                                         .host = host->name,
                                         .helo = identity_name(t->tests->identity),
                                         .implicit_tls =
                                             address->port == 465 && host->level != CLIENT_TLS_NONE,
                                         .level = host->level,
                                         .tls = t->tls,
                                         .peer = host->peer,
                                         .login = t->login,
                                         .auth_in_clear = t->relay->insecure_auth,
                                         .timeouts = timeouts};
    tell(t, "connecting_to",
         arena_printf(t->arena, "%.*s %s", SLICE_ARG(host->name), netaddr_text_port(address).text));
    t->client = client_new(t->tests->loop, &target, &ops, t);
}

static void on_resolved(void *ctx, const struct resolve_answer *answer)
{
    struct trial *t = ctx;
    t->call = NULL;
    t->answer = answer;
    if (answer->outcome == RESOLVE_FOUND) {
        try_next(t);
        return;
    }
    tell(t, "failure", answer->text);
    finish(t, false);
}

/* ---- beginning ---- */

static void refuse(struct ipc_link *link, uint32_t request, const char *text)
{
    const struct wire_control_output output = {.exit_code = 1, .text = slice_of(text)};
    wire_reply(link, request, WIRE_CONTROL_OUTPUT, false, &output);
}

static void read_source(struct slice text, struct netaddr *source)
{
    if (text.len == 0 || !netaddr_parse(text, source))
        *source = (struct netaddr){0};
}

static struct trial *trial_new(struct test_logins *tests, const struct wire_relay_test *question,
                               const struct test_login_setup *setup)
{
    struct trial *t = mem_zero(1, sizeof *t);
    t->tests = tests;
    t->arena = arena_new(TRIAL_ARENA);
    t->text = buf_new(TRIAL_TEXT);
    t->json = question->json != 0;
    t->size = question->size;
    t->to = arena_dup(t->arena, question->to);
    t->sender = arena_dup(t->arena, question->sender);
    struct settings_relay *relay = ARENA_NEW(t->arena, struct settings_relay);
    relay->name = arena_dup(t->arena, setup->relay->name);
    relay->host = arena_dup(t->arena, setup->relay->host);
    relay->port = setup->relay->port;
    relay->tls = setup->relay->tls;
    relay->insecure_auth = setup->relay->insecure_auth;
    t->relay = relay;
    t->login = (struct sasl_login){.user = arena_dup(t->arena, setup->login.user),
                                   .secret = arena_dup(t->arena, setup->login.secret),
                                   .mechanisms = setup->login.mechanisms};
    t->tls = setup->tls ? tls_client_ref(setup->tls) : NULL;
    read_source(setup->settings->direct.source_ipv4, &t->sources[0]);
    read_source(setup->settings->direct.source_ipv6, &t->sources[1]);
    list_push_back(&tests->trials, &t->node);
    tests->count++;
    return t;
}

bool test_login_begin(struct test_logins *tests, struct ipc_link *link, struct ipc_packet *packet,
                      const struct wire_relay_test *question, const struct test_login_setup *setup)
{
    if (!packet->request)
        return false;
    if (!setup->relay || tests->count >= TEST_LOGINS_MAX) {
        refuse(link, packet->request,
               setup->relay ? "too many relay tests run already\n" : "there is no such relay\n");
        return true;
    }
    struct trial *t = trial_new(tests, question, setup);
    t->link = link;
    t->request = packet->request;
    t->fd = ipc_take_fd(packet, 0);
    tell(t, "relay",
         arena_printf(t->arena, "%.*s, %.*s port %llu", SLICE_ARG(t->relay->name), SLICE_ARG(t->relay->host),
                      (unsigned long long)t->relay->port));
    if (setup->login_flaw.len) {
        tell(t, "login", setup->login_flaw);
        finish(t, false);
        return true;
    }
    if (t->to.len && t->fd < 0) {
        tell(t, "failure", SLICE("no message was handed in"));
        finish(t, false);
        return true;
    }
    struct resolve_question q = resolve_question_relay(t->relay);
    t->call = resolve_begin(tests->resolve, &q, t->arena, on_resolved, t);
    return true;
}

/* ---- life ---- */

struct test_logins *test_logins_new(struct loop *loop, struct resolve *resolve, struct identity *identity)
{
    struct test_logins *tests = mem_zero(1, sizeof *tests);
    *tests = (struct test_logins){.loop = loop, .resolve = resolve, .identity = identity};
    list_init(&tests->trials);
    return tests;
}

void test_logins_forget(struct test_logins *tests)
{
    LIST_EACH(&tests->trials, node)
    trial_free(CONTAINER_OF(node, struct trial, node));
}

void test_logins_free(struct test_logins **tests)
{
    if (!*tests)
        return;
    test_logins_forget(*tests);
    free(*tests);
    *tests = NULL;
}
