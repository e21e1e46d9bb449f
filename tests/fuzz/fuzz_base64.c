/* base64, quoted-printable, hexadecimal and xtext: what is decoded strictly encodes to itself; cuts do not
 * matter. */
#include <stdlib.h>

#include "grammar/base64.h"
#include "grammar/xtext.h"

#define ARENA_MAX (16u << 20)

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void check_cuts(struct slice text, size_t cut)
{
    AUTO_BUF struct buf a = buf_new(text.len + 8), b = buf_new(text.len + 8);
    struct base64_decoder one = {0}, two = {0};
    base64_feed(&one, text, &a);
    base64_finish(&one, &a);
    base64_feed(&two, slice_sub(text, 0, cut), &b);
    base64_feed(&two, slice_from(text, cut), &b);
    base64_finish(&two, &b);
    check(buf_ok(&a) && slice_eq(buf_slice(&a), buf_slice(&b)));
    buf_clear(&a);
    buf_clear(&b);
    struct qp_decoder q1 = {.underscore = cut & 1}, q2 = q1;
    qp_feed(&q1, text, &a);
    qp_finish(&q1, &a);
    qp_feed(&q2, slice_sub(text, 0, cut), &b);
    qp_feed(&q2, slice_from(text, cut), &b);
    qp_finish(&q2, &b);
    check(buf_ok(&a) && slice_eq(buf_slice(&a), buf_slice(&b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    if (len == 0 || len > 65536)
        return 0;
    struct slice text = slice_make(data + 1, len - 1), bytes;
    AUTO_BUF struct buf out = buf_new(4 * len + 100), back = buf_new(4 * len + 100);
    if (base64_decode_in(arena, text, &bytes))
        check(slice_eq(base64_encode_in(arena, bytes), text));
    if (base64url_decode_in(arena, text, &bytes)) {
        base64url_encode(&out, bytes);
        check(slice_eq(buf_slice(&out), text));
    }
    if (hex_decode_in(arena, text, &bytes))
        check(slice_ieq(hex_encode_in(arena, bytes), text));
    check(base64_decode_in(arena, base64_encode_in(arena, text), &bytes) && slice_eq(bytes, text));
    buf_clear(&out);
    xtext_encode(&out, text);
    check(buf_ok(&out) && xtext_decode_in(arena, buf_slice(&out), &bytes) && slice_eq(bytes, text));
    if (xtext_decode_in(arena, text, &bytes))
        check(bytes.len <= text.len);
    if (xtext_decode_utf8_in(arena, text, &bytes))
        check(slice_is_utf8(bytes));
    /* Quoted-printable that we write comes back, and its lines are short. */
    buf_clear(&out);
    qp_encode(&out, text);
    struct qp_decoder qp = {0};
    qp_feed(&qp, buf_slice(&out), &back);
    qp_finish(&qp, &back);
    check(buf_ok(&out) && slice_eq(buf_slice(&back), text));
    check_cuts(text, data[0] % (text.len + 1));
    return 0;
}
