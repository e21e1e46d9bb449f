/* random.c: random bytes of the kernel. */
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_fill(void *bytes, size_t len)
{
    uint8_t *at = bytes;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* names of grants and hash keys must not be guessable: better no server */
        at += got;
        len -= (size_t)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_fill(&v, sizeof v);
    return v;
}

uint64_t random_below(uint64_t bound)
{
    if (bound == 0)
        return 0;
    uint64_t reject = -bound % bound; /* 2^64 mod bound: values below it would favour the small results */
    uint64_t v;
    do
        v = random_u64();
    while (v < reject);
    return v % bound;
}
