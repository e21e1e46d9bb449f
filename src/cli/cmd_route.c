/* cmd_route.c: where mail for an address goes, and why. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/directory.h"
#include "grammar/address.h"

/* Of all targets: an address of at most ADDRESS_MAX bytes, each six in JSON. */
#define JSON_MAX ((size_t)DIRECTORY_EXPAND_MAX * (6 * ADDRESS_MAX + 64))

static const char *const outcomes[] = {"deliver", "unknown", "remote", "too-many", "invalid"};

static void print_step(const struct directory_step *step)
{
    (void)printf("%*s%.*s: %s", (int)(2 + 2 * step->depth), "", SLICE_ARG(step->address),
                 directory_rule_name(step->rule));
    if (step->to.len)
        (void)printf(" -> %.*s", SLICE_ARG(step->to));
    if (step->place && step->place->file.len && step->place->line)
        (void)printf("   (%.*s:%u)", SLICE_ARG(step->place->file), step->place->line);
    else if (step->place && step->place->file.len) /* JSON: one object, no lines */
        (void)printf("   (%.*s)", SLICE_ARG(step->place->file));
    if (step->chain.len)
        (void)printf("   %.*s", SLICE_ARG(step->chain));
    (void)printf("\n");
}

static int print_route(struct cli *cli, const struct directory_route *route, const char *address)
{
    if (cli->json) {
        AUTO_BUF struct buf out = buf_new(JSON_MAX);
        buf_addf(&out, "{\"outcome\":\"%s\",\"targets\":[", outcomes[route->outcome]);
        for (size_t i = 0; i < route->count; i++) {
            buf_addf(&out, "%s{\"local\":%s,\"address\":", i ? "," : "",
                     route->targets[i].local ? "true" : "false");
            buf_add_json_string(&out, route->targets[i].address);
            buf_add_byte(&out, '}');
        }
        buf_add_str(&out, "]}\n");
        (void)fwrite(out.data, 1, out.len, stdout);
    } else {
        (void)printf("%s: %s\n", address, outcomes[route->outcome]);
        for (size_t i = 0; i < route->step_count; i++)
            print_step(&route->steps[i]);
        for (size_t i = 0; i < route->count; i++)
            (void)printf("  %s %.*s\n", route->targets[i].local ? "mailbox of" : "forward to",
                         SLICE_ARG(route->targets[i].address));
        if (route->outcome == DIRECTORY_UNKNOWN)
            (void)printf(
                "  (only the files were read: `rockdove account list` has the accounts of the database)\n");
    }
    return route->outcome == DIRECTORY_DELIVER || route->outcome == DIRECTORY_REMOTE ? CLI_OK : CLI_FAILED;
}

static void print_difference(void *arg, struct slice address, struct slice here, struct slice there)
{
    (void)arg;
    (void)printf("%.*s: here %.*s, under docker-mailserver %.*s\n", SLICE_ARG(address), SLICE_ARG(here),
                 SLICE_ARG(there));
}

int cmd_route(struct cli *cli)
{
    struct settings *settings;
    struct conf_origin *origin;
    struct directory_route route;
    if (cli->argc != 1)
        return cli_usage(cli);
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    struct problems *problems = problems_new_in(cli->arena);
    struct directory_table *table = cli_directory(cli, settings, origin, problems);
    if (strcmp(cli->argv[0], "--compare-postfix") == 0) {
        size_t count = directory_compare_postfix(table, print_difference, NULL);
        (void)printf("%zu addresses differ\n", count);
        return CLI_OK;
    }
    directory_route_in(cli->arena, table, slice_of(cli->argv[0]), true, &route);
    return print_route(cli, &route, cli->argv[0]);
}
