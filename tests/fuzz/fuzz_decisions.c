/* Decisions as relay tells them, a line each: whatever comes, the register stays consistent (as many places
 * as decisions, every one found by its network), and an image can be made of it. */
#include <stdlib.h>

#include "auth/bans.h"
#include "base/io.h"

#define NOW 1800000000u

static void check(const struct decisions *d)
{
    for (size_t i = 0; i < decisions_count(d); i++) {
        const struct decision *one = decisions_at(d, i);
        if (bans_too_wide(&one->network) || one->until < NOW)
            abort();
        const struct decision *found = decisions_find(d, &one->network, NOW);
        if (one->until > NOW && (!found || found->until < one->until))
            abort();
        (void)decisions_word(d, one->scenario);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    struct settings *settings = ARENA_NEW(arena, struct settings);
    conf_defaults_in(arena, &settings_table, settings);
    struct bans *bans = bans_new(settings);
    const struct bans_now now = {NOW, 1};
    struct slice rest = slice_make(data, len), line;
    size_t count;
    int fd = -1;
    while (slice_token(&rest, '\n', &line)) {
        bool ignored = decisions_take(bans->decisions, line, NOW);
        (void)ignored;
    }
    check(bans->decisions);
    struct ban_entry *entries = bans_snapshot(bans, &now, &count);
    if (ban_list_make(entries, count, &fd, NULL))
        abort();
    io_close(&fd);
    free(entries);
    decisions_expire(bans->decisions, NOW + 100);
    for (size_t i = 0; i < decisions_count(bans->decisions); i++)
        if (decisions_at(bans->decisions, i)->until <= NOW + 100)
            abort();
    bans_free(&bans);
    return 0;
}
