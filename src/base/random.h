/* random.h: random bytes of the kernel (getrandom). Never fails: a process without randomness ends. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/slice.h"

void random_fill(void *bytes, size_t len);
uint64_t random_u64(void);
/* Evenly spread over 0 … bound - 1; 0 for a bound of 0. */
uint64_t random_below(uint64_t bound);

#endif
