/* control.c: serves the control socket. Trusts nobody but by the kernel's word on who is at the other end;
 * what comes is decoded strictly all the same. */
#include "queue/control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/control_queue.h"
#include "queue/control_relay.h"
#include "queue/keys.h"
#include "queue/relay_trial.h"
#include "queue/spool.h"
#include "queue/trace.h"

#define OUTPUT_MAX (4u << 20)
#define WORDS_MAX  65536

struct control {
    struct queue *q;
    struct loop_watch *watch;
    int fd;
    uint32_t uid;
    struct list connections;
    size_t count;
};

struct connection {
    struct list node;
    struct control *control;
    struct ipc_link *link;
    size_t running; /* commands not answered yet */
    bool down;
};

/* One command under way. */
struct command {
    struct connection *from;
    struct queue *q;
    uint32_t request;
    bool json;
    struct slice arguments[CONTROL_ARGUMENTS_MAX];
    size_t count;
    bool delete_mail; /* account remove --delete-mail: the store is asked when auth has agreed */
    size_t text_len;
    uint8_t text[]; /* what the arguments point to */
};

/* ---- connections ---- */

static void free_connection(void *arg)
{
    struct connection *c = arg;
    if (c->running)
        return; /* the last command comes back here */
    list_remove(&c->node);
    c->control->count--;
    ipc_link_free(&c->link);
    free(c);
}

static void on_down(void *ctx, struct ipc_link *link)
{
    struct connection *c = ctx;
    (void)link;
    c->down = true;
    if (!c->running)
        loop_post(c->control->q->loop, free_connection, c);
}

static void end_command(struct command *command)
{
    struct connection *c = command->from;
    free(command);
    if (--c->running == 0 && c->down)
        loop_post(c->control->q->loop, free_connection, c);
}

/* Long texts go out in pieces; the last one carries the exit code. */
static void output(const struct command *command, struct slice text, uint32_t exit_code, bool more)
{
    do {
        struct slice piece = slice_sub(text, 0, WIRE_BLOB_MAX);
        text = slice_from(text, piece.len);
        bool follows = more || text.len;
        const struct wire_control_output out = {.exit_code = follows ? 0 : exit_code, .text = piece};
        wire_reply(command->from->link, command->request, WIRE_CONTROL_OUTPUT, follows, &out);
    } while (text.len);
}

static void answer(struct command *command, struct slice text, uint32_t exit_code)
{
    output(command, text, exit_code, false);
    end_command(command);
}

/* ---- passing on ---- */

static void forward(struct command *command, enum role role, const struct slice *arguments, size_t count);

static bool go_on_with_mail(struct command *command, uint32_t exit_code)
{
    if (!command->delete_mail || exit_code)
        return false;
    const struct slice arguments[] = {SLICE("store"), SLICE("remove"), command->arguments[2]};
    command->delete_mail = false;
    forward(command, ROLE_STORE, arguments, ARRAY_LEN(arguments));
    return true;
}

static void on_forwarded(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct command *command = ctx;
    struct wire_control_output out;
    err = wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &out);
    if (err) {
        answer(command, SLICE("the part of the server that knows is not available now\n"), 1);
        return;
    }
    bool ends = !packet->more && !(command->delete_mail && out.exit_code == 0);
    output(command, out.text, out.exit_code, !ends);
    if (packet->more || go_on_with_mail(command, out.exit_code))
        return;
    end_command(command);
}

static void forward(struct command *command, enum role role, const struct slice *arguments, size_t count)
{
    struct ipc_link *link = role_link(command->q->run, role);
    AUTO_BUF struct buf list = buf_new(WIRE_BLOB_MAX);
    for (size_t i = 0; i < count; i++)
        wire_strings_add(&list, arguments[i]);
    const struct wire_control message = {.json = command->json, .arguments = buf_slice(&list)};
    if (!link || !buf_ok(&list)) {
        answer(command, SLICE("this command is not available here\n"), 1);
        return;
    }
    (void)wire_call(link, WIRE_CONTROL, &message, CONTROL_FORWARD_MS, on_forwarded, command);
}

