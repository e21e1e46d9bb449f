/* role.c: the relay role: the only one that connects to other servers. It parses what they say, holds no file
 * but descriptors of the messages on their way, and keeps nothing that must last: what becomes of a message
 * is told to queue. Started by proc/. */
#include "relay/relay.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "relay/context.h"
#include "relay/job.h"

/* ---- messages ---- */

static bool on_send(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return relay_job_begin(ctx, link, packet, message);
}

static bool on_forget(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct relay *relay = ctx;
    const struct wire_relay_forget *m = message;
    struct slice host = relay_job_key_host(m->host);
    char key[POOL_KEY_MAX];
    (void)link;
    (void)packet;
    resolve_forget(relay->resolve, m->host);
    int len = host.len ? snprintf(key, sizeof key, "%.*s|", SLICE_ARG(host)) : 0;
    pool_forget(relay->pool, slice_make(key, len > 0 ? (size_t)len : 0));
    return true;
}

static bool on_test(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct relay *relay = ctx;
    const struct wire_relay_test *m = message;
    /* Queue asks when it has heard of the end of a reload; we may hear of it after the question. */
    bool next = relay->next_secrets != NULL;
    const struct settings *settings = next ? role_next_settings(relay->run) : relay->settings;
    const struct secrets *secrets = next ? relay->next_secrets : relay->secrets;
    struct test_login_setup setup = {.settings = settings,
                                     .relay = settings_relay_at(settings, m->relay),
                                     .tls = next ? relay->next_tls : relay->tls};
    if (setup.relay && !secrets_of_relay(secrets, settings, m->relay, &setup.login, &setup.login_flaw))
        setup.login = (struct sasl_login){0};
    return test_login_begin(relay->tests, link, packet, m, &setup);
}

static bool on_dkim_check(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct relay *relay = ctx;
    return dkim_check_begin(relay->dkim_check, link, packet, message);
}

static bool on_ban_report(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct relay *relay = ctx;
    (void)link;
    (void)packet;
    return crowdsec_report(relay->crowdsec, message);
}

static bool on_token_check(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct relay *relay = ctx;
    const struct wire_token_check *m = message;
    if (!packet->request)
        return false;
    introspect_token(relay->introspect, link, packet->request, m->token);
    return true;
}

static const struct role_dispatch dispatch[] = {
    {WIRE_RELAY_SEND, on_send},
    {WIRE_RELAY_FORGET, on_forget},
    {WIRE_RELAY_TEST, on_test},
    {WIRE_DKIM_CHECK, on_dkim_check},
    {WIRE_BAN_REPORT, on_ban_report},
    {WIRE_TOKEN_CHECK, on_token_check},
    {WIRE_NONE, NULL},
};

/* ---- life ---- */

static void free_relay(void *ctx)
{
    struct relay *relay = ctx;
    relay_jobs_forget(relay);
    test_logins_free(&relay->tests);
    pool_free(&relay->pool);
    dkim_check_free(&relay->dkim_check);
    resolve_free(&relay->resolve);
    sts_free(&relay->sts);
    crowdsec_free(&relay->crowdsec);
    introspect_free(&relay->introspect);
    identity_free(&relay->identity);
    https_free(&relay->https);
    secrets_free(&relay->secrets);
    secrets_free(&relay->next_secrets);
    tls_client_free(&relay->tls);
    tls_client_free(&relay->next_tls);
    loop_timer_free(&relay->drain);
    free(relay);
}

static struct slice bundle_of(const struct role_file *file)
{
    return file && !file->missing.len ? file->content : SLICE_EMPTY;
}

/* Without a bundle nothing is verified by name; who must be verified is not reached then, and the log says
 * why. */
static enum err load_trust(const struct role_file *file, struct tls_client **tls, struct why *why)
{
    if (!file || file->missing.len)
        log_warn("relay.no_ca_bundle", LOG_STR("file", file ? file->path : SLICE_EMPTY),
                 LOG_STR("why", file ? file->missing : SLICE("not handed in")));
    return tls_client_new(bundle_of(file), file ? file->path : SLICE_EMPTY, tls, why);
}

static struct pool_setup pool_setup_of(const struct relay *relay)
{
    return (struct pool_setup){.resolve = relay->resolve,
                               .sts = relay->sts,
                               .identity = relay->identity,
                               .tls = relay->tls,
                               .settings = relay->settings};
}

static void on_drain(void *arg)
{
    struct relay *relay = arg;
    relay_jobs_forget(relay);
    pool_forget(relay->pool, SLICE_EMPTY);
    role_drained(relay->run);
}

static void update_services(struct relay *relay)
{
    introspect_update(relay->introspect, relay->settings, role_file(relay->run, SUP_FILE_OAUTH_SECRET, 0));
    crowdsec_update(relay->crowdsec, relay->settings, role_file(relay->run, SUP_FILE_CROWDSEC_KEY, 0),
                    role_file(relay->run, SUP_FILE_CROWDSEC_MACHINE, 0));
}

