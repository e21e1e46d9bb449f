/* nexthop.h: where to send mail, as Postfix's tables write it. Pure. */
#ifndef GRAMMAR_NEXTHOP_H
#define GRAMMAR_NEXTHOP_H

#include "base/arena.h"
#include "base/err.h"

struct nexthop {
    struct slice host; /* lower-cased A-labels, or the text of an address; no brackets */
    uint16_t port;     /* 0: not said */
    bool bracketed;    /* "[host]": that host itself, no MX look-up; also for addresses */
};

/* nexthop = ( "[" ( host / ["IPv6:"] address ) "]" / host / IPv4-address ) [ ":" port ]
 * port = 1*5DIGIT / "smtp" / "submission" / "smtps" / "submissions"
 * The host lives in the arena. ERR_BAD with a text that quotes nothing. */
enum err nexthop_parse_in(struct arena *arena, struct slice text, struct nexthop *nexthop,
                          struct why *why) MUST_CHECK;

#endif
