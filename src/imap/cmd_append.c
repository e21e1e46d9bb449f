/* cmd_append.c: APPEND (RFC 9051 section 6.3.12; RFC 3502: several messages, all of them or none). Messages
 * go to store in chunks as they arrive; nothing of them is gathered here. The command comes in pieces
 * (grammar/imap_append.h); what is refused is still read to its end, so that it is not taken for commands.
 * Input: any logged-in client. */
#include "imap/append.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/notify.h"

#define CHUNK 32768 /* octets of one WIRE_BODY_CHUNK */

static void read_input(struct session *s);
static void go_on(struct session *s);

/* ---- the end ---- */

static void answer_refusal(struct session *s)
{
    const struct append *a = imap_append_of(s);
    imap_append_drop(s);
    s->run->stop = NULL;
    s->run->input = NULL;
    switch (a->refused) {
    case ERR_REFUSED:
        imap_session_done(s, "NO %s", a->refusal);
        break;
    case ERR_LATER:
        imap_session_done(s, "NO [UNAVAILABLE] %s", a->refusal);
        break;
    default:
        imap_session_done(s, "BAD %s", a->refusal);
        break;
    }
}

static void answer_appended(struct session *s, const struct wire_appended *appended, size_t count)
{
    if (!imap_capability_has(s, CAP_UIDPLUS))
        imap_session_done(s, "OK Append completed");
    else if (count == 1)
        imap_session_done(s, "OK [APPENDUID %u %u] Append completed", appended->uidvalidity, appended->uid);
    else
        imap_session_done(s, "OK [APPENDUID %u %u:%u] Append completed", appended->uidvalidity, appended->uid,
                          appended->uid + (uint32_t)count - 1);
}

/* APPENDUID untagged, before the EXPUNGE that sync tells (RFC 8508 section 4.3). */
static void answer_replaced(struct session *s, const struct wire_appended *appended)
{
    if (imap_capability_has(s, CAP_UIDPLUS))
        buf_addf(imap_session_output(s), "* OK [APPENDUID %u %u] Replacement message ready\r\n",
                 appended->uidvalidity, appended->uid);
    if (s->condstore)
        imap_session_done(s, "OK [HIGHESTMODSEQ %llu] Replace completed",
                          (unsigned long long)imap_view_live_modseq(&s->selected->view));
    else
        imap_session_done(s, "OK Replace completed");
}

static void on_appended(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_appended appended;
    err = wire_answer(err, packet, WIRE_APPENDED, &appended);
    s->run->stop = NULL;
    if (err || appended.err) {
        imap_append_drop(s);
        imap_session_refused(s, err ? err : appended.err, appended.code, appended.text);
        return;
    }
    imap_notify_own(s, appended.uidvalidity, appended.uid,
                    appended.uid + (uint32_t)imap_append_of(s)->count - 1);
    if (imap_append_of(s)->replaces)
        answer_replaced(s, &appended);
    else
        answer_appended(s, &appended, imap_append_of(s)->count);
}

static void add_row(const struct append_message *m, struct buf *rows)
{
    AUTO_BUF struct buf keywords = buf_new(WIRE_BLOB_MAX);
    imap_session_keywords(&keywords, &m->args->flags);
    /* 0 asks store for the time of the APPEND: what is older than 1970 becomes its first second. */
    int64_t date = m->args->has_date ? (m->args->date > 0 ? m->args->date : 1) : 0;
    const struct append_row row = {.body = m->body,
                                   .date = (uint64_t)date,
                                   .flags = m->args->flags.system,
                                   .keywords = buf_slice(&keywords)};
    append_row_add(rows, &row);
    rows->overflow = rows->overflow || !buf_ok(&keywords);
}

static void commit(struct session *s)
{
    const struct append *a = imap_append_of(s);
    AUTO_BUF struct buf rows = buf_new(WIRE_BLOB_MAX);
    for (size_t i = 0; i < a->count; i++)
        add_row(&a->messages[i], &rows);
    s->run->input = NULL;
    if (!buf_ok(&rows)) {
        imap_append_refuse(s, ERR_REFUSED, "[LIMIT] Too many keywords at once");
        answer_refusal(s);
        return;
    }
    const struct wire_append append = {.grant = s->grant,
                                       .watch = a->replaces ? s->selected->mailbox->watch : 0,
                                       .replaces = a->replaces,
                                       .mailbox = s->run->command.append.mailbox,
                                       .messages = buf_slice(&rows)};
    imap_session_ask(s, ROLE_STORE, WIRE_APPEND, &append, on_appended);
}

