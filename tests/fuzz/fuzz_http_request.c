/* HTTP heads: a whole one is found at the same length whatever follows, every shorter piece wants more, and
 * no field points outside. */
#include <stdlib.h>

#include "grammar/http_request.h"

static int inside(struct slice part, const uint8_t *data, size_t len)
{
    return part.len == 0 || (part.ptr >= data && part.ptr + part.len <= data + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct http_request r, again;
    size_t consumed = 0, shorter = 0;
    enum http_state state = http_request_parse(slice_make(data, len), &r, &consumed);
    if (state == HTTP_MORE && len >= HTTP_HEAD_MAX + 2)
        abort();
    if (state != HTTP_DONE)
        return 0;
    if (consumed == 0 || consumed > len || consumed > HTTP_HEAD_MAX + 2)
        abort();
    if (!inside(r.target, data, consumed) || !inside(r.path, data, consumed) ||
        !inside(r.query, data, consumed))
        abort();
    if (r.path.len == 0 && r.query.len == 0 && r.target.len != 1)
        abort();
    if (http_request_parse(slice_make(data, consumed - 1), &again, &shorter) != HTTP_MORE)
        abort();
    if (http_request_parse(slice_make(data, consumed), &again, &shorter) != HTTP_DONE || shorter != consumed)
        abort();
    return 0;
}
