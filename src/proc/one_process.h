/* one_process.h: all roles on one loop in one process, over the same socket pairs and messages, unconfined:
 * for tests, fuzzers and debuggers only. Nothing in the program calls it. */
#ifndef PROC_ONE_PROCESS_H
#define PROC_ONE_PROCESS_H

#include "base/err.h"
#include "base/loop.h"

struct one_process;

/* Starts all roles with this configuration, in the present working folder (all roles share it: their names in
 * it do not collide). ready(arg) is called on the loop when every role is ready; failed(arg, text) when one
 * cannot start. */
enum err one_process_new(struct loop *loop, const char *config_path, void (*ready)(void *arg),
                         void (*failed)(void *arg, const char *text), void *arg, struct one_process **server,
                         struct why *why) MUST_CHECK;
/* Ends all roles at once; what was answered with 250 is on disk. Clears the pointer; takes NULL. */
void one_process_free(struct one_process **server);

#endif
