/* notify_selected.c: NOTIFY and the selected mailbox (RFC 5465 sections 5.1 to 5.3, 6.1): what is told at
 * once, what not at all, and what is fetched of new messages. Called by the session, the role and sync.c. */
#include <stdlib.h>

#include "base/mem.h"
#include "grammar/imap_notify.h"
#include "imap/command.h"
#include "imap/notify.h"

void imap_notify_selected(struct session *s)
{
    struct notify *n = s->notify;
    if (!n)
        return;
    imap_set_builder_free(&n->own);
    n->own = imap_set_builder_new();
    n->told_uid = s->selected ? imap_view_last_uid(&s->selected->view) : 0;
}

/* Numbers shift with the answer to these; QRESYNC tells what has changed; and so does the answer to NOTIFY
 * (section 3.1). */
static bool must_tell(const struct run *run)
{
    static const bool verbs[IMAP_VERB_COUNT] = {
        [IMAP_EXPUNGE] = true, [IMAP_MOVE] = true,   [IMAP_REPLACE] = true,
        [IMAP_NOTIFY] = true,  [IMAP_SELECT] = true, [IMAP_EXAMINE] = true};
    return run && verbs[run->command.verb];
}

bool imap_notify_mutes(const struct session *s)
{
    const struct notify *n = s->notify;
    return n && !(n->selected && (n->selected->events & IMAP_NOTIFY_MESSAGES)) && !must_tell(s->run);
}

bool imap_notify_mutes_flags(const struct session *s)
{
    const struct notify *n = s->notify;
    return n && !(n->selected && (n->selected->events & IMAP_NOTIFY_FLAG_CHANGE)) && !must_tell(s->run);
}

void imap_notify_own(struct session *s, uint32_t uidvalidity, uint32_t first, uint32_t last)
{
    if (s->notify && s->selected && s->selected->view.map->image->uidvalidity == uidvalidity)
        imap_set_builder_add_range(&s->notify->own, first, last);
}

/* The new messages others have made, as a set in the arena of the run. */
static struct imap_set new_ones_in(struct arena *arena, struct notify *n, const struct imap_view *view)
{
    struct imap_set own = imap_set_builder_view(&n->own);
    struct imap_set_builder fresh = imap_set_builder_new();
    uint32_t at = (uint32_t)image_find(view->map->image, view->known, n->told_uid + 1);
    for (; at < view->known; at++) {
        uint32_t uid = imap_view_entry(view, at)->uid;
        if (imap_view_seq(view, at) > 0 && !imap_set_contains(&own, uid))
            imap_set_builder_add(&fresh, uid);
    }
    struct imap_set set = imap_set_builder_view(&fresh);
    struct slice ranges = arena_dup(arena, slice_make(set.ranges, set.count * sizeof *set.ranges));
    set.ranges = (struct imap_range *)(uintptr_t)ranges.ptr;
    imap_set_builder_free(&fresh);
    return set;
}

/* FETCH without a client's command; see struct run. */
static void start_fetch(struct session *s, struct arena *arena, struct imap_set set)
{
    struct run *run = mem_zero(1, sizeof *run);
    run->arena = arena;
    run->outer = s->run;
    run->internal = true;
    run->started_ns = clock_mono_ns();
    run->command.verb = IMAP_FETCH;
    run->command.uid = true;
    run->command.fetch.set = set;
    run->command.fetch.items = s->notify->selected->fetch;
    run->command.fetch.items.marks_seen = false; /* nobody has read it */
    s->run = run;
    imap_cmd_fetch(s);
}

bool imap_notify_fetch(struct session *s)
{
    struct notify *n = s->notify;
    if (!n || !n->selected || !s->selected || s->closing || s->selected->gone)
        return false;
    const struct imap_view *view = &s->selected->view;
    uint32_t last = imap_view_last_uid(view);
    if (last <= n->told_uid)
        return false;
    struct arena *arena = arena_new(IMAP_RUN_ARENA);
    struct imap_set set = new_ones_in(arena, n, view);
    n->told_uid = last;
    imap_set_builder_free(&n->own);
    n->own = imap_set_builder_new();
    if (!n->selected->has_fetch || set.count == 0) {
        arena_free(&arena);
        return false;
    }
    start_fetch(s, arena, set);
    return true;
}

void imap_notify_news(struct session *s)
{
    const struct notify *n = s->notify;
    if (!n || s->run || !s->selected || imap_notify_mutes(s))
        return;
    imap_sync_begin(s, n->selected->filter == IMAP_NOTIFY_SELECTED);
    if (!imap_sync_step(s))
        return; /* the output is full: on_writable comes back here */
    if (!imap_notify_fetch(s))
        stream_flush(s->stream);
}
