/* role.c: the smtp role: its listeners, its TLS contexts, reload, drain. Parses SMTP from anyone (session.c);
 * holds no file and opens none; started by proc/. */
#include "smtp/smtp.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/gateway.h"
#include "smtp/session.h"

#define ADDRESSES_MAX 100000u /* clients counted at once */

/* ---- TLS ---- */

typedef const struct role_file *file_of(struct role_run *run, enum sup_file kind, uint32_t index);

static enum err add_pair(struct role_run *run, file_of *file, uint32_t index, struct tls_pair *pair,
                         struct why *why)
{
    const struct role_file *cert = file(run, SUP_FILE_TLS_CERT, index),
                           *key = file(run, SUP_FILE_TLS_KEY, index);
    const struct role_file *bad = cert && cert->missing.len ? cert : key && key->missing.len ? key : NULL;
    if (bad)
        return err_set(why, ERR_BAD, "%.*s: %.*s", SLICE_ARG(slice_sub(bad->path, 0, 120)),
                       SLICE_ARG(bad->missing));
    if (!cert || !key)
        return err_set(why, ERR_INTERNAL, "certificate %u was not handed in", index);
    *pair = (struct tls_pair){.cert_pem = cert->content, .key_pem = key->content, .name = cert->path};
    return ERR_OK;
}

/* NULL and ERR_OK when there is no certificate at all. */
static enum err load_tls(struct role_run *run, const struct settings *settings, file_of *file,
                         struct tls_context **tls, struct why *why)
{
    size_t count = settings->tls.count;
    *tls = NULL;
    if (count == 0)
        return ERR_OK;
    struct tls_pair *pairs = mem_zero(count, sizeof *pairs);
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        err = add_pair(run, file, i, &pairs[i], why);
    if (err == ERR_OK)
        err = tls_context_new(pairs, count, tls, why);
    free(pairs);
    return err;
}

/* ---- listeners ---- */

struct smtp_port *smtp_port_new(const struct settings_listener *settings, uint32_t index)
{
    struct smtp_port *port = mem_zero(1, sizeof *port);
    port->refs = 1;
    port->index = index;
    port->settings = *settings;
    port->name =
        (struct slice){(const uint8_t *)mem_dup(settings->name.ptr, settings->name.len), settings->name.len};
    port->settings.name = port->name;
    port->settings.address.text = port->settings.address.host = SLICE_EMPTY;
    return port;
}

void smtp_port_free(struct smtp_port **ref)
{
    struct smtp_port *port = *ref;
    *ref = NULL;
    if (!port || --port->refs > 0)
        return;
    free((void *)(uintptr_t)port->name.ptr);
    free(port);
}

static bool is_ours(const struct settings_listener *listener)
{
    return listener->service == SETTINGS_MX || listener->service == SETTINGS_SUBMISSION;
}

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival)
{
    struct smtp *smtp = ctx;
    smtp_session_begin(smtp, stream, arrival, smtp->doors.ports[arrival->index]);
}

static void on_lost(void *ctx, const struct listener_arrival *arrival, const struct netaddr *client,
                    enum listener_loss loss, const char *text)
{
    (void)ctx;
    smtp_report_lost(arrival, client, loss, text);
}

static const struct listener_ops listener_ops = {.arrived = on_arrived, .lost = on_lost};

static void doors_free(struct smtp_doors *doors)
{
    for (size_t i = 0; i < doors->count; i++) {
        listener_free(&doors->listeners[i]);
        smtp_port_free(&doors->ports[i]);
    }
    free(doors->listeners);
    free(doors->ports);
    *doors = (struct smtp_doors){0};
}

/* The listener of this name: what arrives there just now is not disturbed by a reload. NULL when there was
 * none. */
static struct listener *take_listener(struct smtp_doors *doors, struct slice name)
{
    for (size_t i = 0; i < doors->count; i++) {
        struct listener *listener = doors->listeners[i];
        if (!listener || !slice_eq(doors->ports[i]->name, name))
            continue;
        doors->listeners[i] = NULL;
        return listener;
    }
    return NULL;
}

