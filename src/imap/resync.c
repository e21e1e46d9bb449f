/* resync.c: what a session does when store has died and come back: it opens its mailbox anew and goes on
 * counting.
 *
 * Safe, because store shows nothing before it is durable: whatever a client was told is in the new image too,
 * with the same UIDs and change numbers, and sync.c finds the rest by comparing the two images, as when a
 * mailbox has moved. Only the same mailbox (id and UIDVALIDITY) will do; otherwise, or when store stays away,
 * the session gets BYE. The client's next commands wait meanwhile. Input: answers of store. Called by the
 * session and the role.
 */
#include "base/log.h"
#include "imap/notify.h"
#include "imap/session.h"

#define RESYNC_MS    50  /* between two looks for store */
#define RESYNC_TRIES 200 /* then it counts as away */

void imap_resync_lost(struct session *s)
{
    struct selected *sel = s->selected;
    if (!sel || sel->gone)
        return;
    mailbox_open_leave(sel->reopening);
    sel->reopening = NULL;
    sel->stale = true;
    sel->tries = 0;
    imap_resync_watch(s->imap);
}

/* Numbers are counted in the old image until sync.c may move them. */
static void go_over(struct selected *sel, struct imap_mailbox *mailbox,
                    const struct wire_mbox_selected *reply)
{
    struct imap_mailbox *old = sel->mailbox;
    list_remove(&sel->node);
    imap_recent_move(sel, mailbox);
    old->uses--; /* swept when the answer is done with */
    sel->mailbox = mailbox;
    sel->rights = reply->rights;
    sel->stale = false;
    list_push_back(&mailbox->sessions, &sel->node);
    imap_map_unref(&sel->view.live);
    sel->view.live = imap_map_ref(mailbox->live);
    sel->view.keywords = 0; /* one that no commit knew of may be another now: told again */
}

static void go_on(struct session *s)
{
    if (s->run && s->run->changed)
        s->run->changed(s);
    else
        imap_notify_news(s);
    imap_session_pump(s);
}

static bool is_same(const struct selected *sel, const struct imap_mailbox *mailbox,
                    const struct wire_mbox_selected *reply)
{
    return reply->mailbox == sel->mailbox_id &&
           mailbox->live->image->uidvalidity == sel->view.live->image->uidvalidity;
}

static void on_reopened(void *ctx, enum err err, struct imap_mailbox *mailbox,
                        const struct wire_mbox_selected *reply)
{
    struct selected *sel = ctx;
    struct session *s = sel->session;
    sel->reopening = NULL;
    if (err == ERR_LATER) {
        imap_resync_watch(s->imap);
        return;
    }
    imap_session_enter(s);
    if (!err && is_same(sel, mailbox, reply)) {
        go_over(sel, mailbox, reply);
        go_on(s);
    } else {
        if (mailbox)
            imap_mailbox_release(s->imap, mailbox, &s->grant, sel->read_only);
        imap_session_bye(s, "[UNAVAILABLE] The mail store has restarted, please reconnect");
    }
    imap_session_leave(s);
}

bool imap_resync_try(struct caller *caller)
{
    struct session *s = CONTAINER_OF(caller, struct session, caller);
    struct selected *sel = s->selected;
    if (!sel || !sel->stale || s->closing)
        return false;
    if (!sel->reopening && sel->tries++ < RESYNC_TRIES)
        sel->reopening = mailbox_open_again(s->imap, &s->grant, slice_make(sel->name, sel->name_len),
                                            sel->mailbox_id, sel->read_only, on_reopened, sel);
    else if (!sel->reopening)
        imap_session_bye(s, "[UNAVAILABLE] The mail store is away, please reconnect");
    return true;
}

static void on_time(void *arg)
{
    struct imap *imap = arg;
    bool again = false;
    imap->resync_armed = false;
    LIST_EACH(&imap->service.sessions, node)
    {
        struct caller *caller = CONTAINER_OF(node, struct caller, node);
        again = (caller->ops->resync && caller->ops->resync(caller)) || again;
    }
    if (again)
        imap_resync_watch(imap);
}

void imap_resync_watch(struct imap *imap)
{
    if (!imap->resync)
        imap->resync = loop_timer_new(imap->loop, on_time, imap);
    if (!imap->resync_armed)
        loop_timer_set(imap->resync, RESYNC_MS);
    imap->resync_armed = true;
}
