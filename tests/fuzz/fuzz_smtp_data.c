/* DATA decoding: the same result whole and cut as the first byte says, and BDAT's judgement agrees with it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "grammar/smtp_data.h"

static bool decode(struct slice input, size_t step, struct smtp_data *data, struct buf *out, size_t *used)
{
    smtp_data_init(data);
    for (size_t at = 0; at < input.len; at += step) {
        struct slice chunk = slice_sub(input, at, step), text;
        enum smtp_data_state state;
        while ((state = smtp_data_next(data, &chunk, &text)) == SMTP_DATA_TEXT)
            buf_add(out, text);
        *used = at + slice_sub(input, at, step).len - chunk.len;
        if (state == SMTP_DATA_END)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    struct smtp_data a, b;
    AUTO_BUF struct buf whole = buf_new(len), cut = buf_new(len);
    size_t used_whole = 0, used_cut = 0;
    struct slice input = slice_make(data + 1, len - 1);
    bool end_whole = decode(input, input.len, &a, &whole, &used_whole);
    bool end_cut = decode(input, data[0] % 16 + 1u, &b, &cut, &used_cut);
    if (end_whole != end_cut || used_whole != used_cut || !slice_eq(buf_slice(&whole), buf_slice(&cut)))
        abort();
    if (a.bare_cr != b.bare_cr || a.bare_lf != b.bare_lf || a.nul != b.nul || a.longest != b.longest ||
        a.lines != b.lines)
        abort();
    /* What is called clean has no CR or LF but in CRLF, wherever one looks. */
    for (size_t i = 0; end_whole && smtp_data_is_clean(&a) && i < whole.len; i++) {
        if (whole.data[i] == '\r' && (i + 1 == whole.len || whole.data[i + 1] != '\n'))
            abort();
        if (whole.data[i] == '\n' && (i == 0 || whole.data[i - 1] != '\r'))
            abort();
    }
    if (end_whole && smtp_data_is_clean(&a) && whole.len &&
        (whole.len < 2 || memcmp(whole.data + whole.len - 2, "\r\n", 2) != 0))
        abort();
    return 0;
}
