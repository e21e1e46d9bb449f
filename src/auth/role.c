/* role.c: the auth role: accounts from files and secrets.db, logins, grants. Parses SASL messages; holds
 * password hashes, DKIM keys and the SRS secret. Started by proc/. */
#include "auth/auth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/context.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#define ACCOUNTS_BYTES_MAX (64u << 20)

/* ---- the table ---- */

static void add_row(void *arg, const struct secrets_row *row)
{
    struct vec *rows = arg;
    struct kept_row *kept = vec_push(rows);
    if (!kept)
        return;
    kept->address = slice_make(mem_dup(row->address.ptr, row->address.len), row->address.len);
    kept->hash = slice_make(mem_dup(row->hash.ptr, row->hash.len), row->hash.len);
    kept->scram = slice_make(mem_dup(row->scram.ptr, row->scram.len), row->scram.len);
}

enum err auth_read_rows(struct secrets *secrets, struct vec *rows, struct why *why)
{
    *rows = VEC_NEW(struct kept_row, DIRECTORY_ENTRIES_MAX);
    return secrets_walk(secrets, add_row, rows, why);
}

static void free_text(struct slice text)
{
    free((void *)(uintptr_t)text.ptr);
}

void auth_free_rows(struct vec *rows)
{
    for (size_t i = 0; i < rows->len; i++) {
        struct kept_row *row = VEC_AT(rows, struct kept_row, i);
        free_text(row->address);
        free_text(row->hash);
        free_text(row->scram);
    }
    vec_free(rows);
}

static void tell_problem(void *arg, struct slice file, uint32_t line, struct slice what)
{
    (void)arg;
    log_warn("auth.accounts", LOG_STR("file", file), LOG_U64("line", line), LOG_STR("what", what));
}

static const struct role_file *accounts_file(const struct auth *auth, bool next, uint32_t index)
{
    return next ? role_next_file(auth->run, SUP_FILE_ACCOUNTS, index)
                : role_file(auth->run, SUP_FILE_ACCOUNTS, index);
}

/* Without the file its accounts' mail would be refused for good: then there is no start, and no reload. */
static enum err check_readable(const struct auth *auth, bool next, struct why *why)
{
    const struct settings *settings = next ? role_next_settings(auth->run) : role_settings(auth->run);
    for (uint32_t i = 0; i < settings->accounts.count; i++) {
        const struct role_file *file = accounts_file(auth, next, i);
        if (!file || file->missing.len)
            return err_set(why, ERR_BAD, "%.*s: %.*s",
                           SLICE_ARG(slice_sub(settings->accounts.items[i].file, 0, 100)),
                           SLICE_ARG(file ? slice_sub(file->missing, 0, 100) : SLICE("not handed in")));
    }
    return ERR_OK;
}

/* The files have been checked. */
static struct accounts *build(struct auth *auth, bool next)
{
    const struct settings *settings = next ? role_next_settings(auth->run) : role_settings(auth->run);
    struct accounts_builder *b = accounts_builder_new();
    for (uint32_t i = 0; i < settings->accounts.count; i++)
        accounts_builder_file(b, &settings->accounts.items[i], accounts_file(auth, next, i)->content);
    for (size_t i = 0; i < auth->rows.len; i++) {
        const struct kept_row *row = VEC_AT(&auth->rows, struct kept_row, i);
        accounts_builder_row(b, row->address, row->hash, row->scram);
    }
    struct accounts *made = accounts_build(b, settings, tell_problem, NULL);
    log_info("auth.table", LOG_U64("accounts", made->count), LOG_BOOL("scram", made->all_scram));
    return made;
}

/* ---- telling the others ---- */

