/* fuzz_facts.c: records as a hijacked scan might send them: decoded or refused, and what passes the check is
 * usable. */
#include <stdlib.h>

#include "wire/facts.h"

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void use(const struct facts *facts, uint64_t received)
{
    if (facts_check(facts, received, NULL) != ERR_OK)
        return;
    for (size_t i = 0; i < facts->part_count; i++) {
        const struct facts_part *part = &facts->parts[i];
        require(part->body_off <= facts->size && part->body_len <= facts->size - part->body_off);
        require(part->header_off <= facts->size && part->header_len <= facts->size - part->header_off);
    }
    require(facts_find_part(facts, SLICE_EMPTY) == facts->parts);
    (void)facts_find_part(facts, SLICE("1.2.3"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *arena = arena_new(8 * 1024 * 1024);
    AUTO_BUF struct buf again = buf_new(FACTS_MAX_ENCODED);
    struct slice bytes = slice_make(data, size);
    struct facts facts, same;
    size_t len = facts_record_len(bytes);
    require(len <= size);
    if (facts_decode_in(arena, bytes, &facts, NULL) != ERR_OK)
        return 0;
    use(&facts, facts.size);
    use(&facts, facts.size - facts.added.len);
    if (facts.text.len == facts.text_len) {
        facts_encode(&facts, &again);
        require(buf_ok(&again) && facts_decode_in(arena, buf_slice(&again), &same, NULL) == ERR_OK);
        require(same.part_count == facts.part_count && same.size == facts.size &&
                slice_eq(same.text, facts.text));
    }
    return 0;
}
