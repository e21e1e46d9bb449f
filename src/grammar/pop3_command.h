/* pop3_command.h: one line of a POP3 client as a struct (RFC 1939, RFC 2449, RFC 2595, RFC 5034, RFC 6856).
 * Pure. */
#ifndef GRAMMAR_POP3_COMMAND_H
#define GRAMMAR_POP3_COMMAND_H

#include "base/err.h"
#include "base/slice.h"

/* RFC 2449 section 4 says 255 octets with CRLF; UTF-8 names and passwords may be longer. */
#define POP3_LINE_MAX 1024

enum pop3_verb {
    POP3_UNKNOWN,
    POP3_AUTH,
    POP3_CAPA,
    POP3_DELE,
    POP3_LIST,
    POP3_NOOP,
    POP3_PASS,
    POP3_QUIT,
    POP3_RETR,
    POP3_RSET,
    POP3_STAT,
    POP3_STLS,
    POP3_TOP,
    POP3_UIDL,
    POP3_USER,
    POP3_UTF8,
    POP3_VERB_COUNT
};

struct pop3_command {
    enum pop3_verb verb;
    struct slice text;    /* USER, PASS: the argument as it is; AUTH: the mechanism, empty when not given */
    bool has_initial;     /* AUTH: an initial response was given; "=" gives an empty one */
    struct slice initial; /* AUTH: still in base64 */
    bool has_number;      /* LIST, UIDL: an argument was given */
    uint32_t number;      /* LIST, UIDL, RETR, DELE, TOP: never 0; UINT32_MAX also for larger ones */
    uint32_t lines;       /* TOP; UINT32_MAX also for larger ones */
};

/* One line without its CRLF. NULL, or what is wrong with it (then only `verb` is set). The slices point into
 * the line. */
const char *pop3_command_parse(struct slice line, struct pop3_command *command) MUST_CHECK;
/* "RETR"; "?" for POP3_UNKNOWN. */
const char *pop3_verb_name(enum pop3_verb verb);

#endif