static void make_parts(struct relay *relay)
{
    struct loop *loop = relay->loop;
    struct ipc_link *dns = role_link(relay->run, ROLE_DNS);
    relay->secrets = secrets_load(relay->run, false);
    relay->identity = identity_new(loop, dns, relay->settings);
    relay->sts = sts_new(loop, dns, relay->https, relay->settings);
    relay->resolve = resolve_new(loop, dns, relay->settings, relay->sts, relay->identity);
    relay->dkim_check = dkim_check_new(dns);
    relay->tests = test_logins_new(loop, relay->resolve, relay->identity);
    const struct pool_setup setup = pool_setup_of(relay);
    relay->pool = pool_new(loop, &setup);
    relay->drain = loop_timer_new(loop, on_drain, relay);
    relay->crowdsec = crowdsec_new(loop, relay->https, dns, role_link(relay->run, ROLE_AUTH));
    relay->introspect = introspect_new(loop, relay->https, dns);
    update_services(relay);
}

static void *load(struct role_run *run, struct why *why)
{
    struct relay *relay = mem_zero(1, sizeof *relay);
    const struct role_file *bundle = role_file(run, SUP_FILE_CA_BUNDLE, 0);
    relay->run = run;
    relay->loop = role_loop(run);
    relay->settings = role_settings(run);
    list_init(&relay->jobs);
    if (load_trust(bundle, &relay->tls, why) ||
        https_new(relay->loop, bundle_of(bundle), &relay->https, why)) {
        free_relay(relay);
        return NULL;
    }
    make_parts(relay);
    return relay;
}

static enum err start(void *ctx, struct why *why)
{
    struct relay *relay = ctx;
    (void)why;
    identity_begin(relay->identity);
    crowdsec_begin(relay->crowdsec);
    return ERR_OK;
}

/* ---- reload ---- */

static void forget_next(void *ctx)
{
    struct relay *relay = ctx;
    secrets_free(&relay->next_secrets);
    tls_client_free(&relay->next_tls);
}

static enum err prepare(void *ctx, struct why *why)
{
    struct relay *relay = ctx;
    forget_next(relay);
    relay->next_secrets = secrets_load(relay->run, true);
    return load_trust(role_next_file(relay->run, SUP_FILE_CA_BUNDLE, 0), &relay->next_tls, why);
}

static void secret_changed(void *ctx, uint32_t index)
{
    struct relay *relay = ctx;
    const struct wire_relay_secret_changed changed = {.relay = index};
    log_info("relay.secret_changed",
             LOG_STR("relay", index == UINT32_MAX ? SLICE("relay_maps")
                                                  : settings_relay_at(relay->settings, index)->name));
    enum err ignored = wire_send(role_link(relay->run, ROLE_QUEUE), WIRE_RELAY_SECRET_CHANGED, &changed);
    (void)ignored; /* a queue that is away stops no route when it comes back */
}

static void commit(void *ctx)
{
    struct relay *relay = ctx;
    struct why why = {""};
    relay->settings = role_settings(relay->run);
    if (https_update(relay->https, bundle_of(role_file(relay->run, SUP_FILE_CA_BUNDLE, 0)), &why))
        log_warn("relay.ca_bundle", LOG_WHY(&why));
    identity_update(relay->identity, relay->settings);
    sts_update(relay->sts, relay->settings);
    resolve_update(relay->resolve, relay->settings);
    struct secrets *old = relay->secrets;
    if (relay->next_tls) {
        tls_client_free(&relay->tls);
        relay->tls = relay->next_tls;
        relay->next_tls = NULL;
    }
    if (relay->next_secrets) {
        relay->secrets = relay->next_secrets;
        relay->next_secrets = NULL;
        secrets_compare(old, relay->secrets, secret_changed, relay);
        secrets_free(&old);
    }
    const struct pool_setup setup = pool_setup_of(relay);
    pool_update(relay->pool, &setup);
    update_services(relay);
}

static void on_peer(void *ctx, enum role peer, bool up)
{
    struct relay *relay = ctx;
    if (peer == ROLE_DNS && up)
        identity_begin(relay->identity);
    if (peer == ROLE_AUTH && up)
        crowdsec_auth_up(relay->crowdsec);
    if (peer == ROLE_AUTH && !up)
        introspect_forget(relay->introspect);
    if (peer != ROLE_QUEUE || up)
        return;
    relay_jobs_forget(relay);
    dkim_check_forget(relay->dkim_check);
    test_logins_forget(relay->tests);
}

static void drain(void *ctx, uint64_t ms)
{
    struct relay *relay = ctx;
    relay->draining = true;
    pool_forget(relay->pool, SLICE_EMPTY);
    loop_timer_set(relay->drain, relay->job_count ? ms : 0);
}

const struct role_ops relay_role = {
    .role = ROLE_RELAY,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = forget_next,
    .peer = on_peer,
    .drain = drain,
    .free = free_relay,
};
