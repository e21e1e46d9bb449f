/* What the store reads back from an index that may be damaged: packed state, changes, texts. The first byte
 * chooses. What is accepted must be written again as the same values. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/change.h"
#include "store/packed.h"
#include "store/text.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct slice input = slice_make(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        fuzz_packed(input);
        break;
    case 1:
        fuzz_change(input);
        break;
    default:
        fuzz_text(input);
    }
    return 0;
}
