/* grant.h: what a login is worth: the name under which a network role asks for an account's mail. */
#ifndef WIRE_GRANT_H
#define WIRE_GRANT_H

#include <stdint.h>

#include "base/slice.h"

/* The name of a grant: 128 random bits made by auth. All zero: none. */
struct grant {
    uint8_t name[16];
};

#endif
