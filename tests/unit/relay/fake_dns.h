/* fake_dns.h: the dns role as relay's parts see it: a link on the test's own loop whose other end answers
 * from a table of text. */
#ifndef UNIT_RELAY_FAKE_DNS_H
#define UNIT_RELAY_FAKE_DNS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/coll.h"
#include "base/ipc.h"
#include "base/loop.h"
#include "base/mem.h"
#include "grammar/netaddr.h"
#include "policy/rdata.h"
#include "wire/wire.h"

#define FAKE_PATIENCE_MS 10000
#define SILENT           -1 /* status of a row that is never answered */

/* What is not in the table is NODATA when the name has another row, else NXDOMAIN. */
struct fake_row {
    const char *name;
    unsigned type;
    int status; /* enum dns_status, or SILENT */
    bool secure;
    const char *records; /* separated by '|': "10 mx.test", "192.0.2.1", "3 1 1", text */
    const char *canonical;
    uint32_t ttl; /* 0: 300 */
};

struct fake_dns {
    struct loop *loop;
    struct ipc_link *ours, *theirs;
    const struct fake_row *rows;
    size_t count;
    unsigned asked, asked_of_type[64];
};

static inline void fake_add_name(struct buf *out, struct slice name)
{
    struct slice label;
    while (slice_token(&name, '.', &label)) {
        if (label.len == 0)
            continue;
        buf_add_byte(out, (uint8_t)label.len);
        buf_add(out, label);
    }
    buf_add_byte(out, 0);
}

/* A key for a TLSA record that holds it whole: as large as such a record may be, or 10 kB from `salt` 100 on.
 */
static inline void fake_add_key(struct buf *out, uint8_t salt)
{
    static const uint8_t rsa[] = {0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0};
    static const uint8_t exponent[] = {2, 3, 1, 0, 1};
    size_t modulus = salt < 100 ? 16345 : 10000;
    const size_t lens[] = {modulus + 33, modulus + 14, modulus + 9, modulus};
    static const uint8_t tags[] = {0x30, 3, 0x30, 2};
    for (size_t i = 0; i < 4; i++) {
        buf_add_byte(out, tags[i]);
        buf_add_byte(out, 0x82);
        buf_add_byte(out, (uint8_t)(lens[i] >> 8));
        buf_add_byte(out, (uint8_t)lens[i]);
        if (i == 0)
            buf_add(out, slice_make(rsa, sizeof rsa));
        if (i == 1)
            buf_add_byte(out, 0); /* no bit of the last byte is unused */
    }
    for (size_t i = 0; i < modulus; i++)
        buf_add_byte(out, i == 0 ? 0x55 : salt);
    buf_add(out, slice_make(exponent, sizeof exponent));
}

static inline void fake_add_record(struct buf *records, unsigned type, struct slice text)
{
    AUTO_BUF struct buf rdata = buf_new(60000);
    struct netaddr addr;
    uint64_t number;
    struct slice word, rest = text;
    if (type == RR_A || type == RR_AAAA) {
        assert_true(netaddr_parse(text, &addr));
        buf_add(&rdata, slice_make(addr.bytes, type == RR_A ? 4 : 16));
    } else if (type == RR_TXT) {
        buf_add_byte(&rdata, (uint8_t)text.len);
        buf_add(&rdata, text);
    } else if (type == RR_MX) {
        assert_true(slice_token(&rest, ' ', &word) && slice_u64(word, 65535, &number));
        buf_add_byte(&rdata, (uint8_t)(number >> 8));
        buf_add_byte(&rdata, (uint8_t)number);
        fake_add_name(&rdata, rest);
    } else if (type == RR_PTR) {
        fake_add_name(&rdata, text);
    } else { /* TLSA: three numbers, then 32 bytes; a fourth number stands for a whole key */
        while (slice_token(&rest, ' ', &word)) {
            assert_true(slice_u64(word, 255, &number));
            buf_add_byte(&rdata, (uint8_t)number);
        }
        if (rdata.len == 4)
            fake_add_key(&rdata, rdata.data[--rdata.len]);
        for (unsigned i = 0; rdata.len < 35; i++)
            buf_add_byte(&rdata, (uint8_t)i);
    }
    wire_strings_add(records, buf_slice(&rdata));
}

static inline bool fake_on_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake_dns *dns = ctx;
    struct wire_dns_query query;
    struct wire_dns_answer answer = {.status = DNS_NXDOMAIN, .ttl = 300};
    AUTO_BUF struct buf records = buf_new(WIRE_BLOB_MAX);
    assert_int_equal(packet->type, WIRE_DNS_QUERY);
    assert_int_equal(wire_decode(WIRE_DNS_QUERY, packet->body, &query), ERR_OK);
    dns->asked++;
    dns->asked_of_type[query.rrtype % 64]++;
    for (size_t i = 0; i < dns->count; i++) {
        const struct fake_row *row = &dns->rows[i];
        if (!slice_eq(query.name, slice_of(row->name)))
            continue;
        if (row->type != query.rrtype) {
            answer.status = DNS_NODATA;
            answer.secure |= row->secure;
            continue;
        }
        if (row->status == SILENT)
            return true;
        struct slice rest = slice_of(row->records), text;
        while (slice_token(&rest, '|', &text))
            fake_add_record(&records, row->type, text);
        answer = (struct wire_dns_answer){.status = (uint32_t)row->status,
                                          .secure = row->secure,
                                          .ttl = row->ttl ? row->ttl : 300,
                                          .canonical = slice_of(row->canonical ? row->canonical : row->name),
                                          .records = buf_slice(&records)};
        break;
    }
    wire_reply(link, packet->request, WIRE_DNS_ANSWER, false, &answer);
    return true;
}

static inline void fake_on_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static inline bool fake_refuse(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)ctx;
    (void)link;
    (void)packet;
    return false;
}

static inline void fake_dns_new(struct fake_dns *dns, const struct fake_row *rows, size_t count)
{
    static const struct ipc_ops theirs = {.packet = fake_on_packet, .down = fake_on_down};
    static const struct ipc_ops ours = {.packet = fake_refuse, .down = fake_on_down};
    int fds[2];
    *dns = (struct fake_dns){.loop = loop_new(), .rows = rows, .count = count};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    dns->ours = ipc_link_new(dns->loop, "dns", &ours, dns);
    dns->theirs = ipc_link_new(dns->loop, "relay", &theirs, dns);
    ipc_link_attach(dns->ours, fds[0]);
    ipc_link_attach(dns->theirs, fds[1]);
}

static inline void fake_dns_free(struct fake_dns *dns)
{
    ipc_link_free(&dns->ours);
    ipc_link_free(&dns->theirs);
    loop_free(&dns->loop);
}

static inline void fake_turn(struct fake_dns *dns)
{
    struct timeval tick = {.tv_usec = 2000};
    (void)event_base_loopexit(loop_event_base(dns->loop), &tick);
    (void)event_base_loop(loop_event_base(dns->loop), EVLOOP_ONCE);
}

static inline void fake_until(struct fake_dns *dns, const bool *flag)
{
    uint64_t end = clock_mono_ms() + FAKE_PATIENCE_MS;
    while (!*flag && clock_mono_ms() < end)
        fake_turn(dns);
    assert_true(*flag);
}

static inline void fake_for(struct fake_dns *dns, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms;
    while (clock_mono_ms() < end)
        fake_turn(dns);
}

#endif
