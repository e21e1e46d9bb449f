/* cmd_roles.c: the role table, printed. docs/architecture.md shows the same. */
#include <stdio.h>

#include "cli/cli.h"
#include "proc/confine.h"

#define JSON_MAX ((size_t)64 * 1024)

static void print_peers(uint32_t peers)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (peers & 1u << r)
            (void)printf(" %s", role_name((enum role)r));
}

static void print_json(void)
{
    AUTO_BUF struct buf out = buf_new(JSON_MAX);
    buf_add_str(&out, "{\"roles\":[");
    bool any = false;
    for (int r = 0; r < ROLE_COUNT; r++) {
        const struct proc_role *row = proc_role((enum role)r);
        if (!row)
            continue;
        buf_addf(&out, "%s{\"role\":\"%s\",\"profile\":\"%s\",\"folder\":", any ? "," : "",
                 role_name((enum role)r), profile_name(row->profile));
        any = true;
        if (row->folder)
            buf_add_json_string(&out, slice_of(row->folder));
        else
            buf_add_str(&out, "null");
        buf_add_str(&out, ",\"parses\":");
        buf_add_json_string(&out, slice_of(row->hostile));
        buf_add_str(&out, ",\"talks_to\":[");
        bool more = false;
        for (int p = 0; p < ROLE_COUNT; p++)
            if (row->peers & 1u << p) {
                buf_addf(&out, "%s\"%s\"", more ? "," : "", role_name((enum role)p));
                more = true;
            }
        buf_add_str(&out, "]}");
    }
    buf_addf(&out, "],\"landlock_abi\":%d}\n", landlock_abi());
    (void)fwrite(out.data, 1, out.len, stdout);
}

int cmd_roles(struct cli *cli)
{
    if (cli->argc)
        return cli_usage(cli);
    if (cli->json) {
        print_json();
        return CLI_OK;
    }
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
