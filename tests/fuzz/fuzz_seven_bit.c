/* Any bytes as a message for a server without 8BITMIME: what comes out is 7-bit, has the same parts with the
 * same content, and converts to itself. */
#include <stdlib.h>

#include "grammar/base64.h"
#include "grammar/mime.h"
#include "scan/seven_bit.h"

#define LEN_MAX (64u << 10)

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void decode(const struct mime_part *part, struct slice message, struct buf *out)
{
    struct slice body = mime_body(part, message);
    if (part->encoding == MIME_QP) {
        struct qp_decoder decoder = {0};
        qp_feed(&decoder, body, out);
        qp_finish(&decoder, out);
    } else if (part->encoding == MIME_BASE64) {
        struct base64_decoder decoder = {0};
        base64_feed(&decoder, body, out);
        base64_finish(&decoder, out);
    } else {
        buf_add(out, body);
    }
}

static void same_content(const struct mime_part *a, struct slice before, const struct mime_part *b,
                         struct slice after)
{
    AUTO_BUF struct buf one = buf_new(4 * LEN_MAX), two = buf_new(4 * LEN_MAX);
    require(a->kind == b->kind);
    if (a->kind != MIME_LEAF || slice_is_ascii(mime_body(a, before)))
        return;
    decode(a, before, &one);
    decode(b, after, &two);
    require(slice_eq(buf_slice(&one), buf_slice(&two)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(64u << 20);
    struct slice message = slice_make(data, len);
    if (len > LEN_MAX)
        return 0;
    AUTO_BUF struct buf out = buf_new(SEVEN_BIT_MAX(len)),
                        again = buf_new(SEVEN_BIT_MAX(2 * len + (1u << 20)));
    struct why why = {""};
    enum err err = seven_bit_convert(arena, message, &out, &why);
    require(err == ERR_OK || (err == ERR_REFUSED && why.text[0] != '\0'));
    if (err)
        return 0;
    struct slice converted = buf_slice(&out);
    require(slice_is_ascii(converted));
    require(seven_bit_convert(arena, converted, &again, NULL) == ERR_OK);
    require(slice_eq(buf_slice(&again), converted));
    const struct mime_part *a = mime_parse_in(arena, message, NULL, NULL);
    const struct mime_part *b = mime_parse_in(arena, converted, NULL, NULL);
    for (; a && b; a = mime_walk(a), b = mime_walk(b))
        same_content(a, message, b, converted);
    require(!a && !b);
    return 0;
}
