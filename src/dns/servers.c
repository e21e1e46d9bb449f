/* servers.c: reads a resolv.conf. Called by resolver.c. */
#include "dns/servers.h"

#include "grammar/netaddr.h"

size_t servers_read(struct slice resolv_conf, struct slice servers[SERVERS_MAX])
{
    size_t count = 0;
    struct slice line;
    while (count < SERVERS_MAX && slice_token(&resolv_conf, '\n', &line)) {
        line = slice_trim(line);
        if (!slice_starts(line, SLICE("nameserver")) || line.len < 12 || !ascii_is_space(line.ptr[10]))
            continue;
        struct slice address = slice_trim(slice_from(line, 10));
        for (size_t i = 0; i < address.len; i++)
            if (ascii_is_space(address.ptr[i]))
                address.len = i;
        struct netaddr parsed;
        ptrdiff_t zone = slice_find(address, '%');
        if (netaddr_parse(zone < 0 ? address : slice_sub(address, 0, (size_t)zone), &parsed))
            servers[count++] = address;
    }
    return count;
}
