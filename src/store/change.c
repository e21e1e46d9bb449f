/* change.c: encoding and strict decoding of log rows: version, kind, four counters (zigzag varints), then
 * what the kind has. See change.h. */
#include "store/change.h"

#define CHANGE_VERSION 1
#define PAIR           8 /* bytes of one range of UIDs */

/* Small negative numbers as small varints. */
static uint64_t zigzag(int64_t n)
{
    return ((uint64_t)n << 1) ^ (uint64_t)(n >> 63);
}

static int64_t unzigzag(uint64_t n)
{
    return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

static void add_string(struct buf *out, struct slice s)
{
    buf_add_varint(out, s.len);
    buf_add(out, s);
}

static bool take_string(struct slice *rest, struct slice *s)
{
    uint64_t len;
    return slice_take_varint(rest, &len) && len <= rest->len && slice_take_bytes(rest, (size_t)len, s);
}

void change_encode(const struct change *change, struct buf *out)
{
    buf_add_byte(out, CHANGE_VERSION);
    buf_add_byte(out, (uint8_t)change->kind);
    buf_add_varint(out, zigzag(change->counts.messages));
    buf_add_varint(out, zigzag(change->counts.unseen));
    buf_add_varint(out, zigzag(change->counts.deleted));
    buf_add_varint(out, zigzag(change->counts.bytes));
    if (change->kind == CHANGE_ADD) {
        add_string(out, change->entries);
        add_string(out, change->queue_ids);
    } else {
        buf_add_varint(out, change->clear);
        buf_add_varint(out, change->set);
        add_string(out, change->uids);
    }
}

static bool take_counts(struct slice *rest, struct change_counts *counts)
{
    uint64_t n[4];
    for (int i = 0; i < 4; i++)
        if (!slice_take_varint(rest, &n[i]))
            return false;
    *counts = (struct change_counts){unzigzag(n[0]), unzigzag(n[1]), unzigzag(n[2]), unzigzag(n[3])};
    return true;
}

enum err change_decode(struct slice bytes, struct change *change, struct why *why)
{
    struct change c = {0};
    uint8_t version = 0, kind = 0;
    bool ok = slice_take_u8(&bytes, &version) && version == CHANGE_VERSION && slice_take_u8(&bytes, &kind) &&
              kind >= CHANGE_ADD && kind <= CHANGE_EXPUNGE && take_counts(&bytes, &c.counts);
    c.kind = (enum change_kind)kind;
    if (ok && c.kind == CHANGE_ADD)
        ok = take_string(&bytes, &c.entries) && take_string(&bytes, &c.queue_ids);
    else if (ok)
        ok = slice_take_varint(&bytes, &c.clear) && slice_take_varint(&bytes, &c.set) &&
             take_string(&bytes, &c.uids) && c.uids.len % PAIR == 0;
    if (!ok || bytes.len)
        return err_set(why, ERR_INTERNAL, "damaged change in the log");
    *change = c;
    return ERR_OK;
}
