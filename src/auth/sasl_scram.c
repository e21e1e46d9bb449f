/* sasl_scram.c: the messages of SCRAM-SHA-256 (RFC 5802 section 7, RFC 7677). Pure; input is a stranger's.
 * Called by exchange.c; the keys are computed in scram.c. */
#include "auth/sasl.h"

#include <string.h>

#include "grammar/base64.h"

/* Takes "x=value" up to the next comma (which goes too) off the front. */
static bool take_attribute(struct slice *rest, char name, struct slice *value)
{
    if (rest->len < 2 || rest->ptr[0] != (uint8_t)name || rest->ptr[1] != '=')
        return false;
    ptrdiff_t comma = slice_find(*rest, ',');
    size_t end = comma < 0 ? rest->len : (size_t)comma;
    *value = slice_sub(*rest, 2, end - 2);
    *rest = slice_from(*rest, comma < 0 ? end : end + 1);
    return true;
}

/* RFC 5802 section 7:
 *   saslname = 1*(value-safe-char / "=2C" / "=3D")
 */
bool sasl_name_in(struct arena *arena, struct slice raw, struct slice *name)
{
    if (raw.len > 3 * SASL_USER_MAX)
        return false;
    uint8_t *out = ARENA_ARRAY(arena, uint8_t, raw.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] != '=') {
            out[len++] = raw.ptr[i];
            continue;
        }
        struct slice escape = slice_sub(raw, i, 3);
        if (slice_eq(escape, SLICE("=2C")))
            out[len++] = ',';
        else if (slice_eq(escape, SLICE("=3D")))
            out[len++] = '=';
        else
            return false;
        i += 2;
    }
    *name = slice_make(out, len);
    return sasl_text_ok(*name, SASL_USER_MAX);
}

/* printable = %x21-2B / %x2D-7E */
static bool is_nonce(struct slice nonce)
{
    if (nonce.len == 0 || nonce.len > SASL_NONCE_MAX)
        return false;
    for (size_t i = 0; i < nonce.len; i++)
        if (nonce.ptr[i] < 0x21 || nonce.ptr[i] > 0x7e || nonce.ptr[i] == ',')
            return false;
    return true;
}

/*   gs2-cbind-flag = ("p=" cb-name) / "n" / "y"
 *   cb-name    = 1*(ALPHA / DIGIT / "." / "-")
 * with the comma behind it. */
static bool take_binding_flag(struct slice *rest, struct sasl_gs2 *gs2)
{
    if (slice_starts(*rest, SLICE("n,")) || slice_starts(*rest, SLICE("y,"))) {
        gs2->binding = rest->ptr[0] == 'n' ? SASL_BINDING_NONE : SASL_BINDING_MISSING;
        *rest = slice_from(*rest, 2);
        return true;
    }
    if (slice_find(*rest, ',') < 0 || !take_attribute(rest, 'p', &gs2->binding_type))
        return false;
    gs2->binding = SASL_BINDING_USED;
    for (size_t i = 0; i < gs2->binding_type.len; i++) {
        uint8_t c = gs2->binding_type.ptr[i];
        if (!ascii_is_alnum(c) && c != '.' && c != '-')
            return false;
    }
    return gs2->binding_type.len > 0;
}

/* RFC 5801 section 4:
 *   gs2-header = gs2-cbind-flag "," [ authzid ] ","
 *   authzid    = "a=" saslname */
enum err sasl_gs2_take(struct slice *message, struct sasl_gs2 *gs2)
{
    *gs2 = (struct sasl_gs2){0};
    if (!take_binding_flag(message, gs2))
        return ERR_BAD;
    if (slice_starts(*message, SLICE(","))) {
        *message = slice_from(*message, 1);
        return ERR_OK;
    }
    bool comma = slice_find(*message, ',') >= 0;
    return comma && take_attribute(message, 'a', &gs2->authzid) && gs2->authzid.len ? ERR_OK : ERR_BAD;
}

/*   client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
 * reserved-mext ("m=") must be refused (section 5.1); extensions are ignored. */
enum err sasl_scram_first_parse_in(struct arena *arena, struct slice message, struct sasl_scram_first *first)
{
    if (message.len > SASL_MESSAGE_MAX || slice_find(message, 0) >= 0)
        return ERR_BAD;
    struct slice rest = message, raw_user, nonce, user, acting = SLICE_EMPTY;
    struct sasl_scram_first found = {0};
    enum err err = sasl_gs2_take(&rest, &found.gs2);
    if (err)
        return err;
    struct slice bare = rest;
    if (!take_attribute(&rest, 'n', &raw_user) || !take_attribute(&rest, 'r', &nonce) || !is_nonce(nonce))
        return ERR_BAD;
    if (!sasl_name_in(arena, raw_user, &user))
        return ERR_BAD;
    if (found.gs2.authzid.len && !sasl_name_in(arena, found.gs2.authzid, &acting))
        return ERR_BAD;
    if (acting.len && !slice_ieq(acting, user))
        return ERR_REFUSED;
    found.gs2_header = slice_sub(message, 0, message.len - bare.len);
    found.bare = bare;
    found.user = user;
    found.nonce = nonce;
    *first = found;
    return ERR_OK;
}

/*   server-first-message = nonce "," salt "," iteration-count */
void sasl_scram_server_first(struct buf *out, struct slice nonce, struct slice salt, uint32_t iterations)
{
    buf_add(out, SLICE("r="));
    buf_add(out, nonce);
    buf_add(out, SLICE(",s="));
    base64_encode(out, salt, 0);
    buf_addf(out, ",i=%u", iterations);
}

/*   client-final-message-without-proof = channel-binding "," nonce ["," extensions]
 *   client-final-message = client-final-message-without-proof "," proof */
enum err sasl_scram_final_parse_in(struct arena *arena, struct slice message, struct slice gs2_header,
                                   struct slice channel, struct slice nonce, struct sasl_scram_final *final)
{
    if (message.len > SASL_MESSAGE_MAX || slice_find(message, 0) >= 0)
        return ERR_BAD;
    ptrdiff_t at = slice_rfind(message, ',');
    if (at < 0)
        return ERR_BAD;
    struct slice head = slice_sub(message, 0, (size_t)at), tail = slice_from(message, (size_t)at + 1);
    struct slice rest = head, bound, echoed, proof64, binding, proof;
    if (!take_attribute(&rest, 'c', &bound) || !take_attribute(&rest, 'r', &echoed) ||
        !take_attribute(&tail, 'p', &proof64))
        return ERR_BAD;
    if (!base64_decode_in(arena, bound, &binding) || !slice_starts(binding, gs2_header) ||
        !slice_eq(slice_from(binding, gs2_header.len), channel) || !slice_eq(echoed, nonce))
        return ERR_BAD;
    if (!base64_decode_in(arena, proof64, &proof) || proof.len != SASL_SCRAM_KEY_LEN)
        return ERR_BAD;
    final->without_proof = head;
    memcpy(final->proof, proof.ptr, proof.len);
    return ERR_OK;
}
