/* scan.h: the role that reads whole messages, so that nobody else has to. */
#ifndef SCAN_SCAN_H
#define SCAN_SCAN_H

#include "role/role.h"

/* Tasks come from store (WIRE_SCAN_TASK), one message descriptor each, and are answered with WIRE_SCAN_FACTS.
 */
extern const struct role_ops scan_role;

#endif
