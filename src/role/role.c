/* role.c: the life every role shares: what the supervisor hands in, links to peers, reload in two phases,
 * drain. Trusts the supervisor; packets of peers are checked against the peer matrix and decoded before a
 * role sees them. */
#include "role/role.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "role/generation.h"
#include "role/role_run.h"
#include "settings/metrics.h"

#define MESSAGE_MAX 512 /* no message struct is larger */

struct peer {
    struct role_run *run;
    enum role role;
    struct ipc_link *link;
    int early_fd; /* came before there is a context to hand its packets to; else -1 */
};

struct role_run {
    struct loop *loop;
    const struct role_ops *ops;
    struct role_hooks hooks;
    void *ctx;
    struct ipc_link *supervisor;
    struct peer peers[ROLE_COUNT];
    struct generation *current, *next;
    struct metric_block *metrics[ROLE_COUNT];
    int metrics_fd; /* our own block, until load */
    bool started, draining, ready, ready_later;
    bool able;                /* it said itself that it is ready */
    bool patient;             /* and its links may still come */
    struct loop_timer *links; /* until then */
};

struct loop *role_loop(struct role_run *run)
{
    return run->loop;
}

struct ipc_link *role_link(struct role_run *run, enum role peer)
{
    if (peer == ROLE_SUPERVISOR)
        return run->supervisor;
    return peer < ROLE_COUNT ? run->peers[peer].link : NULL;
}

const struct settings *role_settings(struct role_run *run)
{
    return run->current->settings;
}

const struct settings *role_next_settings(struct role_run *run)
{
    return run->next ? run->next->settings : run->current->settings;
}

const struct role_file *role_file(struct role_run *run, enum sup_file kind, uint32_t index)
{
    return generation_file(run->current, kind, index);
}

const struct role_file *role_next_file(struct role_run *run, enum sup_file kind, uint32_t index)
{
    return generation_file(run->next ? run->next : run->current, kind, index);
}

int role_listener(struct role_run *run, uint32_t index)
{
    return generation_listener(run->current, index);
}

int role_control_socket(struct role_run *run)
{
    return run->current->control_fd;
}

const struct metric_block *role_metrics(struct role_run *run, enum role role)
{
    return role < ROLE_COUNT ? run->metrics[role] : NULL;
}

enum role role_of_link(const struct ipc_link *link)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (strcmp(role_name((enum role)r), ipc_link_name(link)) == 0)
            return (enum role)r;
    return ROLE_COUNT;
}

void role_random(void *bytes, size_t len)
{
    uint8_t *at = bytes;
    while (len) {
        ssize_t got = getrandom(at, len, 0);
        if (got <= 0)
            abort();
        at += got;
        len -= (size_t)got;
    }
}

static void tell(struct role_run *run, enum wire_type type, const void *message)
{
    /* A supervisor that is gone ends us through the link's `down`. */
    enum err ignored = wire_send(run->supervisor, type, message);
    (void)ignored;
}

void role_drained(struct role_run *run)
{
    tell(run, WIRE_ROLE_DRAINED, NULL);
}

void role_condemn(struct role_run *run, enum role peer, const char *reason)
{
    const struct wire_role_condemn message = {.role = peer, .text = slice_of(reason)};
    log_error("role.condemned", LOG_CSTR("peer", role_name(peer)), LOG_CSTR("why", reason));
    tell(run, WIRE_ROLE_CONDEMN, &message);
}

/* ---- peers ---- */

/* How much a role's word counts: who parses strangers' bytes is below who keeps mail and secrets. */
static int trust(enum role role)
{
    switch (role) {
    case ROLE_SUPERVISOR:
        return 4;
    case ROLE_STORE:
    case ROLE_AUTH:
        return 3;
    case ROLE_QUEUE:
        return 2;
    default:
        return 1;
    }
}

/* Nonsense from below condemns its sender. From above or beside it is we who cannot be right: a fresh start
 * heals it. */
