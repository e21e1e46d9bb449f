/* http.h: the role that speaks HTTP: metrics and health for now. Started by proc/. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "role/role.h"

extern const struct role_ops http_role;

#endif
