/* cmd_store.c: verify, rebuild and index, while no server runs on the data folder. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/scanner.h"
#include "proc/confine.h"
#include "proc/data.h"
#include "store/rebuild.h"
#include "store/reindex.h"
#include "store/verify.h"

static void print_finding(void *arg, struct slice account, const char *text)
{
    const struct cli *cli = arg;
    if (!cli->json)
        (void)printf("%.*s: %s\n", SLICE_ARG(account), text);
}

static int verify(struct cli *cli, const char *store)
{
    struct why why;
    struct verify_report report = {.finding = print_finding, .arg = cli};
    struct slice account = cli->argc == 2 ? slice_of(cli->argv[1]) : SLICE_EMPTY;
    if (store_verify(store, account, &report, &why) != ERR_OK)
        return cli_fail(cli, "%s", why.text);
    (void)printf(
        cli->json
            ? "{\"accounts\":%llu,\"mailboxes\":%llu,\"messages\":%llu,\"bytes\":%llu,\"findings\":%llu}\n"
            : "%llu accounts, %llu mailboxes, %llu messages, %llu bytes: %llu findings\n",
        (unsigned long long)report.accounts, (unsigned long long)report.mailboxes,
        (unsigned long long)report.messages, (unsigned long long)report.bytes,
        (unsigned long long)report.findings);
    return report.findings ? CLI_FAILED : CLI_OK;
}

static int rebuild(struct cli *cli, const char *store, struct scanner *scanner)
{
    struct why why;
    struct rebuild_report report = {0};
    if (store_rebuild(store, slice_of(cli->argv[1]), scanner_scan, scanner, &report, &why) != ERR_OK)
        return cli_fail(cli, "%s", why.text);
    (void)printf(cli->json ? "{\"messages\":%llu,\"bytes\":%llu,\"kept\":%llu,\"unreadable\":%llu,"
                             "\"missing\":%llu,\"old_index\":\"%s\"}\n"
                           : "%llu messages, %llu bytes; %llu kept mailbox, flags and UID; %llu files "
                             "unreadable; %llu files "
                             "missing; the old index is %s\n",
                 (unsigned long long)report.messages, (unsigned long long)report.bytes,
                 (unsigned long long)report.kept, (unsigned long long)report.unreadable,
                 (unsigned long long)report.missing, report.old_index[0] ? report.old_index : "none");
    return report.unreadable || report.missing ? CLI_FAILED : CLI_OK;
}

static int reindex(struct cli *cli, const char *store)
{
    struct why why;
    uint64_t messages;
    if (store_reindex(store, slice_of(cli->argv[1]), &messages, &why) != ERR_OK)
        return cli_fail(cli, "%s", why.text);
    (void)printf(cli->json ? "{\"messages\":%llu}\n" : "%llu messages are in the full-text index\n",
                 (unsigned long long)messages);
    return CLI_OK;
}

enum store_verb { STORE_VERIFY, STORE_REBUILD, STORE_INDEX, STORE_NONE };

/* The scanner is made first: it must not inherit what is opened later. Then everything is done as the store's
 * user, so that nothing in its folder becomes root's. */
static int with_store(struct cli *cli, const struct settings *settings, enum store_verb verb)
{
    struct why why;
    struct scanner *scanner = NULL;
    int lock, code;
    if (verb == STORE_REBUILD && scanner_new(&scanner, &why) != ERR_OK)
        return cli_fail(cli, "%s", why.text);
    const char *store = (const char *)arena_printf(cli->arena, "%.*s/store", SLICE_ARG(settings->data)).ptr;
    if (data_lock(settings->data, &lock, &why) != ERR_OK ||
        confine_identity(ROLE_STORE, settings->role_uid_base, &why) != ERR_OK) {
        code = cli_fail(cli, "%s", why.text);
    } else {
        code = verb == STORE_REBUILD ? rebuild(cli, store, scanner)
               : verb == STORE_INDEX ? reindex(cli, store)
                                     : verify(cli, store);
        (void)close(lock);
    }
    scanner_free(&scanner);
    return code;
}

static enum store_verb verb_of(const struct cli *cli)
{
    const char *verb = cli->argc ? cli->argv[0] : "";
    if (strcmp(verb, "verify") == 0 && cli->argc <= 2)
        return STORE_VERIFY;
    if (strcmp(verb, "rebuild") == 0 && cli->argc == 2)
        return STORE_REBUILD;
    return strcmp(verb, "index") == 0 && cli->argc == 2 ? STORE_INDEX : STORE_NONE;
}

int cmd_store(struct cli *cli)
{
    struct settings *settings;
    struct conf_origin *origin;
    enum store_verb verb = verb_of(cli);
    if (verb == STORE_NONE)
        return cli_usage(cli);
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    return with_store(cli, settings, verb);
}
