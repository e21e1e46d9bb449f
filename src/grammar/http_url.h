/* http_url.h: where a web service answers, as the administrator writes it. Pure. */
#ifndef GRAMMAR_HTTP_URL_H
#define GRAMMAR_HTTP_URL_H

#include "base/err.h"
#include "grammar/netaddr.h"

#define HTTP_URL_MAX 512

struct http_url {
    bool plain;             /* http */
    uint16_t port;          /* 80, 443 where it is not said */
    struct slice host;      /* a domain name or an address, without brackets */
    struct slice path;      /* what all paths there begin with: empty, or "/some/where" */
    struct netaddr address; /* where the host is one; NETADDR_NONE: a name */
};

/*   url = ( "http" / "https" ) "://" ( host / IPv4 / "[" IPv6 "]" ) [ ":" port ] [ path ]
 * RFC 9110 section 4.2, without user, query and fragment; a path of letters, digits and "-._~/". Slices point
 * into `text`. ERR_BAD with a text that says what is wrong. */
enum err http_url_parse(struct slice text, struct http_url *url, struct why *why) MUST_CHECK;

#endif