static bool reject(struct peer *peer, const char *reason)
{
    if (trust(peer->run->ops->role) > trust(peer->role)) {
        role_condemn(peer->run, peer->role, reason);
        return false;
    }
    log_error("role.confused", LOG_CSTR("peer", role_name(peer->role)), LOG_CSTR("why", reason));
    abort();
}

static const struct role_dispatch *dispatch_of(const struct role_ops *ops, uint16_t type)
{
    for (const struct role_dispatch *d = ops->dispatch; d->type != WIRE_NONE; d++)
        if (d->type == type)
            return d;
    return NULL;
}

static bool on_peer_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct peer *peer = ctx;
    const struct role_ops *ops = peer->run->ops;
    alignas(max_align_t) uint8_t message[MESSAGE_MAX];
    const struct role_dispatch *d = dispatch_of(ops, packet->type);
    if (!d || !wire_allowed(packet->type, peer->role, ops->role))
        return reject(peer, "sent a message it may not send");
    if (wire_size(packet->type) > sizeof message ||
        wire_decode(packet->type, packet->body, message) != ERR_OK)
        return reject(peer, "sent an ill-formed message");
    if (!d->handle(peer->run->ctx, link, packet, message))
        return reject(peer, wire_name(packet->type));
    return true;
}

static void on_peer_down(void *ctx, struct ipc_link *link)
{
    struct peer *peer = ctx;
    (void)link;
    if (peer->run->ctx && peer->run->started && peer->run->ops->peer)
        peer->run->ops->peer(peer->run->ctx, peer->role, false);
}

static void say_ready(struct role_run *run);

static void on_peer_up(void *ctx, struct ipc_link *link)
{
    struct peer *peer = ctx;
    (void)link;
    if (peer->run->ctx && peer->run->started && peer->run->ops->peer)
        peer->run->ops->peer(peer->run->ctx, peer->role, true);
    say_ready(peer->run);
}

static void on_peer_drained(void *ctx, struct ipc_link *link)
{
    struct peer *peer = ctx;
    (void)link;
    if (peer->run->ctx && peer->run->ops->drained)
        peer->run->ops->drained(peer->run->ctx, peer->role);
}

static const struct ipc_ops peer_ops = {on_peer_packet, on_peer_down, on_peer_up, on_peer_drained};

/* ---- what the supervisor hands in ---- */

static struct generation *generation_of(struct role_run *run, uint64_t number)
{
    if (run->current && run->current->number == number)
        return run->current;
    return run->next && run->next->number == number ? run->next : NULL;
}

static bool take_settings(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_settings *m = message;
    struct why why = {0};
    struct generation *g = generation_new(m->generation);
    if (generation_take_settings(g, ipc_take_fd(packet, 0), &why) != ERR_OK) {
        log_error("role.settings", LOG_WHY(&why));
        generation_free(&g);
        return false;
    }
    struct generation **place = run->current ? &run->next : &run->current;
    generation_free(place);
    *place = g;
    return true;
}

static bool take_file(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_file *m = message;
    struct generation *g = generation_of(run, m->generation);
    return g && generation_take_file(g, m, ipc_take_fd(packet, 0));
}

static bool take_listener(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_listener *m = message;
    struct generation *g = generation_of(run, m->generation);
    return g && generation_take_listener(g, m->index, ipc_take_fd(packet, 0));
}

static bool take_log(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_log *m = message;
    struct generation *g = generation_of(run, m->generation);
    return g && generation_take_log(g, m->index, ipc_take_fd(packet, 0));
}

static bool take_metrics(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_metrics *m = message;
    int fd = ipc_take_fd(packet, 0);
    if (fd < 0 || m->role >= ROLE_COUNT)
        return false;
    if (m->role == run->ops->role && run->metrics_fd < 0) {
        run->metrics_fd = fd;
        return true;
    }
    struct why why;
    metric_block_unmap(&metrics_table, &run->metrics[m->role]);
    enum err err = metric_block_map(&metrics_table, fd, &run->metrics[m->role], &why);
    (void)close(fd);
    return err == ERR_OK;
}

