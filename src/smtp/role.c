/* role.c: the smtp role: its listeners, its TLS contexts, reload, drain. Parses SMTP from anyone (session.c);
 * holds no file and opens none; started by proc/. */
#include "smtp/smtp.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/gateway.h"
#include "smtp/greet.h"
#include "smtp/session.h"

#define ADDRESSES_MAX 100000u /* clients counted at once */

/* ---- connections ---- */

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival,
                       struct service_port *port)
{
    smtp_session_begin(ctx, stream, arrival, port);
}

static void on_lost(void *ctx, const struct listener_arrival *arrival, const struct netaddr *client,
                    enum listener_loss loss, const char *text)
{
    (void)ctx;
    smtp_report_lost(arrival, client, loss, text);
}

/* Sessions with a message on its way may finish it; `all`: they had their time. */
static void send_away(void *ctx, bool all)
{
    struct smtp *smtp = ctx;
    LIST_EACH(&smtp->service.sessions, node)
    {
        struct smtp_session *s = CONTAINER_OF(node, struct smtp_session, node);
        if (!all && !smtp_session_is_idle(s))
            continue;
        smtp_session_close(s, "4.3.2", "Going down, come back soon");
        smtp_session_continue(s);
    }
}

static bool is_gateway(void *ctx, const struct netaddr *client)
{
    return smtp_gateway_is(ctx, client);
}

static const struct service_ops service_ops = {
    .services = SERVICE_SET(SETTINGS_MX) | SERVICE_SET(SETTINGS_SUBMISSION),
    .arrived = on_arrived,
    .lost = on_lost,
    .is_gateway = is_gateway,
    .send_away = send_away,
};

/* ---- the role's life ---- */

struct smtp *smtp_new(struct loop *loop, const struct settings *settings)
{
    struct smtp *smtp = mem_zero(1, sizeof *smtp);
    smtp->loop = loop;
    smtp->settings = settings;
    smtp->scratch = arena_new(SMTP_SCRATCH_MAX);
    smtp->addresses = map_new(ADDRESSES_MAX);
    smtp->gateways = smtp_gateways_new();
    smtp->greeter = smtp_greeter_new(smtp);
    service_init(&smtp->service, loop, &service_ops, smtp);
    return smtp;
}

void smtp_free(struct smtp *smtp)
{
    if (!smtp)
        return;
    service_free(&smtp->service);
    LIST_EACH(&smtp->service.sessions, node)
    {
        struct smtp_session *s = CONTAINER_OF(node, struct smtp_session, node);
        smtp_session_free(&s);
    }
    smtp_greeter_free(&smtp->greeter);
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
    if (service_load(&smtp->service, run, why) == ERR_OK)
        return smtp;
    smtp_free(smtp);
    return NULL;
}

static enum err start(void *ctx, struct why *why)
{
    struct smtp *smtp = ctx;
    (void)why;
    smtp_greeter_start(smtp->greeter);
    service_open(&smtp->service);
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    struct smtp *smtp = ctx;
    return service_prepare(&smtp->service, why);
}

static void commit(void *ctx)
{
    struct smtp *smtp = ctx;
    smtp->settings = role_settings(smtp->run);
    smtp_greeter_start(smtp->greeter);
    service_commit(&smtp->service);
}

static void abandon(void *ctx)
{
    struct smtp *smtp = ctx;
    service_abort(&smtp->service);
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
    else if (peer == ROLE_STORE) {
        smtp->store_epoch++;
        smtp_store_drained(smtp); /* nobody else wakes those that waited for it to take more */
    } else if (peer == ROLE_AUTH)
        smtp->mechanisms[0] = 0;
}

static void on_peer(void *ctx, enum role peer, bool up)
{
    smtp_peer(ctx, peer, up);
}

/* The store takes chunks again. */
void smtp_store_drained(struct smtp *smtp)
{
    LIST_EACH(&smtp->service.sessions, node)
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

static bool on_saved(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct smtp *smtp = ctx;
    (void)link;
    (void)packet;
    if (!smtp_greeter_take(smtp->greeter, message))
        log_warn("smtp.known", LOG_CSTR("why", "what was saved of known clients cannot be read"));
    return true;
}

/* ---- the end ---- */

static void drain(void *ctx, uint64_t ms)
{
    struct smtp *smtp = ctx;
    smtp_greeter_save(smtp->greeter);
    service_drain(&smtp->service, ms);
}

static void free_role(void *ctx)
{
    smtp_free(ctx);
}

static bool on_bans(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct smtp *smtp = ctx;
    (void)link;
    (void)message;
    return service_take_bans(&smtp->service, packet);
}

static const struct role_dispatch dispatch[] = {
    {WIRE_AUTH_MECHANISMS, on_mechanisms},
    {WIRE_DOOR_SAVED, on_saved},
    {WIRE_BAN_LIST, on_bans},
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
