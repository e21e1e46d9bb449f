/* Any bytes as encoded settings, behind a right fingerprint when the input does not bring one. */
#include <stdlib.h>

#include "settings/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(64u << 20);
    struct settings defaults = {.role_uid_base = 1}, *settings;
    AUTO_BUF struct buf bytes = buf_new(16u << 20), again = buf_new(16u << 20);
    struct why why;
    if (settings_decode_in(arena, slice_make(data, len), &settings, &why) == ERR_OK)
        conf_show(&settings_table, settings, &again);
    buf_clear(&again);
    settings_encode(&defaults, &bytes);
    buf_truncate(&bytes, 8);
    buf_add(&bytes, slice_make(data, len));
    if (settings_decode_in(arena, buf_slice(&bytes), &settings, &why) != ERR_OK)
        return 0;
    settings_encode(settings, &again);
    conf_show(&settings_table, settings, &bytes);
    if (settings_decode_in(arena, buf_slice(&again), &settings, &why) != ERR_OK)
        abort();
    return 0;
}
