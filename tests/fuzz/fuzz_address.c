/* Envelope addresses: whatever is accepted has a canonical text that parses to itself and a stable key. */
#include <stdlib.h>

#include "grammar/address.h"

#define ARENA_MAX (1u << 20)

static void check(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct address addr, again;
    if (len == 0 || len > 4096)
        return 0;
    unsigned flags = data[0] & 7;
    struct slice text = slice_make(data + 1, len - 1), user, tag;
    enum err err = text.len && text.ptr[0] == '<' ? address_path_take_in(arena, &text, flags, &addr, NULL)
                                                  : address_parse_in(arena, text, flags, &addr, NULL);
    if (err || address_is_null(&addr))
        return 0;
    check(addr.text.len <= ADDRESS_MAX && addr.local.len <= ADDRESS_LOCAL_MAX && slice_is_ascii(addr.domain));
    check(address_parse_in(arena, addr.text, flags, &again, NULL) == ERR_OK);
    check(slice_eq(addr.text, again.text) && slice_eq(addr.local, again.local) &&
          slice_eq(addr.domain, again.domain));
    check(slice_eq(address_key_in(arena, &addr), address_key_in(arena, &again)));
    struct slice once = address_fold_local_in(arena, addr.local);
    if (once.len <= ADDRESS_LOCAL_MAX)
        check(slice_eq(address_fold_local_in(arena, once), once));
    (void)address_split_tag(addr.local, '+', &user, &tag);
    check(user.len + tag.len <= addr.local.len);
    return 0;
}
