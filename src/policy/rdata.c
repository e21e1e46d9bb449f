/* rdata.c: names and character strings of DNS records. Reads a stranger's zone data; called by mx.c and by
 * the relay role. */
#include "policy/rdata.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "grammar/netaddr.h"

static bool is_host_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_';
}

/* domain = *( length label ) %x00, length at most 63 (RFC 1035 section 3.1) */
bool rdata_name_read(struct slice wire, struct rdata_name *name)
{
    struct rdata_name out = {0};
    uint8_t label;
    for (;;) {
        struct slice bytes;
        if (!slice_take_u8(&wire, &label) || label > 63)
            return false;
        if (label == 0)
            break;
        if (!slice_take_bytes(&wire, label, &bytes) || out.len + 1 + label > RDATA_NAME_MAX)
            return false;
        if (out.len)
            out.text[out.len++] = '.';
        for (size_t i = 0; i < bytes.len; i++) {
            if (!is_host_byte(bytes.ptr[i]))
                return false;
            out.text[out.len++] = (char)ascii_lower(bytes.ptr[i]);
        }
    }
    if (wire.len)
        return false;
    *name = out;
    return true;
}

/* TXT-DATA = 1*( length bytes ) (RFC 1035 section 3.3.14) */
bool rdata_txt_in(struct arena *arena, struct slice rdata, struct slice *text)
{
    uint8_t *joined = arena_try(arena, rdata.len + 1);
    size_t len = 0;
    uint8_t size;
    if (!joined || rdata.len == 0)
        return false;
    while (slice_take_u8(&rdata, &size)) {
        struct slice string;
        if (!slice_take_bytes(&rdata, size, &string))
            return false;
        if (string.len)
            memcpy(joined + len, string.ptr, string.len);
        len += string.len;
    }
    *text = slice_make(joined, len);
    return true;
}

size_t rdata_reverse_name(const struct netaddr *addr, char name[RDATA_REVERSE_MAX])
{
    size_t len = 0;
    name[0] = '\0';
    if (addr->family == NETADDR_V4)
        return (size_t)snprintf(name, RDATA_REVERSE_MAX, "%u.%u.%u.%u.in-addr.arpa", addr->bytes[3],
                                addr->bytes[2], addr->bytes[1], addr->bytes[0]);
    if (addr->family != NETADDR_V6)
        return 0;
    for (int i = 15; i >= 0; i--)
        len += (size_t)snprintf(name + len, RDATA_REVERSE_MAX - len, "%x.%x.", addr->bytes[i] & 15u,
                                addr->bytes[i] >> 4);
    return len + (size_t)snprintf(name + len, RDATA_REVERSE_MAX - len, "ip6.arpa");
}
