/* fuzz_encoded_word.c: header text: any value becomes one line of UTF-8 within the output's maximum. */
#include <stdlib.h>

#include "grammar/encoded_word.h"
#include "grammar/subject.h"

#define OUT_MAX 300

static void require_line(const struct buf *out)
{
    if (!buf_ok(out) || !slice_is_utf8(buf_slice(out)))
        abort();
    for (size_t i = 0; i < out->len; i++)
        if (out->data[i] < ' ' || out->data[i] == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = slice_make(data, size);
    struct charset_set *set = charset_set_new();
    AUTO_ARENA struct arena *arena = arena_new(1 << 26);
    AUTO_BUF struct buf out = buf_new(OUT_MAX), base = buf_new(OUT_MAX * 3);
    encoded_word_decode(set, value, &out);
    require_line(&out);
    subject_base(buf_slice(&out), &base, NULL);
    require_line(&base);
    struct mime_disposition disposition;
    mime_disposition_parse_in(arena, value, &disposition);
    for (size_t i = 0; i < disposition.params.count; i++) {
        buf_clear(&out);
        encoded_word_decode_param(set, &disposition.params.at[i], &out);
        require_line(&out);
    }
    charset_set_free(&set);
    return 0;
}
