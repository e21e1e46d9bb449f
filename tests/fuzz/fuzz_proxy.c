/* PROXY headers: a whole one is found at the same length whatever follows, and every shorter piece wants
 * more. */
#include <stdlib.h>
#include <string.h>

#include "grammar/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct proxy_header header, again;
    struct why why;
    size_t consumed = 0, shorter = 0;
    enum proxy_state state = proxy_parse(slice_make(data, len), &header, &consumed, &why);
    if (state == PROXY_NEED_MORE && len >= PROXY_V2_MAX)
        abort();
    if (state != PROXY_DONE)
        return 0;
    if (consumed == 0 || consumed > len || consumed > PROXY_V2_MAX)
        abort();
    for (size_t i = 0; i < consumed; i++)
        if (proxy_parse(slice_make(data, i), &again, &shorter, &why) != PROXY_NEED_MORE)
            abort();
    if (proxy_parse(slice_make(data, consumed), &again, &shorter, &why) != PROXY_DONE || shorter != consumed)
        abort();
    if (!netaddr_same_host(&header.source, &again.source))
        abort();
    struct netaddr parsed;
    if (header.source.family == NETADDR_V4 || header.source.family == NETADDR_V6) {
        struct netaddr_text text = netaddr_text_port(&header.source);
        if (!netaddr_parse_port(slice_of(text.text), &parsed) || !netaddr_same_host(&parsed, &header.source))
            abort();
    }
    return 0;
}
