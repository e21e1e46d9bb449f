/* scanner.h: messages are parsed in a child without rights here too (promise 1), for commands that work
 * without the server. */
#ifndef CLI_SCANNER_H
#define CLI_SCANNER_H

#include "base/arena.h"
#include "wire/facts.h"

struct scanner;

enum err scanner_new(struct scanner **scanner, struct why *why) MUST_CHECK;
/* Ends the child. Clears the pointer; takes NULL. */
void scanner_free(struct scanner **scanner);
/* A rebuild_scan function; `arg` is the scanner. The facts were checked. */
enum err scanner_scan(void *arg, struct arena *arena, struct slice message, struct facts *facts,
                      struct why *why) MUST_CHECK;

#endif
