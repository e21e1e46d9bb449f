/* plan.c: opens what the configuration names and hands each role its share. Runs in the supervisor; trusts
 * the settings only as far as the configuration child's encoding was decoded strictly. */
#include "proc/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define PLAN_MAX ((size_t)64 << 20)

static void plan_add_file(struct plan *plan, enum sup_file kind, uint32_t index, struct slice path)
{
    struct plan_file *f = &plan->files[plan->file_count++];
    struct why why = {0};
    *f = (struct plan_file){.kind = kind, .index = index, .path = path, .fd = -1};
    f->fd = open(arena_cstr(plan->arena, path), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (f->fd < 0) {
        (void)err_errno(&why, errno, "cannot be opened");
        f->missing = arena_dup(plan->arena, slice_of(why.text));
    } else if (fstat(f->fd, &f->opened) != 0) {
        f->opened = (struct stat){0}; /* looks changed: is read again */
    }
}

static void plan_add_named(struct plan *plan, enum sup_file kind, uint32_t index, struct slice path)
{
    if (path.len)
        plan_add_file(plan, kind, index, path);
}

/* What mail that leaves needs. */
static void open_outbound(struct plan *plan)
{
    const struct settings *s = plan->settings;
    for (uint32_t i = 0; i < s->dkim.count; i++)
        plan_add_file(plan, SUP_FILE_DKIM_KEY, i, s->dkim.items[i].key_file);
    plan_add_named(plan, SUP_FILE_SRS_SECRET, 0, s->srs.secret_file);
    for (uint32_t i = 0; i <= s->relays.count; i++)
        if (settings_relay_at(s, i))
            plan_add_named(plan, SUP_FILE_RELAY_SECRET, i, settings_relay_at(s, i)->sasl_file);
    for (uint32_t i = 0; i < s->relay_maps.count; i++) {
        plan_add_file(plan, SUP_FILE_RELAY_MAP, i, s->relay_maps.items[i].file);
        plan_add_named(plan, SUP_FILE_RELAY_MAP_SECRET, i, s->relay_maps.items[i].sasl_file);
    }
    plan_add_named(plan, SUP_FILE_CROWDSEC_KEY, 0, s->crowdsec.key_file);
    plan_add_named(plan, SUP_FILE_CROWDSEC_MACHINE, 0, s->crowdsec.machine_file);
    plan_add_named(plan, SUP_FILE_OAUTH_KEYS, 0, s->auth.oauth.keys_file);
    plan_add_named(plan, SUP_FILE_OAUTH_SECRET, 0, s->auth.oauth.introspection.secret_file);
    plan_add_named(plan, SUP_FILE_CA_BUNDLE, 0, s->ca_file);
}

static void open_files(struct plan *plan)
{
    const struct settings *s = plan->settings;
    size_t most = 2 * s->tls.count + s->accounts.count + s->aliases.count + s->quota.files.count +
                  s->regexp_aliases.count + s->dkim.count + s->relays.count + 2 * s->relay_maps.count + 12;
    plan->files = ARENA_ARRAY(plan->arena, struct plan_file, most);
    for (uint32_t i = 0; i < s->tls.count; i++) {
        plan_add_file(plan, SUP_FILE_TLS_CERT, i, s->tls.items[i].cert);
        plan_add_file(plan, SUP_FILE_TLS_KEY, i, s->tls.items[i].key);
    }
    for (uint32_t i = 0; i < s->accounts.count; i++)
        plan_add_file(plan, SUP_FILE_ACCOUNTS, i, s->accounts.items[i].file);
    for (uint32_t i = 0; i < s->aliases.count; i++)
        plan_add_file(plan, SUP_FILE_ALIASES, i, s->aliases.items[i].file);
    for (uint32_t i = 0; i < s->quota.files.count; i++)
        plan_add_file(plan, SUP_FILE_QUOTAS, i, s->quota.files.items[i]);
    for (uint32_t i = 0; i < s->regexp_aliases.count; i++)
        plan_add_file(plan, SUP_FILE_REGEXP, i, s->regexp_aliases.items[i].file);
    open_outbound(plan);
    if (s->resolver.trust_anchor.len)
        plan_add_file(plan, SUP_FILE_TRUST_ANCHOR, 0, s->resolver.trust_anchor);
    plan_add_file(plan, SUP_FILE_RESOLV_CONF, 0, SLICE("/etc/resolv.conf"));
}

static enum err open_log(const struct settings_log *log, struct arena *arena, int *fd, struct why *why)
{
    if (slice_eq(log->to, SLICE("stderr")) || slice_eq(log->to, SLICE("stdout")))
        *fd = fcntl(slice_eq(log->to, SLICE("stdout")) ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        *fd = open(arena_cstr(arena, log->to), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return *fd < 0 ? err_errno(why, errno, "log %.*s", SLICE_ARG(log->to)) : ERR_OK;
}

static enum err open_logs(struct plan *plan, struct why *why)
{
    enum err err = ERR_OK;
    size_t count = plan->settings->log.count;
    plan->logs = ARENA_ARRAY(plan->arena, int, count + 1);
    for (size_t i = 0; i < count; i++)
        plan->logs[i] = -1;
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = open_log(&plan->settings->log.items[i], plan->arena, &plan->logs[i], why);
    return err;
}

static int same_listener(const struct plan *old, const struct conf_address *address)
{
    for (size_t i = 0; old && i < old->settings->listeners.count; i++) {
        const struct conf_address *a = &old->settings->listeners.items[i].address;
        if (a->port == address->port && memcmp(a->ip, address->ip, sizeof a->ip) == 0)
            return fcntl(old->listeners[i], F_DUPFD_CLOEXEC, 3);
    }
    return -1;
}

static enum err open_listeners(struct plan *plan, const struct plan *old, struct why *why)
{
    enum err err = ERR_OK;
    size_t count = plan->settings->listeners.count;
    plan->listeners = ARENA_ARRAY(plan->arena, int, count + 1);
    for (size_t i = 0; i < count; i++)
        plan->listeners[i] = -1;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        const struct conf_address *address = &plan->settings->listeners.items[i].address;
        plan->listeners[i] = same_listener(old, address);
        if (plan->listeners[i] < 0)
            err = bind_listener(address, &plan->listeners[i], why);
    }
    return err;
}

static enum err decode_settings(struct plan *plan, struct why *why)
{
    struct stat st;
    if (fstat(plan->settings_fd, &st) != 0)
        return err_errno(why, errno, "settings");
    size_t size = (size_t)st.st_size;
    uint8_t *bytes = mem_alloc(size);
    enum err err = ERR_INTERNAL;
    if (pread(plan->settings_fd, bytes, size, 0) == (ssize_t)size)
        err = settings_decode_in(plan->arena, slice_make(bytes, size), &plan->settings, why);
    else
        (void)err_set(why, err, "settings: short read");
    free(bytes);
    return err;
}

enum err plan_new(const char *config_path, uint64_t number, const struct plan *old, struct plan **result,
                  struct why *why)
{
    struct plan *plan = mem_zero(1, sizeof *plan);
    plan->number = number;
    plan->settings_fd = -1;
    plan->arena = arena_new(PLAN_MAX);
    enum err err = config_child_run(config_path, &plan->settings_fd, why);
    if (err == ERR_OK)
        err = decode_settings(plan, why);
    if (err == ERR_OK) {
        open_files(plan);
        err = open_logs(plan, why);
    }
    if (err == ERR_OK)
        err = open_listeners(plan, old, why);
    if (err != ERR_OK) {
        plan_free(&plan);
        return err;
    }
    *result = plan;
    return ERR_OK;
}

static void close_fds(const int *fds, size_t count)
{
    for (size_t i = 0; fds && i < count; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

void plan_free(struct plan **plan_ref)
{
    struct plan *plan = plan_ref ? *plan_ref : NULL;
    if (!plan)
        return;
    for (size_t i = 0; i < plan->file_count; i++)
        close_fds(&plan->files[i].fd, 1);
    if (plan->settings) {
        close_fds(plan->logs, plan->settings->log.count);
        close_fds(plan->listeners, plan->settings->listeners.count);
    }
    close_fds(&plan->settings_fd, 1);
    arena_free(&plan->arena);
    free(plan);
    *plan_ref = NULL;
}

static enum err hand_files(const struct plan *plan, uint32_t wanted, struct ipc_link *link)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < plan->file_count && err == ERR_OK; i++) {
        const struct plan_file *f = &plan->files[i];
        if (!(wanted & 1u << f->kind))
            continue;
        const struct wire_sup_file message = {.generation = plan->number,
                                              .kind = f->kind,
                                              .index = f->index,
                                              .path = f->path,
                                              .text = f->missing};
        err = wire_send_fds(link, WIRE_SUP_FILE, &message, &f->fd, f->fd >= 0);
    }
    return err;
}

static enum err hand_listeners(const struct plan *plan, enum role role, struct ipc_link *link)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < plan->settings->listeners.count && err == ERR_OK; i++) {
        const struct wire_sup_listener message = {.generation = plan->number, .index = i};
        if (proc_role_serves(role, plan->settings, i))
            err = wire_send_fds(link, WIRE_SUP_LISTENER, &message, &plan->listeners[i], 1);
    }
    return err;
}

static enum err hand_logs(const struct plan *plan, struct ipc_link *link)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < plan->settings->log.count && err == ERR_OK; i++) {
        const struct wire_sup_log message = {.generation = plan->number, .index = i};
        err = wire_send_fds(link, WIRE_SUP_LOG, &message, &plan->logs[i], 1);
    }
    return err;
}

enum err plan_hand_over(const struct plan *plan, enum role role, struct ipc_link *link)
{
    const struct wire_sup_settings settings = {.generation = plan->number};
    enum err err = wire_send_fds(link, WIRE_SUP_SETTINGS, &settings, &plan->settings_fd, 1);
    if (err == ERR_OK)
        err = hand_files(plan, proc_role(role)->files, link);
    if (err == ERR_OK)
        err = hand_logs(plan, link);
    if (err == ERR_OK)
        err = hand_listeners(plan, role, link);
    return err;
}
