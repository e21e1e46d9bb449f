/* smtp_command.h: one SMTP command line as a struct, with the reply it deserves when it is wrong (RFC 5321
 * section 4.1). Pure. */
#ifndef GRAMMAR_SMTP_COMMAND_H
#define GRAMMAR_SMTP_COMMAND_H

#include "grammar/address.h"
#include "grammar/smtp_reply.h"

/* RFC 3461 sections 4.4 and 4.2, RFC 4954 section 4 (an initial response), parameters of one command. */
#define SMTP_ENVID_MAX  100
#define SMTP_ORCPT_MAX  500
#define SMTP_PARAMS_MAX 32

enum smtp_verb {
    SMTP_UNKNOWN, /* no such command: 500 */
    SMTP_EHLO,
    SMTP_HELO,
    SMTP_LHLO,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_BDAT,
    SMTP_RSET,
    SMTP_NOOP,
    SMTP_VRFY,
    SMTP_EXPN,
    SMTP_HELP,
    SMTP_QUIT,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_ETRN,
    SMTP_TURN,
    SMTP_HTTP, /* GET, POST, CONNECT and the like: a browser or a proxy abuser; hang up */
    SMTP_VERB_COUNT
};

/* Which extensions this session offers right now; a parameter of one that is not offered gets 555 5.5.4. */
enum {
    SMTP_OFFER_SIZE = 1,
    SMTP_OFFER_8BITMIME = 2,
    SMTP_OFFER_BINARYMIME = 4,
    SMTP_OFFER_SMTPUTF8 = 8,
    SMTP_OFFER_DSN = 16,
    SMTP_OFFER_AUTH = 32,
    SMTP_OFFER_REQUIRETLS = 64,
    SMTP_IN_UTF8 = 128, /* for RCPT: this transaction was begun with SMTPUTF8 */
};

enum smtp_body_type { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
/* NOTIFY as a set; 0 when the parameter was not given. */
enum { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

struct smtp_mail {
    struct address from; /* may be null */
    bool has_size, smtputf8, requiretls, has_auth;
    uint64_t size; /* UINT64_MAX also for larger numbers */
    enum smtp_body_type body;
    enum smtp_ret ret;
    struct slice envid; /* decoded; empty when not given */
    struct slice auth;  /* decoded mailbox of AUTH=, "<>" for none known */
};
struct smtp_rcpt {
    struct address to;
    unsigned notify;
    struct slice orcpt_type, orcpt; /* "rfc822" and the decoded address; empty when not given */
};

struct smtp_command {
    enum smtp_verb verb;
    struct slice name;     /* the verb as sent, printable; empty when it is not printable */
    struct slice argument; /* EHLO, HELO, LHLO: the name; NOOP, HELP, VRFY, EXPN, ETRN: the text; AUTH: the
                              mechanism; else empty */
    bool argument_literal; /* EHLO, HELO, LHLO: a valid address literal */
    bool has_initial;      /* AUTH: an initial response was given; "=" (an empty one) gives has_initial and an
                              empty slice */
    struct slice initial;  /* AUTH: still in base64 */
    struct smtp_mail mail; /* MAIL */
    struct smtp_rcpt rcpt; /* RCPT */
    uint64_t bdat_size;    /* BDAT */
    bool bdat_last;
};

/* One line without its CRLF. ERR_OK: `*command` is filled; its slices point into the line or the arena.
 * Otherwise `reply` is what to answer and only `verb` and `name` of `*command` are set (they are what a log
 * or a limit wants to know). SMTP_UNKNOWN and SMTP_HTTP are errors too (500 5.5.1). Whether a command is in
 * order here and now is for the session to say. */
enum err smtp_command_parse_in(struct arena *arena, struct slice line, unsigned offered,
                               struct smtp_command *command, struct smtp_reply_text *reply) MUST_CHECK;
/* "EHLO"; "?" for SMTP_UNKNOWN. For logs and metrics. */
const char *smtp_verb_name(enum smtp_verb verb);

/* Lines of commands. */
/* RFC 5321 section 4.5.3.1.4 says 512; MAIL and RCPT with every parameter we know need about 2,200, AUTH
 * 12,288 (RFC 4954 section 4). */
#define SMTP_LINE_MAX      4096
#define SMTP_LINE_AUTH_MAX 12290

enum smtp_line_state {
    SMTP_LINE_OK,
    SMTP_LINE_MORE,     /* no whole line yet: read more */
    SMTP_LINE_TOO_LONG, /* said once, at once; the rest of the line is skipped by the following calls */
    SMTP_LINE_BARE_LF,  /* the line ended in LF without CR */
    SMTP_LINE_BARE_CR,  /* a CR inside the line */
    SMTP_LINE_NUL,
};

/* Takes one line off `*input` (also when it is a bad one). `max_line` counts the CRLF. `*skipping` belongs to
 * the session and starts false. On SMTP_LINE_MORE what is left in `*input` must be given again with more
 * behind it; it is never more than `max_line` bytes. */
enum smtp_line_state smtp_line_take(struct slice *input, size_t max_line, bool *skipping,
                                    struct slice *line) MUST_CHECK;

#endif
