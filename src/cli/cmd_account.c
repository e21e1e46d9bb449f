/* cmd_account.c: accounts kept in the database: through the running server, or on the database itself while
 * none runs. The password is read from standard input, so that it never stands on a command line. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "auth/secrets.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "proc/data.h"
#include "store/remove.h"

#define PASSWORD_MAX 1000
#define OUTPUT_MAX   ((size_t)16 << 20)

/* One line of standard input, without echo on a terminal. */
static bool read_password(char password[PASSWORD_MAX + 2])
{
    struct termios shown, hidden;
    bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        hidden = shown;
        hidden.c_lflag &= (tcflag_t)~ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
        (void)fputs("password: ", stderr);
    }
    bool got = fgets(password, PASSWORD_MAX + 2, stdin) != NULL;
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        (void)fputc('\n', stderr);
    }
    size_t len = got ? strcspn(password, "\r\n") : 0;
    password[len] = '\0';
    return len > 0 && len <= PASSWORD_MAX;
}

/* A database root made must stay the auth role's. */
static void give_to_owner(const char *folder, const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct stat st;
    char name[4200];
    if (geteuid() != 0 || stat(folder, &st) != 0)
        return;
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        if (lchown(name, st.st_uid, st.st_gid) != 0 && i == 0)
            perror(name);
    }
}

/* account_command() on secrets.db, under the lock that keeps servers out. */
static int on_database(struct cli *cli, const struct settings *settings, const struct slice *arguments,
                       size_t count, bool delete_mail)
{
    struct secrets *secrets;
    struct why why;
    int lock;
    uint64_t base = settings->role_uid_base;
    const char *folder = (const char *)arena_printf(cli->arena, "%.*s/auth", SLICE_ARG(settings->data)).ptr;
    const char *path = (const char *)arena_printf(cli->arena, "%s/" SECRETS_PATH, folder).ptr;
    if (data_prepare(settings->data, base, &lock, &why) != ERR_OK ||
        secrets_open(path, &secrets, &why) != ERR_OK)
        return cli_fail(cli, "%s", why.text);
    AUTO_BUF struct buf out = buf_new(OUTPUT_MAX);
    int code = (int)account_command(secrets, arguments, count, cli->json, &out);
    secrets_close(&secrets);
    give_to_owner(folder, path);
    (void)fwrite(out.data, 1, out.len, code ? stderr : stdout);
    const char *store = (const char *)arena_printf(cli->arena, "%.*s/store", SLICE_ARG(settings->data)).ptr;
    if (code == 0 && delete_mail && store_remove_account(store, arguments[1], &why) != ERR_OK)
        code = cli_fail(cli, "%s", why.text);
    (void)close(lock);
    return code;
}

static int carry_out(struct cli *cli, const struct slice *arguments, size_t count)
{
    struct settings *settings;
    struct conf_origin *origin;
    struct why why;
    int code;
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    enum err err = cli_control(cli, settings, arguments, count, &code, &why);
    if (err == ERR_OK)
        return code;
    if (err != ERR_ABSENT)
        return cli_fail(cli, "%s", why.text);
    bool removes = slice_eq(arguments[1], SLICE("remove"));
    bool deletes = removes && slice_eq(arguments[count - 1], SLICE("--delete-mail"));
    return on_database(cli, settings, arguments + 1, removes ? 2 : count - 1, deletes);
}

/* What becomes of the mail is asked for, never assumed. */
static int forget_account(struct cli *cli)
{
    if (cli->argc != 3 ||
        (strcmp(cli->argv[2], "--keep-mail") != 0 && strcmp(cli->argv[2], "--delete-mail") != 0)) {
        (void)fputs("Say what becomes of the account's mail: --keep-mail or --delete-mail.\n", stderr);
        return cli_usage(cli);
    }
    const struct slice arguments[] = {SLICE("account"), SLICE("remove"), slice_of(cli->argv[1]),
                                      slice_of(cli->argv[2])};
    return carry_out(cli, arguments, 4);
}

int cmd_account(struct cli *cli)
{
    char password[PASSWORD_MAX + 2];
    const char *verb = cli->argc ? cli->argv[0] : "";
    if (strcmp(verb, "list") == 0 && cli->argc == 1)
        return carry_out(cli, (const struct slice[]){SLICE("account"), SLICE("list")}, 2);
    if (strcmp(verb, "remove") == 0)
        return forget_account(cli);
    if ((strcmp(verb, "add") != 0 && strcmp(verb, "passwd") != 0) || cli->argc != 2)
        return cli_usage(cli);
    if (!read_password(password))
        return cli_fail(cli, "the password (one line of at most %d bytes) must come on standard input",
                        PASSWORD_MAX);
    const struct slice arguments[] = {SLICE("account"), slice_of(verb), slice_of(cli->argv[1]),
                                      slice_of(password)};
    int code = carry_out(cli, arguments, 4);
    mem_wipe(password, sizeof password);
    return code;
}
