/* Any bytes as postfix-virtual.cf over a few accounts: the table is built, every address routed, nothing
 * grows without end, an account is never left without its mail by a catch-all. */
#include <stdlib.h>

#include "directory/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void count_difference(void *arg, struct slice address, struct slice here, struct slice there)
{
    (void)here;
    (void)there;
    *(size_t *)arg += address.len > 0;
}

static void route_one(struct directory_table *table, struct slice address)
{
    AUTO_ARENA struct arena *arena = arena_new(16u << 20);
    struct directory_route route;
    directory_route_in(arena, table, address, true, &route);
    if (route.count > DIRECTORY_EXPAND_MAX || (route.outcome == DIRECTORY_DELIVER && route.count == 0))
        abort();
    (void)directory_owns(table, SLICE("a@x.test"), address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 20000) /* every address is routed: keep it quick */
        return 0;
    AUTO_ARENA struct arena *arena = arena_new(256u << 20);
    struct directory_input *input = directory_input_new_in(arena, problems_new_in(arena));
    struct settings settings = {.hostname = SLICE("mail.x.test")};
    struct slice rest = slice_make(data, len), line;
    directory_read_accounts(input, SLICE("a@x.test|1\nb@x.test|1\nc@y.test|1\n"), SLICE("a.cf"), true);
    directory_read_virtual(input, rest, SLICE("v.cf"));
    struct directory_table *table = directory_table_new_in(arena, input, &settings, NULL, SLICE("r.yaml"));
    static const char *const asked[] = {"a@x.test",   "B+t@X.test", "c@y.test", "free@x.test",
                                        "postmaster", "@x.test",    ""};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        route_one(table, slice_of(asked[i]));
    for (size_t i = 0; i < 50 && slice_token(&rest, '\n', &line); i++)
        route_one(table, slice_trim(line));
    size_t differences = 0;
    (void)directory_compare_postfix(table, count_difference, &differences);
    return 0;
}
