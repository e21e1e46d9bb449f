/* dkim.c: the keys of the configuration, and what is wrong with them. Reads key files of the administrator;
 * no part of a private key is printed. Called by cmd_dkim.c and cmd_check.c. */
#include "cli/dkim.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/coll.h"
#include "base/mem.h"
#include "grammar/domain.h"

const struct settings_dkim *cli_dkim_row(struct cli *cli, const struct settings *settings,
                                         struct slice domain, const char *selector)
{
    for (size_t i = 0; i < settings->dkim.count; i++) {
        const struct settings_dkim *row = &settings->dkim.items[i];
        struct slice name;
        if (domain_to_alabel_in(cli->arena, row->domain, &name, NULL) == ERR_OK && slice_eq(name, domain) &&
            (!selector || slice_ieq(row->selector, slice_of(selector))))
            return row;
    }
    return NULL;
}

enum err cli_dkim_key(struct cli *cli, struct slice path, struct dkim_key **key, struct why *why)
{
    struct slice content;
    enum err err = cli_read_file(cli->arena, arena_cstr(cli->arena, path), DKIM_KEY_FILE_MAX, &content, why);
    if (err)
        return err;
    err = dkim_key_read(content, key, why);
    mem_wipe((void *)(uintptr_t)content.ptr, content.len);
    if (!err)
        err = dkim_key_prove(*key, why);
    if (err)
        dkim_key_free(key);
    return err;
}

struct checking {
    struct cli *cli;
    const struct settings *settings;
    const struct conf_origin *origin;
    struct problems *problems;
};

#define PROBLEM(c, level, field, remedy, ...)                                                                \
    problem_add((c)->problems, (level), slice_of((c)->cli->config_path), conf_line((c)->origin, (field)),    \
                (remedy), __VA_ARGS__)

static void check_mode(const struct checking *c, const struct settings_dkim *row)
{
    struct stat st;
    if (stat(arena_cstr(c->cli->arena, row->key_file), &st) == 0 && st.st_mode & S_IROTH)
        PROBLEM(c, PROBLEM_WARNING, &row->key_file,
                SLICE("chmod 600, or defaultMode: 0400 of a Kubernetes secret"),
                "every user of this machine can read the DKIM key %.*s", SLICE_ARG(row->key_file));
}

static void check_key(const struct checking *c, const struct settings_dkim *row)
{
    struct dkim_key *key = NULL;
    struct why why = {""};
    const char *path = arena_cstr(c->cli->arena, row->key_file);
    if (access(path, R_OK) != 0)
        return; /* settings_check() has said so */
    if (cli_dkim_key(c->cli, row->key_file, &key, &why))
        PROBLEM(c, PROBLEM_ERROR, &row->key_file,
                arena_printf(c->cli->arena, "rockdove dkim generate %.*s --out FILE makes one",
                             SLICE_ARG(row->domain)),
                "DKIM key %s: %s", path, why.text);
    else if (dkim_key_algorithm(key) == DKIM_RSA_SHA256 && dkim_key_bits(key) < DKIM_RSA_BITS_GOOD)
        PROBLEM(c, PROBLEM_WARNING, &row->key_file,
                arena_printf(c->cli->arena, "rockdove dkim rotate %.*s --out FILE makes a longer one",
                             SLICE_ARG(row->domain)),
                "DKIM key %s has %u bits; some receivers ignore signatures below %d", path,
                dkim_key_bits(key), DKIM_RSA_BITS_GOOD);
    dkim_key_free(&key);
    check_mode(c, row);
}

static void check_names(const struct checking *c, size_t index)
{
    const struct settings_dkim *row = &c->settings->dkim.items[index];
    struct slice name;
    if (domain_to_alabel_in(c->cli->arena, row->domain, &name, NULL))
        PROBLEM(c, PROBLEM_ERROR, &row->domain, SLICE("write the domain behind the @ of those who send"),
                "dkim: %.*s is no domain", SLICE_ARG(problem_quote(c->cli->arena, row->domain)));
    if (!domain_is_host(row->selector))
        PROBLEM(c, PROBLEM_ERROR, &row->selector, SLICE("a short name such as mail"),
                "dkim: %.*s is no selector", SLICE_ARG(problem_quote(c->cli->arena, row->selector)));
    for (size_t i = 0; i < index; i++)
        if (slice_ieq(c->settings->dkim.items[i].domain, row->domain) &&
            slice_ieq(c->settings->dkim.items[i].selector, row->selector))
            PROBLEM(c, PROBLEM_ERROR, &row->selector, SLICE("give the second key a selector of its own"),
                    "two DKIM keys of %.*s have the selector %.*s", SLICE_ARG(row->domain),
                    SLICE_ARG(row->selector));
}

static bool has_submission(const struct settings *settings)
{
    for (size_t i = 0; i < settings->listeners.count; i++)
        if (settings->listeners.items[i].service == SETTINGS_SUBMISSION)
            return true;
    return false;
}

static void check_domain(const struct checking *c, struct slice domain, const void *field)
{
    for (struct slice above = domain; above.len;) { /* the nearest key above signs too */
        if (cli_dkim_row(c->cli, c->settings, above, NULL))
            return;
        ptrdiff_t dot = slice_find(above, '.');
        above = dot < 0 ? SLICE_EMPTY : slice_from(above, (size_t)dot + 1);
    }
    PROBLEM(c, PROBLEM_WARNING, field,
            arena_printf(c->cli->arena, "rockdove dkim generate %.*s --out FILE, then an entry in dkim",
                         SLICE_ARG(domain)),
            "%.*s has no DKIM key: its mail leaves unsigned, and many receivers will not take it",
            SLICE_ARG(domain));
}

/* Each domain that somebody can send from, once. */
static void check_domains(const struct checking *c, const struct directory_table *table)
{
    const struct settings *s = c->settings;
    struct map *seen = map_new(s->domains.count + directory_table_accounts(table) + 1);
    struct slice domain;
    for (size_t i = 0; i < s->domains.count; i++)
        if (domain_to_alabel_in(c->cli->arena, s->domains.items[i].name, &domain, NULL) == ERR_OK &&
            !map_get(seen, domain) && map_put(seen, domain, seen))
            check_domain(c, domain, &s->domains.items[i].name);
    for (size_t i = 0; i < directory_table_accounts(table); i++) {
        struct slice address = directory_table_account_at(table, i)->address;
        domain = slice_from(address, (size_t)(slice_rfind(address, '@') + 1));
        if (!map_get(seen, domain) && map_put(seen, domain, seen))
            check_domain(c, domain, &s->dkim);
    }
    map_free(&seen);
}

void cli_dkim_check(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                    const struct directory_table *table, struct problems *problems)
{
    const struct checking c = {cli, settings, origin, problems};
    for (size_t i = 0; i < settings->dkim.count; i++) {
        check_names(&c, i);
        check_key(&c, &settings->dkim.items[i]);
    }
    if (has_submission(settings))
        check_domains(&c, table);
}
