/* http_url.c: URLs of web services, from the operator's settings. Called by settings/ and relay. */
#include "grammar/http_url.h"

#include "grammar/domain.h"

static bool take_scheme(struct slice *text, bool *plain)
{
    *plain = slice_istarts(*text, SLICE("http://"));
    if (!*plain && !slice_istarts(*text, SLICE("https://")))
        return false;
    *text = slice_from(*text, *plain ? 7 : 8);
    return true;
}

/* Takes "[::1]", "192.0.2.1" or a name off the front. Names may be of one label, as in a cluster. */
static bool take_host(struct slice *text, struct http_url *url)
{
    bool brackets = slice_starts(*text, SLICE("["));
    size_t end = brackets ? 1 : 0;
    while (end < text->len && text->ptr[end] != (brackets ? ']' : ':'))
        end++;
    if (brackets && end >= text->len)
        return false;
    url->host = slice_sub(*text, brackets, end - brackets);
    *text = slice_from(*text, end + brackets);
    url->address = (struct netaddr){.family = NETADDR_NONE};
    if (netaddr_parse(url->host, &url->address))
        return brackets == (slice_find(url->host, ':') >= 0);
    return !brackets && domain_is_ldh(url->host);
}

static bool is_path(struct slice path)
{
    for (size_t i = 0; i < path.len; i++)
        if (!ascii_is_alnum(path.ptr[i]) && slice_find(SLICE("-._~/"), path.ptr[i]) < 0)
            return false;
    return true;
}

enum err http_url_parse(struct slice text, struct http_url *result, struct why *why)
{
    struct http_url url;
    uint64_t port;
    if (text.len > HTTP_URL_MAX)
        return err_set(why, ERR_BAD, "longer than %u characters", HTTP_URL_MAX);
    if (!take_scheme(&text, &url.plain))
        return err_set(why, ERR_BAD, "does not begin with http:// or https://");
    ptrdiff_t slash = slice_find(text, '/');
    url.path = slash < 0 ? SLICE_EMPTY : slice_from(text, (size_t)slash);
    text = slash < 0 ? text : slice_sub(text, 0, (size_t)slash);
    while (slice_ends(url.path, SLICE("/")))
        url.path.len--;
    if (!take_host(&text, &url))
        return err_set(why, ERR_BAD, "names no host");
    port = url.plain ? 80 : 443;
    if (text.len && (text.ptr[0] != ':' || text.len > 6 ||
                     !slice_u64(slice_from(text, 1), UINT16_MAX, &port) || port == 0))
        return err_set(why, ERR_BAD, "has no valid port");
    if (!is_path(url.path))
        return err_set(why, ERR_BAD, "has a path with other characters than letters, digits and -._~/");
    url.port = (uint16_t)port;
    *result = url;
    return ERR_OK;
}
