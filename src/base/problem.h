/* problem.h: what is wrong with a configuration: all of it at once, each with its place and what to write
 * instead. */
#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

#include "base/arena.h"
#include "base/buf.h"

#define PROBLEM_MAX 500 /* further ones are only counted */

enum problem_level { PROBLEM_WARNING, PROBLEM_ERROR };

struct problem {
    enum problem_level level;
    struct slice file; /* empty when it has no place */
    uint32_t line;     /* from 1; 0: the file as a whole */
    struct slice text, remedy;
};

struct problems {
    struct arena *arena; /* owns the texts; longer-lived than the list */
    struct problem items[PROBLEM_MAX];
    size_t count, errors, warnings; /* errors and warnings also count what did not fit */
};

/* An empty list in `arena` (it is about 30 KB). */
struct problems *problems_new_in(struct arena *arena);
/* `remedy` may be empty. Bytes that are not printable are shown as \xNN. */
void problem_add(struct problems *list, enum problem_level level, struct slice file, uint32_t line,
                 struct slice remedy, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Any bytes as printable text in "double quotes", cut at 80: for quoting input in a problem. */
struct slice problem_quote(struct arena *arena, struct slice raw);
/* "FILE:LINE: error: TEXT\n    REMEDY\n" for each, errors and warnings in order of place. */
void problems_print(const struct problems *list, struct buf *text);

#endif
