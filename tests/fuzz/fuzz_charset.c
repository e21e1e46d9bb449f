/* fuzz_charset.c: "name\n" and bytes: whatever the charset is called, the result is UTF-8 without NUL, also
 * when cut at a maximum. */
#include <stdlib.h>

#include "grammar/charset.h"

static void check(struct charset_set *set, struct slice name, struct slice bytes, size_t max)
{
    AUTO_BUF struct buf out = buf_new(max);
    bool whole = charset_to_utf8(set, name, bytes, &out);
    if (!buf_ok(&out) || !slice_is_utf8(buf_slice(&out)) || slice_find(buf_slice(&out), 0) >= 0)
        abort();
    if (whole && charset_is_plain(name, bytes) && !slice_eq(bytes, buf_slice(&out)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_make(data, size), name;
    struct charset_set *set = charset_set_new();
    if (slice_token(&bytes, '\n', &name)) {
        check(set, name, bytes, size * 8 + 16);
        check(set, name, bytes, size % 31);
        (void)charset_is_known(set, name);
    }
    charset_set_free(&set);
    return 0;
}
