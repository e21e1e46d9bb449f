/* smtp_reply_parse.h: replies of remote servers (RFC 5321 section 4.2, RFC 2034, RFC 3463): codes and line
 * ends are read strictly, texts as they come. Pure; the bytes are a stranger's. Nothing is copied: a reply
 * points into the input. */
#ifndef GRAMMAR_SMTP_REPLY_PARSE_H
#define GRAMMAR_SMTP_REPLY_PARSE_H

#include "base/buf.h"
#include "base/err.h"

/* RFC 5321 section 4.5.3.1.5 says 512 octets a line; longer ones are seen and do no harm. */
#define SMTP_REPLY_REMOTE_LINE_MAX 2048
#define SMTP_REPLY_REMOTE_LINES    100
#define SMTP_REPLY_REMOTE_MAX      65536 /* bytes of one reply */

enum smtp_reply_state { SMTP_REPLY_MORE, SMTP_REPLY_DONE, SMTP_REPLY_BAD };

/* What is wrong with a reply that is none. The connection is of no more use: what follows cannot be told from
 * what we asked for. */
enum smtp_reply_fault {
    SMTP_REPLY_SOUND,
    SMTP_REPLY_LONG_LINE,
    SMTP_REPLY_MANY_LINES,
    SMTP_REPLY_TOO_LONG,
    SMTP_REPLY_BARE_LF,
    SMTP_REPLY_NUL,       /* where the code should be; in the text it does no harm */
    SMTP_REPLY_NO_CODE,   /* no three digits from 200 to 599, or neither blank nor hyphen behind them */
    SMTP_REPLY_TWO_CODES, /* the code changes between lines (section 4.2.1) */
    SMTP_REPLY_FAULT_COUNT
};

struct smtp_reply {
    uint16_t code; /* 200 to 599 */
    uint8_t class; /* of the first enhanced status code that fits the code; 0: there is none */
    uint16_t subject, detail;
    size_t lines;
    struct slice raw; /* all lines with their CRLF, in the input */
};

/* Looks for one whole reply at the front of `input`. DONE: `*used` bytes belong to it. MORE: it is not
 * complete; ask again with more behind it (an input of SMTP_REPLY_REMOTE_MAX bytes never gives MORE). BAD:
 * `*fault` says why, as soon as it is sure. */
enum smtp_reply_state smtp_reply_parse(struct slice input, struct smtp_reply *reply, size_t *used,
                                       enum smtp_reply_fault *fault) MUST_CHECK;
/* For people: "a line of the reply ends in LF alone". */
const char *smtp_reply_fault_text(enum smtp_reply_fault fault);

/* The lines one by one without code, hyphen and CRLF, the enhanced status code left in: start with `rest` =
 * reply->raw. They may hold any byte but LF. */
bool smtp_reply_line(struct slice *rest, struct slice *line);
/* The text for people: the lines without enhanced status codes joined by blanks, well-formed UTF-8 without
 * control characters (else '?'), at most `max` bytes. */
void smtp_reply_text(const struct smtp_reply *reply, size_t max, struct buf *out);

#endif
