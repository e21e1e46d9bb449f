/* header_facts.h: the facts that stand in a message's header. */
#ifndef SCAN_HEADER_FACTS_H
#define SCAN_HEADER_FACTS_H

#include "base/arena.h"
#include "grammar/charset.h"
#include "wire/facts.h"

/* Fills envelope, headers, sent, ids, addresses, subjects and texts for search and sort, delivered_to, and
 * the flags that say what is missing. `header` is what will be served; `complete` false when it was cut at a
 * bound. */
void header_facts_in(struct arena *arena, struct charset_set *set, struct slice header, bool complete,
                     struct facts *facts);

/* A field's value for people: unfolded, decoded, UTF-8 on one line, at most `max` bytes. */
struct slice header_text_in(struct arena *arena, struct charset_set *set, struct slice value, size_t max);

#endif
