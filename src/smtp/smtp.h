/* smtp.h: the role that speaks SMTP to anyone: the MX and submission listeners. Started by proc/. */
#ifndef SMTP_SMTP_H
#define SMTP_SMTP_H

#include "role/role.h"

extern const struct role_ops smtp_role;

#endif