/* ---- commands ---- */

/* Nothing found is an error to who asked for one message. */
static void on_trace(void *ctx, enum err err, struct slice text)
{
    struct command *command = ctx;
    bool none = slice_eq(text, SLICE("[]\n")) || slice_eq(text, SLICE("nothing found\n"));
    if (!err && none && !command->json)
        text = SLICE("nothing is known of this id: it never was, or its trace is too old\n");
    answer(command, text, err || none ? 1 : 0);
}

static void cmd_trace(struct command *command)
{
    if (command->count != 2) {
        answer(command, SLICE("usage: trace ID\n"), 2);
        return;
    }
    trace_flush(command->q->trace);
    spool_trace_find(command->q->spool, command->arguments[1], command->json, on_trace, command);
}

static void sink_output(void *ctx, struct slice text, uint32_t exit_code, bool more)
{
    struct command *command = ctx;
    output(command, text, exit_code, more);
    if (!more)
        end_command(command);
}

static bool sink_ready(void *ctx)
{
    const struct command *command = ctx;
    return !ipc_congested(command->from->link);
}

static bool sink_gone(void *ctx)
{
    const struct command *command = ctx;
    return command->from->down;
}

static struct control_sink sink_of(struct command *command)
{
    return (struct control_sink){
        .output = sink_output, .ready = sink_ready, .gone = sink_gone, .ctx = command};
}

static void cmd_queue(struct command *command)
{
    const struct control_sink sink = sink_of(command);
    control_queue(command->q, command->arguments + 1, command->count - 1, command->json, &sink);
}

static void cmd_relay(struct command *command)
{
    if (command->count > 1 && slice_eq(command->arguments[1], SLICE("test"))) {
        const struct control_sink sink = sink_of(command);
        relay_trial_begin(command->q, command->arguments + 1, command->count - 1, command->json, &sink);
        return;
    }
    AUTO_BUF struct buf out = buf_new(OUTPUT_MAX);
    uint32_t code =
        control_relay(command->q, command->arguments + 1, command->count - 1, command->json, &out);
    answer(command, buf_slice(&out), code);
}

/* What DNS says of the keys; `rockdove dkim list` shows it beside what the configuration says. */
static void cmd_dkim(struct command *command)
{
    AUTO_BUF struct buf out = buf_new(OUTPUT_MAX);
    keys_print(command->q, command->json, &out);
    answer(command, buf_slice(&out), 0);
}

static void cmd_route(struct command *command)
{
    if (command->count != 2) {
        answer(command, SLICE("usage: route ADDRESS | route --compare-postfix\n"), 2);
        return;
    }
    AUTO_BUF struct buf out = buf_new(OUTPUT_MAX);
    uint32_t code = slice_eq(command->arguments[1], SLICE("--compare-postfix"))
                        ? table_compare(command->q, command->json, &out)
                        : table_explain(command->q, command->arguments[1], command->json, &out);
    answer(command, buf_slice(&out), code);
}

static void cmd_account(struct command *command)
{
    bool removes = command->count >= 2 && slice_eq(command->arguments[1], SLICE("remove"));
    bool keep = false;
    size_t count = removes && command->count > 3 ? 3 : command->count;
    for (size_t i = 3; removes && i < command->count; i++) {
        keep |= slice_eq(command->arguments[i], SLICE("--keep-mail"));
        command->delete_mail |= slice_eq(command->arguments[i], SLICE("--delete-mail"));
    }
    if (removes && (command->count != 4 || keep == command->delete_mail)) {
        command->delete_mail = false;
        answer(command, SLICE("usage: account remove ADDRESS --keep-mail | --delete-mail\n"), 2);
        return;
    }
    forward(command, ROLE_AUTH, command->arguments, count);
}

static void cmd_gateways(struct command *command)
{
    forward(command, ROLE_AUTH, command->arguments, command->count);
}

static void cmd_store(struct command *command)
{
    forward(command, ROLE_STORE, command->arguments, command->count);
}

