/* sts.h: MTA-STS policies of recipients' domains: looked up, fetched, kept for as long as they say and
 * refreshed before they end. RFC 8461. Called by resolve.c.
 */
#ifndef RELAY_STS_H
#define RELAY_STS_H

#include "base/ipc.h"
#include "policy/mta_sts.h"
#include "relay/https.h"
#include "settings/settings.h"

#define STS_DOMAINS_MAX 10000 /* kept */
#define STS_CHECK_MIN_S 60    /* the record is not asked for more often than this … */
#define STS_CHECK_MAX_S 3600  /* … and not more seldom */
#define STS_RETRY_S     300   /* after a fetch that failed (section 3.3) */
#define STS_REFRESH_S   86400 /* a policy this old is fetched again, used or not */
#define STS_NOTE_S      86400 /* a domain whose tested policy does not hold is logged this often */

struct sts;
struct sts_call;

/* `https` and `dns` live longer. */
struct sts *sts_new(struct loop *loop, struct ipc_link *dns, struct https *https,
                    const struct settings *settings) __attribute__((returns_nonnull));
void sts_update(struct sts *sts, const struct settings *settings);
/* The record is asked for anew; a policy that is valid stays. Empty: of all. */
void sts_forget(struct sts *sts, struct slice domain);
size_t sts_count(const struct sts *sts);
void sts_free(struct sts **sts);

/* `policy` NULL: the domain has none (or `failure` says why it could not be had, in the terms of RFC 8460
 * section 4.3.2). Valid during the call. */
typedef void sts_done(void *ctx, const struct sts_policy *policy, const char *failure);
/* `done` is called once: from inside this when all is known, else later. Returns NULL in the first case. */
struct sts_call *sts_ask(struct sts *sts, struct slice domain, sts_done *done, void *ctx);
void sts_cancel(struct sts_call **call);

/* `mx` was used though the domain's policy, which is in testing mode, would refuse it; `result` in the terms
 * of RFC 8460 section 4.3. True when this was logged (once in STS_NOTE_S for a domain). */
bool sts_note_mismatch(struct sts *sts, struct slice domain, struct slice mx, const char *result);

#endif
