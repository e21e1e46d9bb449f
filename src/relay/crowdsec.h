/* crowdsec.h: CrowdSec's bouncer and reporter: decisions are pulled from its local API (LAPI) and given to
 * auth, bans of ours are told to it as alerts. Called by role.c.
 *
 * The first pull, and any after something went wrong, asks for everything; the others for what changed. An
 * answer counts as a whole or not at all. While the LAPI is away auth keeps what it has (until each decision
 * ends by itself), and one line in the log says so.
 */
#ifndef RELAY_CROWDSEC_H
#define RELAY_CROWDSEC_H

#include "base/ipc.h"
#include "relay/https.h"
#include "role/role.h"

#define CROWDSEC_SECRET_MAX  256         /* bytes of a key or a password */
#define CROWDSEC_ANSWER_MAX  (64u << 20) /* bytes of an answer: some 350,000 decisions */
#define CROWDSEC_ASK_MS      60000       /* for a whole answer */
#define CROWDSEC_RETRY_MS    60000 /* the longest pause after failures (the interval where that is longer) */
#define CROWDSEC_FULL_MS     1800000 /* so often everything is asked for, whatever else */
#define CROWDSEC_REPORTS_MAX 1000    /* that wait; then the oldest goes */
#define CROWDSEC_BATCH_MAX   50      /* reports in one request */

struct crowdsec;

/* Links and https live longer. It does nothing before crowdsec_update(). */
struct crowdsec *crowdsec_new(struct loop *loop, struct https *https, struct ipc_link *dns,
                              struct ipc_link *auth) __attribute__((returns_nonnull));
/* The settings in use from now on (until the next call), and the content of the two files; NULL where none
 * was handed in. Starts over only where something of CrowdSec's changed. */
void crowdsec_update(struct crowdsec *crowdsec, const struct settings *settings,
                     const struct role_file *key_file, const struct role_file *machine_file);
/* Confined: from now on it may connect. */
void crowdsec_begin(struct crowdsec *crowdsec);
/* auth was started anew and has forgotten. */
void crowdsec_auth_up(struct crowdsec *crowdsec);
/* A ban for the LAPI. False when it is ill-formed. Without a machine login it is dropped. */
bool crowdsec_report(struct crowdsec *crowdsec, const struct wire_ban_report *report) MUST_CHECK;
/* Clears the pointer; takes NULL. */
void crowdsec_free(struct crowdsec **crowdsec);

#endif
