/* The image of bans: as an image (no answer may be read from outside of it), and as a list of networks, whose
 * image must say the same as the networks do one by one. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "net/ban_list.h"

#define ENTRIES_MAX 64
#define ENTRY_LEN   19 /* address, bits, rank, until */

static struct ban_list *map(const uint8_t *data, size_t len)
{
    struct ban_list *list = NULL;
    AUTO_FD int fd = -1;
    if (io_memfd("fuzz", &fd, NULL) || io_write_all(fd, slice_make(data, len), NULL) || io_seal(fd, NULL))
        abort();
    enum err err = ban_list_map(fd, &list, NULL);
    if ((err == ERR_OK) != (list != NULL))
        abort();
    return list;
}

static void ask(const struct ban_list *list, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at + 16 <= len && at < 1024; at += 8) {
        const struct netaddr addr = netaddr_v6(data + at, 0);
        uint64_t until = 0;
        if (ban_list_has(list, &addr, 7, &until) && until <= 7)
            abort();
    }
}

static uint64_t model(const struct ban_entry *entries, size_t count, const uint8_t ip[16])
{
    uint64_t longest[4] = {0};
    bool said[4] = {false};
    for (size_t i = 0; i < count; i++) {
        enum ban_rank rank = entries[i].rank;
        if (!conf_network_has(&entries[i].network, ip))
            continue;
        said[rank] = true;
        longest[rank] = entries[i].until > longest[rank] ? entries[i].until : longest[rank];
    }
    uint64_t usual = said[BAN_SPARED] ? 0 : longest[BAN_USUAL], hand = longest[BAN_BY_HAND];
    return said[BAN_NEVER] ? 0 : usual > hand ? usual : hand;
}

static struct ban_entry entry_of(const uint8_t bytes[ENTRY_LEN])
{
    struct ban_entry e = {.rank = (enum ban_rank)(bytes[17] & 3), .until = bytes[18]};
    e.network.bits = (uint8_t)(bytes[16] % 129);
    for (unsigned bit = 0; bit < e.network.bits; bit++)
        e.network.ip[bit / 8] |= (uint8_t)(bytes[bit / 8] & 0x80u >> bit % 8);
    return e;
}

static void compare(const uint8_t *data, size_t len)
{
    struct ban_entry entries[ENTRIES_MAX], sorted[ENTRIES_MAX];
    struct ban_list *list = NULL;
    size_t count = 0;
    AUTO_FD int fd = -1;
    for (; count < ENTRIES_MAX && len >= ENTRY_LEN; data += ENTRY_LEN, len -= ENTRY_LEN) {
        entries[count] = entry_of(data);
        sorted[count] = entries[count];
        count++;
    }
    if (ban_list_make(sorted, count, &fd, NULL) || ban_list_map(fd, &list, NULL))
        abort();
    for (size_t i = 0; i < count; i++) {
        uint8_t ip[16];
        memcpy(ip, entries[i].network.ip, sizeof ip);
        for (int near = 0; near < 3; near++, ip[15]++) {
            const struct netaddr addr = netaddr_v6(ip, 0);
            uint64_t until = 0, wanted = model(entries, count, ip);
            if (ban_list_has(list, &addr, 0, &until) != (wanted > 0) || until != wanted)
                abort();
        }
    }
    ban_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ban_list *list = map(data, len);
    ask(list, data, len);
    ban_list_free(&list);
    compare(data, len);
    return 0;
}
