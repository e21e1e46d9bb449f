/* smtp_reply.c: builds our replies, and reads those of remote servers, which are not trusted: every bound is
 * in smtp_reply.h. */
#include "grammar/smtp_reply.h"

#include <stdarg.h>
#include <stdio.h>

#define FORMATTED_MAX 1000
/* A 334 challenge is one word however long (RFC 4954 section 4); it is never broken. */
#define CODE_CHALLENGE 334

static void add_clean(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        buf_add_byte(out, (c < ' ' && c != '\t') || c == 0x7f ? '?' : c);
    }
}

/* Takes what fits into one line off the front: up to LF, or to the last blank within `room`, or `room` bytes.
 */
static struct slice take_piece(struct slice *rest, size_t room)
{
    ptrdiff_t lf = slice_find(*rest, '\n');
    size_t len = lf < 0 ? rest->len : (size_t)lf, skip = lf < 0 ? 0 : 1;
    if (len > room) {
        ptrdiff_t blank = slice_rfind(slice_sub(*rest, 0, room + 1), ' ');
        skip = blank > 0;
        len = blank > 0 ? (size_t)blank : room;
    }
    struct slice piece = slice_sub(*rest, 0, len);
    *rest = slice_from(*rest, len + skip);
    return piece;
}

/* Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF */
void smtp_reply_add(struct buf *out, unsigned code, const char *status, struct slice text)
{
    struct slice prefix = slice_of(status);
    size_t head = 4 + prefix.len + (prefix.len > 0);
    size_t room = code == CODE_CHALLENGE ? text.len : SMTP_REPLY_LINE_MAX - 2 - head;
    do {
        struct slice piece = take_piece(&text, room);
        buf_addf(out, "%03u%c", code, text.len ? '-' : ' ');
        buf_add(out, prefix);
        if (prefix.len && piece.len)
            buf_add_byte(out, ' ');
        add_clean(out, piece);
        buf_add(out, SLICE("\r\n"));
    } while (text.len);
}

void smtp_reply_add_text(struct buf *out, const struct smtp_reply_text *reply)
{
    smtp_reply_add(out, reply->code, reply->status, slice_of(reply->text));
}

void smtp_reply_addf(struct buf *out, unsigned code, const char *status, const char *format, ...)
{
    char text[FORMATTED_MAX + 1];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = len < 0 ? 0 : (size_t)len;
    smtp_reply_add(out, code, status, slice_make(text, size < FORMATTED_MAX ? size : FORMATTED_MAX));
}

struct smtp_reply smtp_reply_new(void)
{
    return (struct smtp_reply){
        .text = buf_new(SMTP_REPLY_REMOTE_TEXT),
        .partial = buf_new(SMTP_REPLY_REMOTE_LINE_MAX),
    };
}

void smtp_reply_free(struct smtp_reply *reply)
{
    if (!reply)
        return;
    buf_free(&reply->text);
    buf_free(&reply->partial);
    *reply = smtp_reply_new();
}

void smtp_reply_clear(struct smtp_reply *reply)
{
    struct buf text = reply->text, partial = reply->partial;
    buf_clear(&text);
    buf_clear(&partial);
    *reply = (struct smtp_reply){.text = text, .partial = partial};
}

/* Number of at most three digits up to `end`, taken off with it. */
static bool take_number(struct slice *s, uint8_t end, uint64_t *number)
{
    struct slice rest = *s, digits;
    if (slice_find(*s, end) < 1 || !slice_token(&rest, end, &digits) || !slice_u64(digits, 999, number))
        return false;
    *s = rest;
    return true;
}

/* status-code = class "." subject "." detail SP, the class as in the reply code (RFC 2034 section 4). */
static void take_status(struct smtp_reply *reply, struct slice *text)
{
    uint64_t class, subject, detail;
    struct slice s = *text;
    ptrdiff_t blank = slice_find(s, ' ');
    struct slice code = blank < 0 ? s : slice_sub(s, 0, (size_t)blank);
    if (!take_number(&code, '.', &class) || class != reply->code / 100u || class == 3 ||
        !take_number(&code, '.', &subject) || !slice_u64(code, 999, &detail))
        return;
    if (!reply->class) {
        reply->class = (uint8_t) class;
        reply->subject = (uint16_t)subject;
        reply->detail = (uint16_t)detail;
    }
    *text = blank < 0 ? SLICE_EMPTY : slice_from(s, (size_t)blank + 1);
}

static void add_text(struct smtp_reply *reply, struct slice text)
{
    struct buf *out = &reply->text;
    if (out->len + text.len + 1 > SMTP_REPLY_REMOTE_TEXT) {
        reply->cut = true;
        return;
    }
    if (reply->lines > 1)
        buf_add_byte(out, '\n');
    add_clean(out, text);
}

/* One line without its line end; the code of the last line counts. */
static enum smtp_reply_state take_line(struct smtp_reply *reply, struct slice line, struct why *why)
{
    uint64_t code;
    struct slice text = slice_from(line, 4);
    uint8_t separator = line.len > 3 ? line.ptr[3] : ' ';
    if (!slice_u64(slice_sub(line, 0, 3), 599, &code) || code < 200 ||
        (separator != ' ' && separator != '-')) {
        (void)err_set(why, ERR_BAD, "reply of the server is not SMTP");
        return SMTP_REPLY_BAD;
    }
    if (++reply->lines > SMTP_REPLY_REMOTE_LINES) {
        (void)err_set(why, ERR_BAD, "reply of the server has more than %d lines", SMTP_REPLY_REMOTE_LINES);
        return SMTP_REPLY_BAD;
    }
    reply->code = (uint16_t)code;
    take_status(reply, &text);
    add_text(reply, text);
    return separator == '-' ? SMTP_REPLY_MORE : SMTP_REPLY_DONE;
}

enum smtp_reply_state smtp_reply_feed(struct smtp_reply *reply, struct slice *input, struct why *why)
{
    while (input->len) {
        ptrdiff_t lf = slice_find(*input, '\n');
        size_t len = lf < 0 ? input->len : (size_t)lf;
        buf_add(&reply->partial, slice_sub(*input, 0, len));
        if (!buf_ok(&reply->partial)) {
            (void)err_set(why, ERR_BAD, "reply line of the server is longer than %d bytes",
                          SMTP_REPLY_REMOTE_LINE_MAX);
            return SMTP_REPLY_BAD;
        }
        *input = slice_from(*input, len + (lf >= 0));
        if (lf < 0)
            break;
        struct slice line = buf_slice(&reply->partial);
        if (slice_ends(line, SLICE("\r")))
            line.len--;
        enum smtp_reply_state state = take_line(reply, line, why);
        buf_clear(&reply->partial);
        if (state != SMTP_REPLY_MORE)
            return state;
    }
    return SMTP_REPLY_MORE;
}
