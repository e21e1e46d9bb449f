/* store.h: the role that keeps all mail: message files, indexes, open mailboxes, grants. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "role/role.h"

/* Its working folder is data/store; everything below is relative to it. */
extern const struct role_ops store_role;

#endif
