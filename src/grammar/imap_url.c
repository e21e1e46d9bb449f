/* imap_url.c: IMAP URLs of messages. Input: any client, and, signed by us, strangers who were given one.
 * Called by imap (CATENATE, URLAUTH) and by store, which checks what it signed. */
#include "grammar/imap_url.h"

#include <string.h>

#include "grammar/date.h"
#include "grammar/imap_list.h"
#include "grammar/imap_scan.h"

/* What is left of the text. */
struct url_scan {
    struct arena *arena;
    struct slice whole, rest;
};

/* achar and bchar of RFC 5092: what may stand unencoded in a mailbox, a user or a section. */
static bool is_url_char(uint8_t c)
{
    return ascii_is_alnum(c) || (c && strchr("-._~!$'()*+,&=:@/%", c));
}

/* %XX undone. False: an octet that may not stand here, a wrong escape, or NUL, CR, LF. */
static bool decode(struct arena *arena, struct slice text, struct slice *decoded)
{
    uint8_t *out = ARENA_ARRAY(arena, uint8_t, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (!is_url_char(c))
            return false;
        if (c == '%') {
            int high = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (c == 0 || c == '\r' || c == '\n')
            return false;
        out[n++] = c;
    }
    *decoded = slice_make(out, n);
    return true;
}

/* Takes `word` (any case) off the front. */
static bool try_word(struct url_scan *s, struct slice word)
{
    if (!slice_istarts(s->rest, word))
        return false;
    s->rest = slice_from(s->rest, word.len);
    return true;
}

static bool take_number(struct url_scan *s, uint32_t *number)
{
    size_t n = 0;
    uint64_t value;
    while (n < s->rest.len && ascii_is_digit(s->rest.ptr[n]))
        n++;
    if (!slice_u64(slice_sub(s->rest, 0, n), UINT32_MAX, &value))
        return false;
    *number = (uint32_t)value;
    s->rest = slice_from(s->rest, n);
    return true;
}

/* Up to the next ";" or the end, without the "/" in front of it. */
static struct slice take_value(struct url_scan *s)
{
    ptrdiff_t end = slice_find(s->rest, ';');
    struct slice value = end < 0 ? s->rest : slice_sub(s->rest, 0, (size_t)end);
    s->rest = slice_from(s->rest, value.len);
    if (end >= 0 && slice_ends(value, SLICE("/")))
        value.len--;
    return value;
}

/* iserver = [iuserinfo "@"] host [":" port]; iuserinfo = enc-user [iauth] / [enc-user] iauth */
static bool take_server(struct url_scan *s, struct imap_url *url)
{
    ptrdiff_t slash = slice_find(s->rest, '/');
    struct slice server = slice_sub(s->rest, 0, slash < 0 ? s->rest.len : (size_t)slash);
    s->rest = slice_from(s->rest, server.len);
    ptrdiff_t at = slice_rfind(server, '@');
    if (at >= 0) {
        struct slice user = slice_sub(server, 0, (size_t)at);
        ptrdiff_t auth = slice_find(user, ';');
        if (auth >= 0 && !slice_istarts(slice_from(user, (size_t)auth), SLICE(";AUTH=")))
            return false;
        user.len = auth >= 0 ? (size_t)auth : user.len;
        if (!decode(s->arena, user, &url->user))
            return false;
        server = slice_from(server, (size_t)at + 1);
    }
    ptrdiff_t colon = slice_rfind(server, ':'), bracket = slice_rfind(server, ']');
    url->host = colon > bracket ? slice_sub(server, 0, (size_t)colon) : server;
    return url->host.len > 0;
}

/* imailbox-ref = enc-mailbox [";UIDVALIDITY=" nz-number]; then "/" */
static bool take_mailbox(struct url_scan *s, struct imap_url *url)
{
    struct slice encoded = take_value(s), name;
    if (!decode(s->arena, encoded, &name) || (name.len > 0 && !slice_is_utf8(name)))
        return false;
    url->mailbox = name.len ? imap_mailbox_canonical_in(s->arena, name, '/') : SLICE_EMPTY;
    if (url->mailbox.len > IMAP_MAILBOX_NAME_MAX)
        return false;
    if (!try_word(s, SLICE(";UIDVALIDITY=")))
        return true;
    if (!take_number(s, &url->uidvalidity) || url->uidvalidity == 0)
        return false;
    (void)try_word(s, SLICE("/"));
    return true;
}

/* isection = ";SECTION=" enc-section */
static bool take_section(struct url_scan *s, struct imap_url *url)
{
    struct slice encoded = take_value(s), text;
    return decode(s->arena, encoded, &text) && imap_section_parse_in(s->arena, text, &url->section);
}

/* ipartial = ";PARTIAL=" number ["." nz-number] */
static bool take_partial(struct url_scan *s, struct imap_url *url)
{
    url->section.partial = true;
    url->section.length = UINT32_MAX;
    if (!take_number(s, &url->section.offset))
        return false;
    if (try_word(s, SLICE(".")) && (!take_number(s, &url->section.length) || url->section.length == 0))
        return false;
    (void)try_word(s, SLICE("/"));
    return true;
}

/* expire = ";EXPIRE=" date-time, RFC 3339 */
static bool take_expire(struct url_scan *s, struct imap_url *url)
{
    struct slice text;
    struct date_time date;
    if (!decode(s->arena, take_value(s), &text) || !date_parse_iso(text, &date))
        return false;
    url->expires = true;
    url->expire = date.seconds;
    return true;
}

/* access = ("submit+" enc-user) / ("user+" enc-user) / "authuser" / "anonymous" */
static bool take_access(struct url_scan *s, struct imap_url *url)
{
    static const struct {
        struct slice word;
        enum imap_url_access access;
    } words[] = {{SLICE("submit+"), IMAP_URL_SUBMIT},
                 {SLICE("user+"), IMAP_URL_USER},
                 {SLICE("authuser"), IMAP_URL_AUTHUSER},
                 {SLICE("anonymous"), IMAP_URL_ANONYMOUS}};
    ptrdiff_t end = slice_find(s->rest, ':');
    struct slice text = end < 0 ? s->rest : slice_sub(s->rest, 0, (size_t)end);
    s->rest = slice_from(s->rest, text.len);
    url->rump = slice_sub(s->whole, 0, s->whole.len - s->rest.len);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!slice_istarts(text, words[i].word))
            continue;
        struct slice user = slice_from(text, words[i].word.len);
        bool wanted = words[i].access == IMAP_URL_SUBMIT || words[i].access == IMAP_URL_USER;
        url->access = words[i].access;
        return decode(s->arena, user, &url->access_user) && (user.len > 0) == wanted;
    }
    return false;
}

