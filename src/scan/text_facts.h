/* text_facts.h: the readable text of a message, for search and preview. */
#ifndef SCAN_TEXT_FACTS_H
#define SCAN_TEXT_FACTS_H

#include "base/arena.h"
#include "grammar/charset.h"
#include "grammar/mime.h"
#include "wire/facts.h"

/* Fills text, text_len, preview and FACTS_TEXT_COMPLETE: all text parts decoded in the order of the message,
 * each on lines of its own, file names of the other parts, and Subject, From and To of messages inside. */
void text_facts_in(struct arena *arena, struct charset_set *set, const struct mime_part *root,
                   struct slice message, struct facts *facts);

#endif
