/* proxy.c: the PROXY protocol header in front of a connection. Its bytes come from whoever connects; that the
 * peer may speak for others was checked by the caller (net/). */
#include "grammar/proxy.h"

#include <string.h>

#define V2_FIXED     16
#define V2_TLV_HEAD  3
#define V2_CRC32C    0x03
#define V2_SSL       0x20
#define V2_SSL_FIXED 5 /* client byte and verify word */
#define V2_SSL_TLS   0x01

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                         0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static enum proxy_state bad(struct why *why, const char *text)
{
    (void)err_set(why, ERR_BAD, "PROXY header: %s", text);
    return PROXY_BAD;
}

/* True when `input` could still become (or is) something that starts with `wanted`. */
static bool may_start(struct slice input, struct slice wanted)
{
    size_t common = input.len < wanted.len ? input.len : wanted.len;
    return slice_eq(slice_sub(input, 0, common), slice_sub(wanted, 0, common));
}

/* Port in decimal without leading zeros (section 2.1). */
static bool parse_v1_port(struct slice text, uint16_t *port)
{
    uint64_t number;
    if (text.len > 5 || (text.len > 1 && text.ptr[0] == '0') || !slice_u64(text, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool parse_v1_addr(struct slice text, struct slice port, bool v6, struct netaddr *addr)
{
    return (slice_find(text, ':') >= 0) == v6 && netaddr_parse(text, addr) &&
           parse_v1_port(port, &addr->port);
}

/* "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP source-port SP destination-port
 * "PROXY" SP "UNKNOWN" *(any byte but CR)            (section 2.1; the CRLF is already off) */
static bool parse_v1_line(struct slice line, struct proxy_header *header)
{
    struct slice parts[6], rest = line;
    *header = (struct proxy_header){.version = 1};
    if (!slice_token(&rest, ' ', parts) || !slice_token(&rest, ' ', parts + 1))
        return false;
    if (slice_eq(parts[1], SLICE("UNKNOWN"))) {
        header->local = true;
        return true;
    }
    for (size_t i = 2; i < 6; i++)
        if (!slice_token(&rest, ' ', parts + i))
            return false;
    bool v6 = slice_eq(parts[1], SLICE("TCP6"));
    if (rest.len || slice_ends(line, SLICE(" ")) || (!v6 && !slice_eq(parts[1], SLICE("TCP4"))))
        return false;
    return parse_v1_addr(parts[2], parts[4], v6, &header->source) &&
           parse_v1_addr(parts[3], parts[5], v6, &header->destination);
}

static enum proxy_state parse_v1(struct slice input, struct proxy_header *header, size_t *consumed,
                                 struct why *why)
{
    struct proxy_header parsed;
    struct slice window = slice_sub(input, 0, PROXY_V1_MAX);
    ptrdiff_t lf = slice_find(window, '\n');
    if (lf < 0)
        return window.len < PROXY_V1_MAX ? PROXY_NEED_MORE : bad(why, "version 1 line is too long");
    struct slice line = slice_sub(window, 0, (size_t)lf);
    if (!slice_ends(line, SLICE("\r")))
        return bad(why, "version 1 line without CRLF");
    line.len--;
    if (slice_find(line, '\r') >= 0 || !parse_v1_line(line, &parsed))
        return bad(why, "version 1 line is malformed");
    *header = parsed;
    *consumed = (size_t)lf + 1;
    return PROXY_DONE;
}

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* Address block sizes by the family in the high half of byte 14 (section 2.2). AF_UNIX: two paths of 108. */
static const size_t v2_address_len[] = {0, 12, 36, 216};

static void read_v2_addresses(unsigned family, const uint8_t *p, struct proxy_header *header)
{
    if (family == 1) {
        header->source = netaddr_v4(p, be16(p + 8));
        header->destination = netaddr_v4(p + 4, be16(p + 10));
    } else if (family == 2) {
        header->source = netaddr_v6(p, be16(p + 32));
        header->destination = netaddr_v6(p + 16, be16(p + 34));
    } else if (family == 3) {
        header->source = header->destination = (struct netaddr){.family = NETADDR_UNIX};
    }
}

/* Reflected polynomial 0x1EDC6F41 (RFC 3720 appendix B.4), one nibble at a time: headers are short. */
static const uint32_t crc32c_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc32c_add(uint32_t crc, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        crc = crc >> 4 ^ crc32c_nibble[(crc ^ bytes.ptr[i]) & 15];
        crc = crc >> 4 ^ crc32c_nibble[(crc ^ bytes.ptr[i] >> 4) & 15];
    }
    return crc;
}

uint32_t proxy_crc32c(struct slice bytes)
{
    return ~crc32c_add(UINT32_MAX, bytes);
}

/* The checksum covers the whole header with its own four bytes as zero (section 2.2.3). */
static bool checksum_matches(struct slice whole, size_t at)
{
    uint32_t crc = crc32c_add(UINT32_MAX, slice_sub(whole, 0, at));
    crc = crc32c_add(crc, slice_make("\0\0\0\0", 4));
    crc = crc32c_add(crc, slice_from(whole, at + 4));
    return ~crc == be32(whole.ptr + at);
}

/* TLVs behind the addresses; those we do not know are skipped. */
static enum proxy_state read_v2_tlvs(struct slice whole, size_t at, struct proxy_header *header,
                                     struct why *why)
{
    while (at < whole.len) {
        if (whole.len - at < V2_TLV_HEAD)
            return bad(why, "TLV is cut off");
        uint8_t type = whole.ptr[at];
        size_t len = be16(whole.ptr + at + 1);
        at += V2_TLV_HEAD;
        if (len > whole.len - at)
            return bad(why, "TLV is longer than the header");
        if (type == V2_CRC32C && (len != 4 || !checksum_matches(whole, at)))
            return bad(why, "checksum does not match");
        if (type == V2_SSL && len >= V2_SSL_FIXED)
            header->tls = whole.ptr[at] & V2_SSL_TLS;
        at += len;
    }
    return PROXY_DONE;
}

static enum proxy_state parse_v2(struct slice input, struct proxy_header *header, size_t *consumed,
                                 struct why *why)
{
    if (input.len > 12 && input.ptr[12] >> 4 != 2)
        return bad(why, "unknown version");
    if (input.len < V2_FIXED)
        return PROXY_NEED_MORE;
    size_t total = V2_FIXED + be16(input.ptr + 14);
    unsigned command = input.ptr[12] & 15, family = input.ptr[13] >> 4, protocol = input.ptr[13] & 15;
    struct proxy_header parsed = {.version = 2, .local = command == 0, .health_check = command == 0};
    if (command > 1)
        return bad(why, "unknown command");
    if (total > PROXY_V2_MAX)
        return bad(why, "longer than we take");
    if (input.len < total)
        return PROXY_NEED_MORE;
    /* For LOCAL the family is ignored and so are the bytes behind it, checksum included (section 2.2). */
    if (command == 1) {
        if (family > 3 || protocol > 2)
            return bad(why, "unknown address family or protocol");
        if (total < V2_FIXED + v2_address_len[family])
            return bad(why, "too short for its addresses");
        read_v2_addresses(family, input.ptr + V2_FIXED, &parsed);
        parsed.local = family == 0;
        size_t tlvs = V2_FIXED + v2_address_len[family];
        /* What follows AF_UNSPEC need not be TLVs. */
        if (family && read_v2_tlvs(slice_sub(input, 0, total), tlvs, &parsed, why) != PROXY_DONE)
            return PROXY_BAD;
    }
    *header = parsed;
    *consumed = total;
    return PROXY_DONE;
}

enum proxy_state proxy_parse(struct slice input, struct proxy_header *header, size_t *consumed,
                             struct why *why)
{
    static const struct slice v1 = {(const uint8_t *)"PROXY ", 6};
    static const struct slice v2 = {v2_signature, sizeof v2_signature};
    if (input.len == 0)
        return PROXY_NEED_MORE;
    if (may_start(input, v2))
        return input.len < v2.len ? PROXY_NEED_MORE : parse_v2(input, header, consumed, why);
    if (may_start(input, v1))
        return input.len < v1.len ? PROXY_NEED_MORE : parse_v1(input, header, consumed, why);
    return PROXY_NOT_PROXY;
}

static void put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

size_t proxy_write_v2(const struct netaddr *source, const struct netaddr *destination, bool checksum,
                      uint8_t out[PROXY_V2_WRITE_MAX])
{
    bool v4 = source->family == NETADDR_V4 && destination->family == NETADDR_V4;
    bool v6 = source->family == NETADDR_V6 && destination->family == NETADDR_V6;
    size_t width = v4 ? 4 : 16, len = V2_FIXED;
    memset(out, 0, PROXY_V2_WRITE_MAX);
    memcpy(out, v2_signature, sizeof v2_signature);
    out[12] = v4 || v6 ? 0x21 : 0x20;
    out[13] = v4 ? 0x11 : v6 ? 0x21 : 0;
    if (v4 || v6) {
        memcpy(out + len, source->bytes, width);
        memcpy(out + len + width, destination->bytes, width);
        put_be16(out + len + 2 * width, source->port);
        put_be16(out + len + 2 * width + 2, destination->port);
        len += 2 * width + 4;
    }
    if (checksum) {
        out[len] = V2_CRC32C;
        out[len + 2] = 4;
        len += 7;
    }
    put_be16(out + 14, (uint16_t)(len - V2_FIXED));
    if (checksum) {
        uint32_t crc = proxy_crc32c(slice_make(out, len));
        put_be16(out + len - 4, (uint16_t)(crc >> 16));
        put_be16(out + len - 2, (uint16_t)crc);
    }
    return len;
}
