/* What the store reads back from an index that may be damaged: packed state, changes, texts, sort keys,
 * rows of the full-text index. The first byte chooses. What is accepted must be written again as the same
 * values. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/change.h"
#include "store/packed.h"
#include "store/sortkeys.h"
#include "store/text.h"
#include "store/trigram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_packed(struct slice input)
{
    size_t count, again;
    if (packed_count(input, &count, NULL))
        return;
    struct entry *a = mem_zero(count + 1, sizeof *a), *b = mem_zero(count + 1, sizeof *b);
    if (packed_decode(input, a, count, NULL) == ERR_OK) {
        AUTO_BUF struct buf out = buf_new(64u << 20);
        packed_encode(a, count, &out);
        if (packed_count(buf_slice(&out), &again, NULL) || again != count ||
            packed_decode(buf_slice(&out), b, count, NULL))
            abort();
        for (size_t i = 0; i < count; i++)
            if (a[i].uid != b[i].uid || a[i].modseq != b[i].modseq || a[i].flags != b[i].flags ||
                a[i].message != b[i].message || a[i].size != b[i].size || a[i].date != b[i].date)
                abort();
    }
    free(a);
    free(b);
}

static void fuzz_change(struct slice input)
{
    struct change a, b;
    if (change_decode(input, &a, NULL))
        return;
    AUTO_BUF struct buf out = buf_new(1u << 20);
    change_encode(&a, &out);
    if (change_decode(buf_slice(&out), &b, NULL) || a.kind != b.kind || !slice_eq(a.uids, b.uids) ||
        !slice_eq(a.entries, b.entries))
        abort();
}

static void fuzz_text(struct slice input)
{
    AUTO_ARENA struct arena *arena = arena_new(8u << 20);
    struct text_parts a, b;
    struct text_reader *reader = text_reader_new();
    bool bad = text_unpack_in(reader, arena, input, &a, NULL) != ERR_OK;
    AUTO_BUF struct buf out = buf_new(TEXT_PACKED_MAX);
    if (!bad && !a.header_left_out) {
        text_pack(a.text, a.header, &out);
        if (text_unpack_in(reader, arena, buf_slice(&out), &b, NULL) || !slice_eq(a.text, b.text) ||
            !slice_eq(a.header, b.header))
            abort();
    }
    text_reader_free(&reader);
}

static bool is_same(enum sortkey column, const struct sortkey_values *a, const struct sortkey_values *b)
{
    if (!a->present || !b->present)
        return a->present == b->present;
    if (column < SORTKEY_NUMBERS)
        return a->number[column] == b->number[column];
    if (column >= SORTKEY_THREAD)
        return a->id == b->id && a->ref_count == b->ref_count &&
               !memcmp(a->refs, b->refs, a->ref_count * sizeof *a->refs);
    return slice_eq(a->text[column], b->text[column]) && a->flags == b->flags;
}

static void fuzz_sortkeys(struct slice input)
{
    uint8_t which;
    if (!slice_take_u8(&input, &which))
        return;
    AUTO_ARENA struct arena *arena = arena_new(64u << 20);
    enum sortkey column = (enum sortkey)(which % SORTKEY_COUNT);
    struct sortkey_values *a = mem_zero(SORTKEY_CHUNK, sizeof *a), *b = mem_zero(SORTKEY_CHUNK, sizeof *b);
    if (sortkeys_row_decode_in(arena, column, input, a)) {
        AUTO_BUF struct buf out = buf_new(SORTKEY_ROW_MAX);
        sortkeys_row_encode(column, a, &out);
        if (!sortkeys_row_decode_in(arena, column, buf_slice(&out), b))
            abort();
        for (size_t i = 0; i < SORTKEY_CHUNK; i++)
            if (!is_same(column, &a[i], &b[i]))
                abort();
    }
    free(a);
    free(b);
}

/* A row only takes messages out, never puts any in. */
static void fuzz_trigrams(struct slice input)
{
    for (uint32_t bucket = 0; bucket < 32; bucket++) {
        struct trigram_set set = {{0x55}};
        if (!trigram_narrow(input, bucket, &set))
            break;
        for (unsigned i = 0; i < TRIGRAM_MESSAGES; i++)
            if (trigram_has(&set, i) && (i >= 8 || i % 2))
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct slice input = slice_make(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        fuzz_packed(input);
        break;
    case 1:
        fuzz_change(input);
        break;
    case 2:
        fuzz_text(input);
        break;
    case 3:
        fuzz_sortkeys(input);
        break;
    default:
        fuzz_trigrams(input);
    }
    return 0;
}
