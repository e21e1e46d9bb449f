/* append_row.h: one message of WIRE_APPEND, imap -> store. */
#ifndef WIRE_APPEND_ROW_H
#define WIRE_APPEND_ROW_H

#include "base/buf.h"

#define APPEND_ROWS_MAX 64 /* messages in one WIRE_APPEND: they become one commit */

struct append_row {
    uint64_t body;         /* a whole body of kind BODY_APPEND of the same link */
    uint64_t date;         /* INTERNALDATE, unix seconds; 0: now */
    uint64_t flags;        /* system flags of wire/image.h */
    struct slice keywords; /* wire_strings */
};

void append_row_add(struct buf *rows, const struct append_row *row);
/* Takes the first row; false (and nothing taken) when there is none or it is ill-formed. */
bool append_row_take(struct slice *rows, struct append_row *row) MUST_CHECK;

#endif
