/* IMAP URLs: whatever is taken lies inside its bounds, and what it signs is the front of the text. */
#include <stdlib.h>

#include "grammar/imap_list.h"
#include "grammar/imap_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    struct imap_url url;
    struct why why;
    struct slice text = slice_make(data, size);
    if (imap_url_parse_in(arena, text, &url, &why) != ERR_OK)
        return 0;
    if (url.uid == 0 || url.mailbox.len > IMAP_MAILBOX_NAME_MAX || slice_find(url.mailbox, 0) >= 0 ||
        !slice_is_utf8(url.mailbox))
        abort();
    if (url.access != IMAP_URL_NOT_AUTHORISED && !slice_starts(text, url.rump))
        abort();
    if (url.mechanism.len && url.token.len < 32)
        abort();
    (void)imap_url_is_of(&url, SLICE("ann@example.org"));
    (void)imap_url_is_for(&url, SLICE("ann@example.org"));
    return 0;
}
