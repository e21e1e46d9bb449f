/* cmd_config.c: the settings in effect, and their manual, both printed from the settings table. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define TEXT_MAX ((size_t)8 << 20)

int cmd_config(struct cli *cli)
{
    AUTO_BUF struct buf text = buf_new(TEXT_MAX);
    struct settings *settings;
    struct conf_origin *origin;
    if (cli->json) {
        (void)cli_fail(cli, "has no --json: show prints YAML, manual prints Markdown");
        return CLI_USAGE;
    }
    if (cli->argc == 1 && strcmp(cli->argv[0], "manual") == 0) {
        conf_print_manual(&settings_table, &text);
    } else if (cli->argc == 1 && strcmp(cli->argv[0], "show") == 0) {
        if (!cli_settings(cli, NULL, &settings, &origin))
            return CLI_FAILED;
        conf_show(&settings_table, settings, &text);
    } else {
        return cli_usage(cli);
    }
    (void)fwrite(text.data, 1, text.len, stdout);
    return CLI_OK;
}
