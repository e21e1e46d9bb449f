/* cmd_dkim.c: keys that sign mail: made, replaced, listed, with the DNS records that belong to them. Reads
 * key files of the administrator; never prints any part of a private key. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "cli/dkim.h"
#include "grammar/domain.h"
#include "policy/dkim.h"

#define KEY_MODE       0600
#define TEXT_MAX       ((size_t)4 << 20)
#define RECORD_MAX     ((size_t)4 * DKIM_RECORD_MAX)
#define NAME_ARENA_MAX ((size_t)64 * 1024) /* PATH_MAX many times */

/* What the command line asks for. */
struct request {
    const char *domain, *selector, *algorithm, *out;
};

/* ---- output ---- */

static void put_json(struct buf *out, const char *name, struct slice value)
{
    buf_addf(out, "%s\"%s\":", out->len && out->data[out->len - 1] != '{' ? "," : "", name);
    buf_add_json_string(out, value);
}

/* The key's record in its three forms. */
struct records {
    struct buf text, zone, terraform;
};

static struct records records_new(const struct dkim_key *key, struct slice domain, struct slice selector)
{
    struct records r = {buf_new(DKIM_RECORD_MAX), buf_new(RECORD_MAX), buf_new(RECORD_MAX)};
    dkim_record_print(dkim_key_algorithm(key), dkim_key_public(key), &r.text);
    dkim_record_print_zone(domain, selector, buf_slice(&r.text), &r.zone);
    dkim_record_print_terraform(domain, selector, buf_slice(&r.text), &r.terraform);
    return r;
}

static void records_free(struct records *r)
{
    buf_free(&r->text);
    buf_free(&r->zone);
    buf_free(&r->terraform);
}

static void put_key_json(struct buf *out, const struct dkim_key *key, struct slice domain,
                         struct slice selector)
{
    struct records r = records_new(key, domain, selector);
    put_json(out, "algorithm", slice_of(dkim_algorithm_name(dkim_key_algorithm(key))));
    buf_addf(out, ",\"bits\":%u", dkim_key_bits(key));
    put_json(out, "record", buf_slice(&r.text));
    put_json(out, "zone", buf_slice(&r.zone));
    put_json(out, "terraform", buf_slice(&r.terraform));
    records_free(&r);
}

static void put_records(struct buf *out, const struct dkim_key *key, struct slice domain,
                        struct slice selector)
{
    struct records r = records_new(key, domain, selector);
    buf_addf(out, "Name:      %.*s._domainkey.%.*s\nTXT:       %.*s\n", SLICE_ARG(selector),
             SLICE_ARG(domain), SLICE_ARG(buf_slice(&r.text)));
    buf_addf(out, "Zone file: %.*s\nTerraform: %.*s\n", SLICE_ARG(buf_slice(&r.zone)),
             SLICE_ARG(buf_slice(&r.terraform)));
    records_free(&r);
}

/* ---- making a key ---- */

static enum err write_all(int fd, struct slice bytes, const char *path, struct why *why)
{
    while (bytes.len) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written < 0 && errno != EINTR)
            return err_errno(why, errno, "%s", path);
        bytes = slice_from(bytes, written > 0 ? (size_t)written : 0);
    }
    return fsync(fd) == 0 ? ERR_OK : err_errno(why, errno, "%s", path);
}

/* The record may be published soon: the key must not be gone after a power failure. */
static enum err sync_name(const char *path, struct why *why)
{
    AUTO_ARENA struct arena *arena = arena_new(NAME_ARENA_MAX);
    struct slice name = slice_of(path);
    size_t folder = (size_t)(slice_rfind(name, '/') + 1); /* with its slash */
    return io_fsync_dir_at(AT_FDCWD, folder ? arena_cstr(arena, slice_sub(name, 0, folder)) : ".", why);
}

