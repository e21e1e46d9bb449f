/* savedate.c: see savedate.h. Input: ranges of store. Called by cmd_fetch.c. */
#include "imap/savedate.h"

#define RANGE      12          /* bytes: le32 first UID, last UID, unix seconds */
#define RANGES_MAX (24u << 20) /* as many as store gives */

struct asked {
    struct buf *ranges;
    void (*then)(struct session *s);
};

static void on_saved(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    const struct asked *asked = arg;
    struct wire_saved saved;
    err = wire_answer(err, packet, WIRE_SAVED, &saved);
    if (err || saved.err) {
        imap_session_refused(s, err ? err : saved.err, saved.code, saved.text);
        return;
    }
    buf_add(asked->ranges, saved.ranges);
    if (!packet->more)
        asked->then(s);
}

static void free_ranges(void *arg)
{
    buf_free(arg);
}

void imap_savedate_ask(struct session *s, struct buf *ranges, void (*then)(struct session *s))
{
    struct asked *asked = ARENA_NEW(s->run->arena, struct asked);
    *asked = (struct asked){ranges, then};
    *ranges = buf_new(RANGES_MAX);
    arena_defer(s->run->arena, free_ranges, ranges);
    const struct wire_saved_get get = {.grant = s->grant, .watch = s->selected->mailbox->watch};
    if (!imap_session_call(s, ROLE_STORE, WIRE_SAVED_GET, &get, on_saved, asked))
        imap_session_done(s, "NO [SERVERBUG] Too many requests of one command");
}

static uint32_t number_at(const struct buf *ranges, size_t range, size_t number)
{
    struct slice at = slice_from(buf_slice(ranges), range * RANGE + number * 4);
    uint32_t value = 0;
    (void)!slice_take_le32(&at, &value);
    return value;
}

int64_t imap_savedate_find(const struct buf *ranges, uint32_t uid, int64_t internal)
{
    size_t low = 0, high = ranges->len / RANGE; /* the first range that ends at `uid` or behind */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (number_at(ranges, middle, 1) < uid)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < ranges->len / RANGE && number_at(ranges, low, 0) <= uid)
        return number_at(ranges, low, 2);
    return internal;
}
