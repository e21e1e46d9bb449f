/* domain.c: syntax and canonical form of domain names. Text from envelopes, headers and configuration; trusts
 * none. */
#include "grammar/domain.h"

#include <idn2.h>
#include <string.h>

static bool label_is_good(struct slice label, bool underscore)
{
    if (label.len == 0 || label.len > DOMAIN_LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        uint8_t c = label.ptr[i];
        if (!ascii_is_alnum(c) && c != '-' && !(underscore && c == '_'))
            return false;
    }
    return true;
}

/* Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str]  (RFC 5321 section 4.1.2) */
static bool name_is_good(struct slice name, bool underscore)
{
    struct slice label;
    if (name.len == 0 || name.len > DOMAIN_MAX || name.ptr[name.len - 1] == '.')
        return false;
    while (slice_token(&name, '.', &label))
        if (!label_is_good(label, underscore))
            return false;
    return true;
}

bool domain_is_ldh(struct slice name)
{
    return name_is_good(name, false);
}

bool domain_is_host(struct slice name)
{
    return name_is_good(name, true);
}

static struct slice lower_in(struct arena *arena, struct slice s)
{
    uint8_t *copy = arena_must(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = ascii_lower(s.ptr[i]);
    return slice_make(copy, s.len);
}

static bool has_alabel(struct slice name)
{
    struct slice label;
    while (slice_token(&name, '.', &label))
        if (slice_istarts(label, SLICE("xn--")))
            return true;
    return false;
}

/* The library's view of the name, or false. IDNA2008 with UTS 46 non-transitional mapping; it also maps case
 * and the dots of other scripts. */
static bool idn_in(struct arena *arena, struct slice name, struct slice *alabel)
{
    uint8_t *found = NULL;
    if (name.len == 0 || name.len > DOMAIN_UTF8_MAX || memchr(name.ptr, 0, name.len))
        return false;
    int rc = idn2_lookup_u8((const uint8_t *)arena_cstr(arena, name), &found,
                            IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (rc != IDN2_OK)
        return false;
    *alabel = lower_in(arena, slice_of((const char *)found));
    idn2_free(found);
    return true;
}

enum err domain_to_alabel_in(struct arena *arena, struct slice name, struct slice *alabel, struct why *why)
{
    struct slice found;
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    if (slice_is_ascii(name)) {
        if (!domain_is_host(name))
            return err_set(why, ERR_BAD, "domain name is malformed");
        /* Through the library even so, because "xn--" of upper-case or unnormalised text must not become a
         * second name. */
        if (!has_alabel(name) || !idn_in(arena, name, &found) || !domain_is_ldh(found))
            found = lower_in(arena, name);
    } else if (!slice_is_utf8(name) || !idn_in(arena, name, &found) || !domain_is_ldh(found)) {
        return err_set(why, ERR_BAD, "internationalised domain name is malformed");
    }
    *alabel = found;
    return ERR_OK;
}

struct slice domain_to_ulabel_in(struct arena *arena, struct slice alabel)
{
    char *found = NULL;
    if (!domain_is_ldh(alabel) || !has_alabel(alabel))
        return alabel;
    if (idn2_to_unicode_8z8z(arena_cstr(arena, alabel), &found, IDN2_NONTRANSITIONAL) != IDN2_OK)
        return alabel;
    struct slice ulabel = arena_dup(arena, slice_of(found));
    idn2_free(found);
    return ulabel;
}

bool domain_is_ip_literal(struct slice text, struct netaddr *addr)
{
    struct netaddr parsed;
    if (text.len < 3 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
        return false;
    struct slice inner = slice_sub(text, 1, text.len - 2);
    bool v6 = slice_istarts(inner, SLICE("IPv6:"));
    if (v6)
        inner = slice_from(inner, 5);
    if ((slice_find(inner, ':') >= 0) != v6 || !netaddr_parse(inner, &parsed))
        return false;
    if (addr)
        *addr = parsed;
    return true;
}
