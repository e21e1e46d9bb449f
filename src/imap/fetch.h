/* fetch.h: FETCH: the flow (cmd_fetch.c), what is written (fetch_write.c), where
 * sections lie (fetch_section.h). */
#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

#include "imap/session.h"
#include "wire/facts.h"

#define FETCH_BATCH 512 /* messages asked for at once, at most */
#define FETCH_BATCH_SIZE                                                                                     \
    1000000              /* octets of answers one batch should not exceed, going by the ones before          \
                          */
#define FETCH_BATCHES 2  /* of facts, asked for at once */
#define FETCH_OPENS   32 /* messages whose files are asked for or wait to be written */
#define FETCH_MARKED  64 /* messages set \Seen at once, before their files are asked for */

/* One message to be written: what is known of it. */
struct fetch_message {
    struct imap_message message;
    bool flags_too; /* \Seen was just set */
    bool has_facts;
    struct facts facts;
    struct slice thread; /* THREADID, when it came with the facts */
    struct slice block;  /* our header block, when the facts came without the file */
    int fd;              /* the file, or -1 */
    uint64_t size;       /* of the file */
    uint64_t block_len;  /* of our header block in the file */
};

enum fetch_need { NEED_IMAGE, NEED_FACTS, NEED_FILE };

/* A message whose file was asked for. */
struct fetch_slot {
    struct imap_message message;
    bool waits, failed, flags_too;
    int fd;
    uint64_t size, block_len;
    uint8_t *facts; /* encoded; NULL: none */
    size_t facts_len;
};

/* A request for files: where its next answer belongs. */
struct fetch_open {
    size_t slot, left;
};

/* Messages whose facts were asked for together; rows come in this order. */
struct fetch_batch {
    struct imap_message *messages; /* FETCH_BATCH of them */
    size_t count, rows;
    bool waits;
};

struct fetch {
    struct imap_view_walk walk;
    enum fetch_need need;
    uint32_t want;  /* enum facts_want */
    bool flags_too; /* \Seen was set by this FETCH: tell the flags (RFC 9051 section 6.4.5) */
    bool some_gone, some_failed;
    bool unknown_cte; /* BINARY of a part whose transfer encoding cannot be undone */
    bool ended;       /* the walk gave its last message */
    bool marking;     /* \Seen is being set for what is queued */
    struct fetch_batch batches[FETCH_BATCHES];
    struct imap_message
        *queue; /* messages whose files are to be asked for: those of [queue_at, queue_count) */
    size_t queue_at, queue_count, queue_cap;
    struct fetch_slot slots[FETCH_OPENS]; /* a ring */
    struct fetch_open opens[FETCH_OPENS]; /* each has a slot of its own at least, so there are never more */
    size_t open_at;
    struct slice *names;             /* of the sections, as they are written */
    struct buf saved;                /* SAVEDATE: imap_savedate_find() */
    const struct imap_set *vanished; /* asked for with VANISHED; NULL: not */
    struct buf scratch;              /* header fields of one message */
    size_t first, waiting;
    uint64_t written, messages; /* octets and messages so far, for the size of batches */
};

/* What of the facts the items need (enum facts_want), when no file is. */
uint32_t imap_fetch_wants(const struct imap_fetch *items);
/* How each section is named in the answers, with the space behind it. */
struct slice *imap_fetch_names_in(struct arena *arena, const struct imap_fetch *items);
/* What the items need; ERR_BAD for items we do not have or this account is not told of. */
enum err imap_fetch_needs(const struct session *s, const struct imap_fetch *items,
                          enum fetch_need *need) MUST_CHECK;
/* Writes one whole response. False when the facts in hand do not suffice (then nothing is written). Takes
 * m->fd. */
bool imap_fetch_write(struct session *s, struct fetch_message *m) MUST_CHECK;

#endif
