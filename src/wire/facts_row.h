/* facts_row.h: the stored facts of one message in WIRE_FACTS_ROWS, store -> imap, http. */
#ifndef WIRE_FACTS_ROW_H
#define WIRE_FACTS_ROW_H

#include "wire/facts.h"

/* What a row carries: bits of `want` in WIRE_FACTS_GET. */
enum facts_want {
    FACTS_WANT_ENVELOPE = 1 << 0,
    FACTS_WANT_BODY = 1 << 1,
    FACTS_WANT_BODYSTRUCTURE = 1 << 2,
    FACTS_WANT_HEADERS = 1 << 3, /* our header block and the cache of the facts */
    FACTS_WANT_PREVIEW = 1 << 4,
    FACTS_WANT_RECORD = 1 << 5, /* facts_decode_in(), without the searchable text; and our header block */
    FACTS_WANT_THREAD = 1 << 6,
    FACTS_WANT_ALL = (1 << 7) - 1
};

struct facts_row {
    uint64_t message;
    uint32_t found;      /* 0: expunged meanwhile; the rest is empty */
    uint32_t large;      /* 1: too long for a packet, ask with WIRE_BODY_OPEN */
    struct slice header; /* our header block in front of the message, as in the file */
    struct facts_front front;
    struct slice facts;  /* the record */
    struct slice thread; /* THREADID (objectid.h) */
};

/* `want` is not in the row: who reads it has asked for it. */
void facts_row_add(struct buf *rows, uint32_t want, const struct facts_row *row);
bool facts_row_take(struct slice *rows, uint32_t want, struct facts_row *row) MUST_CHECK;

#endif