static bool take_peer(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_peer *m = message;
    int fd = ipc_take_fd(packet, 0);
    if (fd < 0 || m->role >= ROLE_COUNT || !run->peers[m->role].link)
        return false;
    struct peer *peer = &run->peers[m->role];
    if (run->ctx) {
        ipc_link_attach(peer->link, fd);
        return true;
    }
    if (peer->early_fd >= 0)
        (void)close(peer->early_fd);
    peer->early_fd = fd;
    return true;
}

static void attach_early(struct role_run *run)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct peer *peer = &run->peers[r];
        if (peer->early_fd >= 0)
            ipc_link_attach(peer->link, peer->early_fd);
        peer->early_fd = -1;
    }
}

/* ---- phases ---- */

static void fail(struct role_run *run, const struct why *why)
{
    const struct wire_role_prepared message = {
        .generation = run->current ? run->current->number : 0, .err = ERR_BAD, .text = slice_of(why->text)};
    log_error("role.unable", LOG_WHY(why));
    tell(run, WIRE_ROLE_PREPARED, &message);
    run->hooks.ended(run->hooks.arg, run, ROLE_EXIT_CONFIG);
}

static void on_beat(void *arg)
{
    (void)arg;
    metric_beat();
}

static bool take_start(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    struct why why = {0};
    (void)packet;
    (void)message;
    if (!run->current)
        return false;
    generation_use_logs(run->current, role_name(run->ops->role));
    if (metric_attach(&metrics_table, run->metrics_fd, role_name(run->ops->role), &why) != ERR_OK) {
        fail(run, &why);
        return true;
    }
    if (run->metrics_fd >= 0)
        (void)close(run->metrics_fd);
    run->metrics_fd = -1;
    run->ctx = run->ops->load(run, &why);
    if (!run->ctx) {
        fail(run, &why);
        return true;
    }
    attach_early(run);
    run->hooks.loaded(run->hooks.arg, run);
    return true;
}

static void on_links(void *arg)
{
    struct role_run *run = arg;
    run->patient = false;
    say_ready(run);
}

void role_run_start(struct role_run *run)
{
    struct why why = {0};
    loop_beat(run->loop, on_beat, NULL);
    run->patient = true;
    run->links = loop_timer_new(run->loop, on_links, run);
    loop_timer_set(run->links, ROLE_LINKS_MS);
    if (run->ops->start(run->ctx, &why) != ERR_OK) {
        fail(run, &why);
        return;
    }
    run->started = true;
    for (int r = 0; r < ROLE_COUNT; r++)
        if (run->peers[r].link && ipc_link_is_up(run->peers[r].link) && run->ops->peer)
            run->ops->peer(run->ctx, (enum role)r, true);
    if (!run->ready_later)
        role_ready(run);
}

void role_ready_later(struct role_run *run)
{
    run->ready_later = true;
}

static bool has_links(const struct role_run *run)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (run->peers[r].link && !ipc_link_is_up(run->peers[r].link))
            return false;
    return true;
}

/* Who is asked before it has heard of all its peers would answer "later". */
static void say_ready(struct role_run *run)
{
    if (run->ready || !run->able || (run->patient && !has_links(run)))
        return;
    run->ready = true;
    loop_timer_stop(run->links);
    metric_state_set(METRIC_READY, true);
    tell(run, WIRE_ROLE_READY, NULL);
}

void role_ready(struct role_run *run)
{
    run->able = true;
    say_ready(run);
}

static bool take_prepare(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_phase *m = message;
    struct why why = {0};
    enum err err = ERR_OK;
    (void)packet;
    if (!run->next || run->next->number != m->generation || !run->started)
        return false;
    if (run->ops->prepare)
        err = run->ops->prepare(run->ctx, &why);
    const struct wire_role_prepared answer = {
        .generation = m->generation, .err = err, .text = slice_of(why.text)};
    tell(run, WIRE_ROLE_PREPARED, &answer);
    return true;
}

