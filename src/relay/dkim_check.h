/* dkim_check.h: WIRE_DKIM_CHECK: what key record DNS shows for a selector. For role.c's dispatch. */
#ifndef RELAY_DKIM_CHECK_H
#define RELAY_DKIM_CHECK_H

#include "base/ipc.h"
#include "wire/wire.h"

#define DKIM_CHECKS_MAX 1000 /* at once; more are answered as a DNS failure */

struct dkim_check;

struct dkim_check *dkim_check_new(struct ipc_link *dns) __attribute__((returns_nonnull));
/* Answers `packet` on `link` with WIRE_DKIM_PUBLISHED when DNS has. False: a notice, which this is not. */
bool dkim_check_begin(struct dkim_check *check, struct ipc_link *link, const struct ipc_packet *packet,
                      const struct wire_dkim_check *question) MUST_CHECK;
/* The asking role went down: nothing is answered any more. */
void dkim_check_forget(struct dkim_check *check);
/* Clears the pointer; takes NULL. */
void dkim_check_free(struct dkim_check **check);

#endif
