/* cmd_server.c: run, and what only a running server can answer: status, reload, trace. */
#include "cli/cli.h"
#include "proc/supervisor.h"

#define ARGUMENTS_MAX 100

int cmd_run(struct cli *cli)
{
    return cli->argc ? cli_usage(cli) : supervisor_run(cli->config_path);
}

int cli_pass_on(struct cli *cli)
{
    struct slice arguments[ARGUMENTS_MAX] = {slice_of(cli->command->name)};
    struct settings *settings;
    struct conf_origin *origin;
    struct why why;
    int exit_code = CLI_FAILED;
    if (cli->argc + 1 > ARGUMENTS_MAX)
        return cli_usage(cli);
    for (int i = 0; i < cli->argc; i++)
        arguments[i + 1] = slice_of(cli->argv[i]);
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    if (cli_control(cli, settings, arguments, (size_t)cli->argc + 1, &exit_code, &why) != ERR_OK)
        return cli_fail(cli, "%s", why.text);
    return exit_code;
}

int cmd_status(struct cli *cli)
{
    return cli->argc ? cli_usage(cli) : cli_pass_on(cli);
}

int cmd_reload(struct cli *cli)
{
    return cli->argc ? cli_usage(cli) : cli_pass_on(cli);
}

int cmd_trace(struct cli *cli)
{
    return cli->argc == 1 ? cli_pass_on(cli) : cli_usage(cli);
}