/* ---- the steps of a piece ---- */

void imap_append_refuse(struct session *s, enum err err, const char *text)
{
    struct append *a = imap_append_of(s);
    if (a->refused)
        return;
    a->refused = err;
    a->refusal = text;
    imap_append_drop(s);
}

static bool begin_message(struct session *s, const struct imap_append_step *step)
{
    struct append *a = imap_append_of(s);
    if (a->count > 0 && !imap_capability_has(s, CAP_MULTIAPPEND))
        imap_append_refuse(s, ERR_BAD, "Only one message at a time");
    else if (a->count > 0 && a->replaces) /* RFC 8508 section 4.7 */
        imap_append_refuse(s, ERR_BAD, "Only one message can replace another");
    else if (a->count == APPEND_ROWS_MAX)
        imap_append_refuse(s, ERR_REFUSED, "[LIMIT] Too many messages at once");
    else if (step->message->catenate && !imap_capability_has(s, CAP_CATENATE))
        imap_append_refuse(s, ERR_BAD, "Expected the message as a literal");
    if (a->refused)
        return true;
    a->messages[a->count++] = (struct append_message){.args = step->message, .body = ++s->imap->next_body};
    a->size = 0;
    a->sent = false;
    a->at++;
    return true;
}

/* NULL, or why these octets will not be taken; `*err` says how to answer. */
static const char *fault_of(const struct session *s, uint64_t octets, enum err *err)
{
    const struct append *a = imap_append_of(s);
    uint64_t limit = role_settings(s->imap->run)->limits.message_size;
    *err = ERR_REFUSED;
    if (octets > limit || a->size > limit - octets)
        return "[TOOBIG] The message is too large";
    if (a->total + octets > APPEND_SIZES * limit)
        return "[LIMIT] The messages are too large together";
    if (s->imap->space_low)
        return "[OVERQUOTA] The server has too little space for new messages";
    *err = ERR_LATER;
    return ipc_link_is_up(role_link(s->imap->run, ROLE_STORE)) ? NULL : "The mail store is away";
}

/* So many octets more of the message begun last. False: they are too many, or cannot be taken now. */
static bool count_octets(struct session *s, uint64_t octets)
{
    struct append *a = imap_append_of(s);
    enum err err;
    const char *fault = fault_of(s, octets, &err);
    if (fault)
        imap_append_refuse(s, err, fault);
    a->size += octets;
    a->total += octets;
    return !fault;
}

#define NO_OCTETS "[CANNOT] A message of no octets cannot be stored"

static bool begin_literal(struct session *s, const struct imap_append_step *step)
{
    struct append *a = imap_append_of(s);
    if (step->octets == 0 &&
        !a->piece->message->catenate) /* RFC 3502 section 3: also how a client gives up */
        imap_append_refuse(s, ERR_REFUSED, NO_OCTETS);
    else if (count_octets(s, step->octets)) {
        a->left = step->octets;
        a->at++;
        if (a->sync)
            buf_add_str(imap_session_output(s), "+ OK\r\n");
        if (a->left == 0)
            imap_framer_after_message(&s->framer);
    }
    return true;
}

static bool begin_url(struct session *s, const struct imap_append_step *step)
{
    (void)step;
    struct append *a = imap_append_of(s);
    if (a->part_fd < 0)
        imap_catenate_begin(s);
    else if (!imap_catenate_send(s))
        return false;
    else
        a->at++;
    return true;
}

void imap_append_part(struct session *s)
{
    struct append *a = imap_append_of(s);
    if (a->part_fd >= 0 && !count_octets(s, a->part_left))
        imap_catenate_end(a);
    go_on(s);
    imap_session_pump(s);
}

static bool end_message(struct session *s, const struct imap_append_step *step)
{
    (void)step;
    struct append *a = imap_append_of(s);
    if (a->size == 0)
        imap_append_refuse(s, ERR_REFUSED, NO_OCTETS);
    else if (!a->sent && !imap_append_send(s, SLICE_EMPTY, true))
        return false;
    else
        a->at++;
    return true;
}

