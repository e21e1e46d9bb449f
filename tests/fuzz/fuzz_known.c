/* Fuzzes the saved table of known strangers: whatever was read is written and read again as the same. */
#include <stdlib.h>

#include "smtp/known.h"

#define MAX 1000

static void check_copy(const struct smtp_known *known)
{
    struct smtp_known *copy = smtp_known_new(MAX);
    uint32_t at = 0;
    do {
        AUTO_BUF struct buf piece = buf_new(SMTP_KNOWN_PIECE);
        smtp_known_write(known, &at, &piece);
        if (!buf_ok(&piece) || smtp_known_read(copy, buf_slice(&piece), UINT32_MAX) != ERR_OK)
            abort();
    } while (at);
    if (smtp_known_count(copy) != smtp_known_count(known))
        abort();
    smtp_known_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct smtp_known *known = smtp_known_new(MAX);
    enum err err = smtp_known_read(known, slice_make(data, len), UINT32_MAX);
    if (smtp_known_count(known) > MAX || smtp_known_count(known) > len / 13)
        abort();
    if (err == ERR_OK)
        check_copy(known);
    smtp_known_free(&known);
    return 0;
}
