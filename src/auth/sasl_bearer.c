/* sasl_bearer.c: the messages of OAUTHBEARER (RFC 7628) and XOAUTH2. Pure; input is a stranger's. Called by
 * oauth.c. */
#include "auth/sasl.h"
#include "policy/token.h"

#define KVSEP '\1'

/* b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="                      RFC 6750
 * section 2.1 */
static bool is_token(struct slice token)
{
    for (size_t i = 0; i < token.len; i++)
        if (!ascii_is_alnum(token.ptr[i]) && slice_find(SLICE("-._~+/="), token.ptr[i]) < 0)
            return false;
    return token.len > 0 && token.len <= TOKEN_MAX;
}

/* auth = "Bearer" 1*SP b64token */
static bool take_bearer(struct slice value, struct slice *token)
{
    if (!slice_istarts(value, SLICE("Bearer ")))
        return false;
    *token = slice_trim(slice_from(value, 7));
    return is_token(*token);
}

/* RFC 7628 section 3.1:
 *   kvpair = key "=" value kvsep
 * up to the kvsep that ends the message. Of the keys only auth counts here. */
static bool read_pairs(struct slice rest, struct slice *token)
{
    struct slice pair;
    bool found = false;
    while (rest.len && rest.ptr[0] != KVSEP) {
        if (slice_find(rest, KVSEP) < 0 || !slice_token(&rest, KVSEP, &pair) || slice_find(pair, '=') < 1)
            return false;
        if (!slice_istarts(pair, SLICE("auth=")))
            continue;
        if (found || !take_bearer(slice_from(pair, 5), token))
            return false;
        found = true;
    }
    return found && rest.len == 1;
}

/*   client-resp = gs2-header kvsep *kvpair kvsep */
enum err sasl_oauthbearer_parse_in(struct arena *arena, struct slice message, struct sasl_bearer *bearer)
{
    struct sasl_gs2 gs2;
    struct slice rest = message;
    *bearer = (struct sasl_bearer){0};
    if (sasl_gs2_take(&rest, &gs2) || gs2.binding == SASL_BINDING_USED || rest.len == 0 ||
        rest.ptr[0] != KVSEP)
        return ERR_BAD;
    if (gs2.authzid.len && !sasl_name_in(arena, gs2.authzid, &bearer->user))
        return ERR_BAD;
    return read_pairs(slice_from(rest, 1), &bearer->token) ? ERR_OK : ERR_BAD;
}

enum err sasl_xoauth2_parse(struct slice message, struct sasl_bearer *bearer)
{
    struct slice rest = message, user;
    *bearer = (struct sasl_bearer){0};
    if (!slice_istarts(message, SLICE("user=")) || !slice_token(&rest, KVSEP, &user))
        return ERR_BAD;
    bearer->user = slice_from(user, 5);
    if (bearer->user.len && !sasl_text_ok(bearer->user, SASL_USER_MAX))
        return ERR_BAD;
    return read_pairs(rest, &bearer->token) ? ERR_OK : ERR_BAD;
}
