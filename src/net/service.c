/* service.c: listeners, certificates, sessions and drain of a role that accepts connections. Reads what the
 * supervisor hands in (trusted; certificates are the owner's files). Called by the roles smtp, imap, http. */
#include "net/service.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/admission.h"

#define PROBED_LATELY_MS                                                                                     \
    60000u /* a load balancer that has not looked for so long does not wait for our news */

struct service_door {
    struct listener *listener;
    struct service_port *port;
};

static bool is_ours(const struct service *s, const struct settings_listener *listener)
{
    return s->ops->services & SERVICE_SET(listener->service);
}

/* ---- certificates ---- */

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

static bool needs_tls(const struct service *s, const struct settings *settings)
{
    for (size_t i = 0; i < settings->listeners.count; i++) {
        const struct settings_listener *listener = &settings->listeners.items[i];
        if (is_ours(s, listener) && listener->tls != SETTINGS_TLS_NONE)
            return true;
    }
    return false;
}

static enum err load_tls(const struct service *s, const struct settings *settings, file_of *file,
                         struct tls_context **tls, struct why *why)
{
    size_t count = settings->tls.count;
    *tls = NULL;
    if (count == 0 || !needs_tls(s, settings))
        return ERR_OK;
    struct tls_pair *pairs = mem_zero(count, sizeof *pairs);
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        err = add_pair(s->run, file, i, &pairs[i], why);
    if (err == ERR_OK)
        err = tls_context_new(pairs, count, tls, why);
    free(pairs);
    return err;
}

/* ---- ports ---- */

struct service_port *service_port_new(const struct settings_listener *settings, uint32_t index)
{
    struct service_port *port = mem_zero(1, sizeof *port);
    const void *name = mem_dup(settings->name.ptr, settings->name.len);
    port->refs = 1;
    port->index = index;
    port->settings = *settings;
    port->settings.name = slice_make(name, settings->name.len);
    port->settings.address.text = port->settings.address.host = SLICE_EMPTY;
    return port;
}

void service_port_free(struct service_port **ref)
{
    struct service_port *port = ref ? *ref : NULL;
    if (!port)
        return;
    *ref = NULL;
    if (--port->refs > 0)
        return;
    service_port_free(&port->next);
    free((void *)(uintptr_t)port->settings.name.ptr);
    free(port);
}

/* ---- listeners ---- */

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival)
{
    struct service *s = ctx;
    if (arrival->probe)
        s->probed_ms = loop_now_ms(s->loop);
    s->ops->arrived(s->ctx, stream, arrival, s->doors[arrival->index].port);
}

static void on_lost(void *ctx, const struct listener_arrival *arrival, const struct netaddr *client,
                    enum listener_loss loss, const char *text)
{
    struct service *s = ctx;
    if (s->ops->lost)
        s->ops->lost(s->ctx, arrival, client, loss, text);
}

static const char *on_asked(void *ctx, struct stream *stream, const struct listener_arrival *arrival)
{
    return admission_refusal(ctx, stream, arrival);
}

static const struct listener_ops listener_ops = {.refusal = on_asked, .arrived = on_arrived, .lost = on_lost};

static void free_doors(struct service_door *doors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        listener_free(&doors[i].listener);
        service_port_free(&doors[i].port);
    }
    free(doors);
}

static void close_doors(struct service *s)
{
    free_doors(s->doors, s->door_count);
    s->doors = NULL;
    s->door_count = 0;
}

/* The listener of this name: what arrives there just now goes on. NULL when there was none. */
static struct listener *take_listener(struct service_door *doors, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        struct listener *listener = doors[i].listener;
        if (!listener || !slice_eq(doors[i].port->settings.name, name))
            continue;
        doors[i].listener = NULL;
        return listener;
    }
    return NULL;
}

/* Who came before the reload still counts. */
static void take_strangers(const struct service_door *doors, size_t count, struct service_port *port)
{
    for (size_t i = 0; i < count; i++) {
        struct service_port *old = doors[i].port;
        if (!old || old->next || !slice_eq(old->settings.name, port->settings.name))
            continue;
        port->strangers = old->strangers;
        port->refs++;
        old->next = port;
        return;
    }
}

/* Listens on `fd`, with `kept` (may be NULL) where it was there before. */
static struct service_door open_door(struct service *s, uint32_t index, int fd, struct listener *kept)
{
    const struct settings *settings = role_settings(s->run);
    struct service_door door = {kept, service_port_new(&settings->listeners.items[index], index)};
    if (!kept) {
        door.listener = listener_new(s->loop, fd, index, settings, s->tls, &listener_ops, s);
        return door;
    }
    listener_update(kept, index, settings, s->tls);
    listener_set_fd(kept, fd);
    return door;
}

