/* fuzz_html.c: any UTF-8 as HTML: text stays UTF-8, within the maximum, and makes a preview of bounded
 * length. */
#include <stdlib.h>

#include "grammar/charset.h"
#include "grammar/html.h"
#include "grammar/preview.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct charset_set *set = charset_set_new();
    AUTO_BUF struct buf html = buf_new(size * 3), text = buf_new(size % 1000),
                        preview = buf_new(PREVIEW_MAX_BYTES);
    (void)charset_to_utf8(set, SLICE("utf-8"), slice_make(data, size), &html);
    (void)html_to_text(buf_slice(&html), &text);
    if (!buf_ok(&text) || !slice_is_utf8(buf_slice(&text)))
        abort();
    preview_make(buf_slice(&text), &preview);
    if (!buf_ok(&preview) || !slice_is_utf8(buf_slice(&preview)))
        abort();
    charset_set_free(&set);
    return 0;
}
