/* memory.h: credentials that were verified a short while ago, so that a webmail which logs in for every
 * request does not cost a password hash each time. Holds no password: only a keyed hash of name, password and
 * stored secret, under a key made at start that never leaves this process. A changed secret is another hash,
 * so it is forgotten by itself. */
#ifndef AUTH_MEMORY_H
#define AUTH_MEMORY_H

#include "base/slice.h"

#define MEMORY_MAX     20000 /* credentials */
#define MEMORY_TAG_LEN 32

struct memory;

struct memory *memory_new(uint64_t keep_ms) __attribute__((returns_nonnull));
/* Takes NULL. */
void memory_free(struct memory **memory);
/* 0: nothing is remembered. */
void memory_set_time(struct memory *memory, uint64_t keep_ms);
void memory_clear(struct memory *memory);
size_t memory_count(const struct memory *memory);

/* The keyed hash. Microseconds. */
void memory_tag(struct memory *memory, struct slice account, struct slice password, struct slice secret,
                uint8_t tag[MEMORY_TAG_LEN]);
bool memory_has(struct memory *memory, const uint8_t tag[MEMORY_TAG_LEN], uint64_t now_ms) MUST_CHECK;
/* The oldest goes when it is full. */
void memory_add(struct memory *memory, const uint8_t tag[MEMORY_TAG_LEN], uint64_t now_ms);
/* Bytes that look random to others but are the same for the same text as long as this process lives. */
void memory_derive(struct memory *memory, struct slice text, uint8_t bytes[MEMORY_TAG_LEN]);

#endif
