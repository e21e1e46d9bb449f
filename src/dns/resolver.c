/* resolver.c: libunbound on our loop, without threads or processes of its own. Configured from the settings
 * and from contents of files that were handed in: nothing is opened after confinement but sockets. Called by
 * role.c. */
#include "dns/resolver.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/log.h"
#include "base/mem.h"
#include "dns/servers.h"

#define NAME_MAX_TEXT   253
#define SETUP_ARENA     (1u << 20)
#define ANCHOR_LINE_MAX 4096
#define CLASS_IN        1

struct resolver {
    struct loop *loop;
    struct ub_ctx *ctx;
    size_t pending;
    bool retired;
};

struct question {
    struct resolver *resolver;
    resolver_done *done;
    void *ctx;
};

static enum err failed(struct why *why, const char *what, int code)
{
    return err_set(why, ERR_INTERNAL, "resolver: %s: %s", what, ub_strerror(code));
}

/* ---- setting up ---- */

/* Small caches: mail asks for the same few names; more ports at once than the library's default of 16. */
static const struct {
    const char *name, *value;
} options[] = {
    {"do-not-query-localhost:", "no"}, {"outgoing-range:", "256"},     {"num-queries-per-thread:", "1024"},
    {"msg-cache-size:", "2m"},         {"rrset-cache-size:", "4m"},    {"prefetch:", "no"},
    {"harden-below-nxdomain:", "yes"}, {"qname-minimisation:", "yes"},
};

static enum err set_options(struct resolver *r, struct why *why)
{
    (void)ub_ctx_debugout(r->ctx, NULL);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        int rc = ub_ctx_set_option(r->ctx, options[i].name, options[i].value);
        if (rc)
            return failed(why, options[i].name, rc);
    }
    return ERR_OK;
}

static enum err add_server(struct resolver *r, const char *server, struct why *why)
{
    int rc = ub_ctx_set_fwd(r->ctx, server);
    return rc ? failed(why, server, rc) : ERR_OK;
}

/* Configured servers, else the system's, else the root servers by ourselves. */
static enum err add_servers(struct resolver *r, struct arena *arena, const struct settings *settings,
                            struct slice resolv_conf, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < settings->resolver.servers.count; i++) {
        const struct conf_address *a = &settings->resolver.servers.items[i];
        struct slice text = arena_printf(arena, "%.*s@%u", SLICE_ARG(a->host), a->port ? a->port : 53u);
        err = add_server(r, arena_cstr(arena, text), why);
    }
    if (settings->resolver.servers.count)
        return err;
    struct slice found[SERVERS_MAX];
    size_t count = servers_read(resolv_conf, found);
    for (size_t i = 0; i < count; i++) {
        struct why ignored = {0};
        if (add_server(r, arena_cstr(arena, found[i]), &ignored))
            log_warn("dns.server", LOG_STR("server", found[i]), LOG_WHY(&ignored));
    }
    return ERR_OK;
}

/* DS or DNSKEY records, one a line; comments as zone files have them. */
static enum err add_anchors(struct resolver *r, struct arena *arena, struct slice text, struct why *why)
{
    struct slice line;
    while (slice_token(&text, '\n', &line)) {
        ptrdiff_t comment = slice_find(line, ';');
        line = slice_trim(comment < 0 ? line : slice_sub(line, 0, (size_t)comment));
        if (line.len == 0 || line.len > ANCHOR_LINE_MAX)
            continue;
        int rc = ub_ctx_add_ta(r->ctx, arena_cstr(arena, line));
        if (rc)
            return failed(why, "trust anchor", rc);
    }
    return ERR_OK;
}

/* The library answers some zones (test., invalid., private reverse zones) itself unless told otherwise. The
 * call also makes the context final, so that whatever it wants to load is loaded now. */
static enum err unblock(struct resolver *r, struct arena *arena, const struct settings *settings,
                        struct why *why)
{
    int rc = ub_ctx_zone_remove(r->ctx, "rockdove.invalid.");
    for (size_t i = 0; !rc && i < settings->resolver.unblock_zones.count; i++)
        rc = ub_ctx_zone_remove(r->ctx, arena_cstr(arena, settings->resolver.unblock_zones.items[i]));
    return rc ? failed(why, "zones", rc) : ERR_OK;
}

enum err resolver_new(struct loop *loop, const struct settings *settings, const struct resolver_files *files,
                      struct resolver **resolver, struct why *why)
{
    AUTO_ARENA struct arena *arena = arena_new(SETUP_ARENA);
    struct resolver *r = mem_zero(1, sizeof *r);
    r->loop = loop;
    r->ctx = ub_ctx_create_event(loop_event_base(loop));
    if (!r->ctx) {
        free(r);
        return err_set(why, ERR_INTERNAL, "resolver: no context");
    }
    enum err err = set_options(r, why);
    if (!err)
        err = add_servers(r, arena, settings, files->resolv_conf, why);
    if (!err)
        err = add_anchors(r, arena, files->trust_anchor, why);
    if (!err)
        err = unblock(r, arena, settings, why);
    if (err)
        resolver_free(&r);
    else
        *resolver = r;
    return err;
}

/* ---- the end ---- */

void resolver_free(struct resolver **resolver)
{
    struct resolver *r = *resolver;
    if (!r)
        return;
    ub_ctx_delete(r->ctx);
    free(r);
    *resolver = NULL;
}

/* Never inside a callback of the library. */
static void free_later(void *arg)
{
    struct resolver *r = arg;
    resolver_free(&r);
}

void resolver_retire(struct resolver **resolver)
{
    struct resolver *r = *resolver;
    *resolver = NULL;
    if (!r)
        return;
    r->retired = true;
    if (r->pending == 0)
        loop_post(r->loop, free_later, r);
}

size_t resolver_pending(const struct resolver *resolver)
{
    return resolver->pending;
}

/* ---- asking ---- */

static void on_answer(void *ctx, int rcode, void *packet, int len, int secure, char *why_bogus,
                      int ratelimited)
{
    struct question *q = ctx;
    struct resolver *r = q->resolver;
    (void)ratelimited;
    struct slice message = rcode == 0 && packet && len > 0 ? slice_make(packet, (size_t)len) : SLICE_EMPTY;
    q->done(q->ctx, rcode, message, secure, why_bogus);
    free(q);
    if (--r->pending == 0 && r->retired)
        loop_post(r->loop, free_later, r);
}

/* What libunbound reads as plain labels: no escapes, nothing that is not printable. */
static bool is_name(struct slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_TEXT)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= 0x20 || name.ptr[i] >= 0x7f || slice_find(SLICE("\\\"();@$"), name.ptr[i]) >= 0)
            return false;
    return true;
}

enum err resolver_ask(struct resolver *r, struct slice name, unsigned type, resolver_done *done, void *ctx)
{
    char text[NAME_MAX_TEXT + 2];
    if (!is_name(name) || type == 0 || type > UINT16_MAX)
        return ERR_BAD;
    if (r->pending >= RESOLVER_PENDING_MAX)
        return ERR_LATER;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    struct question *q = mem_zero(1, sizeof *q);
    *q = (struct question){.resolver = r, .done = done, .ctx = ctx};
    r->pending++;
    int rc = ub_resolve_event(r->ctx, text, (int)type, CLASS_IN, q, on_answer, NULL);
    if (rc == 0)
        return ERR_OK;
    r->pending--;
    free(q);
    return rc == UB_SYNTAX ? ERR_BAD : ERR_LATER;
}
