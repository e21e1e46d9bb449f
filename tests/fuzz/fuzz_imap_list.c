/* Patterns and names: pattern NUL name. */
#include <stdlib.h>

#include "grammar/imap_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size), pattern;
    if (size > 2200 || !slice_token(&input, 0, &pattern))
        return 0;
    struct arena *arena AUTO_ARENA = arena_new(1 << 20);
    struct why why;
    if (imap_pattern_match(pattern, input, '/') && !imap_pattern_match(SLICE("*"), input, '/'))
        abort();
    (void)imap_pattern_matches_below(pattern, input, '/');
    if (!slice_is_utf8(input))
        return 0;
    struct slice name = imap_mailbox_canonical_in(arena, input, '/');
    struct slice twice = imap_mailbox_canonical_in(arena, name, '/');
    if (!slice_eq(name, twice))
        abort();
    if (imap_mailbox_check_new(name, '/', &why) == ERR_OK && name.len <= IMAP_PATTERN_MAX &&
        !imap_pattern_match(name, name, '/'))
        abort();
    return 0;
}
