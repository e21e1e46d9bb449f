/* fuzz_mime.c: any bytes as a message: parse, ready texts, encode, decode; what our own encoder makes must
 * pass the check that store runs, also behind a header block, and the same message must give the same facts.
 */
#include <stdlib.h>
#include <string.h>

#include "scan/scan_message.h"

#define BLOCK                                                                                                \
    "Return-Path: <a@example.org>\r\nDelivered-To: b@example.org\r\nReceived: by x\r\n\tfor y; now\r\n"

static void require(bool ok)
{
    if (!ok)
        abort();
}

static struct facts round_trip(struct arena *arena, const struct facts *facts, struct buf *encoded)
{
    struct facts decoded;
    facts_encode(facts, encoded);
    require(buf_ok(encoded));
    require(facts_decode_in(arena, buf_slice(encoded), &decoded, NULL) == ERR_OK);
    return decoded;
}

/* The message as store would write it behind `block`. */
static struct slice written_in(struct arena *arena, const struct facts *facts, struct slice received,
                               struct slice block)
{
    AUTO_BUF struct buf bytes = buf_new(facts->size + block.len);
    size_t at = 0;
    buf_add(&bytes, block);
    buf_add(&bytes, facts->added);
    for (size_t i = 0; i < facts->cut_count; i++) {
        buf_add(&bytes, slice_sub(received, at, facts->cuts[i].off - at));
        at = facts->cuts[i].off + facts->cuts[i].len;
    }
    buf_add(&bytes, slice_from(received, at));
    require(buf_ok(&bytes) && bytes.len == facts->size + block.len);
    return arena_dup(arena, buf_slice(&bytes));
}

/* Scanning what was written finds the same structure: that is how an index is rebuilt. */
static void check_again(struct arena *arena, struct charset_set *set, const struct facts *facts,
                        struct slice written)
{
    struct wire_scan_task task = {.kind = BODY_APPEND, .hostname = SLICE("mail.example.org")};
    struct facts again;
    require(scan_message_in(arena, set, &task, written, &again, NULL) == ERR_OK);
    require(again.size == facts->size && again.lines == facts->lines &&
            again.header_len == facts->header_len);
    require(again.received_count == facts->received_count && again.part_count == facts->part_count);
    require(slice_eq(again.bodystructure, facts->bodystructure) && slice_eq(again.body, facts->body));
    require(slice_eq(again.headers, facts->headers) && slice_eq(again.envelope, facts->envelope));
    for (size_t i = 0; i < again.part_count; i++)
        require(again.parts[i].body_off == facts->parts[i].body_off &&
                again.parts[i].header_len == facts->parts[i].header_len &&
                again.parts[i].inner_header_len == facts->parts[i].inner_header_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct wire_scan_task task = {.kind = data[0] % 3,
                                  .hostname = SLICE("mail.example.org"),
                                  .date = SLICE("Sat, 21 Nov 2026 00:00:00 +0000"),
                                  .message_id = SLICE("<id@example.org>")};
    struct slice message = slice_make(data + 1, size - 1);
    AUTO_ARENA struct arena *arena = arena_new(SCAN_ARENA_MAX);
    struct charset_set *set = charset_set_new();
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED);
    struct facts facts;
    require(scan_message_in(arena, set, &task, message, &facts, NULL) == ERR_OK);
    struct facts decoded = round_trip(arena, &facts, &encoded);
    require(facts_check(&decoded, message.len, NULL) == ERR_OK);
    struct slice block = task.kind == BODY_APPEND ? SLICE_EMPTY : SLICE(BLOCK);
    struct slice written = written_in(arena, &decoded, message, block);
    facts_put_in_front(arena, &decoded, block);
    check_again(arena, set, &decoded, written);
    decoded.added = SLICE_EMPTY;
    decoded.cut_count = 0;
    require(facts_check(&decoded, written.len, NULL) == ERR_OK);
    charset_set_free(&set);
    return 0;
}
