/* smtp_reply.h: the SMTP replies we build (RFC 5321 section 4.2, RFC 2034). Pure. What other servers reply is
 * read by smtp_reply_parse.h. */
#ifndef GRAMMAR_SMTP_REPLY_H
#define GRAMMAR_SMTP_REPLY_H

#include "base/buf.h"
#include "base/err.h"

/* One line of a reply with its CRLF (RFC 5321 section 4.5.3.1.5). */
#define SMTP_REPLY_LINE_MAX 512

/* A reply as constants: what a parser or table says should be answered. */
struct smtp_reply_text {
    uint16_t code;      /* 250 */
    const char *status; /* "2.1.0", or NULL for replies that carry none (greeting, EHLO, 334) */
    const char *text;
};

/* Adds "code status text" as one reply; LF in `text` starts a new line of the reply. `status` may be NULL or
 * empty. Control characters become '?', lines too long are broken at a blank. */
void smtp_reply_add(struct buf *out, unsigned code, const char *status, struct slice text);
void smtp_reply_add_text(struct buf *out, const struct smtp_reply_text *reply);
/* The same with printf; the text after formatting is cut at 1,000 bytes. */
void smtp_reply_addf(struct buf *out, unsigned code, const char *status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
