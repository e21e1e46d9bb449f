/* queue.h: the role that decides where each recipient goes and keeps what cannot be finished now. Started by
 * proc/. */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "role/role.h"

extern const struct role_ops queue_role;

#endif
