/* Any bytes as postfix-regexp.cf over a few accounts: the table is built, addresses routed and owned, nothing
 * grows or runs without end, no account loses its mail. The last line of the input is asked too. */
#include <stdlib.h>

#include "directory/table.h"

#define ARENA_MAX (256u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void route_one(struct directory_table *table, struct slice address, bool account)
{
    AUTO_ARENA struct arena *arena = arena_new(16u << 20);
    struct directory_route route;
    bool kept = false;
    directory_route_in(arena, table, address, true, &route);
    if (route.count > DIRECTORY_EXPAND_MAX || (route.outcome == DIRECTORY_DELIVER && route.count == 0))
        abort();
    for (size_t i = 0; i < route.count; i++)
        kept |= route.targets[i].local && slice_eq(route.targets[i].address, address);
    if (account && !kept && route.outcome != DIRECTORY_TOO_MANY)
        abort();
    (void)directory_owns(table, SLICE("b@x.test"), address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 4000) /* keep it quick */
        return 0;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct directory_input *input = directory_input_new_in(arena, problems_new_in(arena));
    struct settings settings = {.hostname = SLICE("mail.x.test")};
    struct slice text = slice_make(data, len);
    directory_read_accounts(input, SLICE("a@x.test|1\nb@x.test|1\n"), SLICE("a.cf"), true);
    directory_read_virtual(input, SLICE("*-w@x.test b@x.test\n@x.test a@x.test\n"), SLICE("v.cf"));
    directory_read_regexp(input, text, SLICE("r.cf"));
    struct directory_table *table = directory_table_new_in(arena, input, &settings, NULL, SLICE("r.yaml"));
    static const char *const asked[] = {"free+tag@x.test", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!@x.test",
                                        "1-w@x.test",      "\"a b\"@x.test",
                                        "postmaster",      "\xc3\xa4@x.test"};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        route_one(table, slice_of(asked[i]), false);
    route_one(table, SLICE("a@x.test"), true);
    route_one(table, SLICE("b@x.test"), true);
    route_one(table, slice_from(text, (size_t)(slice_rfind(text, '\n') + 1)), false);
    return 0;
}
