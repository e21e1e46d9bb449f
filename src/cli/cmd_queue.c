/* cmd_queue.c: what waits in the queue of the running server, and what is to become of it. The words are read
 * here once, so that a wrong one is told at once; the server reads them again. */
#include "base/coll.h"
#include "cli/cli.h"
#include "queue/command.h"

int cmd_queue(struct cli *cli)
{
    struct slice arguments[COMMAND_IDS_MAX * 2];
    struct queue_command command;
    struct why why;
    if (cli->argc == 0 || (size_t)cli->argc > ARRAY_LEN(arguments))
        return cli_usage(cli);
    for (int i = 0; i < cli->argc; i++)
        arguments[i] = slice_of(cli->argv[i]);
    if (queue_command_parse(arguments, (size_t)cli->argc, &command, &why) != ERR_OK) {
        (void)cli_fail(cli, "%s", why.text);
        return CLI_USAGE;
    }
    return cli_pass_on(cli);
}
