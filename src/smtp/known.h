/* known.h: the strangers that behaved before the greeting: they are not delayed again. A table of one
 * process, bounded, without files or locks; saved with auth now and then (WIRE_DOOR_SAVE). Losing it costs
 * strangers a few seconds once.
 *
 * A client is an IPv4 address or a /64 (netaddr_client). Times are minutes of Unix time. Memory is taken as
 * the table grows: 100,000 clients are 4 MB.
 */
#ifndef SMTP_KNOWN_H
#define SMTP_KNOWN_H

#include "base/buf.h"
#include "base/err.h"
#include "grammar/netaddr.h"

#define SMTP_KNOWN_MAX   100000u /* then whoever was not here for the longest time is forgotten */
#define SMTP_KNOWN_PIECE 32768u  /* bytes of one piece of the saved table */

struct smtp_known;

struct smtp_known *smtp_known_new(size_t max) __attribute__((returns_nonnull));
/* Takes NULL. */
void smtp_known_free(struct smtp_known **known);
size_t smtp_known_count(const struct smtp_known *known);

/* It passed at `now_min`. Other families than IP are not remembered. */
void smtp_known_add(struct smtp_known *known, const struct netaddr *client, uint64_t now_min);
/* Whether it passed at most `remember_min` ago; one that did not is forgotten. `listed_min` (may be NULL) is
 * when DNS lists were asked about it last. */
bool smtp_known_has(struct smtp_known *known, const struct netaddr *client, uint64_t now_min,
                    uint64_t remember_min, uint64_t *listed_min);
/* DNS lists are asked about it now. */
void smtp_known_asked(struct smtp_known *known, const struct netaddr *client, uint64_t now_min);
void smtp_known_forget(struct smtp_known *known, const struct netaddr *client);

/* ---- saving ---- */

/* The next piece of the table, those used longest ago first; `*at` is 0 before the first, and 0 again behind
 * the last one. An empty table is one piece. The table must not change in between. */
void smtp_known_write(const struct smtp_known *known, uint32_t *at, struct buf *piece);
/* Takes a piece in, behind what is there: clients known already keep the later time. ERR_BAD when it is none
 * (what came before the bad byte is kept); times of the future count as now. */
enum err smtp_known_read(struct smtp_known *known, struct slice piece, uint64_t now_min) MUST_CHECK;
/* Whether it changed since this was asked last. */
bool smtp_known_changed(struct smtp_known *known);

#endif
