/* packet.c: reads DNS messages. Every offset is checked, compression pointers only go backwards. Pure; called
 * by role.c. */
#include "dns/packet.h"

#include <string.h>

#include "base/buf.h"

#define HEADER_LEN 12
#define CLASS_IN   1
#define FLAG_TC    0x0200
#define TTL_MAX    604800 /* a week: RFC 8767 section 4 suggests a cap of this order */

/* A name on the wire, not compressed, in lower case. */
struct name {
    size_t len;
    uint8_t bytes[PACKET_NAME_MAX];
};

struct record {
    struct name owner;
    unsigned type, rclass;
    uint32_t ttl;
    size_t rdata, rdlen; /* in the message */
};

static bool take_u16(struct slice message, size_t *at, unsigned *value)
{
    if (message.len - *at < 2 || *at > message.len)
        return false;
    *value = (unsigned)(message.ptr[*at] << 8 | message.ptr[*at + 1]);
    *at += 2;
    return true;
}

static bool take_u32(struct slice message, size_t *at, uint32_t *value)
{
    unsigned high, low;
    if (!take_u16(message, at, &high) || !take_u16(message, at, &low))
        return false;
    *value = (uint32_t)high << 16 | low;
    return true;
}

/* RFC 1035 section 4.1.4. `*at` ends behind the name as it stands there. A pointer leads before everything
 * read so far, so the walk ends. */
static bool take_name(struct slice message, size_t *at, struct name *name)
{
    size_t here = *at, before = *at;
    bool jumped = false;
    name->len = 0;
    for (;;) {
        if (here >= message.len)
            return false;
        unsigned len = message.ptr[here];
        if (len >= 0xc0) {
            unsigned target;
            size_t next = here;
            if (!take_u16(message, &next, &target))
                return false;
            if (!jumped)
                *at = next;
            jumped = true;
            target &= 0x3fff;
            if (target >= before)
                return false;
            here = before = target;
            continue;
        }
        if (len > 63 || message.len - here < 1 + (size_t)len || name->len + 1 + len > PACKET_NAME_MAX)
            return false;
        name->bytes[name->len++] = (uint8_t)len;
        for (unsigned i = 1; i <= len; i++)
            name->bytes[name->len++] = ascii_lower(message.ptr[here + i]);
        here += 1 + (size_t)len;
        if (len == 0)
            break;
    }
    if (!jumped)
        *at = here;
    return true;
}

static bool name_eq(const struct name *a, const struct name *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static struct slice name_text_in(struct arena *arena, const struct name *name)
{
    uint8_t *text = ARENA_ARRAY(arena, uint8_t, PACKET_NAME_MAX);
    size_t len = 0;
    for (size_t at = 0; at < name->len && name->bytes[at]; at += 1 + (size_t)name->bytes[at]) {
        if (len)
            text[len++] = '.';
        for (size_t i = 1; i <= name->bytes[at]; i++) {
            uint8_t c = name->bytes[at + i];
            text[len++] = c > 0x20 && c < 0x7f && c != '.' && c != '\\' ? c : '?';
        }
    }
    return slice_make(text, len);
}

static bool take_record(struct slice message, size_t *at, struct record *r)
{
    unsigned rdlen;
    if (!take_name(message, at, &r->owner) || !take_u16(message, at, &r->type) ||
        !take_u16(message, at, &r->rclass) || !take_u32(message, at, &r->ttl) ||
        !take_u16(message, at, &rdlen) || message.len - *at < rdlen)
        return false;
    if (r->ttl > TTL_MAX)
        r->ttl = r->ttl > INT32_MAX ? 0 : TTL_MAX; /* RFC 2181 section 8 */
    r->rdata = *at;
    r->rdlen = rdlen;
    *at += rdlen;
    return true;
}

/* ---- rdata without compression ---- */

/* Where names stand in the rdata: `skip` bytes, then `names` of them, then the rest as it is. */
static const struct layout {
    unsigned type, skip, names;
} layouts[] = {
    {PACKET_TYPE_NS, 0, 1}, {PACKET_TYPE_CNAME, 0, 1}, {PACKET_TYPE_PTR, 0, 1},   {PACKET_TYPE_SOA, 0, 2},
    {PACKET_TYPE_MX, 2, 1}, {PACKET_TYPE_SRV, 6, 1},   {PACKET_TYPE_DNAME, 0, 1},
};

static bool rdata_in(struct arena *arena, struct slice message, const struct record *r, struct slice *rdata)
{
    size_t at = r->rdata, end = r->rdata + r->rdlen;
    AUTO_BUF struct buf out = buf_new(UINT16_MAX);
    struct slice inside = slice_sub(message, 0, end); /* a name may not run past its rdata */
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        if (layouts[i].type != r->type)
            continue;
        if (r->rdlen < layouts[i].skip)
            return false;
        buf_add(&out, slice_sub(inside, at, layouts[i].skip));
        at += layouts[i].skip;
        for (unsigned n = 0; n < layouts[i].names; n++) {
            struct name name;
            if (!take_name(inside, &at, &name))
                return false;
            buf_add(&out, slice_make(name.bytes, name.len));
        }
        if (layouts[i].type != PACKET_TYPE_SOA && at != end)
            return false;
    }
    buf_add(&out, slice_sub(inside, at, end - at));
    uint8_t *copy = buf_ok(&out) ? arena_try(arena, out.len + 1) : NULL;
    if (!copy)
        return false;
    if (out.len)
        memcpy(copy, out.data, out.len);
    *rdata = slice_make(copy, out.len);
    return true;
}

