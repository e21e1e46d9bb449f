/* search_context.h: results of searches that are kept up to date (RFC 5267, RETURN (UPDATE)). They belong to
 * the selection; a session without them has a NULL pointer. */
#ifndef IMAP_SEARCH_CONTEXT_H
#define IMAP_SEARCH_CONTEXT_H

#include "imap/session.h"

#define IMAP_CONTEXTS_MAX       8          /* of one session */
#define IMAP_CONTEXT_SORTED_MAX 1000000    /* messages in one sorted result */
#define IMAP_CONTEXT_BYTES_MAX  (4u << 20) /* of ranges of one result */
#define IMAP_CONTEXT_ARENA      (8u << 20) /* of its program */

bool imap_context_has(const struct session *s, struct slice tag);
/* Keeps what the running command found up to date from now on, or tells that it will not be (NOUPDATE). */
void imap_context_add(struct session *s);
/* False: there is none of this tag. */
bool imap_context_cancel(struct session *s, struct slice tag) MUST_CHECK;
void imap_contexts_free(struct selected *sel);

/* These indexes of the view will be expunged: said before that is told. */
void imap_context_expunged(struct session *s, const uint32_t *indexes, uint32_t count);
/* What the news that were told change in the results. False: it waits for store, and will go on with the
 * command. */
bool imap_context_step(struct session *s) MUST_CHECK;

#endif
