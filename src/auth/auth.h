/* auth.h: the role that knows who is who: password hashes, logins, grants. Started by proc/. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "role/role.h"

extern const struct role_ops auth_role;

#endif
