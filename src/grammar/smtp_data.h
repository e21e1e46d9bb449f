/* smtp_data.h: the text behind DATA: finds its end, undoes dot-stuffing, and is the one place that judges
 * bare CR and LF (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2). Pure; copies nothing. */
#ifndef GRAMMAR_SMTP_DATA_H
#define GRAMMAR_SMTP_DATA_H

#include "base/slice.h"

/* RFC 5321 section 4.5.3.1.6, with CRLF: longer lines are common in real mail and only flagged. */
#define SMTP_DATA_LINE_STANDARD 1000
/* Lines past this are refused: no mail program writes them, and search and display would choke. */
#define SMTP_DATA_LINE_MAX (1024 * 1024)

struct smtp_data {
    /* Results, valid at any time. */
    uint64_t size;    /* bytes handed out */
    uint64_t lines;   /* CRLFs handed out */
    uint64_t longest; /* line, with its CRLF */
    bool bare_cr, bare_lf, nul, eight_bit;
    /* Working state. */
    uint8_t state;
    bool plain;
    uint64_t line; /* bytes of the current line */
};

enum smtp_data_state {
    SMTP_DATA_MORE, /* `*input` is used up */
    SMTP_DATA_TEXT, /* `*text` is the next piece of the message: a part of the input, or a constant */
    SMTP_DATA_END,  /* CRLF.CRLF seen; `*input` starts behind it */
};

/* For DATA: dots are undone and CRLF.CRLF ends it. */
void smtp_data_init(struct smtp_data *data);
/* For BDAT (RFC 3030): nothing is undone, there is no end; the same judgement of lines. */
void smtp_data_init_plain(struct smtp_data *data);
/* Call until MORE or END. Bad bytes do not stop it: the client waits for its reply after the end of the data.
 * Pieces may be cut at any byte. After END it must not be called again before smtp_data_init(). */
enum smtp_data_state smtp_data_next(struct smtp_data *data, struct slice *input,
                                    struct slice *text) MUST_CHECK;
/* For plain data at its end (BDAT LAST): a CR as the very last byte becomes a bare CR. */
void smtp_data_finish(struct smtp_data *data);
/* No bare CR, bare LF, NUL or endless line so far. */
bool smtp_data_is_clean(const struct smtp_data *data) MUST_CHECK;

#endif
