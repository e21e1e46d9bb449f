/* mime_boundary.c: which open multipart does a line belong to? Lines are a stranger's; called by mime.c. */
#include "grammar/mime_boundary.h"

#include <string.h>

#define FNV_BASE UINT64_C(14695981039346656037)
#define FNV_MUL  UINT64_C(1099511628211)

void mime_boundaries_init(struct mime_boundaries *b)
{
    b->count = 0;
    memset(b->slot, -1, sizeof b->slot);
    memset(b->length_used, 0, sizeof b->length_used);
}

static uint64_t fnv_step(uint64_t hash, uint8_t c)
{
    return (hash ^ c) * FNV_MUL;
}

static size_t slot_of(uint64_t hash, size_t len)
{
    return (size_t)((hash ^ hash >> 29) + len * 131) % MIME_BOUNDARY_SLOTS;
}

void mime_boundary_push(struct mime_boundaries *b, struct slice text)
{
    uint64_t hash = FNV_BASE;
    for (size_t i = 0; i < text.len; i++)
        hash = fnv_step(hash, text.ptr[i]);
    size_t slot = slot_of(hash, text.len);
    b->open[b->count].text = text;
    b->open[b->count].hash = hash;
    b->open[b->count].older = b->slot[slot];
    b->slot[slot] = b->count++;
    b->length_used[text.len] = true;
}

void mime_boundary_pop(struct mime_boundaries *b)
{
    b->count--;
    b->slot[slot_of(b->open[b->count].hash, b->open[b->count].text.len)] = b->open[b->count].older;
}

/* The innermost open boundary equal to `text`, or -1. */
static int find_open(const struct mime_boundaries *b, struct slice text, uint64_t hash)
{
    for (int i = b->slot[slot_of(hash, text.len)]; i >= 0; i = b->open[i].older)
        if (b->open[i].hash == hash && slice_eq(b->open[i].text, text))
            return i;
    return -1;
}

int mime_boundary_match(const struct mime_boundaries *b, struct slice line, bool *closing)
{
    int best = -1;
    uint64_t hash = FNV_BASE;
    size_t longest = line.len < MIME_MAX_BOUNDARY ? line.len : MIME_MAX_BOUNDARY;
    for (size_t len = 1; len <= longest; len++) {
        hash = fnv_step(hash, line.ptr[len - 1]);
        if (!b->length_used[len])
            continue;
        int found = find_open(b, slice_sub(line, 0, len), hash);
        if (found >= 0)
            best = found;
    }
    if (best >= 0)
        *closing = slice_starts(slice_from(line, b->open[best].text.len), SLICE("--"));
    return best;
}
