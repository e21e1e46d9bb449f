/* Fuzzes the reader of DNS messages; the first byte chooses the type asked for. */
#include <stdlib.h>

#include "dns/packet.h"
#include "dns/servers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const unsigned types[] = {1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 52};
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    struct packet_answer answer;
    struct slice servers[SERVERS_MAX];
    if (len == 0)
        return 0;
    struct slice message = slice_make(data + 1, len - 1);
    if (servers_read(message, servers) > SERVERS_MAX)
        abort();
    if (packet_read_in(arena, message, types[data[0] % (sizeof types / sizeof *types)], &answer) != ERR_OK)
        return 0;
    if (answer.count > PACKET_RECORDS_MAX || answer.canonical.len > PACKET_NAME_MAX)
        abort();
    for (size_t i = 0; i < answer.count; i++)
        for (size_t j = 0; j < answer.records[i].len; j++)
            if (answer.records[i].ptr[j] == 0xee && answer.records[i].len > 65535)
                abort();
    return 0;
}
