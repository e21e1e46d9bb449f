/* address.c: the one address of an envelope: strict, in one canonical form. Reads SMTP commands and
 * configuration; trusts none. */
#include "grammar/address.h"

#include <stdio.h>
#include <string.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "grammar/domain.h"

/* Full case folding makes at most three characters of one, and one UTF-16 unit at most three bytes of UTF-8.
 */
#define FOLD_UNITS (ADDRESS_LOCAL_MAX * 3)
#define FOLD_BYTES (FOLD_UNITS * 3)

/* atext (RFC 5322 section 3.2.3) */
static bool is_atext(uint8_t c)
{
    return ascii_is_alnum(c) || slice_find(SLICE("!#$%&'*+-/=?^_`{|}~"), c) >= 0;
}

/* Atom *("." Atom), with UTF8-non-ascii (RFC 6531 section 3.3). */
static bool is_dot_string(struct slice local)
{
    bool dot = true; /* as if one stood before the first atom */
    for (size_t i = 0; i < local.len; i++) {
        uint8_t c = local.ptr[i];
        if (c == '.' ? dot : !(is_atext(c) || c >= 0x80))
            return false;
        dot = c == '.';
    }
    return !dot;
}

struct slice address_join_in(struct arena *arena, struct slice local, struct slice domain)
{
    bool quote = !is_dot_string(local);
    uint8_t *text = arena_must(arena, local.len * 2 + domain.len + 4);
    size_t len = 0;
    if (quote)
        text[len++] = '"';
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            text[len++] = '\\';
        text[len++] = local.ptr[i];
    }
    if (quote)
        text[len++] = '"';
    if (domain.len) {
        text[len++] = '@';
        memcpy(text + len, domain.ptr, domain.len);
    }
    return slice_make(text, len + domain.len);
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE
 * QcontentSMTP = qtextSMTP / quoted-pairSMTP     (RFC 5321 section 4.1.2)
 * Takes it off the front; `out` has room for ADDRESS_LOCAL_MAX. */
static bool take_quoted(struct slice *s, uint8_t *out, size_t *len)
{
    *len = 0;
    for (size_t i = 1; i < s->len; i++) {
        uint8_t c = s->ptr[i];
        if (c == '"') {
            *s = slice_from(*s, i + 1);
            return *len > 0;
        }
        if (c == '\\' && ++i < s->len)
            c = s->ptr[i];
        if (i == s->len || c < ' ' || c == 0x7f || *len == ADDRESS_LOCAL_MAX)
            return false;
        out[(*len)++] = c;
    }
    return false;
}

/* Dot-string up to the "@" (or the end, for postmaster). */
static bool take_dot_string(struct slice *s, uint8_t *out, size_t *len)
{
    ptrdiff_t at = slice_find(*s, '@');
    struct slice local = at < 0 ? *s : slice_sub(*s, 0, (size_t)at);
    if (local.len > ADDRESS_LOCAL_MAX || !is_dot_string(local))
        return false;
    memcpy(out, local.ptr, local.len);
    *len = local.len;
    *s = slice_from(*s, local.len);
    return true;
}

/* Well-formed UTF-8 without C1 controls, which terminals obey. */
static bool utf8_is_plain(struct slice s)
{
    for (size_t i = 0; i + 1 < s.len; i++)
        if (s.ptr[i] == 0xc2 && s.ptr[i + 1] < 0xa0)
            return false;
    return slice_is_utf8(s);
}

static enum err take_local(struct arena *arena, struct slice *s, unsigned flags, struct slice *local,
                           struct why *why)
{
    uint8_t *out = arena_must(arena, ADDRESS_LOCAL_MAX);
    size_t len = 0;
    bool quoted = s->len && s->ptr[0] == '"';
    if (!(quoted ? take_quoted(s, out, &len) : take_dot_string(s, out, &len)))
        return err_set(why, ERR_BAD, "local part is malformed or too long");
    *local = slice_make(out, len);
    if (slice_is_ascii(*local))
        return ERR_OK;
    if (!(flags & ADDRESS_ALLOW_UTF8))
        return err_set(why, ERR_BAD, "address is not ASCII");
    return utf8_is_plain(*local) ? ERR_OK : err_set(why, ERR_BAD, "local part is not UTF-8");
}

