/* fixture.h: what the tests of the address table share: a table, what was said about it, and differences to
 * Postfix. */
#ifndef TESTS_DIRECTORY_FIXTURE_H
#define TESTS_DIRECTORY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "directory/table.h"

struct fixture {
    struct arena *arena;
    struct problems *problems;
    struct directory_table *table;
    struct settings settings;
};

/* Among its problems `expected` stands so many times. */
static inline void assert_said(struct fixture *f, const char *expected, int times)
{
    AUTO_BUF struct buf text = buf_new(1 << 20);
    problems_print(f->problems, &text);
    buf_add_byte(&text, 0);
    int found = 0;
    for (const char *at = (const char *)text.data; (at = strstr(at, expected)) != NULL; at++)
        found++;
    if (found != times)
        fail_msg("%d times instead of %d: %s\nin:\n%s", found, times, expected, (const char *)text.data);
}

/* Differences, one a line. */
struct seen {
    char text[4000];
    size_t len;
};

static inline void note(void *arg, struct slice address, struct slice here, struct slice there)
{
    struct seen *seen = arg;
    seen->len +=
        (size_t)snprintf(seen->text + seen->len, sizeof seen->text - seen->len, "%.*s: %.*s | %.*s\n",
                         SLICE_ARG(address), SLICE_ARG(here), SLICE_ARG(there));
}

#endif
