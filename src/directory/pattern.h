/* pattern.h: regular expressions of the operator over addresses of strangers: PCRE2 with bounds on what one
 * match may cost, and wildcards. Used by the reader of regexp tables and by the address table. */
#ifndef DIRECTORY_PATTERN_H
#define DIRECTORY_PATTERN_H

#include "base/arena.h"
#include "base/err.h"

#define PATTERN_TEXT_MAX   4096  /* bytes of one expression */
#define PATTERN_GROUPS_MAX 99    /* parentheses that can be named: $1 to $99 */
#define PATTERN_STEPS_MAX  20000 /* of PCRE2's matcher for one expression: about a millisecond */
#define PATTERN_DEPTH_MAX  1000  /* nested backtracking points */
#define PATTERN_HEAP_MAX   1024  /* KiB */

struct pattern; /* immutable; dies with its arena */

/* Flags as in Postfix's pcre_table(5): each toggles. i: letters are alike in either case (on); s: "." takes a
 * line end too (on); m, x, A, E, U: off; X: nothing. ERR_BAD with a text that says what is wrong and where.
 */
enum err pattern_new_in(struct arena *arena, struct slice text, struct slice flags, struct pattern **pattern,
                        struct why *why) MUST_CHECK;
/* Number of its groups. */
unsigned pattern_groups(const struct pattern *pattern);

/* What matching needs; for one address, then freed. */
struct matcher;
struct matcher *matcher_new(void);
void matcher_free(struct matcher **matcher);
#define AUTO_MATCHER __attribute__((cleanup(matcher_free)))

enum pattern_result {
    PATTERN_NO,
    PATTERN_YES,
    PATTERN_GAVE_UP /* it would have cost more than the bounds allow */
};
enum pattern_result pattern_match(struct matcher *matcher, const struct pattern *pattern,
                                  struct slice subject);
/* Of the last match (0: all of it); empty when the group took no part. A part of `subject`. */
struct slice matcher_group(const struct matcher *matcher, struct slice subject, unsigned group);

/* Does "*" for any text, any other byte for itself, cover all of `text`? Costs at most the product of both
 * lengths. */
bool pattern_wildcard(struct slice wildcard, struct slice text);

#endif