static bool take_commit(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_phase *m = message;
    (void)packet;
    if (!run->next || run->next->number != m->generation)
        return false;
    struct generation *old = run->current;
    run->current = run->next;
    run->next = NULL;
    generation_use_logs(run->current, role_name(run->ops->role));
    if (run->ops->commit)
        run->ops->commit(run->ctx);
    generation_free(&old);
    return true;
}

static bool take_abort(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    (void)packet;
    (void)message;
    if (run->next && run->ops->abort && run->started)
        run->ops->abort(run->ctx);
    generation_free(&run->next);
    return true;
}

static bool take_drain(struct role_run *run, struct ipc_packet *packet, const void *message)
{
    const struct wire_sup_drain *m = message;
    (void)packet;
    if (run->draining)
        return true;
    run->draining = true;
    metric_state_set(METRIC_DRAINING, true);
    if (run->ops->drain && run->started)
        run->ops->drain(run->ctx, m->ms);
    else
        role_drained(run);
    return true;
}

static const struct {
    enum wire_type type;
    bool (*take)(struct role_run *run, struct ipc_packet *packet, const void *message);
} supervisor_dispatch[] = {
    {WIRE_SUP_SETTINGS, take_settings}, {WIRE_SUP_FILE, take_file},       {WIRE_SUP_LISTENER, take_listener},
    {WIRE_SUP_LOG, take_log},           {WIRE_SUP_METRICS, take_metrics}, {WIRE_SUP_PEER, take_peer},
    {WIRE_SUP_START, take_start},       {WIRE_SUP_PREPARE, take_prepare}, {WIRE_SUP_COMMIT, take_commit},
    {WIRE_SUP_ABORT, take_abort},       {WIRE_SUP_DRAIN, take_drain},
};

static bool on_supervisor_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct role_run *run = ctx;
    alignas(max_align_t) uint8_t message[MESSAGE_MAX];
    (void)link;
    for (size_t i = 0; i < sizeof supervisor_dispatch / sizeof *supervisor_dispatch; i++)
        if (supervisor_dispatch[i].type == packet->type)
            return wire_decode(packet->type, packet->body, message) == ERR_OK &&
                   supervisor_dispatch[i].take(run, packet, message);
    return false;
}

static void on_supervisor_down(void *ctx, struct ipc_link *link)
{
    struct role_run *run = ctx;
    (void)link;
    run->hooks.ended(run->hooks.arg, run, run->draining ? ROLE_EXIT_OK : ROLE_EXIT_ORPHAN);
}

static const struct ipc_ops supervisor_ops = {on_supervisor_packet, on_supervisor_down, NULL, NULL};

struct role_run *role_run_new(struct loop *loop, const struct role_ops *ops, uint32_t peers,
                              int supervisor_fd, const struct role_hooks *hooks)
{
    struct role_run *run = mem_zero(1, sizeof *run);
    run->loop = loop;
    run->ops = ops;
    run->hooks = *hooks;
    run->metrics_fd = -1;
    for (int r = 0; r < ROLE_COUNT; r++) {
        run->peers[r] = (struct peer){.run = run, .role = (enum role)r, .early_fd = -1};
        if (peers & 1u << r)
            run->peers[r].link = ipc_link_new(loop, role_name((enum role)r), &peer_ops, &run->peers[r]);
    }
    run->supervisor = ipc_link_new(loop, role_name(ROLE_SUPERVISOR), &supervisor_ops, run);
    ipc_link_attach(run->supervisor, supervisor_fd);
    return run;
}

void role_run_free(struct role_run **run_ref)
{
    struct role_run *run = run_ref ? *run_ref : NULL;
    if (!run)
        return;
    if (run->ctx)
        run->ops->free(run->ctx);
    loop_timer_free(&run->links);
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (run->peers[r].early_fd >= 0)
            (void)close(run->peers[r].early_fd);
        ipc_link_free(&run->peers[r].link);
        metric_block_unmap(&metrics_table, &run->metrics[r]);
    }
    ipc_link_free(&run->supervisor);
    generation_free(&run->next);
    generation_free(&run->current);
    if (run->metrics_fd >= 0)
        (void)close(run->metrics_fd);
    free(run);
    *run_ref = NULL;
}
