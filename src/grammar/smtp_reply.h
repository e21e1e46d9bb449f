/* smtp_reply.h: SMTP replies: the ones we build, and the ones a remote server sends (RFC 5321 section 4.2,
 * RFC 2034). Pure. */
#ifndef GRAMMAR_SMTP_REPLY_H
#define GRAMMAR_SMTP_REPLY_H

#include "base/buf.h"
#include "base/err.h"

/* One line of a reply with its CRLF (RFC 5321 section 4.5.3.1.5). */
#define SMTP_REPLY_LINE_MAX 512
/* What we take from a remote: characters per line (theirs may be long), lines, bytes of text kept. */
#define SMTP_REPLY_REMOTE_LINE_MAX 4096
#define SMTP_REPLY_REMOTE_LINES    128
#define SMTP_REPLY_REMOTE_TEXT     16384

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

/* A reply of a remote server, gathered line by line. */
struct smtp_reply {
    uint16_t code; /* 200 to 599 */
    uint8_t class; /* of the enhanced status code, 0 when there is none */
    uint16_t subject, detail;
    size_t lines;
    struct buf text;    /* lines without code and enhanced status, joined by LF; control characters as '?' */
    struct buf partial; /* bytes of the line that is still arriving */
    bool cut;           /* some text was dropped at the bounds */
};

enum smtp_reply_state { SMTP_REPLY_MORE, SMTP_REPLY_DONE, SMTP_REPLY_BAD };

struct smtp_reply smtp_reply_new(void);
void smtp_reply_free(struct smtp_reply *reply);
/* Makes it ready for the next reply; keeps the memory. */
void smtp_reply_clear(struct smtp_reply *reply);
/* Takes bytes off `*input` up to the end of one reply. DONE: the reply is complete and `*input` starts behind
 * it. BAD (with why): not SMTP, or past the bounds; the connection is of no more use. Bare LF is taken as a
 * line end here: it is the remote's reply and decides nothing. */
enum smtp_reply_state smtp_reply_feed(struct smtp_reply *reply, struct slice *input,
                                      struct why *why) MUST_CHECK;

#endif