static void cmd_ban(struct command *command)
{
    forward(command, ROLE_AUTH, command->arguments, command->count);
}

static void cmd_supervisor(struct command *command)
{
    forward(command, ROLE_SUPERVISOR, command->arguments, command->count);
}

static const struct {
    const char *name;
    void (*run)(struct command *command);
} commands[] = {
    {"trace", cmd_trace},       {"queue", cmd_queue},       {"relay", cmd_relay}, {"dkim", cmd_dkim},
    {"route", cmd_route},       {"account", cmd_account},   {"store", cmd_store}, {"status", cmd_supervisor},
    {"reload", cmd_supervisor}, {"gateways", cmd_gateways}, {"ban", cmd_ban},
};

static bool take_arguments(struct command *command)
{
    struct slice rest = slice_make(command->text, command->text_len), argument;
    while (rest.len) {
        if (command->count == CONTROL_ARGUMENTS_MAX || !wire_strings_take(&rest, &argument))
            return false;
        command->arguments[command->count++] = argument;
    }
    return command->count > 0;
}

static bool on_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct connection *c = ctx;
    struct wire_control message;
    (void)link;
    if (!wire_allowed(packet->type, ROLE_CONTROL, ROLE_QUEUE) || packet->type != WIRE_CONTROL ||
        !packet->request || wire_decode(WIRE_CONTROL, packet->body, &message))
        return false;
    struct command *command = mem_zero(1, sizeof *command + message.arguments.len);
    command->from = c;
    command->q = c->control->q;
    command->request = packet->request;
    command->json = message.json;
    command->text_len = message.arguments.len;
    if (message.arguments.len)
        memcpy(command->text, message.arguments.ptr, message.arguments.len);
    c->running++;
    if (!take_arguments(command)) {
        end_command(command);
        return false;
    }
    log_info("queue.control", LOG_STR("command", command->arguments[0]),
             LOG_STR("what", command->count > 1 ? command->arguments[1] : SLICE_EMPTY));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (slice_eq(command->arguments[0], slice_of(commands[i].name))) {
            commands[i].run(command);
            return true;
        }
    }
    answer(command, SLICE("unknown command\n"), 2);
    return true;
}

/* ---- accepting ---- */

static const struct ipc_ops connection_ops = {.packet = on_packet, .down = on_down};

void control_serve(struct control *control, int fd)
{
    struct connection *c = mem_zero(1, sizeof *c);
    c->control = control;
    c->link = ipc_link_new(control->q->loop, role_name(ROLE_CONTROL), &connection_ops, c);
    list_push_back(&control->connections, &c->node);
    control->count++;
    ipc_link_attach(c->link, fd);
}

static bool may_talk(const struct control *control, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    return peer.uid == 0 || peer.uid == control->uid;
}

static void on_ready(void *arg, unsigned events)
{
    struct control *control = arg;
    (void)events;
    int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (control->count >= CONTROL_CONNECTIONS_MAX || !may_talk(control, fd)) {
        log_warn("queue.control", LOG_CSTR("why", "connection refused"));
        io_close(&fd);
        return;
    }
    control_serve(control, fd);
}

struct control *control_new(struct queue *q, int fd, uint32_t uid)
{
    struct control *control = mem_zero(1, sizeof *control);
    control->q = q;
    control->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0); /* a reload closes the runtime's */
    control->uid = uid;
    list_init(&control->connections);
    if (control->fd >= 0) {
        control->watch = loop_watch_new(q->loop, control->fd, on_ready, control);
        loop_watch_set(control->watch, LOOP_READ);
    }
    return control;
}

void control_free(struct control **control)
{
    struct control *c = *control;
    if (!c)
        return;
    loop_watch_free(&c->watch);
    io_close(&c->fd);
    for (struct list *node; (node = list_pop_front(&c->connections)) != NULL;) {
        struct connection *connection = CONTAINER_OF(node, struct connection, node);
        ipc_link_free(&connection->link);
        free(connection);
    }
    free(c);
    *control = NULL;
}
