/* srs.h: the Sender Rewriting Scheme as PostSRSd and libsrs2 write it, so that addresses of either come home
 * through the other. Pure: secrets, addresses and the time come from the caller.
 *
 * A forwarded message leaves with a sender at our own domain (else the forwarder fails the sender's SPF); the
 * address carries the original one under a signature, and a bounce to it is sent back there. Only what we
 * signed is rewritten back: nobody can use us to reach addresses of his choice.
 *
 * Called by auth, which alone holds the secrets.
 */
#ifndef POLICY_SRS_H
#define POLICY_SRS_H

#include "base/arena.h"

#define SRS_SECRETS_MAX 64   /* of one file; rotation needs two or three */
#define SRS_SECRET_MAX  1024 /* bytes of one; PostSRSd reads lines of that length */
#define SRS_DAYS        21   /* a signature is good for so long, as in PostSRSd */

/* The first signs, all verify: a new secret is put in front, the old one goes after SRS_DAYS. */
struct srs_secrets {
    struct slice items[SRS_SECRETS_MAX];
    size_t count;
};

/* PostSRSd's secret file: one secret per line, its bytes as they are (blanks too); empty lines are skipped.
 * The slices point into `text`. False (and no secrets) when there is none, too many, or one is too long. */
bool srs_read_secrets(struct slice text, struct srs_secrets *secrets) MUST_CHECK;

enum srs_status {
    SRS_OK,
    SRS_NOT_SRS,       /* an ordinary address: reverse has nothing to do */
    SRS_MALFORMED,     /* begins as an SRS address, but lacks parts; or no address at all */
    SRS_BAD_SIGNATURE, /* not signed with any of our secrets */
    SRS_EXPIRED,       /* signed by us more than SRS_DAYS ago */
    SRS_TOO_LONG,      /* the result would be no valid address (grammar/address.h: ADDRESS_MAX) */
    SRS_STATUS_COUNT
};
/* "ok", "not an SRS address", …; for replies and logs. */
const char *srs_status_text(enum srs_status status);

/* Begins with "SRS0" or "SRS1" and a separator (any case): worth asking srs_reverse_in(). */
bool srs_is_address(struct slice address);

/* The sender a message from `sender` is forwarded with, `srs_domain` being ours (a host name in A-labels),
 * `now` seconds since 1970:
 *   user@remote            -> SRS0=HHHH=TT=remote=user@srs_domain
 *   SRS0=xxx@first         -> SRS1=HHHH=first==xxx@srs_domain
 *   SRS1=hhhh=first==xxx@y -> SRS1=HHHH=first==xxx@srs_domain
 * The null sender, senders at srs_domain, and what we signed ourselves come back unchanged. Senders of our
 * other domains must not be given to it: the caller knows them (directory_is_domain()). The result lives in
 * the arena.
 *
 * RFC 5321 asks servers to take local parts of 64 octets; longer ones are written like PostSRSd writes them
 * (real servers take them), up to an address of ADDRESS_MAX. SRS_TOO_LONG, SRS_MALFORMED: forward with the
 * sender as it is, as Postfix does then. */
enum srs_status srs_forward_in(struct arena *arena, const struct srs_secrets *secrets,
                               struct slice srs_domain, struct slice sender, uint64_t now,
                               struct slice *rewritten) MUST_CHECK;

/* Where a message to `recipient` belongs, if we signed it: of SRS0 the original sender, of SRS1 the SRS0
 * address at the server that made it. The hash is compared without case, so a local part some server
 * lower-cased still works (the original's local part is lower-cased then). The domain of `recipient` is not
 * looked at: the caller asks only for addresses at its own, and again when `original` is one too (a way round
 * over two servers). Anything but SRS_OK leaves `original` alone. */
enum srs_status srs_reverse_in(struct arena *arena, const struct srs_secrets *secrets, struct slice recipient,
                               uint64_t now, struct slice *original) MUST_CHECK;

#endif
