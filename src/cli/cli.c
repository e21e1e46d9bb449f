/* cli.c: options, the table of commands, help. Reads only what the administrator types. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#ifndef ROCKDOVE_VERSION
#define ROCKDOVE_VERSION "0.1.0"
#endif

#define CLI_ARENA_MAX   ((size_t)1 << 30)
#define ARGUMENTS_WIDTH 43 /* columns of the list of commands */

static const struct cli_command commands[] = {
    {"run", cmd_run, "", "run the server in the foreground",
     "Prints one line `ready` on stderr when every listener accepts. SIGTERM drains, SIGHUP reloads.\n"
     "Example: rockdove -c /etc/rockdove/rockdove.yaml run"},
    {"check", cmd_check, "", "say all that is wrong with the configuration",
     "Each problem with file, line and what to write instead; exit code 1 when there is an error.\n"
     "Example: rockdove -c /etc/rockdove/rockdove.yaml check"},
    {"config", cmd_config, "show|manual", "print the settings in effect, or the manual of all settings",
     "`show` never prints a secret. `manual` needs no configuration.\n"
     "Example: rockdove -c rockdove.yaml config show"},
    {"route", cmd_route, "ADDRESS | --compare-postfix", "explain where mail for an address goes, and why",
     "--compare-postfix lists every address whose mail would go elsewhere than under docker-mailserver.\n"
     "Reads the configuration's files, not the accounts of the database. Exit code 1: nobody gets the mail.\n"
     "Example: rockdove -c rockdove.yaml route postmaster@example.org"},
    {"account", cmd_account, "add|passwd|list|remove [ADDRESS]", "accounts kept in the database",
     "add and passwd read the password from standard input (one line). remove asks what becomes of the "
     "mail:\n"
     "--keep-mail leaves the folder, --delete-mail removes it for good; one of them must be given.\n"
     "Example: printf '%s\\n' \"$PASSWORD\" | rockdove -c rockdove.yaml account add jane@example.org"},
    {"trace", cmd_trace, "ID", "follow a message from connection to mailbox",
     "ID is a queue id (from the reply to the sender or a Received field) or a session id of the log.\n"
     "Example: rockdove -c rockdove.yaml trace 01J3ZQ8K4T7M"},
    {"queue", cmd_queue, "VERB [ID…] [FILTER…]", "messages not yet delivered everywhere",
     "list    what waits, one line for each recipient      show ID…  one message: its route, its attempts\n"
     "retry   try now                                      flush     try all that is not held now\n"
     "hold    keep without trying                          release   end that\n"
     "bounce  give up and tell the sender                  delete    give up and tell nobody\n"
     "destinations  how much waits for each way mail takes\n"
     "Which ones: ids, or --sender ADDRESS|@DOMAIN|<>, --recipient ADDRESS|@DOMAIN, --domain D, --reason "
     "TEXT,\n"
     "--state waiting|sending|deferred|quota|stopped|held, --older TIME, --newer TIME (all given ones must "
     "fit),\n"
     "or --all. list takes --limit N. Exit code 1: nothing matched.\n"
     "Example: rockdove -c rockdove.yaml queue bounce --domain gone.example --older 2d"},
    {"relay", cmd_relay, "list | test [NAME] [--to A] | count NAME N", "the servers mail leaves through",
     "list: quota used today, what is under way, whether its route is stopped. test: logs in, shows TLS and "
     "limits,\n"
     "sends one message to ADDRESS. count: N messages went past the queue, by the provider's own interface;\n"
     "they count into the quota. NAME is `default` unless given.\n"
     "Example: rockdove -c rockdove.yaml relay test --to postmaster@example.org"},
    {"dkim", cmd_dkim, "generate|rotate DOMAIN --out FILE | list | status",
     "keys that sign mail, and their DNS records",
     "generate: a new key in FILE (never overwritten), and its record to publish. rotate: the key that "
     "replaces a\n"
     "configured one, and what to do step by step. Both take --selector S (rotate: the one to replace) and\n"
     "--algorithm rsa|ed25519. list: the keys of the configuration; exit code 1 when one cannot be used.\n"
     "status: which keys the running server signs with, and what DNS says of their records.\n"
     "Example: rockdove dkim generate example.org --out /etc/rockdove/dkim/example.org.key"},
    {"haproxy", cmd_haproxy, "--backend [LISTENER=]HOST[:PORT]…", "the configuration for a HAProxy in front",
     "A frontend and a backend for each listener with proxy: required or optional, with checks the server "
     "answers\n"
     "silently. --backend says where the server is as HAProxy sees it; given several times: several servers. "
     "Without a\n"
     "port it is the listener's own; a port that is not (a node port) goes with the listener's name.\n"
     "--bind [LISTENER=]ADDRESS[:PORT] binds elsewhere than to the standard port of all addresses.\n"
     "--format fields prints one line for each server instead, fields apart by tabs, for front ends that "
     "generate their\n"
     "file: listener, bind, server, address, server fields, backend lines (apart by \"; \"); --json the "
     "same.\n"
     "Example: rockdove -c rockdove.yaml haproxy --backend 10.0.0.5 --backend mx-proxy=10.0.0.6:32525"},
    {"ban", cmd_ban, "list|add|remove|explain [ADDRESS]", "who is banned, why, and until when",
     "list: bans of ours (those only told with bans: observe too), by hand, and CrowdSec's decisions;\n"
     "--source ours|hand|crowdsec shows one kind. add: by hand, on every listener at once; --for TIME "
     "(until\n"
     "removed unless given), --reason TEXT. remove: ends a ban by hand or of ours; exit code 1 when there "
     "is\n"
     "none, or something else still bans it. explain: the evidence, the rule, until when, and what speaks\n"
     "against a ban.\n"
     "Example: rockdove -c rockdove.yaml ban add 203.0.113.0/24 --for 2d --reason \"password guessing\""},
    {"status", cmd_status, "", "the processes of the running server",
     "Example: rockdove -c rockdove.yaml status"},
    {"reload", cmd_reload, "", "read the configuration and its files again",
     "The same as SIGHUP: all roles switch, or none does. Answers when it has begun; how it went is in the "
     "log\n"
     "(supervisor.reloaded, or supervisor.reload_failed with the reason).\nExample: rockdove -c "
     "rockdove.yaml reload"},
    {"store", cmd_store, "verify [ACCOUNT] | rebuild ACCOUNT | index ACCOUNT",
     "check or rebuild the mail store while the server is stopped",
     "verify: every row has its file, every file a row, sizes and checksums agree. rebuild: a new index from "
     "the\n"
     "message files; docs/store.md says what it keeps. index: the full-text index anew, at once. Exit code 1 "
     "when something is wrong.\n"
     "Example: rockdove -c rockdove.yaml store verify"},
    {"roles", cmd_roles, "", "the processes, what each may do and whom it may talk to",
     "Example: rockdove roles"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

/* Columns, not bytes: `…` has three. */
static int columns_of(const char *text)
{
    int columns = 0;
    for (; *text; text++)
        columns += ((uint8_t)*text & 0xc0) != 0x80;
    return columns;
}

static void print_usage(FILE *out)
{
    (void)fprintf(out, "usage: rockdove [-c FILE] [--json] COMMAND …\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        int columns = columns_of(commands[i].arguments);
        (void)fprintf(out, "  %-8s %s", commands[i].name, commands[i].arguments);
        if (columns > ARGUMENTS_WIDTH) /* its summary begins a line of its own */
            (void)fprintf(out, "\n%*s", ARGUMENTS_WIDTH + 12, "");
        else
            (void)fprintf(out, "%*s", ARGUMENTS_WIDTH - columns + 1, "");
        (void)fprintf(out, "%s\n", commands[i].summary);
    }
    (void)fprintf(out, "\n  rockdove COMMAND --help says more about one of them; rockdove --version.\n"
                       "  FILE is /etc/rockdove/rockdove.yaml unless given.\n");
}

static void print_help(const struct cli_command *command, FILE *out)
{
    (void)fprintf(out, "usage: rockdove [-c FILE] [--json] %s %s\n\n%s.\n\n%s\n", command->name,
                  command->arguments, command->summary, command->help);
}

int cli_fail(const struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "rockdove %s: ", cli->command->name);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return CLI_FAILED;
}

int cli_usage(const struct cli *cli)
{
    print_help(cli->command, stderr);
    return CLI_USAGE;
}

enum err cli_read_file(struct arena *arena, const char *path, size_t max, struct slice *content,
                       struct why *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_errno(why, errno, "%s", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > max) {
        (void)close(fd);
        return err_set(why, ERR_BAD, "%s is no regular file of at most %zu bytes", path, max);
    }
    uint8_t *bytes = arena_must(arena, (size_t)st.st_size + 1);
    ssize_t got = read(fd, bytes, (size_t)st.st_size);
    int error = errno;
    (void)close(fd);
    if (got < 0)
        return err_errno(why, error, "%s", path);
    *content = slice_make(bytes, (size_t)got);
    return ERR_OK;
}

static const char *from_environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

bool cli_settings(struct cli *cli, struct problems *problems, struct settings **settings,
                  struct conf_origin **origin)
{
    const char *path = cli->config_path;
    struct slice yaml;
    struct why why;
    struct problems *list = problems ? problems : problems_new_in(cli->arena);
    if (cli_read_file(cli->arena, path, CONF_FILE_MAX, &yaml, &why) != ERR_OK) {
        (void)cli_fail(cli, "%s", why.text);
        return false;
    }
    enum err err =
        settings_parse_in(cli->arena, yaml, slice_of(path), from_environment, NULL, settings, origin, list);
    if (err == ERR_OK || problems)
        return err == ERR_OK;
    AUTO_BUF struct buf text = buf_new(1 << 20);
    problems_print(list, &text);
    (void)fprintf(stderr, "%.*s", SLICE_ARG(buf_slice(&text)));
    return false;
}

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Takes an option that counts anywhere off the list; the rest moves up. */
static bool take_flag(struct cli *cli, const char *flag)
{
    for (int i = 0; i < cli->argc; i++) {
        if (strcmp(cli->argv[i], flag) != 0)
            continue;
        for (int j = i; j + 1 < cli->argc; j++)
            cli->argv[j] = cli->argv[j + 1];
        cli->argc--;
        return true;
    }
    return false;
}

static int run_command(struct cli *cli)
{
    if (take_flag(cli, "--help")) {
        print_help(cli->command, stdout);
        return CLI_OK;
    }
    while (take_flag(cli, "--json"))
        cli->json = true;
    cli->arena = arena_new(CLI_ARENA_MAX);
    int code = cli->command->run(cli);
    arena_free(&cli->arena);
    return code;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {.config_path = "/etc/rockdove/rockdove.yaml"};
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "-c") == 0 && at + 1 < argc) {
            cli.config_path = argv[++at];
        } else if (strcmp(argv[at], "--json") == 0) {
            cli.json = true;
        } else if (strcmp(argv[at], "--version") == 0) {
            (void)printf("rockdove %s\n", ROCKDOVE_VERSION);
            return CLI_OK;
        } else if (strcmp(argv[at], "--help") == 0) {
            print_usage(stdout);
            return CLI_OK;
        } else {
            print_usage(stderr);
            return CLI_USAGE;
        }
    }
    cli.command = at < argc ? find_command(argv[at]) : NULL;
    if (!cli.command) {
        if (at < argc && strcmp(argv[at], "help") == 0) {
            print_usage(stdout);
            return CLI_OK;
        }
        if (at < argc)
            (void)fprintf(stderr, "rockdove: there is no command %s\n", argv[at]);
        print_usage(stderr);
        return CLI_USAGE;
    }
    cli.argc = argc - at - 1;
    cli.argv = argv + at + 1;
    return run_command(&cli);
}
