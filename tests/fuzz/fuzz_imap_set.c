/* Message sets and flags: parse, normalise, write, parse again. */
#include <stdlib.h>

#include "grammar/imap_flags.h"
#include "grammar/imap_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena AUTO_ARENA = arena_new(1 << 20);
    struct imap_set set, again;
    struct imap_flags flags;
    struct why why;
    struct slice text = slice_make(data, size);
    (void)!imap_flags_parse_in(arena, text, &flags, &why);
    if (imap_set_parse_in(arena, text, &set, &why) != ERR_OK)
        return 0;
    imap_set_normalise(&set, 1000);
    AUTO_BUF struct buf out = buf_new(1 << 20), second = buf_new(1 << 20);
    imap_set_write(&out, &set);
    if (set.count == 0)
        return 0;
    if (imap_set_parse_in(arena, buf_slice(&out), &again, &why) != ERR_OK)
        abort();
    imap_set_normalise(&again, 1);
    imap_set_write(&second, &again);
    if (!slice_eq(buf_slice(&out), buf_slice(&second)) || !imap_set_contains(&set, imap_set_highest(&set)))
        abort();
    return 0;
}