static void tell_mechanisms(struct auth *auth, enum role peer)
{
    struct ipc_link *link = role_link(auth->run, peer);
    AUTO_BUF struct buf names = buf_new(200);
    buf_add_str(&names, "PLAIN LOGIN");
    if (auth->accounts->all_scram)
        buf_add_str(&names, " SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
    if (oauth_is_on(auth))
        buf_add_str(&names, " OAUTHBEARER XOAUTH2");
    const struct wire_auth_mechanisms message = {.names = buf_slice(&names)};
    enum err ignored =
        link && ipc_link_is_up(link) ? wire_send(link, WIRE_AUTH_MECHANISMS, &message) : ERR_OK;
    (void)ignored;
}

static enum err make_list(const struct accounts *accounts, int *fd, struct why *why)
{
    AUTO_BUF struct buf list = buf_new(ACCOUNTS_BYTES_MAX);
    AUTO_FD int made = -1;
    for (size_t i = 0; i < accounts->count; i++) {
        const struct directory_account_entry *entry = directory_table_account_at(accounts->table, i)->entry;
        wire_strings_add(&list, accounts->items[i].address);
        if (entry->has_quota) {
            char quota[24];
            int len = snprintf(quota, sizeof quota, " %" PRIu64, entry->quota);
            wire_strings_add(&list, slice_make(quota, (size_t)len));
        }
    }
    if (!buf_ok(&list))
        return err_set(why, ERR_INTERNAL, "too many accounts");
    enum err err = io_memfd("accounts", &made, why);
    if (!err)
        err = io_write_all(made, buf_slice(&list), why);
    if (!err)
        err = io_seal(made, why);
    if (err)
        return err;
    *fd = made;
    made = -1;
    return ERR_OK;
}

static void tell_accounts(struct auth *auth)
{
    struct ipc_link *queue = role_link(auth->run, ROLE_QUEUE);
    const struct wire_accounts message = {.generation = ++auth->generation,
                                          .count = (uint32_t)auth->accounts->count};
    struct why why = {0};
    AUTO_FD int fd = -1;
    if (!queue || !ipc_link_is_up(queue))
        return;
    enum err err = make_list(auth->accounts, &fd, &why);
    if (!err)
        err = wire_send_fds(queue, WIRE_ACCOUNTS, &message, &fd, 1);
    if (err)
        log_error("auth.tell", LOG_CSTR("err", err_name(err)), LOG_WHY(&why));
}

/* A new table is in use: whatever was remembered of the old one is forgotten. */
static void use(struct auth *auth, struct accounts *accounts)
{
    struct accounts *old = auth->accounts;
    auth->accounts = accounts;
    memory_clear(auth->memory);
    if (old) {
        auth_grants_drop_removed(auth);
        tell_accounts(auth);
        tell_mechanisms(auth, ROLE_SMTP);
        tell_mechanisms(auth, ROLE_IMAP);
        tell_mechanisms(auth, ROLE_HTTP);
    }
    accounts_free(&old);
}

void auth_take_rows(struct auth *auth, struct vec *rows)
{
    struct vec old = auth->rows;
    auth->rows = *rows;
    *rows = (struct vec){0};
    auth_free_rows(&old);
    use(auth, build(auth, false));
    if (auth->next_accounts) { /* a reload is between its phases */
        accounts_free(&auth->next_accounts);
        auth->next_accounts = build(auth, true);
    }
}

/* ---- the role ---- */

static void *load(struct role_run *run, struct why *why)
{
    struct auth *auth = mem_zero(1, sizeof *auth);
    auth->run = run;
    if (check_readable(auth, false, why)) {
        free(auth);
        return NULL;
    }
    auth->loop = role_loop(run);
    auth->settings = role_settings(run);
    auth->answer_ms = AUTH_ANSWER_MS;
    auth->memory = memory_new(auth->settings->auth.memory);
    auth->by_id = idmap_new(AUTH_EXCHANGES_MAX);
    list_init(&auth->exchanges);
    auth_grants_init(&auth->grants);
    dkim_warm();
    auth->dkim = dkim_ring_new(run, false);
    srs_use(auth);
    oauth_use(auth);
    auth->bans = auth_bans_new(auth);
    return auth;
}

static enum err start(void *ctx, struct why *why)
{
    struct auth *auth = ctx;
    enum err err = secrets_open(SECRETS_PATH, &auth->secrets, why);
    if (!err)
        err = auth_read_rows(auth->secrets, &auth->rows, why);
    if (!err)
        err = auth_bans_start(auth->bans, why);
    if (err)
        return err;
    uint64_t workers = auth->settings->auth.workers;
    auth->verify = verify_new(auth->loop, workers ? (unsigned)workers : 1);
    auth->strand = loop_strand_new(verify_pool(auth->verify));
    auth->signers = loop_pool_new(auth->loop, "dkim", DKIM_THREADS);
    use(auth, build(auth, false));
    return ERR_OK;
}

static size_t count_from(const struct accounts *accounts, struct slice file)
{
    size_t count = 0;
    for (size_t i = 0; i < accounts->count; i++)
        count += slice_eq(accounts->items[i].source, file);
    return count;
}

/* A file that names nobody any more is one that is being written, or was damaged: everybody's mail would be
 * refused. */
static enum err check_named(const struct auth *auth, struct why *why)
{
    const struct settings *settings = role_next_settings(auth->run);
    for (uint32_t i = 0; i < settings->accounts.count; i++) {
        struct slice path = settings->accounts.items[i].file;
        if (count_from(auth->accounts, path) && !count_from(auth->next_accounts, path) &&
            !slice_eq(slice_trim(accounts_file(auth, true, i)->content), SLICE("{}")))
            return err_set(why, ERR_BAD, "%.*s names no account any more; if that is meant, restart",
                           SLICE_ARG(slice_sub(path, 0, 100)));
    }
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    struct auth *auth = ctx;
    accounts_free(&auth->next_accounts);
    enum err err = check_readable(auth, true, why);
    if (err)
        return err;
    auth->next_accounts = build(auth, true);
    err = check_named(auth, why);
    if (err)
        return err;
    dkim_ring_release(&auth->next_dkim);
    auth->next_dkim = dkim_ring_new(auth->run, true);
    return dkim_ring_check(auth->run, auth->dkim, auth->next_dkim, why);
}

static void commit(void *ctx)
{
    struct auth *auth = ctx;
    auth->settings = role_settings(auth->run);
    memory_set_time(auth->memory, auth->settings->auth.memory);
    struct accounts *next = auth->next_accounts;
    auth->next_accounts = NULL;
    oauth_use(auth); /* before the mechanisms are told */
    use(auth, next ? next : build(auth, false));
    dkim_ring_release(&auth->dkim);
    auth->dkim = auth->next_dkim ? auth->next_dkim : dkim_ring_new(auth->run, false);
    auth->next_dkim = NULL;
    dkim_tell(auth);
    srs_use(auth);
    auth_bans_use(auth->bans);
}

static void forget_next(void *ctx)
{
    struct auth *auth = ctx;
    accounts_free(&auth->next_accounts);
    dkim_ring_release(&auth->next_dkim);
}

static void on_peer(void *ctx, enum role peer, bool up)
{
    struct auth *auth = ctx;
    auth_bans_peer(auth->bans, peer, up);
    if (!up) {
        exchange_drop_peer(auth, peer);
        auth_grants_drop_holder(auth, peer);
        return;
    }
    if (peer == ROLE_SMTP || peer == ROLE_IMAP || peer == ROLE_HTTP)
        tell_mechanisms(auth, peer);
    if (peer == ROLE_SMTP)
        auth_door_give(auth);
    if (peer == ROLE_QUEUE)
        tell_accounts(auth);
    if (peer == ROLE_QUEUE)
        dkim_tell(auth);
    if (peer == ROLE_QUEUE || peer == ROLE_STORE)
        auth_grants_replay(auth, peer);
}

static void drain(void *ctx, uint64_t ms)
{
    struct auth *auth = ctx;
    (void)ms;
    auth->draining = true; /* sessions have ended before; what is left are failures that wait */
    role_drained(auth->run);
}

static void free_auth(void *ctx)
{
    struct auth *auth = ctx;
    verify_free(&auth->verify); /* what is queued on the strand is done then */
    loop_strand_free(&auth->strand);
    loop_pool_free(&auth->signers);
    dkim_ring_release(&auth->dkim);
    dkim_ring_release(&auth->next_dkim);
    exchange_drop_all(auth);
    auth_bans_free(&auth->bans);
    secrets_close(&auth->secrets);
    auth_free_rows(&auth->rows);
    accounts_free(&auth->accounts);
    accounts_free(&auth->next_accounts);
    memory_free(&auth->memory);
    auth_grants_free(&auth->grants);
    auth_door_free(&auth->door);
    token_keys_free(&auth->token_keys);
    idmap_free(&auth->by_id);
    free(auth);
}

static const struct role_dispatch dispatch[] = {
    {WIRE_AUTH_BEGIN, exchange_on_begin},
    {WIRE_AUTH_STEP, exchange_on_step},
    {WIRE_AUTH_CANCEL, exchange_on_cancel},
    {WIRE_AUTH_LOGOUT, auth_grants_on_logout},
    {WIRE_CONTROL, auth_control_on_command},
    {WIRE_DKIM_SIGN, dkim_on_sign},
    {WIRE_SRS, srs_on_address},
    {WIRE_GATEWAY_SEEN, auth_gateways_on_seen},
    {WIRE_OFFENCE, auth_bans_on_offence},
    {WIRE_DECISIONS, auth_bans_on_decisions},
    {WIRE_DOOR_SAVE, auth_door_on_save},
    {WIRE_NONE, NULL},
};

const struct role_ops auth_role = {
    .role = ROLE_AUTH,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = forget_next,
    .peer = on_peer,
    .drain = drain,
    .free = free_auth,
};
