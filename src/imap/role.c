/* role.c: the imap role: listeners, links, open mailboxes, reload, drain. Input: notices of store and auth
 * (trusted more than we are); connections go to session.c. Started by proc/. */
#include "imap/role.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/zone.h"
#include "imap/imap.h"
#include "imap/pop3.h"
#include "imap/notify.h"
#include "imap/session.h"

/* ---- connections per account and address ---- */

struct user *imap_user_add(struct map *users, struct slice key, uint64_t limit)
{
    struct user *user = map_get(users, key);
    if (!user) {
        user = mem_zero(1, sizeof *user + key.len);
        user->key_len = key.len;
        memcpy(user->key, key.ptr, key.len);
        if (!map_put(users, slice_make(user->key, key.len), user)) {
            free(user);
            return NULL;
        }
    }
    if (limit && user->count >= limit)
        return NULL;
    user->count++;
    return user;
}

void imap_user_remove(struct map *users, struct user **ref)
{
    struct user *user = *ref;
    *ref = NULL;
    if (!user || --user->count > 0)
        return;
    (void)map_remove(users, slice_make(user->key, user->key_len));
    free(user);
}

/* ---- open mailboxes ---- */

static void mailbox_free(struct imap *imap, struct imap_mailbox *mailbox)
{
    (void)idmap_remove(imap->mailboxes, mailbox->watch);
    imap_map_unref(&mailbox->live);
    free(mailbox);
}

static struct imap_mailbox *mailbox_new(struct imap *imap, uint64_t watch)
{
    struct imap_mailbox *mailbox = mem_zero(1, sizeof *mailbox);
    mailbox->watch = watch;
    list_init(&mailbox->sessions);
    if (idmap_put(imap->mailboxes, watch, mailbox))
        return mailbox;
    free(mailbox);
    return NULL;
}

enum err imap_mailbox_use(struct imap *imap, uint64_t watch, int fd, struct imap_mailbox **mailbox,
                          struct why *why)
{
    struct imap_mailbox *found = idmap_get(imap->mailboxes, watch);
    struct imap_map *map = NULL;
    if (fd >= 0 && imap_map_open(fd, &map, why) != ERR_OK)
        return ERR_INTERNAL;
    if (!found && !map)
        return err_set(why, ERR_INTERNAL, "store named a mailbox it never shared");
    if (!found)
        found = mailbox_new(imap, watch);
    if (!found) {
        imap_map_unref(&map);
        return err_set(why, ERR_LATER, "too many open mailboxes");
    }
    if (map) {
        imap_map_unref(&found->live);
        found->live = map;
    }
    found->uses++;
    *mailbox = found;
    return ERR_OK;
}

void imap_mailboxes_sweep(struct imap *imap)
{
    if (imap->selects > 0)
        return;
    size_t at = 0;
    uint64_t watch;
    for (struct imap_mailbox *m; (m = idmap_next(imap->mailboxes, &at, &watch));)
        if (m->uses == 0) {
            mailbox_free(imap, m);
            at = 0; /* nothing may be removed while walking */
        }
}

void imap_mailbox_release(struct imap *imap, struct imap_mailbox *mailbox, const struct grant *grant,
                          bool read_only)
{
    const struct wire_mbox_unselect unselect = {
        .grant = *grant, .watch = mailbox->watch, .read_only = read_only};
    enum err err = wire_send(role_link(imap->run, ROLE_STORE), WIRE_MBOX_UNSELECT, &unselect);
    (void)err; /* store away: it holds nothing of us any more */
    if (--mailbox->uses == 0 && imap->selects == 0)
        mailbox_free(imap, mailbox);
}

/* ---- notices ---- */

/* The mailbox moved to a new image: sessions go over to it when they may tell of expunges. */
static void adopt_image(struct imap_mailbox *mailbox, int fd)
{
    struct imap_map *map = NULL;
    struct why why;
    if (imap_map_open(fd, &map, &why) != ERR_OK) {
        log_error("imap.image", LOG_WHY(&why));
        return;
    }
    imap_map_unref(&mailbox->live);
    mailbox->live = map;
    LIST_EACH(&mailbox->sessions, node)
    {
        struct selected *sel = CONTAINER_OF(node, struct selected, node);
        imap_map_unref(&sel->view.live);
        sel->view.live = imap_map_ref(map);
    }
}