/* ---- the answer ---- */

struct reading {
    struct slice message;
    size_t answers, authority; /* where the sections begin */
    unsigned answer_count, authority_count, type;
    struct name name; /* asked for, then the target of each CNAME */
    struct packet_answer answer;
    uint32_t ttl;
};

static bool read_head(struct reading *r)
{
    size_t at = 2;
    unsigned flags, questions, additional, type, rclass;
    if (!take_u16(r->message, &at, &flags) || !take_u16(r->message, &at, &questions) ||
        !take_u16(r->message, &at, &r->answer_count) || !take_u16(r->message, &at, &r->authority_count) ||
        !take_u16(r->message, &at, &additional))
        return false;
    if (flags & FLAG_TC || questions != 1 || r->answer_count > PACKET_RECORDS_MAX ||
        r->authority_count > PACKET_RECORDS_MAX)
        return false;
    r->answer.rcode = flags & 15;
    if (!take_name(r->message, &at, &r->name) || !take_u16(r->message, &at, &type) ||
        !take_u16(r->message, &at, &rclass) || rclass != CLASS_IN)
        return false;
    r->answers = at;
    return true;
}

/* One walk over the answers for the present name: its records, or its CNAME. */
static bool walk_answers(struct reading *r, struct arena *arena, bool *moved)
{
    size_t at = r->answers;
    *moved = false;
    for (unsigned i = 0; i < r->answer_count; i++) {
        struct record record;
        if (!take_record(r->message, &at, &record))
            return false;
        if (*moved || record.rclass != CLASS_IN || !name_eq(&record.owner, &r->name))
            continue;
        if (record.type == r->type) {
            if (!rdata_in(arena, r->message, &record, &r->answer.records[r->answer.count]))
                return false;
            r->answer.count++;
        } else if (record.type == PACKET_TYPE_CNAME) {
            size_t target = record.rdata;
            if (!take_name(r->message, &target, &r->name))
                return false;
            *moved = true;
        } else {
            continue;
        }
        r->ttl = record.ttl < r->ttl ? record.ttl : r->ttl;
    }
    r->authority = at;
    return true;
}

/* SOA: two names, then serial, refresh, retry, expire, minimum. */
static bool walk_authority(struct reading *r)
{
    size_t at = r->authority;
    for (unsigned i = 0; i < r->authority_count; i++) {
        struct record record;
        if (!take_record(r->message, &at, &record))
            return false;
        if (record.type != PACKET_TYPE_SOA || record.rdlen < 22)
            continue;
        size_t minimum_at = record.rdata + record.rdlen - 4;
        uint32_t minimum = 0;
        (void)take_u32(r->message, &minimum_at, &minimum);
        uint32_t ttl = record.ttl < minimum ? record.ttl : minimum;
        r->ttl = ttl < r->ttl ? ttl : r->ttl;
    }
    return true;
}

enum err packet_read_in(struct arena *arena, struct slice message, unsigned type,
                        struct packet_answer *answer)
{
    struct reading r = {.message = message, .type = type, .ttl = TTL_MAX};
    if (message.len < HEADER_LEN || !read_head(&r))
        return ERR_BAD;
    r.answer.records = arena_try(arena, sizeof(struct slice) * (r.answer_count + 1));
    bool moved = true;
    for (unsigned i = 0; r.answer.records && moved && i < PACKET_CHAIN_MAX; i++)
        if (!walk_answers(&r, arena, &moved))
            return ERR_BAD;
    if (!r.answer.records || moved)
        return ERR_BAD;
    if (r.answer.count == 0 && !walk_authority(&r))
        return ERR_BAD;
    r.answer.canonical = name_text_in(arena, &r.name);
    r.answer.ttl = r.answer.count == 0 && r.ttl == TTL_MAX ? 0 : r.ttl;
    *answer = r.answer;
    return ERR_OK;
}