static struct listener *open_listener(struct smtp *smtp, struct smtp_doors *old, uint32_t index, int fd)
{
    const struct settings *settings = smtp->settings;
    struct listener *listener = take_listener(old, settings->listeners.items[index].name);
    if (!listener)
        return listener_new(smtp->loop, fd, index, settings, smtp->tls, &listener_ops, smtp);
    listener_update(listener, index, settings, smtp->tls);
    listener_set_fd(listener, fd);
    return listener;
}

/* Listeners of the settings in use. Sessions that are open keep their port. */
static void open_listeners(struct smtp *smtp)
{
    const struct settings *settings = smtp->settings;
    struct smtp_doors old = smtp->doors, *doors = &smtp->doors;
    doors->count = settings->listeners.count;
    doors->listeners = mem_zero(doors->count, sizeof(struct listener *));
    doors->ports = mem_zero(doors->count, sizeof(struct smtp_port *));
    for (uint32_t i = 0; i < doors->count; i++) {
        int fd = is_ours(&settings->listeners.items[i]) ? role_listener(smtp->run, i) : -1;
        if (fd < 0)
            continue;
        doors->ports[i] = smtp_port_new(&settings->listeners.items[i], i);
        doors->listeners[i] = open_listener(smtp, &old, i, fd);
    }
    doors_free(&old);
}

/* ---- the role's life ---- */

struct smtp *smtp_new(struct loop *loop, const struct settings *settings)
{
    struct smtp *smtp = mem_zero(1, sizeof *smtp);
    smtp->loop = loop;
    smtp->settings = settings;
    smtp->scratch = arena_new(SMTP_SCRATCH_MAX);
    smtp->addresses = map_new(ADDRESSES_MAX);
    smtp->gateways = smtp_gateways_new();
    list_init(&smtp->sessions);
    return smtp;
}

void smtp_free(struct smtp *smtp)
{
    if (!smtp)
        return;
    smtp->draining = false; /* nobody waits for the last session any more */
    doors_free(&smtp->doors);
    LIST_EACH(&smtp->sessions, node)
    {
        struct smtp_session *s = CONTAINER_OF(node, struct smtp_session, node);
        smtp_session_free(&s);
    }
    loop_timer_free(&smtp->drain_timer);
    tls_context_free(&smtp->tls);
    tls_context_free(&smtp->next_tls);
    map_free(&smtp->addresses);
    smtp_gateways_free(&smtp->gateways);
    arena_free(&smtp->scratch);
    free(smtp);
}

static void *load(struct role_run *run, struct why *why)
{
    struct smtp *smtp = smtp_new(role_loop(run), role_settings(run));
    smtp->run = run;
    /* The store may still hold bodies of the process before this one: theirs and ours do not meet. */
    role_random(&smtp->next_body, sizeof smtp->next_body);
    smtp->next_body >>= 1;
    smtp->queue = role_link(run, ROLE_QUEUE);
    smtp->store = role_link(run, ROLE_STORE);
    smtp->auth = role_link(run, ROLE_AUTH);
    smtp->dns = role_link(run, ROLE_DNS);
    if (load_tls(run, smtp->settings, role_file, &smtp->tls, why) != ERR_OK) {
        smtp_free(smtp);
        return NULL;
    }
    return smtp;
}

static enum err start(void *ctx, struct why *why)
{
    (void)why;
    open_listeners(ctx);
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    struct smtp *smtp = ctx;
    tls_context_free(&smtp->next_tls);
    return load_tls(smtp->run, role_next_settings(smtp->run), role_next_file, &smtp->next_tls, why);
}

static void commit(void *ctx)
{
    struct smtp *smtp = ctx;
    smtp->settings = role_settings(smtp->run);
    tls_context_free(&smtp->tls);
    smtp->tls = smtp->next_tls;
    smtp->next_tls = NULL;
    if (!smtp->draining)
        open_listeners(smtp);
}

