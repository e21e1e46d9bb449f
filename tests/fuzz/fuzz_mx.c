/* Fuzzes the choice of mail hosts. Rows of one length byte and rdata are the MX answer; what follows an empty
 * row are addresses for the hosts, 4 or 16 bytes by the row's length. */
#include <stdlib.h>

#include "base/buf.h"
#include "policy/mx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t draw(void *ctx, uint64_t bound)
{
    uint64_t *state = ctx;
    *state = *state * 6364136223846793005u + 1;
    return (*state >> 33) % bound;
}

static void check_order(const struct mx_list *list)
{
    if (list->count > MX_HOSTS_MAX ||
        (list->verdict != MX_HOSTS && list->verdict != MX_IMPLICIT && list->count))
        abort();
    for (size_t i = 1; i < list->count; i++)
        if (list->hosts[i - 1].preference > list->hosts[i].preference ||
            slice_eq(list->hosts[i - 1].name, list->hosts[i].name))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(4u << 20);
    struct slice input = slice_make(data, len), row;
    struct slice records[64];
    size_t count = 0;
    uint64_t seed = len;
    uint8_t size;
    while (count < 64 && slice_take_u8(&input, &size) && size && slice_take_bytes(&input, size, &row))
        records[count++] = row;
    struct mx_list list;
    mx_list_read_in(arena, SLICE("example.org"), MX_DNS_OK, records, count, draw, &seed, &list);
    check_order(&list);
    static const struct slice names[] = {{(const uint8_t *)"me.test", 7}};
    const struct mx_self self = {.names = names, .name_count = 1};
    struct mx_found found[MX_HOSTS_MAX];
    struct netaddr addresses[MX_HOSTS_MAX][40];
    for (size_t i = 0; i < list.count; i++) {
        found[i] = (struct mx_found){.host = list.hosts[i], .dns = MX_DNS_OK, .addresses = addresses[i]};
        while (found[i].count < 40 && slice_take_u8(&input, &size) && size) {
            bool four = size <= 4;
            if (!slice_take_bytes(&input, four ? 4 : 16, &row))
                break;
            addresses[i][found[i].count++] = four ? netaddr_v4(row.ptr, 0) : netaddr_v6(row.ptr, 0);
        }
    }
    struct mx_result r = mx_choose(arena, SLICE("example.org"), found, list.count, &self);
    if ((r.choice == MX_CHOSEN) != (r.count > 0) || r.count > list.count)
        abort();
    for (size_t i = 0; i < r.count; i++)
        for (size_t a = 0; a < found[i].count; a++)
            if (mx_address_flaw(&found[i].addresses[a]))
                abort();
    return 0;
}