/* iua-verifier = ":" uauth-mechanism ":" 32*HEXDIG */
static bool take_verifier(struct url_scan *s, struct imap_url *url)
{
    if (s->rest.len == 0)
        return true;
    ptrdiff_t colon = slice_find(slice_from(s->rest, 1), ':');
    if (s->rest.ptr[0] != ':' || colon <= 0)
        return false;
    url->mechanism = slice_sub(s->rest, 1, (size_t)colon);
    url->token = slice_from(s->rest, (size_t)colon + 2);
    for (size_t i = 0; i < url->token.len; i++)
        if (ascii_hex_value(url->token.ptr[i]) < 0)
            return false;
    s->rest = SLICE_EMPTY;
    return url->token.len >= 32;
}

/* imessagepart = imailbox-ref "/;UID=" nz-number ["/;SECTION=" …] ["/;PARTIAL=" …] [[";EXPIRE=" …]
 * ";URLAUTH=" access [verifier]], RFC 5092 section 11; the "/" before a ";" may lack, as many write it */
static bool take_message(struct url_scan *s, struct imap_url *url)
{
    if (!take_mailbox(s, url) || !try_word(s, SLICE(";UID=")) || !take_number(s, &url->uid) || url->uid == 0)
        return false;
    (void)try_word(s, SLICE("/"));
    if (try_word(s, SLICE(";SECTION=")) && !take_section(s, url))
        return false;
    if (try_word(s, SLICE(";PARTIAL=")) && !take_partial(s, url))
        return false;
    if (try_word(s, SLICE(";EXPIRE=")) && !take_expire(s, url))
        return false;
    if (try_word(s, SLICE(";URLAUTH=")))
        return take_access(s, url) && take_verifier(s, url);
    return s->rest.len == 0 && !url->expires;
}

/* Another scheme: the first segment of a relative path has no ":" (RFC 3986 section 4.2). */
static bool has_scheme(struct slice text)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] != '/' && text.ptr[n] != ';' && text.ptr[n] != ':')
        n++;
    return n < text.len && text.ptr[n] == ':';
}

static bool take_url(struct url_scan *s, struct imap_url *url)
{
    url->absolute = try_word(s, SLICE("imap://"));
    if (!url->absolute && has_scheme(s->rest))
        return false;
    if (url->absolute && !take_server(s, url))
        return false;
    (void)try_word(s, SLICE("/"));
    return take_message(s, url) && (url->mailbox.len > 0 || !url->absolute);
}

enum err imap_url_parse_in(struct arena *arena, struct slice text, struct imap_url *url, struct why *why)
{
    struct url_scan s = {.arena = arena, .whole = text, .rest = text};
    struct imap_url parsed = {0};
    if (text.len > IMAP_URL_MAX || !take_url(&s, &parsed))
        return err_set(why, ERR_BAD, "not the URL of a message");
    *url = parsed;
    return ERR_OK;
}

/* `name` is the address `account`, or its local part while `domain` is its domain. */
static bool is_account(struct slice name, struct slice domain, struct slice account)
{
    if (slice_ieq(name, account))
        return true;
    ptrdiff_t at = slice_rfind(account, '@');
    return at > 0 && slice_ieq(name, slice_sub(account, 0, (size_t)at)) &&
           slice_ieq(domain, slice_from(account, (size_t)at + 1));
}

bool imap_url_is_of(const struct imap_url *url, struct slice account)
{
    return is_account(url->user, url->host, account);
}

bool imap_url_is_here(const struct imap_url *url, struct slice hostname, struct slice account)
{
    ptrdiff_t at = slice_rfind(account, '@');
    return slice_ieq(url->host, hostname) ||
           (at >= 0 && slice_ieq(url->host, slice_from(account, (size_t)at + 1)));
}

bool imap_url_is_for(const struct imap_url *url, struct slice account)
{
    ptrdiff_t at = slice_rfind(account, '@');
    return is_account(url->access_user, at < 0 ? SLICE_EMPTY : slice_from(account, (size_t)at + 1), account);
}