/* Never overwrites: an old key may still be needed, and could not be brought back. */
static enum err write_key(const char *path, const struct dkim_key *key, struct why *why)
{
    AUTO_BUF struct buf pem = buf_new(DKIM_KEY_FILE_MAX);
    enum err err = dkim_key_pem(key, &pem, why);
    if (err)
        return err;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, KEY_MODE);
    if (fd < 0)
        err = errno == EEXIST ? err_set(why, ERR_REFUSED, "%s is there already; it is not overwritten", path)
                              : err_errno(why, errno, "%s", path);
    else
        err = write_all(fd, buf_slice(&pem), path, why);
    if (fd >= 0 && close(fd) != 0 && !err)
        err = err_errno(why, errno, "%s", path);
    if (fd >= 0 && !err)
        err = sync_name(path, why);
    if (fd >= 0 && err)
        (void)unlink(path);
    mem_wipe(pem.data, pem.len);
    return err;
}

static enum err make_key(const struct request *request, enum dkim_algorithm algorithm, struct dkim_key **key,
                         struct why *why)
{
    enum err err = dkim_key_generate(algorithm, key, why);
    if (!err)
        err = dkim_key_prove(*key, why);
    return err ? err : write_key(request->out, *key, why);
}

/* Options in any order behind the domain. */
static bool read_request(const struct cli *cli, struct request *request)
{
    static const char *const names[] = {"--selector", "--algorithm", "--out"};
    const char **const values[] = {&request->selector, &request->algorithm, &request->out};
    *request = (struct request){0};
    for (int i = 1; i < cli->argc; i++) {
        size_t option = 0;
        while (option < 3 && strcmp(cli->argv[i], names[option]) != 0)
            option++;
        if (option < 3 && i + 1 < cli->argc)
            *values[option] = cli->argv[++i];
        else if (option == 3 && cli->argv[i][0] != '-' && !request->domain)
            request->domain = cli->argv[i];
        else
            return false;
    }
    return request->domain && request->out;
}

/* For the configuration, which knows no working folder. */
static struct slice full_path(struct cli *cli, const char *path)
{
    char *full = realpath(path, NULL);
    struct slice found = arena_dup(cli->arena, slice_of(full ? full : path));
    free(full);
    return found;
}

/* `replaces`: the selector whose turn is over; empty for a first key. */
static void put_made_json(struct buf *out, const struct dkim_key *key, struct slice domain,
                          struct slice selector, struct slice path, struct slice replaces)
{
    buf_add_byte(out, '{');
    put_json(out, "domain", domain);
    put_json(out, "selector", selector);
    put_json(out, "key_file", path);
    if (replaces.len)
        put_json(out, "replaces", replaces);
    put_key_json(out, key, domain, selector);
    buf_add_str(out, "}\n");
}

static int generate(struct cli *cli)
{
    struct request request;
    struct slice domain;
    struct why why;
    struct dkim_key *key = NULL;
    if (!read_request(cli, &request))
        return cli_usage(cli);
    enum dkim_algorithm algorithm = dkim_key_type(slice_of(request.algorithm ? request.algorithm : "rsa"));
    struct slice selector = slice_of(request.selector               ? request.selector
                                     : algorithm == DKIM_RSA_SHA256 ? "mail"
                                                                    : "mail-ed25519");
    if (!algorithm)
        return cli_fail(cli, "--algorithm is rsa or ed25519");
    if (!domain_is_host(selector))
        return cli_fail(cli, "the selector may hold letters, digits, \"-\", \"_\" and dots between them");
    if (domain_to_alabel_in(cli->arena, slice_of(request.domain), &domain, &why))
        return cli_fail(cli, "%s", why.text);
    if (make_key(&request, algorithm, &key, &why)) {
        dkim_key_free(&key);
        return cli_fail(cli, "%s", why.text);
    }
    AUTO_BUF struct buf out = buf_new(TEXT_MAX);
    struct slice path = full_path(cli, request.out);
    if (cli->json) {
        put_made_json(&out, key, domain, selector, path, SLICE_EMPTY);
    } else {
        buf_addf(&out, "The private key is in %.*s; nobody but its owner reads it.\nPublish this record:\n\n",
                 SLICE_ARG(path));
        put_records(&out, key, domain, selector);
        buf_addf(&out,
                 "\nThen add to the configuration, and reload:\n\n"
                 "dkim:\n  - { domain: %.*s, selector: %.*s, key_file: %.*s }\n",
                 SLICE_ARG(domain), SLICE_ARG(selector), SLICE_ARG(path));
    }
    dkim_key_free(&key);
    (void)fwrite(out.data, 1, out.len, stdout);
    return CLI_OK;
}

