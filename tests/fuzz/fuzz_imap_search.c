/* Decoding and evaluation of search programs as store gets them. The first octet is the length of a text to
 * look in. */
#include <stdlib.h>

#include "grammar/imap_search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum imap_truth body(void *ctx, const struct imap_needle *needle)
{
    return imap_needle_match(needle, *(struct slice *)ctx) ? IMAP_YES : IMAP_NO;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size < 1u + data[0])
        return 0;
    struct slice text = slice_make(data + 1, data[0]);
    struct arena *arena AUTO_ARENA = arena_new(IMAP_SEARCH_BLOB_MAX);
    struct imap_search_node *root;
    struct why why;
    struct slice blob = slice_from(slice_make(data + 1, size - 1), text.len);
    if (imap_search_decode_in(arena, blob, &root, &why) != ERR_OK)
        return 0;
    struct imap_search_subject subject = {.uid = 7, .body = body, .any_header = body};
    enum imap_truth first = imap_search_match(root, &subject, &text);
    AUTO_BUF struct buf out = buf_new(IMAP_SEARCH_BLOB_MAX);
    if (imap_search_encode(&out, root, &why) != ERR_OK ||
        imap_search_decode_in(arena, buf_slice(&out), &root, &why) != ERR_OK ||
        imap_search_match(root, &subject, &text) != first)
        abort();
    return 0;
}
