/* status_ahead.h: asking store for the STATUS commands that wait in the input together with the running one.
 */
#ifndef IMAP_STATUS_AHEAD_H
#define IMAP_STATUS_AHEAD_H

#include "imap/session.h"

/* The answer for this mailbox was asked for already: `done` gets it, now or later. False: ask. */
bool imap_ahead_take(struct session *s, struct slice name, call_done *done) MUST_CHECK;
/* Asks for the STATUS commands that follow in the input, when it holds any. */
void imap_ahead_ask(struct session *s);
/* Forgets what was asked for. */
void imap_ahead_free(struct session *s);

#endif
