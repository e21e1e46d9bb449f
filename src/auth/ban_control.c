/* ban_control.c: `ban …` of the administrator in the auth role, as queue passes it on from the control
 * socket. Called by control.c. */
#include <stdlib.h>
#include <string.h>

#include "auth/ban_command.h"
#include "auth/ban_inside.h"
#include "base/mem.h"

#define LIST_PAUSE_MS  20 /* while the control socket is congested */
#define OUTPUT_MAX     (4u << 20)
#define ARGUMENT_BYTES 8192u

struct call {
    struct list node;
    struct auth_bans *bans;
    struct loop_timer *timer; /* a long list goes out piece by piece, with others in between */
    uint32_t request, epoch;
    struct ban_command command;
    struct slice arguments[BAN_ARGUMENTS_MAX];
    struct buf out;
    struct ban_image_mark mark;
    bool waits;
    size_t text_len;
    uint8_t text[];
};

static void call_free(struct call *call)
{
    list_remove(&call->node);
    loop_timer_free(&call->timer);
    buf_free(&call->out);
    free(call);
}

static void call_output(struct call *call, bool more)
{
    struct auth *auth = call->bans->auth;
    struct slice text = buf_slice(&call->out);
    do {
        const struct wire_control_output out = {
            .exit_code = more || text.len > WIRE_BLOB_MAX ? 0 : call->command.exit_code,
            .text = slice_sub(text, 0, WIRE_BLOB_MAX)};
        text = slice_from(text, out.text.len);
        if (call->epoch == auth->epochs[ROLE_QUEUE])
            wire_reply(role_link(auth->run, ROLE_QUEUE), call->request, WIRE_CONTROL_OUTPUT,
                       more || text.len > 0, &out);
    } while (text.len);
    buf_clear(&call->out);
}

static void call_end(struct call *call)
{
    call_output(call, false);
    call_free(call);
}

/* What was changed by hand is told when it is on disk and the network roles have it. */
static void call_settle(struct call *call)
{
    struct auth_bans *b = call->bans;
    for (size_t i = 0; i < call->command.write_count; i++) {
        const struct ban_write *w = &call->command.writes[i];
        ban_image_write(b->image, w);
        if (w->kind == BAN_WRITE_PUT)
            auth_bans_tell(&w->ban);
        else if (call->command.removed & 1u << w->ban.source)
            auth_bans_tell_end(&w->ban, "removed by hand");
    }
    ban_image_changed(b->image, true);
    call->mark = ban_image_mark(b->image);
    call->waits = true;
}

static void call_step(void *arg)
{
    struct call *call = arg;
    struct auth *auth = call->bans->auth;
    if (call->command.more && call->epoch != auth->epochs[ROLE_QUEUE]) {
        call_free(call);
        return;
    }
    if (call->command.more && ipc_congested(role_link(auth->run, ROLE_QUEUE))) {
        loop_timer_set(call->timer, LIST_PAUSE_MS);
        return;
    }
    ban_command(&call->command);
    if (call->command.more) {
        call_output(call, true);
        loop_timer_set(call->timer, 0);
    } else if (call->command.write_count) {
        call_settle(call);
    } else {
        call_end(call);
    }
}

/* An image was made, or something written: who waited for it is answered. */
void auth_bans_go_on(struct auth_bans *b)
{
    LIST_EACH(&b->calls, node)
    {
        struct call *call = CONTAINER_OF(node, struct call, node);
        if (!call->waits || !ban_image_reached(b->image, &call->mark))
            continue;
        if (b->write_err) {
            buf_add_str(&call->out, "it could not be written to disk: it holds until the next restart\n");
            call->command.exit_code = 1;
        }
        call_end(call);
    }
}

static bool take_arguments(struct call *call)
{
    struct slice rest = slice_make(call->text, call->text_len), argument;
    bool first = true;
    while (rest.len) {
        if (call->command.count == BAN_ARGUMENTS_MAX || !wire_strings_take(&rest, &argument))
            return false;
        if (!first)
            call->arguments[call->command.count++] = argument;
        first = false;
    }
    return true;
}

void auth_bans_control(struct auth_bans *b, uint32_t request, const struct wire_control *message)
{
    size_t len = message->arguments.len;
    struct call *call = mem_zero(1, sizeof *call + len);
    call->bans = b;
    call->request = request;
    call->epoch = b->auth->epochs[ROLE_QUEUE];
    call->out = buf_new(OUTPUT_MAX);
    call->timer = loop_timer_new(b->auth->loop, call_step, call);
    list_push_back(&b->calls, &call->node);
    call->text_len = len;
    if (len)
        memcpy(call->text, message->arguments.ptr, len);
    call->command = (struct ban_command){.bans = b->bans,
                                         .now = auth_bans_now(b),
                                         .json = message->json,
                                         .arguments = call->arguments,
                                         .out = &call->out};
    if (len > ARGUMENT_BYTES || !take_arguments(call))
        call->command.count = 0; /* shows the usage */
    call_step(call);
}

void auth_bans_drop_calls(struct auth_bans *b)
{
    while (!list_empty(&b->calls))
        call_free(CONTAINER_OF(b->calls.next, struct call, node));
}
