/* header.h: the header fields this server writes in front of a message. Pure. */
#ifndef QUEUE_HEADER_H
#define QUEUE_HEADER_H

#include "base/buf.h"
#include "wire/wire.h"

struct header_facts {
    const struct wire_queue_mail *mail;
    bool submission; /* then nothing betrays where the client sits */
    struct slice hostname;
    struct slice id;      /* queue id */
    struct slice only_to; /* the recipient when there is just one; else empty: nobody learns of the others */
    int64_t now;          /* unix seconds */
};

#define HEADER_SUBJECT_MAX 320 /* bytes; what a notification tells of it (policy/dsn.h) */

/* What is kept of a Subject (decoded, UTF-8): its beginning, never with a piece of a character at its end.
 * Points into it. */
struct slice header_subject(struct slice subject);
/* The Received field (RFC 5321 section 4.4, RFC 3848), folded, with its CRLF. */
void header_add_received(struct buf *out, const struct header_facts *facts);
/* Delivered-To alone: a forwarded message that comes back is known by it. */
void header_add_delivered_to(struct buf *out, struct slice address);
/* Return-Path and Delivered-To (RFC 5321 section 4.4; RFC 9228), to stand before it. */
void header_add_delivery(struct buf *out, struct slice sender, struct slice account);

#endif
