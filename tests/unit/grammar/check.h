/* check.h: what the tables of the grammar tests share. */
#ifndef TESTS_GRAMMAR_CHECK_H
#define TESTS_GRAMMAR_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))
#define ARENA_MAX   (64u * 1024 * 1024)

/* A slice against a C string, with the row in the message. */
#define assert_text(got, wanted, row)                                                                        \
    do {                                                                                                     \
        struct slice got_slice = (got);                                                                      \
        if (!slice_eq(got_slice, slice_of(wanted)))                                                          \
            fail_msg("row %zu: got \"%.*s\", wanted \"%s\"", (size_t)(row), SLICE_ARG(got_slice), (wanted)); \
    } while (0)
#define assert_row(condition, row)                                                                           \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail_msg("row %zu: %s", (size_t)(row), #condition);                                              \
    } while (0)

#endif
