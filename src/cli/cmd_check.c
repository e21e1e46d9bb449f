/* cmd_check.c: everything that is wrong with a configuration, at once. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/check_gateways.h"
#include "cli/check_outbound.h"
#include "cli/cli.h"
#include "cli/directory.h"
#include "cli/dkim.h"
#include "proc/confine.h"

#define TEXT_MAX ((size_t)8 << 20)

static const char *why_unreadable(void *arg, struct slice path)
{
    struct cli *cli = arg;
    return access(arena_cstr(cli->arena, path), R_OK) == 0 ? NULL : strerror(errno);
}

static bool kernel_has_ipv6(void *arg)
{
    (void)arg;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    (void)close(fd);
    return true;
}

static void check_kernel(struct problems *problems)
{
    unsigned missing = confine_missing();
    if (missing & CONFINE_NO_LANDLOCK)
        problem_add(problems, PROBLEM_WARNING, SLICE_EMPTY, 0,
                    SLICE("use a kernel of 5.13 or later with Landlock enabled"),
                    "this kernel has no Landlock: roles are held by seccomp (and, as root, by uid and root "
                    "folder) alone");
    if (missing & CONFINE_NO_SECCOMP)
        problem_add(problems, PROBLEM_WARNING, SLICE_EMPTY, 0, SLICE("use a kernel with seccomp filters"),
                    "this kernel has no seccomp");
}

/* A trap that somebody owns would have its mail refused, and its senders banned. */
static void check_traps(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                        const struct directory_table *table, struct problems *problems)
{
    for (size_t i = 0; table && i < settings->ban_policy.spam_traps.count; i++) {
        const struct slice *trap = &settings->ban_policy.spam_traps.items[i];
        struct directory_route route = {0};
        directory_route_in(cli->arena, table, *trap, true, &route);
        enum directory_rule rule = route.step_count ? route.steps[0].rule : DIRECTORY_RULE_UNKNOWN;
        bool owned = rule == DIRECTORY_RULE_ACCOUNT || rule == DIRECTORY_RULE_ALIAS ||
                     rule == DIRECTORY_RULE_ALIAS_SELF || rule == DIRECTORY_RULE_POSTMASTER;
        if (route.outcome == DIRECTORY_REMOTE || route.outcome == DIRECTORY_INVALID)
            problem_add(problems, PROBLEM_WARNING, slice_of(cli->config_path), conf_line(origin, trap),
                        SLICE("name an address of one of your domains"),
                        "ban_policy.spam_traps: %.*s is not an address here", SLICE_ARG(*trap));
        else if (owned)
            problem_add(problems, PROBLEM_ERROR, slice_of(cli->config_path), conf_line(origin, trap),
                        SLICE("remove it from spam_traps, or the account or alias"),
                        "ban_policy.spam_traps: %.*s has an owner, whose mail would be refused",
                        SLICE_ARG(*trap));
    }
}

static void print_json(const struct problems *problems, struct buf *text)
{
    buf_add_str(text, "{\"problems\":[");
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *p = &problems->items[i];
        const struct slice parts[] = {p->file, p->text, p->remedy};
        static const char *const names[] = {"file", "text", "remedy"};
        buf_addf(text, "%s{\"level\":\"%s\",\"line\":%u", i ? "," : "",
                 p->level == PROBLEM_ERROR ? "error" : "warning", p->line);
        for (size_t k = 0; k < 3; k++) {
            buf_addf(text, ",\"%s\":", names[k]);
            buf_add_json_string(text, parts[k]);
        }
        buf_add_byte(text, '}');
    }
    buf_addf(text, "],\"errors\":%zu,\"warnings\":%zu}\n", problems->errors, problems->warnings);
}

int cmd_check(struct cli *cli)
{
    struct settings *settings = NULL;
    struct conf_origin *origin = NULL;
    AUTO_BUF struct buf text = buf_new(TEXT_MAX);
    if (cli->argc)
        return cli_usage(cli);
    struct problems *problems = problems_new_in(cli->arena);
    const struct settings_probe probe = {
        .arg = cli, .unreadable = why_unreadable, .has_ipv6 = kernel_has_ipv6, .is_root = geteuid() == 0};
    bool readable = cli_settings(cli, problems, &settings, &origin);
    if (!settings)
        return CLI_FAILED;
    settings_check(settings, origin, slice_of(cli->config_path), &probe, problems);
    if (readable) {
        const struct directory_table *table = cli_directory(cli, settings, origin, problems);
        cli_check_outbound(cli, settings, origin, table, problems);
        cli_dkim_check(cli, settings, origin, table, problems);
        check_traps(cli, settings, origin, table, problems);
        cli_check_gateways(cli, settings, origin, problems);
    }
    check_kernel(problems);
    if (cli->json)
        print_json(problems, &text);
    else
        problems_print(problems, &text);
    (void)fwrite(text.data, 1, text.len, stdout);
    if (!cli->json)
        (void)printf("%zu errors, %zu warnings\n", problems->errors, problems->warnings);
    return problems->errors ? CLI_FAILED : CLI_OK;
}
