/* relay_trial.c: a trial of one relay, step by step: the supervisor looks whether a file changed (a new
 * secret is tried at once), the message is written and signed, relay does the rest and tells. Reads nothing
 * but the administrator's words. Called by control.c and role.c. */
#include "queue/relay_trial.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/address.h"
#include "grammar/date.h"
#include "policy/dkim.h"
#include "queue/bounce.h"
#include "queue/control.h"
#include "queue/keys.h"
#include "queue/relay_quota.h"

#define TRIAL_ARENA (1u << 20)
#define LOOK_MS     10000 /* the supervisor reads some names */
#define LOOK_BEGUN  3     /* its exit code when a reload is under way (proc/reload.c) */

struct trial {
    struct list node; /* in queue.trials while a reload is awaited */
    struct queue *q;
    struct control_sink sink;
    struct arena *arena;
    bool json;
    struct slice name, to;
    struct wire_relay_test test;
    struct slice header, body; /* of the message */
};

/* ---- the end ---- */

static void trial_free(struct trial *t)
{
    struct arena *arena = t->arena; /* the trial itself is in it */
    list_remove(&t->node);
    arena_free(&arena);
}

static void answer(struct trial *t, struct slice text, uint32_t exit_code)
{
    t->sink.output(t->sink.ctx, text, exit_code, false);
    trial_free(t);
}

static void note(const struct trial *t, const char *text)
{
    if (!t->json)
        t->sink.output(t->sink.ctx, slice_of(text), 0, true);
}

/* ---- relay ---- */

/* A message the relay took is one of its day. */
static void count(const struct trial *t)
{
    int index = t->to.len ? settings_relay_by_name(t->q->settings, t->name) : -1;
    if (index >= 0)
        (void)!relay_quota_count(t->q, (uint32_t)index, 1);
}

static void on_output(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct trial *t = ctx;
    struct wire_control_output out;
    err = wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &out);
    if (err) {
        answer(t, SLICE("the part of the server that connects to relays is not available now\n"), 1);
        return;
    }
    if (packet->more) {
        t->sink.output(t->sink.ctx, out.text, out.exit_code, true);
        return;
    }
    if (out.exit_code == 0)
        count(t);
    answer(t, out.text, out.exit_code);
}

static void ask_relay(struct trial *t, int fd)
{
    struct ipc_link *relay = role_link(t->q->run, ROLE_RELAY);
    (void)wire_call_fds(relay, WIRE_RELAY_TEST, &t->test, &fd, fd >= 0 ? 1 : 0, CONTROL_FORWARD_MS, on_output,
                        t);
}

/* ---- the message ---- */

static void send_message(struct trial *t, struct slice signature)
{
    AUTO_FD int fd = -1;
    if (io_memfd("relay-test", &fd, NULL) || io_write_all(fd, signature, NULL) ||
        io_write_all(fd, t->header, NULL) || io_write_all(fd, t->body, NULL) || io_seal(fd, NULL)) {
        answer(t, SLICE("the message could not be made\n"), 1);
        return;
    }
    t->test.size = signature.len + t->header.len + t->body.len;
    ask_relay(t, fd);
}

static void on_signed(void *ctx, enum err err, struct slice signature, struct slice why)
{
    struct trial *t = ctx;
    AUTO_BUF struct buf text = buf_new(WIRE_TEXT_MAX);
    if (!err) {
        send_message(t, signature);
        return;
    }
    if (err == ERR_REFUSED)
        buf_addf(&text, "the message would be held: %.*s\n", SLICE_ARG(slice_sub(why, 0, 500)));
    else
        buf_add_str(&text, "the part of the server that signs is not available now\n");
    answer(t, buf_slice(&text), 1);
}

/* Our own words, so that it may be read here. */
static void sign(struct trial *t)
{
    AUTO_BUF struct buf from = buf_new(WIRE_TEXT_MAX);
    struct dkim_summary summary;
    struct why why = {0};
    if (dkim_summarize_in(t->arena, t->header, &t->body, 1, &summary, &why)) {
        answer(t, SLICE("the message could not be made\n"), 1);
        return;
    }
    wire_strings_add(&from, t->test.sender);
    const struct keys_facts facts = {.from = buf_slice(&from),
                                     .hash = slice_make(summary.hash, sizeof summary.hash),
                                     .names = summary.names,
                                     .fields = summary.fields};
    (void)keys_sign(t->q, &facts, on_signed, t);
}

