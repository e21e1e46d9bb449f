/* cmd_roles.c: the role table, printed. docs/architecture.md shows the same. */
#include <stdio.h>

#include "cli/cli.h"
#include "proc/confine.h"

static void print_peers(uint32_t peers)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (peers & 1u << r)
            (void)printf(" %s", role_name((enum role)r));
}

int cmd_roles(struct cli *cli)
{
    if (cli->argc)
        return cli_usage(cli);
    for (int r = 0; r < ROLE_COUNT; r++) {
        const struct proc_role *row = proc_role((enum role)r);
        if (!row)
            continue;
        (void)printf("%-6s profile %-6s folder %-6s parses %s; talks to", role_name((enum role)r),
                     profile_name(row->profile), row->folder ? row->folder : "-", row->hostile);
        print_peers(row->peers);
        (void)printf("\n");
    }
    (void)printf("this kernel: Landlock ABI %d\n", landlock_abi());
    return CLI_OK;
}