static void abandon(void *ctx)
{
    struct smtp *smtp = ctx;
    tls_context_free(&smtp->next_tls);
}

/* ---- peers ---- */

void smtp_peer(struct smtp *smtp, enum role peer, bool up)
{
    if (up && peer == ROLE_AUTH)
        smtp_gateway_tell(smtp);
    if (up)
        return;
    if (peer == ROLE_QUEUE)
        smtp->queue_epoch++;
    else if (peer == ROLE_STORE)
        smtp->store_epoch++;
    else if (peer == ROLE_AUTH)
        smtp->mechanisms[0] = 0;
}

static void on_peer(void *ctx, enum role peer, bool up)
{
    smtp_peer(ctx, peer, up);
}

/* The store takes chunks again. */
void smtp_store_drained(struct smtp *smtp)
{
    LIST_EACH(&smtp->sessions, node)
    {
        struct smtp_session *s = CONTAINER_OF(node, struct smtp_session, node);
        if (s->starved)
            smtp_session_continue(s);
    }
}

static void on_drained(void *ctx, enum role peer)
{
    if (peer == ROLE_STORE)
        smtp_store_drained(ctx);
}

/* Kept as it stands in EHLO: a blank before each name. */
bool smtp_take_mechanisms(struct smtp *smtp, const struct wire_auth_mechanisms *m)
{
    struct slice rest = m->names, name;
    size_t at = 0;
    while (slice_token(&rest, ' ', &name)) {
        if (name.len == 0 || at + name.len + 1 > SMTP_MECHANISMS_MAX)
            continue;
        smtp->mechanisms[at++] = ' ';
        for (size_t i = 0; i < name.len; i++)
            smtp->mechanisms[at++] = ascii_is_print(name.ptr[i]) ? (char)name.ptr[i] : '?';
    }
    smtp->mechanisms[at] = 0;
    return true;
}

static bool on_mechanisms(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    (void)link;
    (void)packet;
    return smtp_take_mechanisms(ctx, message);
}

/* ---- the end ---- */

void smtp_session_left(struct smtp *smtp)
{
    if (!smtp->draining || smtp->session_count > 0 || smtp->drained)
        return;
    smtp->drained = true;
    if (smtp->run)
        role_drained(smtp->run);
}

/* Sessions with a message on its way may finish it; `all`: they had their time. */
static void send_away(struct smtp *smtp, bool all)
{
    LIST_EACH(&smtp->sessions, node)
    {
        struct smtp_session *s = CONTAINER_OF(node, struct smtp_session, node);
        if (!all && !smtp_session_is_idle(s))
            continue;
        smtp_session_close(s, "4.3.2", "Going down, come back soon");
        smtp_session_continue(s);
    }
}

static void on_drain_over(void *arg)
{
    struct smtp *smtp = arg;
    send_away(smtp, true);
    smtp_session_left(smtp);
}

void smtp_drain(struct smtp *smtp, uint64_t ms)
{
    smtp->draining = true;
    doors_free(&smtp->doors);
    send_away(smtp, false);
    smtp->drain_timer = loop_timer_new(smtp->loop, on_drain_over, smtp);
    loop_timer_set(smtp->drain_timer, ms);
    smtp_session_left(smtp);
}

static void drain(void *ctx, uint64_t ms)
{
    smtp_drain(ctx, ms);
}

static void free_role(void *ctx)
{
    smtp_free(ctx);
}

static const struct role_dispatch dispatch[] = {
    {WIRE_AUTH_MECHANISMS, on_mechanisms},
    {WIRE_NONE, NULL},
};

const struct role_ops smtp_role = {
    .role = ROLE_SMTP,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = abandon,
    .peer = on_peer,
    .drained = on_drained,
    .drain = drain,
    .free = free_role,
};
