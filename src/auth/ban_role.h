/* ban_role.h: bans as the auth role has them: offences in, the image of all bans out to the network roles,
 * reports to relay, log lines, the database, the administrator's commands. */
#ifndef AUTH_BAN_ROLE_H
#define AUTH_BAN_ROLE_H

#include "base/err.h"
#include "role/role.h"

struct auth;
struct auth_bans;
struct exchange;

/* load() */
struct auth_bans *auth_bans_new(struct auth *auth) __attribute__((returns_nonnull));
/* start(): reads the database and makes the first image. */
enum err auth_bans_start(struct auth_bans *bans, struct why *why) MUST_CHECK;
/* commit(): new settings. */
void auth_bans_use(struct auth_bans *bans);
/* A peer's link went up or down. */
void auth_bans_peer(struct auth_bans *bans, enum role peer, bool up);
/* Takes NULL. */
void auth_bans_free(struct auth_bans **bans);

/* WIRE_OFFENCE, WIRE_DECISIONS. */
bool auth_bans_on_offence(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool auth_bans_on_decisions(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);

/* A login failed, or succeeded. Of a failure: true when it is but a device that still has an old password. */
bool auth_bans_login_failed(struct exchange *x);
void auth_bans_login_ok(struct exchange *x);

/* `ban …` on the control socket; answers WIRE_CONTROL_OUTPUT. */
void auth_bans_control(struct auth_bans *bans, uint32_t request, const struct wire_control *message);

#endif
