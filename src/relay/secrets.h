/* secrets.h: who we are to each configured relay and relay map, from the files handed in. The one place that
 * holds passwords of relays. Called by role.c and job.c.
 */
#ifndef RELAY_SECRETS_H
#define RELAY_SECRETS_H

#include "relay/sasl.h"
#include "role/role.h"

struct secrets;

/* Reads SUP_FILE_RELAY_SECRET and SUP_FILE_RELAY_MAP_SECRET of the first generation, or of the next one. What
 * cannot be read in them is logged with its line; it never stops the role. */
struct secrets *secrets_load(struct role_run *run, bool next) __attribute__((returns_nonnull));
/* Counted: jobs hold a reference, so a reload does not disturb them. */
struct secrets *secrets_ref(struct secrets *secrets);
/* The last one wipes them. Clears the pointer; takes NULL. */
void secrets_free(struct secrets **secrets);

/* The login for settings_relay_at(index). False with `flaw` set: the settings name a file, but there is
 * nothing in it for this relay; without a file: true and an empty login. Slices live as long as the secrets.
 */
bool secrets_of_relay(const struct secrets *secrets, const struct settings *settings, uint32_t index,
                      struct sasl_login *login, struct slice *flaw) MUST_CHECK;
/* The login for a line of a relay map; empty when there is none for this sender and host. False with `flaw`
 * set: nobody knows, because a file of the maps could not be had. */
bool secrets_of_map(const struct secrets *secrets, struct slice sender, struct slice host, uint16_t port,
                    struct sasl_login *login, struct slice *flaw) MUST_CHECK;

/* Calls changed(ctx, index) for each relay of the new settings whose secret is another than before, and with
 * UINT32_MAX when a relay map's is. */
void secrets_compare(const struct secrets *before, const struct secrets *now,
                     void (*changed)(void *ctx, uint32_t relay), void *ctx);

#endif