static void tell_session(struct selected *sel, bool gone)
{
    struct session *s = sel->session;
    imap_session_enter(s);
    sel->gone = sel->gone || gone;
    if (s->run && s->run->changed)
        s->run->changed(s);
    else if (gone && !s->run)
        imap_session_bye(s, "The selected mailbox was deleted");
    else if (s->notify)
        imap_notify_news(s);
    imap_session_leave(s);
}

/* Sessions of one account lose the mailbox, as if it had been deleted. */
static void tell_lost(struct imap_mailbox *mailbox, struct slice account)
{
    LIST_EACH(&mailbox->sessions, node)
    {
        struct selected *sel = CONTAINER_OF(node, struct selected, node);
        if (slice_eq(imap_session_account(sel->session), account))
            tell_session(sel, true);
    }
}

static bool on_mbox_changed(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    (void)link;
    struct imap *imap = ctx;
    const struct wire_mbox_changed *changed = message;
    struct imap_mailbox *mailbox = idmap_get(imap->mailboxes, changed->watch);
    if (!mailbox)
        return true; /* unselected meanwhile */
    if (packet->fd_count > 0)
        adopt_image(mailbox, packet->fds[0]);
    mailbox->uses++; /* a session that ends here must not free it under our hands */
    if (changed->lost.len)
        tell_lost(mailbox, changed->lost);
    LIST_EACH(&mailbox->sessions, node)
    {
        tell_session(CONTAINER_OF(node, struct selected, node), changed->gone != 0);
    }
    if (--mailbox->uses == 0 && imap->selects == 0)
        mailbox_free(imap, mailbox);
    return true;
}

static bool on_mbox_events(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    (void)link;
    (void)packet;
    struct imap *imap = ctx;
    const struct wire_mbox_events *events = message;
    struct ear *ear = idmap_get(imap->ears, events->watch);
    if (ear)
        imap_notify_hear(ear, events);
    return true;
}

static bool on_store_state(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    (void)link;
    (void)packet;
    ((struct imap *)ctx)->space_low = ((const struct wire_store_state *)message)->space_low != 0;
    return true;
}

static bool on_mechanisms(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    (void)link;
    (void)packet;
    struct imap *imap = ctx;
    struct slice names = ((const struct wire_auth_mechanisms *)message)->names;
    imap->mechanisms_len = names.len < sizeof imap->mechanisms ? names.len : 0;
    memcpy(imap->mechanisms, names.ptr, imap->mechanisms_len);
    return true;
}

static bool on_bans(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct imap *imap = ctx;
    (void)link;
    (void)message;
    return service_take_bans(&imap->service, packet);
}

static const struct role_dispatch dispatch[] = {
    {WIRE_MBOX_CHANGED, on_mbox_changed},
    {WIRE_MBOX_EVENTS, on_mbox_events},
    {WIRE_STORE_STATE, on_store_state},
    {WIRE_AUTH_MECHANISMS, on_mechanisms},
    {WIRE_BAN_LIST, on_bans},
    {WIRE_NONE, NULL},
};

static struct caller *caller_at(struct list *node)
{
    return CONTAINER_OF(node, struct caller, node);
}

/* Store takes chunks of messages again, or is gone: whoever waited goes on. */
static void on_peer_drained(void *ctx, enum role peer)
{
    struct imap *imap = ctx;
    if (peer != ROLE_STORE)
        return;
    LIST_EACH(&imap->service.sessions, node)
    {
        struct caller *caller = caller_at(node);
        if (caller->ops->store_ready)
            caller->ops->store_ready(caller);
    }
}

