/* login.h: a login over SASL (RFC 4422), the same for IMAP and POP3: what the client sends goes to `auth`
 * unread; nothing of it is kept or logged but the name. Failures, successes and limits are told here, once
 * for both protocols; what the client is told is theirs. */
#ifndef IMAP_LOGIN_H
#define IMAP_LOGIN_H

#include "base/arena.h"
#include "imap/caller.h"

#define LOGIN_MESSAGE_MAX 12000 /* octets of a decoded SASL message */

enum login_outcome {
    LOGIN_OK,       /* result->grant, ->account are the session's */
    LOGIN_CONTINUE, /* result->challenge is for the client; login_step() with what it says */
    LOGIN_FAILED,
    LOGIN_MALFORMED,
    LOGIN_NO_MECHANISM,
    LOGIN_LATER,
    LOGIN_CROWDED /* the password was right, but this account has too many connections from this address */
};

/* Called from the loop for each begin and step unless login_leave() came before. */
typedef void login_answered(void *session, enum login_outcome outcome, const struct wire_auth_result *result);

struct login;

/* One login of a session; lives in the arena. login_leave() must come before that is freed. */
struct login *login_new_in(struct arena *arena, struct caller *caller, struct stream *stream,
                           login_answered *answered, void *session);
/* Takes the next mechanism this connection is offered off `names` (imap->mechanisms); false at the end. */
bool login_next_mechanism(const struct caller *caller, const struct stream *stream, struct slice *names,
                          struct slice *mechanism) MUST_CHECK;
/* `mechanism` (any case) is offered on this connection. */
bool login_offers(const struct caller *caller, const struct stream *stream, struct slice mechanism);
/* Begins with a mechanism that is offered. */
void login_begin(struct login *login, struct slice mechanism, bool has_initial, struct slice initial);
/* Begins with name and password (SASL PLAIN). `answered` may be called before this returns: too long to be
 * right. */
void login_password(struct login *login, struct slice user, struct slice password);
/* The client's answer to a challenge, decoded. */
void login_step(struct login *login, struct slice data);
/* The client gave up, or what it said was no answer. */
void login_cancel(struct login *login);
/* The session ends, or the login is over. Takes NULL. */
void login_leave(struct login *login);
/* How many logins of this connection failed is enough to end it. */
bool login_is_hopeless(const struct caller *caller);

#endif