/* ---- rotating ---- */

/* mail -> mail2 -> mail3, s2026 -> s2027: the first that is not in use. */
static struct slice next_selector(struct cli *cli, const struct settings *settings, struct slice domain,
                                  struct slice selector)
{
    size_t digits = 0;
    uint64_t number = 1;
    while (digits < selector.len && digits < 9 && ascii_is_digit(selector.ptr[selector.len - 1 - digits]))
        digits++;
    if (digits && !slice_u64(slice_from(selector, selector.len - digits), UINT32_MAX, &number))
        number = 1;
    for (;;) {
        struct slice next = arena_printf(cli->arena, "%.*s%llu", (int)(selector.len - digits),
                                         (const char *)selector.ptr, (unsigned long long)++number);
        if (!cli_dkim_row(cli, settings, domain, arena_cstr(cli->arena, next)))
            return next;
    }
}

static void put_steps(struct buf *out, const struct settings_dkim *old, const struct dkim_key *key,
                      struct slice domain, struct slice selector, struct slice path)
{
    buf_addf(out, "The new private key is in %.*s. Nothing signs with it yet.\n\n1. Publish its record:\n\n",
             SLICE_ARG(path));
    put_records(out, key, domain, selector);
    buf_addf(out,
             "\n2. Add it beside the old key in the configuration, and reload:\n\n"
             "  - { domain: %.*s, selector: %.*s, key_file: %.*s }\n\n"
             "   It signs as soon as DNS shows its record (rockdove dkim status says when); until then the "
             "old one\n"
             "   signs alone, afterwards both do.\n\n",
             SLICE_ARG(domain), SLICE_ARG(selector), SLICE_ARG(path));
    buf_addf(
        out,
        "3. When it signs, take the entry with selector %.*s out of the configuration, and reload.\n\n"
        "4. Leave the record of %.*s published for a week: mail on its way is still verified with it.\n\n"
        "5. Then publish %.*s._domainkey.%.*s with \"v=DKIM1; p=\" (revoked), and delete %.*s.\n",
        SLICE_ARG(old->selector), SLICE_ARG(old->selector), SLICE_ARG(old->selector), SLICE_ARG(domain),
        SLICE_ARG(old->key_file));
}

static enum dkim_algorithm algorithm_of(struct cli *cli, const struct settings_dkim *row)
{
    struct dkim_key *key = NULL;
    enum dkim_algorithm algorithm =
        cli_dkim_key(cli, row->key_file, &key, NULL) ? DKIM_RSA_SHA256 : dkim_key_algorithm(key);
    dkim_key_free(&key);
    return algorithm;
}

static int rotate(struct cli *cli)
{
    struct request request;
    struct settings *settings;
    struct conf_origin *origin;
    struct slice domain;
    struct why why;
    struct dkim_key *key = NULL;
    if (!read_request(cli, &request))
        return cli_usage(cli);
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    if (domain_to_alabel_in(cli->arena, slice_of(request.domain), &domain, &why))
        return cli_fail(cli, "%s", why.text);
    const struct settings_dkim *old = cli_dkim_row(cli, settings, domain, request.selector);
    if (!old)
        return cli_fail(cli,
                        "%s has no such key in the configuration; rockdove dkim generate makes the first",
                        request.domain);
    enum dkim_algorithm algorithm =
        request.algorithm ? dkim_key_type(slice_of(request.algorithm)) : algorithm_of(cli, old);
    if (!algorithm)
        return cli_fail(cli, "--algorithm is rsa or ed25519");
    struct slice selector = next_selector(cli, settings, domain, old->selector);
    if (make_key(&request, algorithm, &key, &why)) {
        dkim_key_free(&key);
        return cli_fail(cli, "%s", why.text);
    }
    AUTO_BUF struct buf out = buf_new(TEXT_MAX);
    struct slice path = full_path(cli, request.out);
    if (cli->json)
        put_made_json(&out, key, domain, selector, path, old->selector);
    else
        put_steps(&out, old, key, domain, selector, path);
    dkim_key_free(&key);
    (void)fwrite(out.data, 1, out.len, stdout);
    return CLI_OK;
}