void imap_append_whole(struct session *s, enum err err)
{
    struct append *a = imap_append_of(s);
    a->waits = false;
    if (err)
        imap_append_refuse(
            s, err, err == ERR_REFUSED ? "The message was refused" : "The message could not be stored now");
    go_on(s);
    imap_session_pump(s);
}

/* False: store takes no more for now; role.c pumps again when it does. */
static bool do_step(struct session *s)
{
    static bool (*const steps[])(struct session *, const struct imap_append_step *) = {
        [IMAP_APPEND_MESSAGE] = begin_message,
        [IMAP_APPEND_URL] = begin_url,
        [IMAP_APPEND_LITERAL] = begin_literal,
        [IMAP_APPEND_END] = end_message,
    };
    const struct append *a = imap_append_of(s);
    const struct imap_append_step *step = &a->piece->steps[a->at];
    return steps[step->kind](s, step);
}

/* The literal at the end of this piece, when it was not begun. */
static const struct imap_append_step *literal_ahead(const struct append *a)
{
    if (a->at >= a->piece->count || a->piece->steps[a->piece->count - 1].kind != IMAP_APPEND_LITERAL)
        return NULL;
    return &a->piece->steps[a->piece->count - 1];
}

/* Octets announced to a command that is refused: the client waits and never sends them, or they are on their
 * way and must be read. */
static void drop_literal(struct session *s, uint64_t octets, bool sync)
{
    struct append *a = imap_append_of(s);
    uint64_t limit = role_settings(s->imap->run)->limits.message_size;
    uint64_t most = s->state == SESSION_GREETED ? IMAP_SKIP_MAX : 2 * limit + IMAP_SKIP_MAX;
    a->at = a->piece->count;
    if (sync) {
        imap_framer_reset(&s->framer);
        answer_refusal(s);
        return;
    }
    if (octets > most || a->dropped > most - octets) {
        answer_refusal(s);
        imap_session_bye(s, "Message too large");
        return;
    }
    a->dropped += octets;
    a->left = octets;
    if (a->left == 0)
        imap_framer_after_message(&s->framer);
}

/* As far as it goes without more input or another role. */
static void go_on(struct session *s)
{
    struct append *a = imap_append_of(s);
    bool stuck = false;
    while (!stuck && !a->waits && !a->refused && a->left == 0 && a->at < a->piece->count)
        stuck = !do_step(s);
    s->run->input = a->waits ? NULL : read_input;
    if (a->waits || stuck || a->left > 0)
        return;
    const struct imap_append_step *ahead = a->refused ? literal_ahead(a) : NULL;
    if (ahead)
        drop_literal(s, ahead->octets, a->sync);
    else if (a->piece->last && a->refused)
        answer_refusal(s);
    else if (a->piece->last)
        commit(s);
}

/* ---- input ---- */

static void read_literal(struct session *s)
{
    struct append *a = imap_append_of(s);
    struct slice input = stream_input(s->stream);
    size_t n = input.len < a->left ? input.len : (size_t)a->left;
    n = n < CHUNK ? n : CHUNK;
    /* Small pieces wait for more, so that a slow client does not make a packet of each. */
    if (n == 0 || (n < a->left && n < CHUNK && !s->eof && input.len < CHUNK / 8))
        return;
    bool last = n == a->left;
    bool whole = last && !a->refused && !a->piece->message->catenate;
    if (!a->refused && !imap_append_send(s, slice_sub(input, 0, n), whole))
        return; /* role.c pumps again when store takes more */
    a->left -= n;
    stream_consume(s->stream, n);
    if (a->left == 0) {
        imap_framer_after_message(&s->framer);
        go_on(s);
    }
}

/* The next piece: what stands behind a literal. */
static void take_piece(struct session *s, struct slice text, const struct imap_frame *frame)
{
    struct append *a = imap_append_of(s);
    struct why why;
    a->at = 0;
    a->pieces++;
    a->text += text.len;
    a->sync = frame->sync;
    if (a->pieces > APPEND_PIECES_MAX || a->text > APPEND_TEXT_MAX)
        imap_append_refuse(s, ERR_REFUSED, "[LIMIT] Too many parts at once");
    else if (imap_append_next_in(s->run->arena, arena_dup(s->run->arena, text), a->piece, &why) != ERR_OK)
        imap_append_refuse(s, ERR_BAD, arena_cstr(s->run->arena, slice_of(why.text)));
}

