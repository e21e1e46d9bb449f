/* scan_message.h: one message in, its facts out: the work of the scan role without its process. */
#ifndef SCAN_SCAN_MESSAGE_H
#define SCAN_SCAN_MESSAGE_H

#include "base/arena.h"
#include "base/err.h"
#include "grammar/charset.h"
#include "wire/facts.h"
#include "wire/wire.h"

/* Enough for any message: tree, tables, header and text each have their bounds. */
#define SCAN_ARENA_MAX (64 * 1024 * 1024)

/* Reads the message as received (any bytes at all) and tells what it is as it will be served; see
 * wire/facts.h. Fails only with ERR_INTERNAL, when the facts would be too large to encode. Slices live in the
 * arena or in constants, none in `bytes`. `set` belongs to the calling thread. */
enum err scan_message_in(struct arena *arena, struct charset_set *set, const struct wire_scan_task *task,
                         struct slice bytes, struct facts *facts, struct why *why) MUST_CHECK;

#endif
