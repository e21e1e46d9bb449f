/* gateway.h: private addresses behind which many different servers of the world seem to stand: a tunnel or a
 * gateway that hides its clients. Whatever is judged by address (limits of an address, DNS lists, SPF, bans)
 * says nothing about a client that comes from there.
 *
 * Recognised by what clients call themselves: SMTP_GATEWAY_DOMAINS different domains in HELO or EHLO within a
 * day, all from one private address (netaddr_is_private()) that is in neither trusted_networks nor
 * proxy_trusted_networks.
 */
#ifndef SMTP_GATEWAY_H
#define SMTP_GATEWAY_H

#include "base/slice.h"
#include "grammar/netaddr.h"

#define SMTP_GATEWAY_DOMAINS   5u  /* so many different ones make a gateway */
#define SMTP_GATEWAY_ADDRESSES 64u /* private addresses watched at once; the one unused the longest goes */

struct smtp;
struct smtp_session;
struct smtp_gateways;

struct smtp_gateways *smtp_gateways_new(void) __attribute__((returns_nonnull));
/* Takes NULL. */
void smtp_gateways_free(struct smtp_gateways **gateways);

/* A client at `addr` (private; the caller has looked) calls itself `helo`. True when this made the address a
 * gateway: once for each. */
bool smtp_gateways_note(struct smtp_gateways *gateways, const struct netaddr *addr, struct slice helo,
                        uint32_t listener, uint64_t now_ms) MUST_CHECK;
/* `gateways` may be NULL: none are known. */
bool smtp_gateways_have(const struct smtp_gateways *gateways, const struct netaddr *addr);

/* Is the client's address a gateway? For whoever judges by address. */
bool smtp_gateway_is(const struct smtp *smtp, const struct netaddr *addr);
/* The client has said its name: looks, and says so in the log and to auth when a gateway shows itself. */
void smtp_gateway_greeted(struct smtp_session *s);
/* auth was started anew: tells it all that are known. */
void smtp_gateway_tell(const struct smtp *smtp);

#endif