/* Domain / address-literal */
static enum err parse_domain(struct arena *arena, struct slice text, unsigned flags, struct slice *domain,
                             struct why *why)
{
    struct netaddr addr;
    if (text.len && text.ptr[0] == '[') {
        if (!domain_is_ip_literal(text, &addr))
            return err_set(why, ERR_BAD, "address literal is malformed");
        *domain =
            arena_printf(arena, "[%s%s]", addr.family == NETADDR_V6 ? "IPv6:" : "", netaddr_text(&addr).text);
        return ERR_OK;
    }
    if (!(flags & ADDRESS_ALLOW_UTF8) && !slice_is_ascii(text))
        return err_set(why, ERR_BAD, "address is not ASCII");
    return domain_to_alabel_in(arena, text, domain, why);
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
enum err address_parse_in(struct arena *arena, struct slice text, unsigned flags, struct address *addr,
                          struct why *why)
{
    struct address parsed = {0};
    struct slice rest = text;
    if (text.len > ADDRESS_PATH_MAX)
        return err_set(why, ERR_BAD, "address is too long");
    if ((flags & ADDRESS_ALLOW_POSTMASTER) && slice_ieq(text, SLICE("postmaster"))) {
        parsed.local = parsed.text = arena_dup(arena, text);
        *addr = parsed;
        return ERR_OK;
    }
    enum err err = take_local(arena, &rest, flags, &parsed.local, why);
    if (err)
        return err;
    if (rest.len == 0 || rest.ptr[0] != '@')
        return err_set(why, ERR_BAD, "address has no domain");
    err = parse_domain(arena, slice_from(rest, 1), flags, &parsed.domain, why);
    if (err)
        return err;
    parsed.text = address_join_in(arena, parsed.local, parsed.domain);
    if (parsed.domain.len > ADDRESS_DOMAIN_MAX || parsed.text.len > ADDRESS_MAX)
        return err_set(why, ERR_BAD, "address is too long");
    *addr = parsed;
    return ERR_OK;
}

/* Index of the ">" that closes the path, not the one in a quoted local part. */
static ptrdiff_t path_end(struct slice path)
{
    bool quoted = false;
    for (size_t i = 1; i < path.len && i <= ADDRESS_PATH_MAX; i++) {
        if (quoted && path.ptr[i] == '\\')
            i++;
        else if (path.ptr[i] == '"')
            quoted = !quoted;
        else if (path.ptr[i] == '>' && !quoted)
            return (ptrdiff_t)i;
    }
    return -1;
}

/* A-d-l ":" = At-domain *( "," At-domain ) ":";  At-domain = "@" Domain */
static enum err drop_route(struct slice *path, struct why *why)
{
    struct slice hop;
    ptrdiff_t colon = slice_find(*path, ':');
    if (path->len == 0 || path->ptr[0] != '@')
        return ERR_OK;
    if (colon < 0 || path->ptr[colon - 1] == ',')
        return err_set(why, ERR_BAD, "source route is malformed");
    struct slice route = slice_sub(*path, 0, (size_t)colon);
    while (slice_token(&route, ',', &hop))
        if (hop.len == 0 || hop.ptr[0] != '@' || !domain_is_host(slice_from(hop, 1)))
            return err_set(why, ERR_BAD, "source route is malformed");
    *path = slice_from(*path, (size_t)colon + 1);
    return ERR_OK;
}

/* Path = "<" [ A-d-l ":" ] Mailbox ">";  Reverse-path = Path / "<>" */
enum err address_path_take_in(struct arena *arena, struct slice *rest, unsigned flags, struct address *addr,
                              struct why *why)
{
    if (rest->len == 0 || rest->ptr[0] != '<')
        return err_set(why, ERR_BAD, "address must stand in angle brackets");
    ptrdiff_t end = path_end(*rest);
    if (end < 0)
        return err_set(why, ERR_BAD, "address is too long or has no closing bracket");
    struct slice inner = slice_sub(*rest, 1, (size_t)end - 1);
    enum err err = ERR_OK;
    if (inner.len == 0 && (flags & ADDRESS_ALLOW_NULL))
        *addr = (struct address){0};
    else if (inner.len == 0)
        err = err_set(why, ERR_BAD, "address is empty");
    else
        err = drop_route(&inner, why);
    if (!err && inner.len)
        err = address_parse_in(arena, inner, flags, addr, why);
    else if (!err && end > 1)
        err = err_set(why, ERR_BAD, "source route without an address");
    if (!err)
        *rest = slice_from(*rest, (size_t)end + 1);
    return err;
}

struct slice address_domain_of(struct slice mailbox)
{
    ptrdiff_t at = slice_rfind(mailbox, '@');
    return at < 0 ? SLICE_EMPTY : slice_from(mailbox, (size_t)at + 1);
}

bool address_is_null(const struct address *addr)
{
    return addr->text.len == 0;
}

bool address_needs_utf8(const struct address *addr)
{
    return !slice_is_ascii(addr->local);
}

/* Unicode default case folding, then NFC, so that "É" in one or two characters and "é" are one. */
static bool fold_unicode(struct slice local, uint8_t out[FOLD_BYTES], size_t *len)
{
    UChar units[FOLD_UNITS], folded[FOLD_UNITS];
    int32_t count = 0, bytes = 0;
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *nfc = unorm2_getNFCInstance(&status);
    u_strFromUTF8(units, FOLD_UNITS, &count, (const char *)local.ptr, (int32_t)local.len, &status);
    count = unorm2_normalize(nfc, units, count, folded, FOLD_UNITS, &status);
    count = u_strFoldCase(units, FOLD_UNITS, folded, count, U_FOLD_CASE_DEFAULT, &status);
    count = unorm2_normalize(nfc, units, count, folded, FOLD_UNITS, &status);
    u_strToUTF8((char *)out, FOLD_BYTES, &bytes, folded, count, &status);
    if (U_FAILURE(status))
        return false;
    *len = (size_t)bytes;
    return true;
}

struct slice address_fold_local_in(struct arena *arena, struct slice local)
{
    uint8_t unicode[FOLD_BYTES];
    size_t len;
    if (!slice_is_ascii(local) && local.len <= ADDRESS_LOCAL_MAX && fold_unicode(local, unicode, &len))
        return arena_dup(arena, slice_make(unicode, len));
    uint8_t *out = arena_must(arena, local.len + 1);
    for (size_t i = 0; i < local.len; i++)
        out[i] = ascii_lower(local.ptr[i]);
    return slice_make(out, local.len);
}

struct slice address_key_in(struct arena *arena, const struct address *addr)
{
    if (address_is_null(addr))
        return SLICE_EMPTY;
    return address_join_in(arena, address_fold_local_in(arena, addr->local), addr->domain);
}

bool address_split_tag(struct slice local, uint8_t delimiter, struct slice *user, struct slice *tag)
{
    ptrdiff_t at = slice_find(slice_from(local, 1), delimiter);
    *user = local;
    *tag = SLICE_EMPTY;
    if (at < 0)
        return false;
    *user = slice_sub(local, 0, (size_t)at + 1);
    *tag = slice_from(local, (size_t)at + 2);
    return true;
}

struct address address_with_local_in(struct arena *arena, const struct address *addr, struct slice local)
{
    struct address other = {.local = arena_dup(arena, local), .domain = addr->domain};
    other.text = address_join_in(arena, other.local, other.domain);
    return other;
}
