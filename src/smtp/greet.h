/* greet.h: before the greeting: strangers on the MX wait a moment for it. Whoever speaks meanwhile does not
 * speak SMTP (RFC 5321 section 3.1: the server greets first) and is refused; DNS lists are asked while the
 * others wait. Who passed is known for a while and not delayed again.
 *
 * Nobody waits who is in trusted_networks, is a load balancer or its probe, or this machine itself; and
 * nobody on submission. What a client sends behind the greeting, be it everything at once, is never held
 * against it.
 */
#ifndef SMTP_GREET_H
#define SMTP_GREET_H

#include "smtp/dns_list.h"
#include "smtp/known.h"
#include "smtp/session.h"

#define SMTP_KNOWN_SAVE_MS   600000u /* between two saves of the known clients, where there is news */
#define SMTP_LISTS_AGAIN_MIN 60u     /* known clients are looked up in lists again after so long */

/* One stranger that waits, or a known one whom lists are asked about again. Freed at the end of it. */
struct smtp_waiting {
    struct list node; /* in the greeter's waiting, the next one due first; or in its again */
    struct smtp_greeter *greeter;
    struct smtp_session *session; /* NULL: it was greeted long ago */
    uint64_t due_ms;
    bool early; /* spoke already, and may stay: it is not going to be known */
    struct netaddr client;
    struct smtp_listing listing;
};

/* The role's part of it. */
struct smtp_greeter {
    struct smtp *smtp;
    struct smtp_known *known;
    struct smtp_lists *lists; /* NULL before smtp_greeter_start() */
    struct list waiting, again;
    struct loop_timer *due, *save;
};

/* ---- greeter.c ---- */

struct smtp_greeter *smtp_greeter_new(struct smtp *smtp) __attribute__((returns_nonnull));
/* Behind the last session. Takes NULL. */
void smtp_greeter_free(struct smtp_greeter **greeter);
/* At start, and when the settings are new ones: DNS lists as they say. */
void smtp_greeter_start(struct smtp_greeter *greeter);
/* Gives the known clients to auth, if there is news. */
void smtp_greeter_save(struct smtp_greeter *greeter);
/* auth gives them back. False when that is nothing we wrote. */
bool smtp_greeter_take(struct smtp_greeter *greeter, const struct wire_door_save *saved) MUST_CHECK;

/* ---- greet.c ---- */

/* Those whose wait is over. */
void smtp_greet_due(void *greeter);

#endif
