/* check_outbound.c: what in the files of relays and SRS does not fit the configuration. The operator's files;
 * secrets are read and never shown. Called by cmd_check.c. */
#include "cli/check_outbound.h"

#include "directory/relay_map.h"
#include "grammar/domain.h"
#include "grammar/nexthop.h"
#include "policy/relay_secrets.h"
#include "policy/srs.h"

#define SRS_FILE_MAX   65536
#define SRS_SECRET_MIN 16 /* bytes; below, a secret can be guessed from one rewritten address */

struct check {
    struct cli *cli;
    const struct settings *settings;
    const struct conf_origin *origin;
    struct problems *problems;
};

/* False for a file that cannot be read: settings_check() tells. */
static bool read_file(const struct check *c, struct slice path, size_t max, struct slice *text)
{
    return path.len &&
           cli_read_file(c->cli->arena, arena_cstr(c->cli->arena, path), max, text, NULL) == ERR_OK;
}

static void complain(const struct check *c, enum problem_level level, const void *field, const char *remedy,
                     const char *what, struct slice name)
{
    problem_add(c->problems, level, slice_of(c->cli->config_path), conf_line(c->origin, field),
                slice_of(remedy), "%s: %.*s", what, SLICE_ARG(name));
}

static void check_srs(const struct check *c, const struct directory_table *table)
{
    const struct settings *s = c->settings;
    const struct directory_place *place = directory_first_forward(table);
    struct srs_secrets secrets;
    struct slice text;
    if (place && !s->queue.forward)
        problem_add(c->problems, PROBLEM_WARNING, place->file, place->line,
                    SLICE("write queue: { forward: true }, or remove them"),
                    "this alias leads to another server, but queue.forward is false: such mail is refused");
    else if (place && !s->srs.domain.len)
        problem_add(c->problems, PROBLEM_WARNING, place->file, place->line,
                    SLICE("write srs: { domain: …, secret_file: … }"),
                    "this alias leads to another server, and without srs mail forwarded there fails its "
                    "sender's SPF");
    if (s->srs.domain.len && !domain_is_ldh(s->srs.domain))
        complain(c, PROBLEM_ERROR, &s->srs.domain, "write it as example.org, an IDN as xn--…",
                 "srs.domain is no domain that bounces could come back to", s->srs.domain);
    if (!read_file(c, s->srs.secret_file, SRS_FILE_MAX, &text))
        return;
    if (!srs_read_secrets(text, &secrets))
        complain(c, PROBLEM_ERROR, &s->srs.secret_file, "write one secret per line, the newest first",
                 "the file has no SRS secret, or more or longer ones than can be used", s->srs.secret_file);
    else if (secrets.items[0].len < SRS_SECRET_MIN)
        complain(c, PROBLEM_WARNING, &s->srs.secret_file,
                 "put a longer one on a line in front (openssl rand -base64 24); the old one still verifies",
                 "the first SRS secret is short", s->srs.secret_file);
}

/* NULL when the file cannot be read. */
static struct relay_secrets *read_secrets(const struct check *c, struct slice path, const void *field)
{
    struct slice text;
    if (!read_file(c, path, RELAY_SECRETS_FILE_MAX, &text))
        return NULL;
    struct relay_secrets *secrets = relay_secrets_new_in(c->cli->arena);
    if (!relay_secrets_read(secrets, text, path, c->problems))
        complain(c, PROBLEM_ERROR, field, "write user:password, or lines of [host]:port user:password",
                 "no user and password in the file", path);
    return secrets;
}

static void check_relay(const struct check *c, const struct settings_relay *relay)
{
    struct nexthop nexthop;
    const struct relay_secrets *secrets = read_secrets(c, relay->sasl_file, &relay->sasl_file);
    if (nexthop_parse_in(c->cli->arena, relay->host, &nexthop, NULL) != ERR_OK)
        complain(c, PROBLEM_ERROR, &relay->host,
                 "write host: relay.example.net, or host: \"[relay.example.net]\"",
                 "the relay's host is none", relay->host);
    else if (secrets && relay_secrets_count(secrets) &&
             !relay_secrets_find(secrets, SLICE_EMPTY, nexthop.host, (uint16_t)relay->port))
        complain(c, PROBLEM_WARNING, &relay->sasl_file,
                 "add a line [host]:port user:password, or @domain user:password for each sender's domain",
                 "no line of the file is for this relay whoever sends", relay->sasl_file);
}

static void check_map(const struct check *c, const struct settings_relay_map *said)
{
    struct slice text;
    const struct relay_secrets *secrets = read_secrets(c, said->sasl_file, &said->sasl_file);
    struct relay_map *map = relay_map_new_in(c->cli->arena);
    if (!read_file(c, said->file, DIRECTORY_FILE_MAX, &text))
        return;
    relay_map_read(map, text, said->file, c->problems);
    for (size_t i = 0; secrets && i < relay_map_count(map); i++) {
        const struct relay_map_entry *entry = relay_map_at(map, i);
        bool domain = slice_starts(entry->key, SLICE("@"));
        struct slice sender = arena_printf(c->cli->arena, "%s%.*s", domain ? "a" : "", SLICE_ARG(entry->key));
        if (entry->host.len && !relay_secrets_find(secrets, sender, entry->host, entry->port))
            problem_add(
                c->problems, PROBLEM_WARNING, entry->place.file, entry->place.line,
                SLICE("add a line for the sender's domain or for [host]:port to the relay map's sasl_file"),
                "no user and password for %.*s at %.*s:%u", SLICE_ARG(entry->key), SLICE_ARG(entry->host),
                entry->port);
    }
}

void cli_check_outbound(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                        const struct directory_table *table, struct problems *problems)
{
    const struct check c = {.cli = cli, .settings = settings, .origin = origin, .problems = problems};
    check_srs(&c, table);
    for (size_t i = 0; i <= settings->relays.count; i++) {
        const struct settings_relay *relay = settings_relay_at(settings, i);
        if (relay && relay->host.len)
            check_relay(&c, relay);
    }
    for (size_t i = 0; i < settings->relay_maps.count; i++)
        check_map(&c, &settings->relay_maps.items[i]);
}
