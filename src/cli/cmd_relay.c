/* cmd_relay.c: the relays of the running server: what each may still send today, a trial login, and mail that
 * went past the queue. */
#include <string.h>

#include "cli/cli.h"

#define COUNT_MAX 1000000

/* test [NAME] [--to ADDRESS] */
static bool is_test(const struct cli *cli)
{
    int names = 0;
    for (int i = 1; i < cli->argc; i++) {
        if (strcmp(cli->argv[i], "--to") == 0) {
            if (++i == cli->argc || !strchr(cli->argv[i], '@'))
                return false;
        } else if (cli->argv[i][0] == '-' || ++names > 1) {
            return false;
        }
    }
    return true;
}

/* count NAME N */
static bool is_count(const struct cli *cli)
{
    uint64_t number;
    return cli->argc == 3 && slice_u64(slice_of(cli->argv[2]), COUNT_MAX, &number);
}

int cmd_relay(struct cli *cli)
{
    const char *verb = cli->argc ? cli->argv[0] : "";
    bool fine = strcmp(verb, "list") == 0    ? cli->argc == 1
                : strcmp(verb, "test") == 0  ? is_test(cli)
                : strcmp(verb, "count") == 0 ? is_count(cli)
                                             : false;
    return fine ? cli_pass_on(cli) : cli_usage(cli);
}
