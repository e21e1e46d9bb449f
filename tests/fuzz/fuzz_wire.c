/* The coder of all messages between roles: the first two bytes choose the type, the rest is the body. What
 * decodes must encode again and decode to the same. */
#include <stdalign.h>
#include <stdlib.h>

#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    alignas(max_align_t) uint8_t message[512], again[512];
    struct slice body = slice_make(data, len), s;
    uint16_t type;
    if (!slice_take_le16(&body, &type))
        return 0;
    if (wire_decode(type, body, message) == ERR_OK) {
        AUTO_BUF struct buf out = buf_new(IPC_BODY_MAX * 2);
        wire_encode(type, message, &out);
        if (!buf_ok(&out) || wire_decode(type, buf_slice(&out), again) != ERR_OK)
            abort();
    }
    for (struct slice rest = body; wire_strings_take(&rest, &s);)
        ;
    uint32_t first, last;
    for (struct slice rest = body; wire_range_take(&rest, &first, &last);)
        ;
    return 0;
}
