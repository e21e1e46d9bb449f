/* pop3_retr.c: RETR and TOP (RFC 1939 sections 5 and 7): the message goes from its file to the client in
 * pieces, while the output has room, with dots doubled on the way. Input: files of store. */
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "imap/pop3.h"

#define PIECE_MAX 16384 /* octets read from the file at once */

static void finish(struct pop3 *p)
{
    struct pop3_body *body = &p->drop->body;
    struct buf *out = pop3_output(p);
    buf_add_str(out, body->line_begins ? ".\r\n" : "\r\n.\r\n");
    io_close(&body->fd);
    pop3_done(p);
}

/* A line begins with `first`: false when TOP has sent enough. */
static bool line_begins(struct pop3_body *body, uint8_t first)
{
    if (!body->top)
        return true;
    if (body->in_header)
        body->in_header = first != '\r' && first != '\n';
    else if (body->lines == 0)
        return false;
    else
        body->lines--;
    return true;
}

/* RFC 1939 section 3: a line that begins with a dot gets another one in front. */
static void add_piece(struct buf *out, struct pop3_body *body, struct slice piece)
{
    while (piece.len) {
        if (body->line_begins && !line_begins(body, piece.ptr[0])) {
            body->ended = true;
            return;
        }
        if (body->line_begins && piece.ptr[0] == '.')
            buf_add_byte(out, '.');
        const uint8_t *lf = memchr(piece.ptr, '\n', piece.len);
        size_t len = lf ? (size_t)(lf - piece.ptr) + 1 : piece.len;
        buf_add(out, slice_sub(piece, 0, len));
        piece = slice_from(piece, len);
        body->line_begins = lf != NULL;
    }
}

/* A message that ends too early must not look whole: the connection breaks off. */
static void broken(struct pop3 *p, const struct why *why)
{
    log_error("pop3.read", LOG_CSTR("session", p->caller.id), LOG_STR("user", slice_of(p->account)),
              LOG_U64("uid", pop3_drop_entry(p->drop, p->drop->asked)->uid), LOG_WHY(why));
    pop3_close(p, false);
}

static void send_body(struct pop3 *p)
{
    struct pop3_body *body = &p->drop->body;
    uint8_t piece[PIECE_MAX];
    while (!body->ended && body->at < body->end) {
        if (stream_is_full(p->stream)) {
            p->resume = send_body;
            return;
        }
        struct why why = {{0}};
        uint64_t left = body->end - body->at;
        size_t want = left < sizeof piece ? (size_t)left : sizeof piece, got = 0;
        enum err err = io_pread(body->fd, piece, want, body->at, &got, &why);
        if (!err && got < want)
            err = err_set(&why, ERR_INTERNAL, "the file is shorter than it should be");
        if (err) {
            broken(p, &why);
            return;
        }
        body->at += got;
        add_piece(pop3_output(p), body, slice_make(piece, got));
    }
    finish(p);
}

static void on_file(struct pop3 *p, enum err err, struct ipc_packet *packet)
{
    struct pop3_drop *drop = p->drop;
    struct pop3_body *body = &drop->body;
    struct wire_body_file file;
    err = wire_answer(err, packet, WIRE_BODY_FILE, &file);
    if (!err && !file.err)
        body->fd = ipc_take_fd(packet, 0);
    if (err || file.err || body->fd < 0) {
        pop3_refused(p, err ? err : file.err ? file.err : ERR_INTERNAL, err ? STORE_CODE_NONE : file.code);
        pop3_done(p);
        return;
    }
    body->at = 0;
    body->end = file.size;
    body->line_begins = true;
    body->in_header = body->top;
    body->ended = false;
    if (body->top) {
        pop3_ok(p, "Top of message follows");
    } else {
        drop->fetched++;
        pop3_bit_set(drop, &drop->read, drop->asked);
        pop3_ok(p, "%llu octets", (unsigned long long)file.size);
    }
    send_body(p);
}

void pop3_cmd_retr(struct pop3 *p, const struct pop3_command *command)
{
    struct pop3_drop *drop = p->drop;
    if (!pop3_has_message(p, command->number))
        return;
    drop->asked = command->number;
    drop->body.top = command->verb == POP3_TOP;
    drop->body.lines = command->lines;
    AUTO_BUF struct buf id = buf_new(8);
    buf_add_le64(&id, image_message(pop3_drop_entry(drop, command->number)));
    const struct wire_body_open open = {
        .grant = p->grant, .watch = drop->mailbox->watch, .messages = buf_slice(&id)};
    pop3_call(p, WIRE_BODY_OPEN, &open, -1, on_file);
}
