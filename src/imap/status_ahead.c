/* status_ahead.c: clients ask for the STATUS of many folders without waiting in between. Answered one by one,
 * each would wake store and then this role; so what waits in the input is asked for at once. Commands are
 * still answered one after the other, from rows that are younger than the command itself.
 *
 * Not while a mailbox is selected or NOTIFY is on: there the row could be older than news told in between.
 * Input: commands of clients, looked at before their turn. Called by cmd_status.c.
 */
#include "imap/status_ahead.h"

#include <stdlib.h>

#include "base/mem.h"
#include "imap/status.h"

#define AHEAD_MAX     32   /* commands asked for at once */
#define AHEAD_COMMAND 2048 /* octets of one of them; who sends longer ones waits */
#define AHEAD_ARENA                                                                                          \
    (4u << 20) /* bytes for commands and rows of one lot: far more than fit in AHEAD_COMMAND */

struct ahead_row {
    struct status_ahead *ahead;
    struct slice name;
    uint32_t request; /* 0: answered */
    enum err err;
    struct ipc_packet packet; /* its body in the arena */
};

/* One lot; a new one when the last was taken. */
struct status_ahead {
    struct session *session;
    struct ipc_link *link;
    struct arena *arena;
    call_done *done; /* the running command waits for the first row; NULL: it does not */
    unsigned first, count;
    struct ahead_row rows[AHEAD_MAX];
};

void imap_ahead_free(struct session *s)
{
    struct status_ahead *a = s->ahead;
    if (!a)
        return;
    s->ahead = NULL;
    for (unsigned i = a->first; i < a->count; i++)
        if (a->rows[i].request)
            ipc_cancel(a->link, a->rows[i].request);
    arena_free(&a->arena);
    free(a);
}

/* The first row goes to its command. */
static void deliver(struct status_ahead *a, call_done *done, enum err err, struct ipc_packet *packet)
{
    struct session *s = a->session;
    a->done = NULL;
    if (++a->first < a->count) {
        done(s, NULL, err, packet);
        return;
    }
    s->ahead = NULL; /* the command may already begin the next lot */
    done(s, NULL, err, packet);
    arena_free(&a->arena);
    free(a);
}

static void on_answer(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct ahead_row *row = ctx;
    struct status_ahead *a = row->ahead;
    struct session *s = a->session;
    row->request = 0;
    if (a->done && row == &a->rows[a->first]) {
        imap_session_enter(s);
        deliver(a, a->done, err, packet);
        imap_session_leave(s);
        return;
    }
    row->err = err;
    if (packet)
        row->packet = (struct ipc_packet){.type = packet->type,
                                          .request = packet->request,
                                          .more = packet->more,
                                          .body = arena_dup(a->arena, packet->body)};
}

bool imap_ahead_take(struct session *s, struct slice name, call_done *done)
{
    struct status_ahead *a = s->ahead;
    if (!a)
        return false;
    struct ahead_row *row = &a->rows[a->first];
    if (!slice_eq(row->name, name)) { /* it was understood otherwise than in its turn */
        imap_ahead_free(s);
        return false;
    }
    if (row->request)
        a->done = done;
    else
        deliver(a, done, row->err, row->err ? NULL : &row->packet);
    return true;
}

/* The next command of the input when it is a STATUS to ask for; its name lives in the arena. */
static bool look_at(struct session *s, struct imap_framer *framer, struct slice *input, struct arena *arena,
                    struct slice *name)
{
    struct imap_frame frame = imap_framer_next(framer, *input);
    if (frame.state != IMAP_FRAME_COMPLETE || frame.len > AHEAD_COMMAND)
        return false;
    struct slice text = arena_dup(arena, slice_sub(*input, 0, frame.len));
    struct imap_command *command = ARENA_NEW(arena, struct imap_command);
    struct why why;
    if (imap_command_parse_in(arena, text, (struct imap_parse_options){.utf8 = s->utf8}, command, &why) ||
        command->verb != IMAP_STATUS || !imap_status_known(s, command->status.items))
        return false;
    *name = command->status.mailbox;
    *input = slice_from(*input, frame.len);
    return true;
}

void imap_ahead_ask(struct session *s)
{
    if (s->closing || s->ahead || s->selected || s->notify)
        return;
    struct slice input = stream_input(s->stream), name;
    if (input.len == 0)
        return;
    struct status_ahead *a = mem_zero(1, sizeof *a);
    struct imap_framer framer = s->framer;
    a->session = s;
    a->link = role_link(s->imap->run, ROLE_STORE);
    a->arena = arena_new(AHEAD_ARENA);
    while (a->count < AHEAD_MAX && look_at(s, &framer, &input, a->arena, &name)) {
        struct ahead_row *row = &a->rows[a->count++];
        const struct wire_mbox_name message = {.grant = s->grant, .name = name};
        *row = (struct ahead_row){.ahead = a, .name = name};
        row->request = wire_call(a->link, WIRE_MBOX_STATUS, &message, IMAP_CALL_MS, on_answer, row);
    }
    s->ahead = a;
    if (a->count == 0)
        imap_ahead_free(s);
}
