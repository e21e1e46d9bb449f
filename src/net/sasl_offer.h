/* sasl_offer.h: which SASL mechanisms a connection is offered, and what binds a login to its TLS channel. One
 * piece for every protocol with logins. */
#ifndef NET_SASL_OFFER_H
#define NET_SASL_OFFER_H

#include "net/stream.h"

#define SASL_BINDINGS_MAX 512 /* bytes of sasl_offer_bindings() */

/* `names`: as auth told them, blank separated. `binds`: logins of this service may be bound to their TLS
 * channel, and TLS is our own (where a proxy ends it there is nothing to bind to); otherwise mechanisms with
 * channel binding ("…-PLUS", RFC 5802 section 6) are not offered. Only IMAP binds: on submission and POP3,
 * mutt takes such a mechanism before all others, cannot do it, and does not try another. */
bool sasl_offer_has(struct slice names, bool binds, struct slice mechanism) MUST_CHECK;
/* Takes the next name that is offered off the front; false at the end. */
bool sasl_offer_next(struct slice *names, bool binds, struct slice *mechanism) MUST_CHECK;
/* Of a mechanism that can make use of them: pairs of wire_strings, type (RFC 9266, RFC 5929) and data.
 * Otherwise, and without TLS, nothing. */
void sasl_offer_bindings(const struct stream *stream, struct slice mechanism, struct buf *pairs);

#endif
