/* edit.h: what of a received header may stay, and what must be added in front of it. */
#ifndef SCAN_EDIT_H
#define SCAN_EDIT_H

#include "base/arena.h"
#include "wire/facts.h"
#include "wire/wire.h"

struct edit {
    struct slice
        header; /* as it will be served, as far as it is looked at (MIME_MAX_HEADER): `added`, what is left */
    uint64_t header_len; /* all of it */
    uint64_t lines;      /* LF bytes in all of it */
    struct slice added;  /* whole lines */
    struct facts_cut *cuts;
    size_t cut_count;
    uint32_t flags;          /* FACTS_NO_DATE_FIELD, FACTS_NO_MESSAGE_ID */
    uint32_t received_count; /* Received fields that stay */
};

/* Decides about the whole `header` (empty line included) of a message that came as task->kind:
 *   BODY_MX          a stranger's Return-Path, X-Spam…, Authentication-Results in our name go
 *                    (RFC 8601 section 5)
 *   BODY_SUBMISSION  these go, and Bcc and what betrays the client; Date and Message-ID are added
 *                    (RFC 6409 section 8)
 *   BODY_APPEND      nothing changes
 * A message without any header gets the empty line it needs behind our own fields. */
void edit_header_in(struct arena *arena, const struct wire_scan_task *task, struct slice header,
                    struct edit *edit);

#endif
