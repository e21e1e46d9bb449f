/* test_login.h: WIRE_RELAY_TEST: logs in to a configured relay, says what it sees, and sends one message when
 * asked to. For role.c's dispatch.
 */
#ifndef RELAY_TEST_LOGIN_H
#define RELAY_TEST_LOGIN_H

#include "base/ipc.h"
#include "relay/client.h"
#include "relay/identity.h"
#include "relay/resolve.h"
#include "settings/settings.h"
#include "wire/wire.h"

#define TEST_LOGINS_MAX 8 /* at once */

struct test_logins;

/* What a test needs of the role; copied or referenced as client.h's target does. */
struct test_login_setup {
    const struct settings *settings;
    const struct settings_relay *relay; /* settings_relay_at(question->relay); NULL: there is none */
    struct sasl_login login;
    struct slice login_flaw; /* why there is no login though the settings name a file; empty: none */
    struct tls_client *tls;
};

struct test_logins *test_logins_new(struct loop *loop, struct resolve *resolve, struct identity *identity)
    __attribute__((returns_nonnull));
/* Answers `packet` on `link` with WIRE_CONTROL_OUTPUT packets. False: a notice. Takes descriptor 0. */
bool test_login_begin(struct test_logins *tests, struct ipc_link *link, struct ipc_packet *packet,
                      const struct wire_relay_test *question,
                      const struct test_login_setup *setup) MUST_CHECK;
/* The asking role went down: all are ended silently. */
void test_logins_forget(struct test_logins *tests);
/* Clears the pointer; takes NULL. */
void test_logins_free(struct test_logins **tests);

#endif
