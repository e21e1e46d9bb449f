/* smtp_reply.c: builds our replies; texts may hold what a stranger sent. */
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
