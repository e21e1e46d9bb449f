/* facts_row.h: the stored facts of one message in WIRE_FACTS_ROWS, store -> imap, http. */
#ifndef WIRE_FACTS_ROW_H
#define WIRE_FACTS_ROW_H

#include "base/buf.h"

struct facts_row {
    uint64_t message;
    uint32_t found;      /* 0: expunged meanwhile; the rest is empty */
    uint32_t large;      /* 1: facts too long for a packet, ask with WIRE_BODY_OPEN */
    struct slice header; /* our header block in front of the message, as in the file */
    struct slice facts;  /* facts_decode_in(), without the searchable text */
};

void facts_row_add(struct buf *rows, const struct facts_row *row);
bool facts_row_take(struct slice *rows, struct facts_row *row) MUST_CHECK;

#endif
