/* cmd_ban.c: who is banned, why, and until when; bans by hand. Through the running server, or on its database
 * while none runs. Reads what the administrator types. */
#include <stdio.h>
#include <unistd.h>

#include "auth/ban_command.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "proc/data.h"

#define OUTPUT_MAX ((size_t)16 << 20)

/* The command on the register, piece by piece. */
static int on_register(struct cli *cli, struct bans *bans, struct ban_store *store,
                       const struct slice *arguments, size_t count)
{
    AUTO_BUF struct buf out = buf_new(OUTPUT_MAX);
    struct ban_command command = {.bans = bans,
                                  .now = {(uint64_t)clock_unix_s(), clock_mono_ms()},
                                  .json = cli->json,
                                  .arguments = arguments,
                                  .count = count,
                                  .out = &out};
    struct why why;
    do {
        buf_clear(&out);
        ban_command(&command);
        if (command.write_count &&
            (!store || ban_store_write(store, command.writes, command.write_count, &why)))
            return cli_fail(cli, "%s",
                            store ? why.text : "there is no database of bans yet: start the server once");
        (void)fwrite(out.data, 1, out.len, command.exit_code ? stderr : stdout);
    } while (command.more);
    return (int)command.exit_code;
}

static int offline(struct cli *cli, const struct settings *settings, const struct slice *arguments,
                   size_t count)
{
    struct ban_store *store = NULL;
    struct why why;
    int lock = -1;
    const char *path =
        (const char *)arena_printf(cli->arena, "%.*s/auth/" BAN_STORE_PATH, SLICE_ARG(settings->data)).ptr;
    if (access(path, F_OK) == 0 && data_lock(settings->data, &lock, &why) != ERR_OK)
        return cli_fail(cli, "%s", why.text);
    struct bans *bans = bans_new(settings);
    enum err err = lock < 0 ? ERR_OK : ban_store_open(path, true, &store, &why);
    if (!err && store)
        err = ban_store_load(store, bans, (uint64_t)clock_unix_s(), &why);
    int code = err ? cli_fail(cli, "%s", why.text) : on_register(cli, bans, store, arguments, count);
    ban_store_close(&store);
    bans_free(&bans);
    if (lock >= 0)
        (void)close(lock);
    return code;
}

int cmd_ban(struct cli *cli)
{
    struct settings *settings;
    struct conf_origin *origin;
    struct slice arguments[BAN_ARGUMENTS_MAX + 1] = {SLICE("ban")};
    struct why why;
    int code;
    if (cli->argc < 1 || cli->argc > BAN_ARGUMENTS_MAX)
        return cli_usage(cli);
    for (int i = 0; i < cli->argc; i++)
        arguments[i + 1] = slice_of(cli->argv[i]);
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    size_t count = (size_t)cli->argc + 1;
    enum err err = cli_control(cli, settings, arguments, count, &code, &why);
    if (err == ERR_OK)
        return code;
    if (err != ERR_ABSENT)
        return cli_fail(cli, "%s", why.text);
    return offline(cli, settings, arguments + 1, count - 1);
}