static void on_peer(void *ctx, enum role peer, bool up)
{
    struct imap *imap = ctx;
    if (peer != ROLE_STORE || up)
        return;
    LIST_EACH(&imap->service.sessions, node)
    {
        struct caller *caller = caller_at(node);
        caller->ops->store_gone(caller);
    }
    imap_mailboxes_sweep(imap);
    on_peer_drained(ctx, peer); /* nobody else wakes those in the middle of an APPEND */
}

/* ---- connections ---- */

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival,
                       struct service_port *port)
{
    (void)port;
    if (arrival->settings->service == SETTINGS_POP3)
        pop3_session_new(ctx, stream, arrival);
    else
        imap_session_new(ctx, stream, arrival);
}

static void on_lost(void *ctx, const struct listener_arrival *arrival, const struct netaddr *client,
                    enum listener_loss loss, const char *text)
{
    (void)ctx;
    (void)loss;
    struct netaddr_text address = netaddr_text(client);
    log_info(arrival->settings->service == SETTINGS_POP3 ? "pop3.lost" : "imap.lost",
             LOG_CSTR("client", address.text), LOG_STR("listener", arrival->settings->name),
             LOG_CSTR("why", text));
}

static void send_away(void *ctx, bool over)
{
    struct imap *imap = ctx;
    LIST_EACH(&imap->service.sessions, node)
    {
        struct caller *caller = caller_at(node);
        caller->ops->send_away(caller, over);
    }
}

static const struct service_ops service_ops = {
    .services = SERVICE_SET(SETTINGS_IMAP) | SERVICE_SET(SETTINGS_POP3),
    .arrived = on_arrived,
    .lost = on_lost,
    .send_away = send_away,
};

/* ---- life ---- */

static void role_free(void *ctx)
{
    struct imap *imap = ctx;
    service_free(&imap->service);
    LIST_EACH(&imap->service.sessions, node)
    {
        struct caller *caller = caller_at(node);
        caller->ops->drop(caller, "the server ends");
    }
    imap->selects = 0;
    imap_mailboxes_sweep(imap);
    loop_timer_free(&imap->progress);
    loop_timer_free(&imap->resync);
    idmap_free(&imap->mailboxes);
    idmap_free(&imap->ears);
    map_free(&imap->users);
    map_free(&imap->addresses);
    free(imap);
}

static void *load(struct role_run *run, struct why *why)
{
    struct imap *imap = mem_zero(1, sizeof *imap);
    imap->run = run;
    zone_load();
    /* The store may still hold bodies of the process before this one: theirs and ours do not meet. */
    role_random(&imap->next_body, sizeof imap->next_body);
    imap->next_body >>= 1;
    imap->loop = role_loop(run);
    service_init(&imap->service, imap->loop, &service_ops, imap);
    imap->mailboxes = idmap_new(IMAP_MAILBOXES_MAX);
    imap->ears = idmap_new(IMAP_USERS_MAX);
    imap->users = map_new(IMAP_USERS_MAX);
    imap->addresses = map_new(IMAP_USERS_MAX);
    imap->mechanisms_len = strlen("PLAIN LOGIN"); /* until auth has told */
    memcpy(imap->mechanisms, "PLAIN LOGIN", imap->mechanisms_len);
    imap_progress_init(imap);
    if (service_load(&imap->service, run, why) == ERR_OK)
        return imap;
    role_free(imap);
    return NULL;
}

static enum err start(void *ctx, struct why *why)
{
    struct imap *imap = ctx;
    (void)why;
    service_open(&imap->service);
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    struct imap *imap = ctx;
    return service_prepare(&imap->service, why);
}

/* Sessions keep nothing of the old settings. */
static void commit(void *ctx)
{
    struct imap *imap = ctx;
    service_commit(&imap->service);
}

static void abort_reload(void *ctx)
{
    struct imap *imap = ctx;
    service_abort(&imap->service);
}

static void drain(void *ctx, uint64_t ms)
{
    struct imap *imap = ctx;
    service_drain(&imap->service, ms);
}

const struct role_ops imap_role = {
    .role = ROLE_IMAP,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = abort_reload,
    .peer = on_peer,
    .drained = on_peer_drained,
    .drain = drain,
    .free = role_free,
};
