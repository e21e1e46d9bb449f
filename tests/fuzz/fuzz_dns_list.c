/* Fuzzes DNS lists: a byte (4: IPv4, else IPv6), an address, a zone up to a NUL, then records as rows of a
 * length byte and rdata. A name that comes out is the zone behind a reversed address; nothing but four bytes
 * of 127.0.0.0/8 is a listing; what the watch says follows from the tests it was told. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "policy/dns_list.h"

static void check_name(const struct netaddr *addr, struct slice zone)
{
    struct dns_list_name name;
    if (!dns_list_name(addr, zone, &name))
        return;
    if (slice_ends(zone, SLICE(".")))
        zone.len--;
    if (name.len > DNS_LIST_NAME_MAX || strlen(name.text) != name.len || zone.len == 0 ||
        !slice_ends(slice_make(name.text, name.len), zone))
        abort();
}

static bool is_listing(struct slice a)
{
    return a.len == 4 && a.ptr[0] == 127 && !(a.ptr[1] == 255 && a.ptr[2] == 255);
}

static enum dns_list_finding check_records(struct slice input)
{
    struct slice records[DNS_LIST_RECORDS_MAX + 8];
    size_t count = 0;
    uint8_t len;
    bool all = true;
    while (count < sizeof records / sizeof *records && slice_take_u8(&input, &len) &&
           slice_take_bytes(&input, len, &records[count]))
        if (count++ < DNS_LIST_RECORDS_MAX)
            all = all && is_listing(records[count - 1]);
    enum dns_list_finding finding = dns_list_read(records, count, NULL, 0);
    if ((finding == DNS_LIST_CLEAN) != (count == 0) || (finding == DNS_LIST_LISTED) != (count > 0 && all))
        abort();
    return finding;
}

static void check_watch(struct slice input, enum dns_list_finding finding)
{
    struct dns_list_watch w;
    uint64_t now = 0;
    uint8_t byte;
    dns_list_watch_begin(&w, 0);
    while (slice_take_u8(&input, &byte)) {
        bool was = w.on;
        now += (uint64_t)byte * 1000;
        if (byte % 8 == 7 && dns_list_watch_saw(&w, finding, now) && w.due_ms > now)
            abort();
        if (byte % 8 == 7)
            continue;
        bool changed = dns_list_watch_tested(&w, (enum dns_list_health)(byte % 7), now);
        if ((was != w.on && !changed) || w.on != (w.health == DNS_LIST_WORKS) || w.due_ms < now)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice input = slice_make(data, len), bytes, zone = SLICE_EMPTY;
    uint8_t family;
    if (!slice_take_u8(&input, &family) || !slice_take_bytes(&input, family == 4 ? 4 : 16, &bytes))
        return 0;
    const struct netaddr addr = family == 4 ? netaddr_v4(bytes.ptr, 0) : netaddr_v6(bytes.ptr, 0);
    (void)slice_token(&input, 0, &zone);
    check_name(&addr, zone);
    check_watch(input, check_records(input));
    return 0;
}
