/* append.h: APPEND and REPLACE while they run: the flow (cmd_append.c) and how octets of a message get to
 * store (append_body.c). */
#ifndef IMAP_APPEND_H
#define IMAP_APPEND_H

#include "imap/session.h"
#include "wire/append_row.h"

#define APPEND_PIECES_MAX 1000       /* literals in one command */
#define APPEND_TEXT_MAX   (4u << 20) /* octets of one command outside the messages */
#define APPEND_SIZES      4          /* all messages of one command: as much as so many of the largest */

struct append_message {
    const struct imap_append_args *args;
    uint64_t body; /* its name at store */
    bool begun;    /* store knows that name */
};

struct append {
    struct imap_append *piece; /* being done; its steps from `at` on */
    size_t at;
    struct append_message messages[APPEND_ROWS_MAX];
    size_t count;
    uint64_t left;    /* octets of the literal still to come */
    uint64_t size;    /* octets so far of the message begun last */
    uint64_t total;   /* of all messages */
    uint64_t dropped; /* octets read for nothing */
    size_t pieces;    /* so far, and the octets of their text */
    uint64_t text;
    bool sync;        /* the client waits for "+" before it sends the literal of this piece */
    bool waits;       /* another role is asked */
    bool sent;        /* store was given all of the message begun last */
    enum err refused; /* not ERR_OK: what comes is read and dropped; `refusal` is the answer */
    const char *refusal;
    uint32_t replaces; /* REPLACE: the UID */
    /* CATENATE: the part a URL names */
    bool target_known;    /* the mailbox is there */
    int part_fd;          /* -1: none under way */
    uint64_t part_offset; /* what is to be sent of it */
    uint64_t part_left;
};

struct append *imap_append_of(const struct session *s);
/* Octets of the message begun last to store; `last`: no more will come, imap_append_whole() is called when
 * scan has read it. False: store takes no more for now. */
bool imap_append_send(struct session *s, struct slice octets, bool last) MUST_CHECK;
/* The URL of the step being done: asks for its file; imap_append_part() when it is there or there is none. */
void imap_catenate_begin(struct session *s);
/* Goes on with store's answer about the step being done. */
void imap_append_part(struct session *s);
/* Sends the part to store; false: store takes no more for now. */
bool imap_catenate_send(struct session *s) MUST_CHECK;
void imap_catenate_end(struct append *append);
/* The answer to the last octets: ERR_OK, or why the message cannot be taken. */
void imap_append_whole(struct session *s, enum err err);
/* Notes why there will be no message (text: a constant or of the command's arena); what comes is dropped. */
void imap_append_refuse(struct session *s, enum err err, const char *text);
/* Store forgets what it was given. */
void imap_append_drop(struct session *s);

#endif