struct service_port *service_port_at(const struct service *s, uint32_t index)
{
    return index < s->door_count ? s->doors[index].port : NULL;
}

size_t service_waiting(const struct service *s)
{
    size_t waiting = 0;
    for (size_t i = 0; i < s->door_count; i++)
        waiting += s->doors[i].listener ? listener_waiting(s->doors[i].listener) : 0;
    return waiting;
}

void service_open(struct service *s)
{
    const struct settings *settings = role_settings(s->run);
    struct service_door *old = s->doors;
    size_t old_count = s->door_count;
    s->door_count = settings->listeners.count;
    s->doors = mem_zero(s->door_count, sizeof *s->doors);
    for (uint32_t i = 0; i < s->door_count; i++) {
        const struct settings_listener *listener = &settings->listeners.items[i];
        int fd = is_ours(s, listener) ? role_listener(s->run, i) : -1;
        if (fd < 0)
            continue;
        s->doors[i] = open_door(s, i, fd, take_listener(old, old_count, listener->name));
        take_strangers(old, old_count, s->doors[i].port);
    }
    free_doors(old, old_count);
}

/* ---- the role's life ---- */

void service_init(struct service *s, struct loop *loop, const struct service_ops *ops, void *ctx)
{
    *s = (struct service){.loop = loop, .ops = ops, .ctx = ctx};
    list_init(&s->sessions);
    admission_init(s);
}

enum err service_load(struct service *s, struct role_run *run, struct why *why)
{
    s->run = run;
    admission_use(s, role_settings(run));
    return load_tls(s, role_settings(run), role_file, &s->tls, why);
}

enum err service_prepare(struct service *s, struct why *why)
{
    tls_context_free(&s->next_tls);
    return load_tls(s, role_next_settings(s->run), role_next_file, &s->next_tls, why);
}

void service_commit(struct service *s)
{
    admission_use(s, role_settings(s->run));
    tls_context_free(&s->tls);
    s->tls = s->next_tls;
    s->next_tls = NULL;
    if (!s->draining)
        service_open(s);
}

void service_abort(struct service *s)
{
    tls_context_free(&s->next_tls);
}

/* ---- sessions and the end ---- */

static void end_drain(struct service *s)
{
    if (!s->draining || s->drained)
        return;
    s->drained = true;
    loop_timer_free(&s->drain_timer);
    if (s->run)
        role_drained(s->run);
}

void service_enter(struct service *s, struct list *node)
{
    list_push_back(&s->sessions, node);
    s->session_count++;
}

void service_leave(struct service *s, struct list *node)
{
    list_remove(node);
    if (--s->session_count == 0)
        end_drain(s);
}

static void send_away(struct service *s, bool over)
{
    s->session_count++; /* not over before all were told */
    s->ops->send_away(s->ctx, over);
    if (--s->session_count == 0)
        end_drain(s);
}

static void on_time_over(void *arg)
{
    send_away(arg, true);
}

static void begin_drain(void *arg)
{
    struct service *s = arg;
    s->draining = true;
    close_doors(s);
    send_away(s, false);
}

/* How long the load balancers' checks fail before anybody else notices. */
static uint64_t notice_ms(const struct service *s, uint64_t drain_ms)
{
    bool watched = s->probed_ms && loop_now_ms(s->loop) - s->probed_ms < PROBED_LATELY_MS;
    uint64_t notice = s->run && watched ? role_settings(s->run)->timeouts.drain_notice : 0;
    return notice < drain_ms / 2 ? notice : drain_ms / 2;
}

void service_drain(struct service *s, uint64_t ms)
{
    uint64_t notice = s->ops->send_away ? notice_ms(s, ms) : 0;
    if (!s->ops->send_away) {
        s->draining = true;
        close_doors(s);
        end_drain(s);
        return;
    }
    s->leaving = true;
    s->drain_timer = loop_timer_new(s->loop, on_time_over, s);
    loop_timer_set(s->drain_timer, ms);
    if (!notice) {
        begin_drain(s);
        return;
    }
    s->notice_timer = loop_timer_new(s->loop, begin_drain, s);
    loop_timer_set(s->notice_timer, notice);
}

void service_free(struct service *s)
{
    s->drained = true; /* nobody waits for the last session any more */
    close_doors(s);
    loop_timer_free(&s->drain_timer);
    loop_timer_free(&s->notice_timer);
    tls_context_free(&s->tls);
    tls_context_free(&s->next_tls);
    admission_free(s);
}
