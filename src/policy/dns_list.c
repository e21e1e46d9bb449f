/* dns_list.c: DNS lists of addresses: names, answers, tests. Reads a stranger's zone data as the dns role
 * passes it on; trusts nothing of it. Called by smtp/dns_list.c. */
#include "policy/dns_list.h"

#include <stdio.h>
#include <string.h>

#include "grammar/domain.h"
#include "policy/rdata.h"

const struct netaddr dns_list_point_listed = {.family = NETADDR_V4, .bytes = {127, 0, 0, 2}};
const struct netaddr dns_list_point_clean = {.family = NETADDR_V4, .bytes = {127, 0, 0, 1}};

/* ---- names ---- */

/* The reversed address is what stands before "in-addr.arpa" or "ip6.arpa" in the name of its PTR record. */
static size_t reversed(const struct netaddr *addr, char text[RDATA_REVERSE_MAX])
{
    size_t len = rdata_reverse_name(addr, text);
    struct slice name = slice_make(text, len);
    if (slice_ends(name, SLICE("in-addr.arpa")))
        return len - strlen("in-addr.arpa");
    return slice_ends(name, SLICE("ip6.arpa")) ? len - strlen("ip6.arpa") : 0;
}

bool dns_list_name(const struct netaddr *addr, struct slice zone, struct dns_list_name *name)
{
    char front[RDATA_REVERSE_MAX];
    size_t len = reversed(addr, front);
    if (slice_ends(zone, SLICE(".")))
        zone.len--;
    if (len == 0 || len + zone.len > DNS_LIST_NAME_MAX || !domain_is_host(zone))
        return false;
    memcpy(name->text, front, len);
    memcpy(name->text + len, zone.ptr, zone.len);
    name->len = len + zone.len;
    name->text[name->len] = '\0';
    return true;
}

/* ---- answers ---- */

static bool counts(const uint8_t a[4], const struct conf_network *answers, size_t answer_count)
{
    uint8_t ip[16] = {[10] = 0xff, 0xff};
    memcpy(ip + 12, a, 4);
    for (size_t i = 0; i < answer_count; i++)
        if (conf_network_has(&answers[i], ip))
            return true;
    return answer_count == 0;
}

/* RFC 5782 section 2.1: the address is in 127.0.0.0/8; and 127.255.255.0/24 is what lists answer to resolvers
 * they do not serve. */
static enum dns_list_finding read_one(struct slice a, const struct conf_network *answers, size_t answer_count)
{
    if (a.len != 4 || a.ptr[0] != 127)
        return DNS_LIST_WRONG;
    if (a.ptr[1] == 255 && a.ptr[2] == 255)
        return DNS_LIST_REFUSED;
    return counts(a.ptr, answers, answer_count) ? DNS_LIST_LISTED : DNS_LIST_CLEAN;
}

/* What is worst of an answer is what it means: a list that is not in its right mind lists nobody. */
enum dns_list_finding dns_list_read(const struct slice *records, size_t count,
                                    const struct conf_network *answers, size_t answer_count)
{
    enum dns_list_finding worst = DNS_LIST_CLEAN;
    for (size_t i = 0; i < count && i < DNS_LIST_RECORDS_MAX; i++) {
        enum dns_list_finding one = read_one(records[i], answers, answer_count);
        if (one > worst)
            worst = one;
    }
    return worst;
}

/* ---- tests ---- */

enum dns_list_health dns_list_judge(enum dns_list_finding listed, enum dns_list_finding clean)
{
    if (listed == DNS_LIST_WRONG || clean == DNS_LIST_WRONG)
        return DNS_LIST_NONSENSE;
    if (listed == DNS_LIST_REFUSED || clean == DNS_LIST_REFUSED)
        return DNS_LIST_REFUSES;
    if (clean == DNS_LIST_LISTED)
        return DNS_LIST_LISTS_ALL;
    if (listed == DNS_LIST_CLEAN)
        return DNS_LIST_EMPTY;
    return listed == DNS_LIST_LISTED && clean == DNS_LIST_CLEAN ? DNS_LIST_WORKS : DNS_LIST_SILENT;
}

const char *dns_list_health_text(enum dns_list_health health)
{
    static const char *const texts[] = {
        [DNS_LIST_UNTESTED] = "not tested yet",
        [DNS_LIST_WORKS] = "works",
        [DNS_LIST_SILENT] = "does not answer",
        [DNS_LIST_EMPTY] = "lists nobody: 127.0.0.2 is not on it",
        [DNS_LIST_LISTS_ALL] = "lists everybody: 127.0.0.1 is on it",
        [DNS_LIST_REFUSES] = "refuses our resolver: it answers 127.255.255.x",
        [DNS_LIST_NONSENSE] = "is no list: it answers with addresses outside of 127.0.0.0/8",
    };
    return texts[health];
}

void dns_list_watch_begin(struct dns_list_watch *watch, uint64_t now_ms)
{
    *watch = (struct dns_list_watch){.health = DNS_LIST_UNTESTED, .due_ms = now_ms};
}

/* 5 s, 10 s, 20 s … an hour. */
static uint64_t retry_ms(unsigned silent)
{
    uint64_t wait = DNS_LIST_RETRY_MS;
    while (--silent > 0 && wait < DNS_LIST_TEST_MS)
        wait *= 2;
    return wait < DNS_LIST_TEST_MS ? wait : DNS_LIST_TEST_MS;
}

bool dns_list_watch_tested(struct dns_list_watch *watch, enum dns_list_health health, uint64_t now_ms)
{
    bool on = health == DNS_LIST_WORKS;
    watch->tested_ms = now_ms;
    if (health == DNS_LIST_SILENT) {
        watch->silent++;
        watch->due_ms = now_ms + retry_ms(watch->silent);
        if (watch->on && watch->silent < DNS_LIST_SILENT_MAX)
            return false; /* a packet gets lost */
    } else {
        watch->silent = 0;
        watch->due_ms = now_ms + DNS_LIST_TEST_MS;
    }
    bool changed = on != watch->on || health != watch->health;
    watch->on = on;
    watch->health = health;
    return changed;
}

bool dns_list_watch_saw(struct dns_list_watch *watch, enum dns_list_finding finding, uint64_t now_ms)
{
    if (finding < DNS_LIST_LISTED || now_ms < watch->tested_ms + DNS_LIST_FRESH_MS)
        return false;
    if (watch->due_ms > now_ms)
        watch->due_ms = now_ms;
    return true;
}
