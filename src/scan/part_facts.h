/* part_facts.h: the table of parts and the ready BODY texts from the tree of parts. */
#ifndef SCAN_PART_FACTS_H
#define SCAN_PART_FACTS_H

#include "base/arena.h"
#include "grammar/charset.h"
#include "grammar/mime.h"
#include "wire/facts.h"

/* Where the parts of a received message stand once its header was edited. */
struct served {
    uint64_t header_len; /* of the message as served */
    uint64_t size;
    uint64_t received_len; /* of its header as received: bodies move by the difference */
};

/* Fills parts and FACTS_HAS_ATTACHMENT from a tree with at most MIME_MAX_PARTS parts. */
void part_facts_in(struct arena *arena, struct charset_set *set, const struct mime_part *root,
                   const struct served *served, struct facts *facts);

/* Fills body and bodystructure; false when one would be longer than facts may hold. */
bool part_texts_in(struct arena *arena, const struct mime_part *root, struct slice message,
                   struct facts *facts) MUST_CHECK;

#endif
