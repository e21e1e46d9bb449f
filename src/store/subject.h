/* subject.h: one message under a search: its facts, header and text, each read when first asked for. */
#ifndef STORE_SUBJECT_H
#define STORE_SUBJECT_H

#include "grammar/imap_search.h"
#include "store/account.h"
#include "store/fulltext.h"

struct subject;

/* `filter` is asked first; it lives as long as the subject. */
struct subject *subject_new(struct fulltext_filter *filter) __attribute__((returns_nonnull));
void subject_free(struct subject **subject);
void subject_begin(struct subject *subject, struct account *account, uint64_t message);
/* The first thing that went wrong since subject_begin(): what could not be read counts as not found. */
enum err subject_error(const struct subject *subject, struct why *why) MUST_CHECK;

/* The day of the Date field in its own zone; INT64_MIN without one. False: unknown. */
bool subject_sent_day(struct subject *subject, int64_t *day);
/* facts_thread_root() of the message. */
struct slice subject_thread_root(struct subject *subject);
/* Some field `name` holds the needle: decoded, or as it is written. */
bool subject_header(struct subject *subject, struct slice name, const struct imap_needle *needle);
bool subject_any_header(struct subject *subject, const struct imap_needle *needle);
/* Some text part holds it, decoded (RFC 9051: servers search the decoded text). */
bool subject_body(struct subject *subject, const struct imap_needle *needle);

#endif
