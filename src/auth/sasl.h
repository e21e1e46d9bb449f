/* sasl.h: the messages of SASL mechanisms as structs, and the server's answers. Pure; input is a stranger's.
 *
 * Whatever a mechanism carries as a name or password passes sasl_text_ok(): a simple form of SASLprep (RFC
 * 4013) that refuses what it would prohibit and maps nothing.
 */
#ifndef AUTH_SASL_H
#define AUTH_SASL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define SASL_USER_MAX     320  /* bytes of a login name: an address */
#define SASL_PASSWORD_MAX 512  /* what crypt(3) takes at most */
#define SASL_NONCE_MAX    256  /* of a SCRAM client */
#define SASL_MESSAGE_MAX  4096 /* any message of any mechanism, decoded */

/* Well-formed UTF-8 of 1 to `max` bytes without control characters. */
bool sasl_text_ok(struct slice text, size_t max);

/* PLAIN (RFC 4616). Slices point into the message. */
struct sasl_plain {
    struct slice user, password;
};
/* ERR_BAD when it is no PLAIN message; ERR_REFUSED when it asks to act as somebody else (an authorisation
 * identity that is neither empty nor the user). */
enum err sasl_plain_parse(struct slice message, struct sasl_plain *plain) MUST_CHECK;

/* What a client says of channel binding (RFC 5802 section 7, gs2-cbind-flag). */
enum sasl_binding {
    SASL_BINDING_NONE,    /* "n": it has none */
    SASL_BINDING_MISSING, /* "y": it has, and thinks that we have not */
    SASL_BINDING_USED     /* "p=": it uses one */
};

/* The GS2 header in front of some mechanisms' messages (RFC 5801 section 4). Slices into the message. */
struct sasl_gs2 {
    enum sasl_binding binding;
    struct slice binding_type; /* of SASL_BINDING_USED: "tls-exporter" */
    struct slice authzid;      /* still escaped; empty: none */
};
/* Takes it off the front, with its commas. ERR_BAD: there is none. */
enum err sasl_gs2_take(struct slice *message, struct sasl_gs2 *gs2) MUST_CHECK;
/* "=2C" and "=3D" undone; false when it is no saslname (RFC 5801 section 4). */
bool sasl_name_in(struct arena *arena, struct slice raw, struct slice *name) MUST_CHECK;

/* OAUTHBEARER (RFC 7628 section 3.1) and XOAUTH2. */
struct sasl_bearer {
    struct slice
        user; /* whom the client wants to be, in the arena or the message; empty: the token says it */
    struct slice token; /* into the message */
};
enum err sasl_oauthbearer_parse_in(struct arena *arena, struct slice message,
                                   struct sasl_bearer *bearer) MUST_CHECK;
/* "user=" name ^A "auth=Bearer " token ^A ^A. */
enum err sasl_xoauth2_parse(struct slice message, struct sasl_bearer *bearer) MUST_CHECK;

/* SCRAM (RFC 5802 section 7). */
struct sasl_scram_first {
    struct sasl_gs2 gs2;
    struct slice gs2_header; /* into the message, with both commas */
    struct slice bare;       /* client-first-message-bare, into the message */
    struct slice user;       /* unescaped, in the arena */
    struct slice nonce;      /* into the message */
};
/* ERR_BAD; ERR_REFUSED for another authorisation identity. */
enum err sasl_scram_first_parse_in(struct arena *arena, struct slice message,
                                   struct sasl_scram_first *first) MUST_CHECK;
/* Adds the server-first-message. `nonce` is the client's with ours behind it. */
void sasl_scram_server_first(struct buf *out, struct slice nonce, struct slice salt, uint32_t iterations);

#define SASL_SCRAM_KEY_LEN 32 /* SHA-256 */
struct sasl_scram_final {
    struct slice without_proof; /* client-final-message-without-proof, into the message */
    uint8_t proof[SASL_SCRAM_KEY_LEN];
};
/* `channel`: the data of the binding the client uses, or empty. ERR_BAD also when the channel binding is not
 * the gs2 header of before with `channel` behind it, or the nonce not the one we sent. */
enum err sasl_scram_final_parse_in(struct arena *arena, struct slice message, struct slice gs2_header,
                                   struct slice channel, struct slice nonce,
                                   struct sasl_scram_final *final) MUST_CHECK;

#endif
