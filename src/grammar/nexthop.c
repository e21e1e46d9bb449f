/* nexthop.c: "[host]:port" and its kin, from the operator's tables. Called by the readers of the relay map
 * and of relay secrets. */
#include "grammar/nexthop.h"

#include "grammar/domain.h"

static bool read_port(struct slice text, uint16_t *port)
{
    static const struct {
        const char *name;
        uint16_t port;
    } services[] = {{"smtp", 25}, {"submission", 587}, {"smtps", 465}, {"submissions", 465}};
    uint64_t number;
    for (size_t i = 0; i < sizeof services / sizeof *services; i++)
        if (slice_ieq(text, slice_of(services[i].name))) {
            *port = services[i].port;
            return true;
        }
    if (text.len > 5 || !slice_u64(text, UINT16_MAX, &number) || number == 0)
        return false;
    *port = (uint16_t)number;
    return true;
}

static enum err read_host(struct arena *arena, struct slice text, struct nexthop *parsed, struct why *why)
{
    struct netaddr address;
    bool ipv6 = parsed->bracketed && slice_istarts(text, SLICE("IPv6:"));
    if (netaddr_parse(ipv6 ? slice_from(text, 5) : text, &address)) {
        parsed->bracketed = true;
        parsed->host = arena_dup(arena, slice_of(netaddr_text(&address).text));
        return ERR_OK;
    }
    if (ipv6 || domain_to_alabel_in(arena, text, &parsed->host, NULL) != ERR_OK)
        return err_set(why, ERR_BAD, "no host name and no address");
    return ERR_OK;
}

enum err nexthop_parse_in(struct arena *arena, struct slice text, struct nexthop *nexthop, struct why *why)
{
    struct nexthop parsed = {.bracketed = slice_starts(text, SLICE("["))};
    ptrdiff_t end = parsed.bracketed ? slice_find(text, ']') : slice_find(text, ':');
    if (parsed.bracketed && end < 0)
        return err_set(why, ERR_BAD, "no closing bracket");
    struct slice host = end < 0 ? text : slice_sub(text, parsed.bracketed, (size_t)end - parsed.bracketed);
    struct slice rest = end < 0 ? SLICE_EMPTY : slice_from(text, (size_t)end + parsed.bracketed);
    enum err err = read_host(arena, host, &parsed, why);
    if (err)
        return err;
    if (rest.len && (rest.ptr[0] != ':' || !read_port(slice_from(rest, 1), &parsed.port)))
        return err_set(why, ERR_BAD, "no valid port");
    *nexthop = parsed;
    return ERR_OK;
}
