/* door_bench.c: what the questions asked of every connection cost: is this address banned, among 100,000 bans
 * (single addresses and networks of both families), and may it do this once more, among 100,000 addresses the
 * limits remember. Nanoseconds each, and the memory they take. Started by bench/door.py.
 *
 *   door_bench [bans [addresses]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/ban_list.h"
#include "net/limits.h"

#define LOOKUPS 4000000u
#define ASKED   65536u /* different addresses that are asked about, so that caches do not remember each */
#define NOW_S   1795232569u
#define ROUNDS  5

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static struct netaddr random_address(void)
{
    uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8};
    uint64_t number = next_random();
    memcpy(bytes + 4, &number, 8);
    if (number % 4)
        return netaddr_v4(bytes + 5, 0);
    return netaddr_v6(bytes, 0);
}

/* One of four a network: IPv4 /24, IPv6 /48; the others single addresses and /64s. */
static struct ban_entry random_ban(void)
{
    struct ban_entry entry = {.until = NOW_S + 3600};
    struct netaddr addr = random_address();
    bool network = next_random() % 4 == 0, v4 = addr.family == NETADDR_V4;
    unsigned bits = v4 ? (network ? 24 : 32) : (network ? 48 : 64);
    addr = netaddr_prefix(&addr, bits);
    entry.network.bits = (uint8_t)(v4 ? bits + 96 : bits);
    if (v4) {
        memset(entry.network.ip + 10, 0xff, 2);
        memcpy(entry.network.ip + 12, addr.bytes, 4);
    } else {
        memcpy(entry.network.ip, addr.bytes, 16);
    }
    return entry;
}

static struct netaddr address_in(const struct ban_entry *entry)
{
    return entry->network.bits >= 96 ? netaddr_v4(entry->network.ip + 12, 0)
                                     : netaddr_v6(entry->network.ip, 0);
}

static size_t resident(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%*u %lu", &pages) != 1)
        pages = 0;
    if (statm)
        (void)fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void die(const char *what, const struct why *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why->text);
    exit(1);
}

/* The best of some rounds: what the work costs, without what else the machine does. */
static double time_bans(const struct ban_list *list, const struct netaddr *asked, unsigned *found)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begun = clock_mono_ns();
        *found = 0;
        for (unsigned i = 0; i < LOOKUPS; i++)
            *found += ban_list_has(list, &asked[i % ASKED], NOW_S, NULL);
        double each = (double)(clock_mono_ns() - begun) / LOOKUPS;
        best = each < best ? each : best;
    }
    return best;
}

static void bench_bans(size_t count)
{
    struct ban_entry *entries = mem_alloc(count * sizeof *entries);
    struct netaddr *hits = mem_alloc(ASKED * sizeof *hits), *misses = mem_alloc(ASKED * sizeof *misses);
    struct why why;
    int fd = -1;
    struct ban_list *list = NULL;
    for (size_t i = 0; i < count; i++)
        entries[i] = random_ban();
    for (size_t i = 0; i < ASKED; i++) {
        hits[i] = address_in(&entries[next_random() % count]);
        misses[i] = random_address();
    }
    uint64_t begun = clock_mono_ns();
    if (ban_list_make(entries, count, &fd, &why) != ERR_OK)
        die("make", &why);
    uint64_t made = clock_mono_ns();
    if (ban_list_map(fd, &list, &why) != ERR_OK)
        die("map", &why);
    uint64_t mapped = clock_mono_ns();
    unsigned banned, by_chance;
    double hit = time_bans(list, hits, &banned), miss = time_bans(list, misses, &by_chance);
    (void)printf("\"bans\": %zu, \"make_ms\": %.2f, \"map_ms\": %.2f, \"hit_ns\": %.1f, \"miss_ns\": %.1f, "
                 "\"hits\": %.4f, \"misses\": %.4f, \"image_mb\": %.2f, ",
                 count, (double)(made - begun) / 1e6, (double)(mapped - made) / 1e6, hit, miss,
                 banned / (double)LOOKUPS, 1 - by_chance / (double)LOOKUPS,
                 (double)lseek(fd, 0, SEEK_END) / 1e6);
    ban_list_free(&list);
    (void)close(fd);
    free(entries);
    free(hits);
    free(misses);
}

static void bench_limits(size_t count)
{
    struct settings settings = {0};
    settings.limits.ipv4_prefix = 32;
    settings.limits.ipv6_prefix = 64;
    size_t before = resident();
    struct limits *limits = limits_new(count);
    struct netaddr *asked = mem_alloc(count * sizeof *asked);
    size_t own = resident();
    for (size_t i = 0; i < count; i++)
        asked[i] = random_address();
    own = resident() - own;
    uint64_t now_ms = 1000000, taken = 0;
    double best = 1e9;
    for (int round = 0; round <= ROUNDS; round++) { /* the first fills */
        uint64_t begun = clock_mono_ns();
        size_t turns = round ? LOOKUPS : count;
        for (size_t i = 0; i < turns; i++) {
            const struct netaddr *addr = &asked[(i * 7919) % count];
            const struct limit_key key = limit_key_address(&settings, SETTINGS_MX, addr);
            taken += limits_take(limits, &key, LIMIT_CONNECTIONS, 600, 1, now_ms += round ? 1 : 0, NULL);
        }
        double each = (double)(clock_mono_ns() - begun) / (double)turns;
        best = round && each < best ? each : best;
    }
    (void)printf("\"addresses\": %zu, \"take_ns\": %.1f, \"taken\": %llu, \"limits_mb\": %.2f",
                 limits_count(limits), best, (unsigned long long)taken,
                 (double)(resident() - before - own) / 1e6);
    limits_free(&limits);
    free(asked);
}

int main(int argc, char **argv)
{
    size_t bans = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t addresses = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    if (!bans || bans > BAN_LIST_MAX || !addresses)
        return 2;
    (void)printf("{");
    bench_bans(bans);
    bench_limits(addresses);
    (void)printf("}\n");
    return 0;
}
