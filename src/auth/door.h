/* door.h: keeps the strangers smtp has come to know in a file of auth's folder, and gives them back when smtp
 * starts. auth does not look into them: they are smtp's own words, good for nothing but a greeting without
 * delay. Losing the file costs nothing. */
#ifndef AUTH_DOOR_H
#define AUTH_DOOR_H

#include "base/buf.h"
#include "role/role.h"

#define DOOR_PATH      "known"
#define DOOR_BYTES_MAX (4u << 20) /* smtp's table is a third of it at most */

struct auth;

/* Zeroed: nothing is being saved. */
struct auth_door {
    struct buf pieces; /* of the save under way: wire_strings */
};

void auth_door_free(struct auth_door *door);
/* WIRE_DOOR_SAVE. */
bool auth_door_on_save(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* smtp's link came up. */
void auth_door_give(struct auth *auth);

#endif
