/* sasl_plain.c: the messages of PLAIN (RFC 4616), and what a name or password may be made of. Pure; input is
 * a stranger's. Called by exchange.c. */
#include "auth/sasl.h"

bool sasl_text_ok(struct slice text, size_t max)
{
    if (text.len == 0 || text.len > max || !slice_is_utf8(text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
        /* C1 controls, U+0080 to U+009F (RFC 3454 table C.2.2) */
        if (text.ptr[i] == 0xc2 && i + 1 < text.len && text.ptr[i + 1] < 0xa0)
            return false;
    }
    return true;
}

/* RFC 4616 section 2:
 *   message   = [authzid] UTF8NUL authcid UTF8NUL passwd
 */
enum err sasl_plain_parse(struct slice message, struct sasl_plain *plain)
{
    if (message.len > SASL_MESSAGE_MAX)
        return ERR_BAD;
    ptrdiff_t first = slice_find(message, 0);
    if (first < 0)
        return ERR_BAD;
    struct slice rest = slice_from(message, (size_t)first + 1);
    ptrdiff_t second = slice_find(rest, 0);
    if (second < 0)
        return ERR_BAD;
    struct slice authzid = slice_sub(message, 0, (size_t)first);
    struct slice user = slice_sub(rest, 0, (size_t)second);
    struct slice password = slice_from(rest, (size_t)second + 1);
    if (!sasl_text_ok(user, SASL_USER_MAX) || !sasl_text_ok(password, SASL_PASSWORD_MAX))
        return ERR_BAD;
    if (authzid.len && !slice_ieq(authzid, user))
        return sasl_text_ok(authzid, SASL_USER_MAX) ? ERR_REFUSED : ERR_BAD;
    *plain = (struct sasl_plain){.user = user, .password = password};
    return ERR_OK;
}