static void write_message(struct trial *t)
{
    char id[QUEUE_ID_LEN + 1];
    struct queue *q = t->q;
    struct slice from = t->test.sender, hostname = q->settings->hostname;
    queue_id_next(&q->ids, clock_unix_ms(), id);
    t->header = arena_printf(t->arena,
                             "Date: %s\r\nFrom: <%.*s>\r\nTo: <%.*s>\r\n"
                             "Subject: Test of the relay %.*s\r\nMessage-ID: <%s.test@%.*s>\r\n"
                             "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                             "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
                             date_format_rfc5322(clock_unix_s(), 0).text, SLICE_ARG(from), SLICE_ARG(t->to),
                             SLICE_ARG(t->name), id, SLICE_ARG(hostname));
    t->body = arena_printf(t->arena,
                           "This message was sent by `rockdove relay test` on %.*s.\r\n"
                           "That it is here means that the relay takes our mail and passes it on.\r\n",
                           SLICE_ARG(hostname));
}

/* ---- the steps ---- */

static void go_on(struct trial *t)
{
    int index = settings_relay_by_name(t->q->settings, t->name);
    if (index < 0) {
        answer(t, SLICE("there is no relay of this name\n"), 1);
        return;
    }
    t->test = (struct wire_relay_test){.relay = (uint32_t)index,
                                       .json = t->json,
                                       .sender = arena_dup(t->arena, bounce_postmaster_in(t->q, t->arena)),
                                       .to = t->to};
    if (!t->to.len) {
        ask_relay(t, -1);
        return;
    }
    write_message(t);
    sign(t);
}

static void on_look(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct trial *t = ctx;
    struct wire_control_output out;
    err = wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &out);
    if (!err && out.exit_code == LOOK_BEGUN) {
        list_push_back(&t->q->trials, &t->node);
        return;
    }
    if (err || out.exit_code)
        note(t, "what changed on disk could not be read again; the log says why\n");
    go_on(t);
}

static void look(struct trial *t)
{
    AUTO_BUF struct buf words = buf_new(100);
    wire_strings_add(&words, SLICE("look"));
    const struct wire_control message = {.arguments = buf_slice(&words)};
    (void)wire_call(role_link(t->q->run, ROLE_SUPERVISOR), WIRE_CONTROL, &message, LOOK_MS, on_look, t);
}

void relay_trials_go_on(struct queue *q, bool used)
{
    for (struct list *node; (node = list_pop_front(&q->trials)) != NULL;) {
        struct trial *t = CONTAINER_OF(node, struct trial, node);
        if (!used)
            note(t, "what changed on disk cannot be used; the log says why\n");
        go_on(t);
    }
}

void relay_trials_free(struct queue *q)
{
    LIST_EACH(&q->trials, node)
    trial_free(CONTAINER_OF(node, struct trial, node));
}

/* ---- beginning ---- */

static bool read_words(struct trial *t, const struct slice *arguments, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        bool option = slice_eq(arguments[i], SLICE("--to"));
        if (option ? ++i == count || t->to.len : t->name.len > 0)
            return false;
        *(option ? &t->to : &t->name) = arena_dup(t->arena, arguments[i]);
    }
    if (!t->name.len)
        t->name = SLICE("default");
    return true;
}

void relay_trial_begin(struct queue *q, const struct slice *arguments, size_t count, bool json,
                       const struct control_sink *sink)
{
    struct arena *arena = arena_new(TRIAL_ARENA);
    struct trial *t = ARENA_NEW(arena, struct trial);
    struct address address;
    *t = (struct trial){.q = q, .sink = *sink, .arena = arena, .json = json};
    list_init(&t->node);
    if (!read_words(t, arguments, count)) {
        answer(t, SLICE("usage: relay test [NAME] [--to ADDRESS]\n"), 2);
        return;
    }
    if (t->to.len && address_parse_in(arena, t->to, 0, &address, NULL) != ERR_OK) {
        answer(t, SLICE("the address behind --to is none\n"), 2);
        return;
    }
    if (t->to.len)
        t->to = address.text;
    look(t);
}
