/* Any bytes as the configuration file: parsed, checked, coded and shown; what was coded decodes to the same.
 */
#include <stdlib.h>

#include "settings/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(256u << 20);
    struct problems *problems = problems_new_in(arena);
    struct settings *settings, *back;
    struct conf_origin *origin;
    struct why why;
    enum err err = settings_parse_in(arena, slice_make(data, len), SLICE("f.yaml"), NULL, NULL, &settings,
                                     &origin, problems);
    settings_check(settings, origin, SLICE("f.yaml"), NULL, problems);
    AUTO_BUF struct buf text = buf_new(16u << 20), bytes = buf_new(16u << 20), shown = buf_new(16u << 20),
                        again = buf_new(16u << 20);
    problems_print(problems, &text);
    if (err)
        return 0;
    settings_encode(settings, &bytes);
    if (settings_decode_in(arena, buf_slice(&bytes), &back, &why) != ERR_OK)
        abort();
    conf_show(&settings_table, settings, &shown);
    conf_show(&settings_table, back, &again);
    if (!slice_eq(buf_slice(&shown), buf_slice(&again)))
        abort();
    return 0;
}