static void end_of_piece(struct session *s, struct slice text, const struct imap_frame *frame)
{
    struct append *a = imap_append_of(s);
    if (!a->refused)
        take_piece(s, text, frame);
    if (!a->refused)
        return;
    a->piece->count = 0; /* no more steps */
    a->piece->last = frame->state != IMAP_FRAME_MESSAGE;
    if (frame->state == IMAP_FRAME_MESSAGE)
        drop_literal(s, frame->literal, frame->sync);
}

static void read_rest(struct session *s)
{
    struct slice input = stream_input(s->stream);
    struct imap_frame frame = imap_framer_next(&s->framer, input);
    if (frame.state == IMAP_FRAME_MORE)
        return;
    if (frame.state == IMAP_FRAME_CONTINUE) {
        buf_add_str(imap_session_output(s), "+ OK\r\n");
        return;
    }
    if (frame.state == IMAP_FRAME_BAD || frame.state == IMAP_FRAME_CLOSE)
        imap_append_refuse(s, ERR_BAD, frame.text);
    if (frame.state != IMAP_FRAME_SKIP)
        end_of_piece(s, slice_sub(input, 0, frame.len), &frame);
    if (s->closing)
        return;
    stream_consume(s->stream, frame.len);
    if (s->run && s->run->input && frame.state != IMAP_FRAME_SKIP)
        go_on(s);
    if (frame.state == IMAP_FRAME_CLOSE)
        imap_session_bye(s, "Command too long");
}

static void read_input(struct session *s)
{
    const struct append *a = imap_append_of(s);
    if (a->left > 0)
        read_literal(s);
    else if (!a->refused && a->at < a->piece->count)
        go_on(s);
    else
        read_rest(s);
}

/* ---- the beginning ---- */

static void close_part(void *arg)
{
    imap_catenate_end(arg);
}

static struct append *begin(struct session *s, bool sync)
{
    struct append *a = ARENA_NEW(s->run->arena, struct append);
    a->piece = &s->run->command.append.pieces;
    a->sync = sync;
    a->part_fd = -1;
    arena_defer(s->run->arena, close_part, a);
    s->run->state = a;
    s->run->stop = imap_append_drop;
    return a;
}

void imap_cmd_append_skip(struct session *s, struct append_announcement announcement, enum err err,
                          const char *text)
{
    const char *kept = arena_cstr(s->run->arena, slice_of(text));
    struct append *a = begin(s, announcement.sync);
    s->run->command.append.pieces = (struct imap_append){0};
    s->run->sync = SYNC_NONE;
    if (err == ERR_OK)
        kept = "Malformed command";
    else if (err == ERR_REFUSED)
        kept = (const char *)arena_printf(s->run->arena, "[CANNOT] %s%c", text, 0).ptr;
    a->refused = err == ERR_REFUSED ? ERR_REFUSED : ERR_BAD;
    a->refusal = kept;
    s->run->input = read_input;
    drop_literal(s, announcement.octets, announcement.sync);
}

/* REPLACE: the message it takes away, as the client counts now. */
static void find_replaced(struct session *s)
{
    struct imap_command *c = &s->run->command;
    struct imap_message m;
    if (s->selected->read_only) {
        imap_append_refuse(s, ERR_REFUSED, "[NOPERM] Mailbox is read-only");
        return;
    }
    bool known = imap_view_resolve(&s->selected->view, &c->append.replaces, c->uid);
    struct imap_view_walk walk = imap_view_walk(&s->selected->view, &c->append.replaces, c->uid);
    if (known && imap_view_next(&walk, &m))
        imap_append_of(s)->replaces = m.uid;
    else if (c->uid)
        imap_append_refuse(s, ERR_REFUSED, "[NONEXISTENT] No such message");
    else
        imap_append_refuse(s, ERR_BAD, "Message number out of range");
}

void imap_cmd_append_begin(struct session *s, bool sync)
{
    struct append *a = begin(s, sync);
    const char *fault = imap_command_fault(s);
    a->pieces = 1;
    s->run->sync = fault ? SYNC_NONE : SYNC_ALL;
    if (fault)
        imap_append_refuse(s, ERR_BAD, fault);
    else if (s->run->command.append.mailbox.len == 0)
        imap_append_refuse(s, ERR_REFUSED, "[CANNOT] An empty name is none of a mailbox");
    else if (s->run->command.verb == IMAP_REPLACE)
        find_replaced(s);
    go_on(s);
}
