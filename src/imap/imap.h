/* imap.h: the role that speaks IMAP and POP3 with anyone who connects. Started by proc/. */
#ifndef IMAP_IMAP_H
#define IMAP_IMAP_H

#include "role/role.h"

extern const struct role_ops imap_role;

#endif
