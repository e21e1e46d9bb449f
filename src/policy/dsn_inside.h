/* dsn_inside.h: what dsn.c and dsn_text.c share. Private to policy/. */
#ifndef POLICY_DSN_INSIDE_H
#define POLICY_DSN_INSIDE_H

#include "policy/dsn.h"

#define DSN_COLUMNS 78 /* of a line, its CRLF not counted (RFC 5322 section 2.1.1) */

/* Adds `text` as part of one line: line ends and tabs become a blank, several blanks one; control characters,
 * broken UTF-8, and characters that turn or hide text become '?'; without `utf8` all above 0x7f do. At most
 * `max` bytes, then "...". */
void dsn_add_clean(struct buf *out, struct slice text, size_t max, bool utf8);
/* The diagnostic without the address it must not betray, on one line. */
void dsn_add_diagnostic(struct buf *out, const struct dsn_recipient *recipient, bool utf8);
/* The most important action among the recipients, and how many have it. */
enum dsn_action dsn_main_action(const struct dsn *dsn, size_t *count);
/* The part for people: UTF-8, lines ending in CRLF. */
void dsn_text_write(const struct dsn *dsn, struct buf *out);

#endif
