/* imap_frame.h: finds one complete IMAP command in a growing input buffer, literals included (RFC 9051
 * section 4.3, RFC 7888). Pure: the caller owns the buffer, sends the continuations and drops what was used.
 *
 * Literals of APPEND and REPLACE which hold (a part of) a message are not gathered: the framer stops behind
 * the announcement, so that the caller can stream the octets, and then goes on with
 * imap_framer_after_message().
 */
#ifndef GRAMMAR_IMAP_FRAME_H
#define GRAMMAR_IMAP_FRAME_H

#include "base/slice.h"

#define IMAP_LINE_MAX       65536   /* octets of one command outside its literals, once logged in */
#define IMAP_LITERALS_MAX   262144  /* octets of all literals of one command, APPEND's message not counted */
#define IMAP_LOGIN_LINE_MAX 16384   /* both bounds before login: room for a long OAuth token */
#define IMAP_LITERAL_COUNT  1000    /* literals in one command */
#define IMAP_SKIP_MAX       8388608 /* octets of one refused command we read and drop before we hang up */
#define IMAP_TAG_MAX        128     /* octets of a tag */

struct imap_frame_limits {
    size_t line;     /* IMAP_LINE_MAX or IMAP_LOGIN_LINE_MAX */
    size_t literals; /* IMAP_LITERALS_MAX or IMAP_LOGIN_LINE_MAX */
};

enum imap_frame_state {
    IMAP_FRAME_MORE,     /* read more, then ask again */
    IMAP_FRAME_CONTINUE, /* send "+ " once, read more, ask again (a synchronising literal that fits) */
    IMAP_FRAME_COMPLETE, /* the first `len` octets are one command with its last CRLF */
    IMAP_FRAME_MESSAGE,  /* the first `len` octets end with the announcement of APPEND's message of `literal`
                            octets;  send "+ " before reading it when `sync` */
    IMAP_FRAME_SKIP, /* drop the first `len` octets and ask again: part of a command that is already refused
                      */
    IMAP_FRAME_BAD,  /* drop the first `len` octets and answer `tag BAD text` ("*" when the tag is empty) */
    IMAP_FRAME_CLOSE /* answer as for BAD, then hang up: the rest is too long to be worth reading */
};

struct imap_frame {
    enum imap_frame_state state;
    size_t len;       /* see the states */
    uint64_t literal; /* CONTINUE, MESSAGE: octets announced */
    bool sync;        /* MESSAGE: the client waits for "+ " */
    bool binary;      /* MESSAGE: announced as literal8, "~{…}" (RFC 3516 section 4.4) */
    struct slice tag; /* BAD, CLOSE: points into the framer; empty when it could not be read */
    const char *text; /* BAD, CLOSE */
};

/* The state of one connection's framing: no memory of its own, may be copied and zeroed. */
struct imap_framer {
    struct imap_frame_limits limits;
    size_t scanned;    /* octets of the current command already looked at */
    size_t line_start; /* where the current line of the command begins */
    size_t outside;    /* octets outside literals before line_start */
    uint64_t literals; /* octets inside literals so far */
    uint64_t skip;     /* octets of a refused literal still to drop */
    uint64_t skipped;  /* octets dropped of the refused command */
    unsigned literal_count;
    bool after_message;  /* what comes next continues an APPEND */
    const char *refused; /* why the current command will get BAD once its end is seen */
    uint8_t tag[IMAP_TAG_MAX];
    size_t tag_len;
};

/* Ready for the first command. */
struct imap_framer imap_framer_new(struct imap_frame_limits limits);
/* Looks at `input`, all octets received and not yet dropped. After COMPLETE, MESSAGE, SKIP, BAD the caller
 * drops `len` octets (it may parse them first) before it asks again. */
struct imap_frame imap_framer_next(struct imap_framer *framer, struct slice input);
/* A literal of an APPEND was read (or skipped) to its last octet: what follows is the rest of that command up
 * to its CRLF or its next such literal (RFC 3502, RFC 4469). COMPLETE or MESSAGE then holds only that rest.
 */
void imap_framer_after_message(struct imap_framer *framer);
/* The rest of the current APPEND is to be dropped; BAD comes with `text` once its end is seen. For a message
 * refused before it was read (no continuation sent): the next octets are a new command, call
 * imap_framer_reset() instead. */
void imap_framer_refuse(struct imap_framer *framer, const char *text);
/* Forgets a half-seen command, as after a refused synchronising literal. */
void imap_framer_reset(struct imap_framer *framer);

/* One CRLF-terminated line at the front of `input`, for the answers of AUTHENTICATE and IDLE. True when it is
 * complete: `*line` without its CRLF, `*used` octets to drop. False: not there yet, or longer than `max`, or
 * ended by a bare LF (then *used is not 0: hang up or answer BAD). */
bool imap_line_take(struct slice input, size_t max, struct slice *line, size_t *used) MUST_CHECK;

#endif
