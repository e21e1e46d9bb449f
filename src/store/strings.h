/* strings.h: many texts, each once, as small numbers, and their order as ranks: two texts compare as their
 * ranks do. For the sort keys of an account. Text 0 is the empty one. */
#ifndef STORE_STRINGS_H
#define STORE_STRINGS_H

#include "base/buf.h"
#include "base/hash.h"

#define STRINGS_MAX       16000000u  /* texts */
#define STRINGS_BYTES_MAX (1u << 30) /* of all of them */

struct strings {
    struct hash_key key;
    struct buf bytes;
    uint32_t *starts; /* of each text, and the end of the last one */
    uint32_t *hashes;
    uint32_t count, cap;
    uint32_t *slots; /* hash table of numbers */
    uint32_t mask;
    uint32_t *ranks;  /* by number, for the first `ranked` */
    uint32_t *sorted; /* numbers by rank */
    uint32_t ranked, rank_cap;
};

void strings_start(struct strings *strings);
void strings_stop(struct strings *strings);
/* The number of `text`; 0 also when there are too many texts. */
uint32_t strings_number(struct strings *strings, struct slice text);
struct slice strings_text(const struct strings *strings, uint32_t number);
/* Ranks by number; valid until the next strings_number(). */
const uint32_t *strings_ranks(struct strings *strings);
size_t strings_memory(const struct strings *strings);

#endif