/* ---- listing ---- */

static void put_row_json(struct buf *out, const struct settings_dkim *row, struct slice domain,
                         const struct dkim_key *key, const struct why *why, bool first)
{
    buf_add_str(out, first ? "{" : ",{");
    put_json(out, "domain", row->domain);
    put_json(out, "selector", row->selector);
    put_json(out, "key_file", row->key_file);
    buf_addf(out, ",\"usable\":%s", key ? "true" : "false");
    if (key)
        put_key_json(out, key, domain, row->selector);
    else
        put_json(out, "why", slice_of(why->text));
    buf_add_byte(out, '}');
}

static void put_row(struct buf *out, const struct settings_dkim *row, struct slice domain,
                    const struct dkim_key *key, const struct why *why)
{
    buf_addf(out, "%.*s, selector %.*s, %.*s: ", SLICE_ARG(row->domain), SLICE_ARG(row->selector),
             SLICE_ARG(row->key_file));
    if (!key) {
        buf_addf(out, "cannot be used: %s\n", why->text);
        return;
    }
    buf_addf(out, "%s, %u bits\n", dkim_algorithm_name(dkim_key_algorithm(key)), dkim_key_bits(key));
    put_records(out, key, domain, row->selector);
}

/* What the running server knows besides: which key signs, and what DNS answered. */
static void add_server(struct cli *cli, const struct settings *settings)
{
    const struct slice arguments[] = {SLICE("dkim"), SLICE("status")};
    int code;
    struct why why;
    (void)printf("\n");
    (void)fflush(stdout);
    if (cli_control(cli, settings, arguments, 2, &code, &why) == ERR_ABSENT)
        (void)printf("no server runs: nothing is known of what DNS says\n");
}

static int list(struct cli *cli)
{
    struct settings *settings;
    struct conf_origin *origin;
    AUTO_BUF struct buf out = buf_new(TEXT_MAX);
    int code = CLI_OK;
    if (cli->argc != 1)
        return cli_usage(cli);
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    if (cli->json)
        buf_add_byte(&out, '[');
    for (size_t i = 0; i < settings->dkim.count; i++) {
        const struct settings_dkim *row = &settings->dkim.items[i];
        struct dkim_key *key = NULL;
        struct slice domain; /* as its records are named */
        struct why why = {""};
        if (domain_to_alabel_in(cli->arena, row->domain, &domain, NULL))
            domain = row->domain;
        if (cli_dkim_key(cli, row->key_file, &key, &why))
            code = CLI_FAILED;
        if (cli->json)
            put_row_json(&out, row, domain, key, &why, i == 0);
        else
            put_row(&out, row, domain, key, &why);
        dkim_key_free(&key);
    }
    if (cli->json)
        buf_add_str(&out, "]\n");
    else if (!settings->dkim.count)
        buf_add_str(&out, "no keys are configured; rockdove dkim generate makes one\n");
    (void)fwrite(out.data, 1, out.len, stdout);
    if (!cli->json && settings->dkim.count)
        add_server(cli, settings);
    return code;
}

int cmd_dkim(struct cli *cli)
{
    static const struct {
        const char *name;
        int (*run)(struct cli *cli);
    } verbs[] = {{"generate", generate}, {"rotate", rotate}, {"list", list}, {"status", cli_pass_on}};
    for (size_t i = 0; cli->argc && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(cli->argv[0], verbs[i].name) == 0)
            return verbs[i].run(cli);
    return cli_usage(cli);
}
