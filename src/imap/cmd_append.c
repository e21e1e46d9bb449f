/* cmd_append.c: APPEND (RFC 9051 section 6.3.12). The message goes to store in chunks as it arrives; nothing
 * of it is gathered here. Input: the message of any logged-in client, as opaque bytes. */
#include "base/log.h"
#include "imap/capability.h"
#include "imap/command.h"

#define CHUNK 32768 /* octets of one WIRE_BODY_CHUNK */

struct append {
    uint64_t left; /* octets of the literal still to come */
    uint64_t body; /* its name at store */
    bool skip;     /* the message is read and dropped: `refusal` is the answer */
    bool first;    /* no chunk was sent yet */
    bool whole;    /* store has all of it and scan has read it */
    bool line_end; /* the command's CRLF came */
    bool dropped;
    enum err skip_err;
    const char *refusal;
};

static struct append *append_of(struct session *s)
{
    return s->run->state;
}

static void drop_body(struct session *s)
{
    struct append *a = append_of(s);
    if (!a || a->skip || a->first || a->dropped)
        return;
    a->dropped = true;
    const struct wire_body_drop drop = {.body = a->body};
    enum err err = wire_send(role_link(s->imap->run, ROLE_STORE), WIRE_BODY_DROP, &drop);
    (void)err; /* store away: it forgot the body */
}

static void refuse(struct session *s, enum err err, const char *text)
{
    drop_body(s);
    s->run->stop = NULL;
    switch (err) {
    case ERR_REFUSED:
        imap_session_done(s, "NO %s", text);
        break;
    case ERR_LATER:
        imap_session_done(s, "NO [UNAVAILABLE] %s", text);
        break;
    default:
        imap_session_done(s, "BAD %s", text);
        break;
    }
}

/* ---- the end: store makes it a message ---- */

static void on_appended(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_appended appended;
    err = wire_answer(err, packet, WIRE_APPENDED, &appended);
    s->run->stop = NULL;
    if (err || appended.err) {
        drop_body(s);
        imap_session_refused(s, err ? err : appended.err, appended.code, appended.text);
        return;
    }
    if (imap_capability_has(s, CAP_UIDPLUS))
        imap_session_done(s, "OK [APPENDUID %u %u] Append completed", appended.uidvalidity, appended.uid);
    else
        imap_session_done(s, "OK Append completed");
}

static void commit(struct session *s)
{
    struct imap_command *c = &s->run->command;
    struct append *a = append_of(s);
    AUTO_BUF struct buf keywords = buf_new(WIRE_BLOB_MAX);
    imap_session_keywords(&keywords, &c->append.message.flags);
    int64_t date = c->append.message.has_date ? c->append.message.date : 0;
    const struct wire_append append = {.grant = s->grant,
                                       .body = a->body,
                                       .date = date > 0 ? (uint64_t)date : 0,
                                       .flags = c->append.message.flags.system,
                                       .mailbox = c->append.mailbox,
                                       .keywords = buf_slice(&keywords)};
    imap_session_ask(s, ROLE_STORE, WIRE_APPEND, &append, on_appended);
}

static void on_whole(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_body_done done;
    struct append *a = append_of(s);
    err = wire_answer(err, packet, WIRE_BODY_DONE, &done);
    a->whole = true;
    if (err || done.err) {
        /* The rest of the line must still be read, or the client's next command would be taken for it. */
        a->refusal =
            err || done.err == ERR_LATER ? "The message could not be stored now" : "The message was refused";
        a->skip_err = err || done.err != ERR_REFUSED ? ERR_LATER : ERR_REFUSED;
    }
    if (!a->line_end)
        return;
    if (a->refusal)
        refuse(s, a->skip_err, a->refusal);
    else
        commit(s);
}

/* ---- the message ---- */

/* False: store takes no more for now. */
static bool send_chunk(struct session *s, struct slice data)
{
    struct append *a = append_of(s);
    struct ipc_link *store = role_link(s->imap->run, ROLE_STORE);
    bool last = data.len == a->left;
    if (ipc_congested(store))
        return false;
    const struct wire_body_chunk chunk = {.body = a->body,
                                          .flags = (a->first ? BODY_FIRST : 0u) | (last ? BODY_LAST : 0u),
                                          .kind = BODY_APPEND,
                                          .data = data};
    a->first = false;
    if (last)
        imap_session_ask(s, ROLE_STORE, WIRE_BODY_CHUNK, &chunk, on_whole);
    else if (wire_send(store, WIRE_BODY_CHUNK, &chunk) != ERR_OK) {
        a->skip = true;
        a->skip_err = ERR_LATER;
        a->refusal = "The mail store is away";
    }
    return true;
}

static void read_message(struct session *s)
{
    struct append *a = append_of(s);
    struct slice input = stream_input(s->stream);
    size_t n = input.len < a->left ? input.len : (size_t)a->left;
    n = n < CHUNK ? n : CHUNK;
    /* Small pieces wait for more, so that a slow client does not make a packet of each. */
    if (n == 0 || (n < a->left && n < CHUNK && !s->eof && input.len < CHUNK / 8))
        return;
    if (!a->skip && !send_chunk(s, slice_sub(input, 0, n)))
        return; /* role.c pumps again when store takes more */
    a->left -= n;
    stream_consume(s->stream, n);
    if (a->left == 0)
        imap_framer_after_message(&s->framer);
}

/* ---- the rest of the line ---- */

