/* cli.h: the command line: one row per command, one file per command. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "settings/settings.h"

/* Exit codes. */
#define CLI_OK     0
#define CLI_FAILED 1 /* the answer is no, or it did not work */
#define CLI_USAGE  2 /* the command line is wrong */

struct cli {
    const char *config_path; /* -c; NULL when not given */
    bool json;
    int argc; /* what follows the command's name */
    char **argv;
    struct arena *arena;
    const struct cli_command *command;
};

struct cli_command {
    const char *name;
    int (*run)(struct cli *cli);
    const char *arguments; /* for the usage line */
    const char *summary;
    const char *help; /* more, with an example */
};

/* The whole program but for role processes. */
int cli_main(int argc, char **argv);

/* stderr: "rockdove NAME: TEXT"; returns CLI_FAILED. */
int cli_fail(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The usage of the command on stderr; returns CLI_USAGE. */
int cli_usage(const struct cli *cli);

/* Reads the configuration; problems go to `problems` (NULL: errors are printed, warnings are not). False when
 * it cannot be used. */
bool cli_settings(struct cli *cli, struct problems *problems, struct settings **settings,
                  struct conf_origin **origin);
/* The content of a file of at most `max` bytes, in the arena. */
enum err cli_read_file(struct arena *arena, const char *path, size_t max, struct slice *content,
                       struct why *why) MUST_CHECK;

/* Sends a command to the running server and prints its answer. ERR_ABSENT when no server runs on this data
 * folder; otherwise `*exit_code` is the command's. */
enum err cli_control(struct cli *cli, const struct settings *settings, const struct slice *arguments,
                     size_t count, int *exit_code, struct why *why) MUST_CHECK;

/* The same, with the answer in JSON into `answer`, for a command that asks on the way; waits some seconds at
 * most. */
enum err cli_control_ask(const struct settings *settings, const struct slice *arguments, size_t count,
                         struct buf *answer, int *exit_code, struct why *why) MUST_CHECK;

/* Passes the command and its arguments on to the running server as they were typed; returns its exit code. */
int cli_pass_on(struct cli *cli);

/* One file each. */
int cmd_run(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_config(struct cli *cli);
int cmd_route(struct cli *cli);
int cmd_account(struct cli *cli);
int cmd_trace(struct cli *cli);
int cmd_queue(struct cli *cli);
int cmd_relay(struct cli *cli);
int cmd_dkim(struct cli *cli);
int cmd_ban(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_reload(struct cli *cli);
int cmd_store(struct cli *cli);
int cmd_roles(struct cli *cli);
int cmd_haproxy(struct cli *cli);

#endif