static void end_of_command(struct session *s, struct slice rest)
{
    struct append *a = append_of(s);
    struct imap_append_args more_args = {.utf8 = s->run->command.append.message.utf8};
    bool more = false;
    struct why why;
    if (!a->refusal && imap_append_next_in(s->run->arena, rest, &more_args, &more, &why) != ERR_OK) {
        a->refusal = "Unexpected text behind the message";
        a->skip_err = ERR_BAD;
    } else if (!a->refusal && more) {
        a->refusal = "Only one message at a time";
        a->skip_err = ERR_BAD;
    }
    a->line_end = true;
}

/* More messages, which the client sends unasked, are read and dropped. */
static void skip_further(struct session *s, const struct imap_frame *frame)
{
    struct append *a = append_of(s);
    a->refusal = a->refusal ? a->refusal : "Only one message at a time";
    a->skip_err = ERR_BAD;
    if (frame->sync) {
        a->line_end = true;
        imap_framer_reset(&s->framer);
        return;
    }
    drop_body(s);
    a->skip = true;
    a->left = frame->literal;
    if (a->left == 0)
        imap_framer_after_message(&s->framer);
}

static void read_rest(struct session *s)
{
    struct append *a = append_of(s);
    struct slice input = stream_input(s->stream);
    struct imap_frame frame = imap_framer_next(&s->framer, input);
    switch (frame.state) {
    case IMAP_FRAME_MORE:
    case IMAP_FRAME_CONTINUE:
        return;
    case IMAP_FRAME_COMPLETE:
        end_of_command(s, slice_sub(input, 0, frame.len));
        break;
    case IMAP_FRAME_MESSAGE:
        skip_further(s, &frame);
        break;
    case IMAP_FRAME_SKIP:
        break;
    case IMAP_FRAME_BAD:
    case IMAP_FRAME_CLOSE:
        a->refusal = frame.text;
        a->skip_err = ERR_BAD;
        a->line_end = true;
        break;
    }
    stream_consume(s->stream, frame.len);
}

static void read_input(struct session *s)
{
    struct append *a = append_of(s);
    if (a->left > 0)
        read_message(s);
    else if (!a->line_end)
        read_rest(s);
    if (!a->line_end || s->run->ending)
        return;
    s->run->input = NULL;
    if (a->skip || (a->refusal && a->whole))
        refuse(s, a->skip_err, a->refusal);
    else if (a->whole)
        commit(s);
}

/* ---- the beginning ---- */

static struct append *begin(struct session *s, struct append_announcement announcement)
{
    struct append *a = ARENA_NEW(s->run->arena, struct append);
    a->left = announcement.octets;
    a->first = true;
    s->run->state = a;
    return a;
}

/* The client waits for "+ " and never sends the message, or it is on its way and must be read. */
static void skip_message(struct session *s, struct append *a, struct append_announcement announcement,
                         enum err err, const char *text)
{
    a->skip = true;
    a->skip_err = err;
    a->refusal = text;
    if (announcement.sync) {
        imap_framer_reset(&s->framer);
        refuse(s, err, text);
        return;
    }
    uint64_t limit = role_settings(s->imap->run)->limits.message_size;
    if (announcement.octets > (s->state == SESSION_GREETED ? IMAP_SKIP_MAX : 2 * limit + IMAP_SKIP_MAX)) {
        refuse(s, err, text);
        imap_session_bye(s, "Message too large");
        return;
    }
    if (a->left == 0)
        imap_framer_after_message(&s->framer);
    s->run->input = read_input;
}

void imap_cmd_append_skip(struct session *s, struct append_announcement announcement, enum err err,
                          const char *text)
{
    struct append *a = begin(s, announcement);
    const char *kept = (const char *)arena_cstr(s->run->arena, slice_of(text));
    s->run->sync = SYNC_NONE;
    if (err == ERR_OK)
        kept = "Malformed command";
    else if (err == ERR_REFUSED)
        kept = (const char *)arena_printf(s->run->arena, "[CANNOT] %s%c", text, 0).ptr;
    skip_message(s, a, announcement, err, kept);
}

/* NULL, or why this message will not be taken; `*err` says how to answer. */
static const char *refusal_of(struct session *s, struct append_announcement announcement, enum err *err)
{
    *err = ERR_REFUSED;
    if (announcement.octets == 0)
        return "[CANNOT] A message of no octets cannot be stored";
    if (announcement.octets > role_settings(s->imap->run)->limits.message_size)
        return "[TOOBIG] The message is too large";
    if (s->imap->space_low)
        return "[OVERQUOTA] The server has too little space for new messages";
    *err = ERR_LATER;
    return ipc_link_is_up(role_link(s->imap->run, ROLE_STORE)) ? NULL : "The mail store is away";
}

static const char *state_fault(const struct session *s)
{
    return s->state == SESSION_LOGGED_IN || s->state == SESSION_SELECTED ? NULL : "Log in first";
}

void imap_cmd_append_begin(struct session *s, struct append_announcement announcement)
{
    struct append *a = begin(s, announcement);
    enum err err = ERR_BAD;
    const char *fault = state_fault(s);
    if (!fault)
        fault = refusal_of(s, announcement, &err);
    s->run->sync = fault ? SYNC_NONE : SYNC_ALL;
    if (fault) {
        skip_message(s, a, announcement, err, fault);
        return;
    }
    a->body = ++s->imap->next_body;
    s->run->stop = drop_body;
    s->run->input = read_input;
    if (announcement.sync)
        buf_add_str(imap_session_output(s), "+ OK\r\n");
}
