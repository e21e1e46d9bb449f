/* sync.c: telling a session what happened to its mailbox: EXPUNGE (VANISHED), EXISTS, RECENT, FLAGS, FETCH
 * (RFC 9051 section 7.5, RFC 7162). Resumable: writes only while the output has room. Input: images of store.
 * Called at the end of commands and by IDLE. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/imap_acl.h"
#include "grammar/imap_flags.h"
#include "imap/search_context.h"
#include "imap/notify.h"

#define VANISHED_AT_ONCE 20000 /* messages of one VANISHED: the output takes only so much at once */

/* ---- flags as text ---- */

void imap_write_flags(struct buf *out, const struct imap_view *view, uint64_t flags, uint32_t uid)
{
    /* IMAGE_SEEN … IMAGE_DRAFT are in the order of IMAP_FLAG_SEEN …: the same five bits. */
    uint32_t system = (uint32_t)(flags & IMAGE_SYSTEM_FLAGS);
    if (imap_view_is_recent(view, uid))
        system |= IMAP_FLAG_RECENT;
    imap_flags_write_system(out, system);
    bool first = system == 0;
    uint64_t keywords = flags >> IMAGE_KEYWORD_SHIFT;
    for (unsigned k = 0; keywords; k++, keywords >>= 1) {
        struct slice name = keywords & 1 ? image_keyword(view->live->image, k) : SLICE_EMPTY;
        if (name.len == 0)
            continue;
        if (!first)
            buf_add_byte(out, ' ');
        first = false;
        buf_add(out, name);
    }
}

void imap_write_fetch_head(struct session *s, const struct imap_message *m)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* ");
    buf_add_u64(out, s->uidonly ? m->uid : m->seq);
    buf_add_str(out, s->uidonly ? " UIDFETCH (" : " FETCH (");
}

void imap_write_new_keywords(struct session *s)
{
    const struct imap_view *view = &s->selected->view;
    if (atomic_load_explicit(&view->live->image->keyword_count, memory_order_acquire) > view->keywords)
        imap_write_known_flags(s);
}

void imap_write_fetch_flags(struct session *s, const struct imap_message *m, bool with_uid)
{
    const struct imap_view *view = &s->selected->view;
    imap_write_new_keywords(s);
    struct image_state state = imap_view_state(view, m->index);
    struct buf *out = imap_session_output(s);
    imap_write_fetch_head(s, m);
    if (!s->uidonly && (with_uid || s->qresync)) {
        buf_add_str(out, "UID ");
        buf_add_u64(out, m->uid);
        buf_add_byte(out, ' ');
    }
    buf_add_str(out, "FLAGS (");
    imap_write_flags(out, view, state.flags, m->uid);
    buf_add_byte(out, ')');
    if (s->condstore)
        buf_addf(out, " MODSEQ (%llu)", (unsigned long long)state.modseq);
    buf_add_str(out, ")\r\n");
}

static void write_keyword_names(struct buf *out, const struct image *image, unsigned count)
{
    buf_add_str(out, "\\Answered \\Flagged \\Deleted \\Seen \\Draft");
    for (unsigned k = 0; k < count; k++) {
        buf_add_byte(out, ' ');
        buf_add(out, image_keyword(image, k));
    }
}

/* Flags the session may change, and whether it may make new keywords (RFC 4314 section 5.2). */
static void write_permanent(struct buf *out, const struct selected *sel)
{
    const struct imap_view *view = &sel->view;
    if ((sel->rights & RIGHT_WRITE) && (sel->rights & RIGHT_SEEN) && (sel->rights & RIGHT_DELETED_FLAG)) {
        write_keyword_names(out, view->live->image, view->keywords);
    } else {
        bool all = sel->rights & RIGHT_WRITE, deleted = sel->rights & RIGHT_DELETED_FLAG;
        buf_add_str(out, all ? "\\Answered \\Flagged \\Draft" : "");
        buf_add_str(out, deleted ? all ? " \\Deleted" : "\\Deleted" : "");
        buf_add_str(out, sel->rights & RIGHT_SEEN ? all || deleted ? " \\Seen" : "\\Seen" : "");
        for (unsigned k = 0; all && k < view->keywords; k++) {
            buf_add_byte(out, ' ');
            buf_add(out, image_keyword(view->live->image, k));
        }
    }
    buf_add_str(out, (sel->rights & RIGHT_WRITE) && view->keywords < IMAGE_KEYWORDS ? " \\*" : "");
}

void imap_write_known_flags(struct session *s)
{
    struct imap_view *view = &s->selected->view;
    const struct image *image = view->live->image;
    struct buf *out = imap_session_output(s);
    unsigned count = atomic_load_explicit(&image->keyword_count, memory_order_acquire);
    view->keywords = count < IMAGE_KEYWORDS ? count : IMAGE_KEYWORDS;
    buf_add_str(out, "* FLAGS (");
    write_keyword_names(out, image, view->keywords);
    buf_add_str(out, ")\r\n* OK [PERMANENTFLAGS (");
    if (!s->selected->read_only)
        write_permanent(out, s->selected);
    buf_add_str(out, s->selected->read_only ? ")] Read-only mailbox\r\n" : ")] Flags permitted\r\n");
}

/* ---- expunges ---- */

static void note_expunged(struct sync *y, uint32_t index)
{
    if (y->fresh_count == y->fresh_cap) {
        y->fresh_cap = y->fresh_cap ? 2 * y->fresh_cap : 16;
        y->fresh = mem_realloc(y->fresh, y->fresh_cap * sizeof *y->fresh);
    }
    y->fresh[y->fresh_count++] = index;
}

static bool is_expunged(const struct image *image, uint32_t index)
{
    return image_is_expunged(&image->entries[index]);
}

static uint32_t expunged_count(const struct image *image)
{
    return (uint32_t)atomic_load_explicit(&image->expunged, memory_order_acquire);
}

/* Messages of the view that were marked in its own image since. */
static void find_marked(struct imap_view *v, struct sync *y)
{
    const struct image *image = v->map->image;
    uint32_t gone_at = 0;
    if (expunged_count(image) == v->gone_count)
        return;
    for (uint64_t i = 0; (i = image_next_expunged(image, i, v->known)) < v->known; i++) {
        while (gone_at < v->gone_count && v->gone[gone_at] < i)
            gone_at++;
        if (gone_at == v->gone_count || v->gone[gone_at] != i)
            note_expunged(y, (uint32_t)i);
    }
}

/* Messages of the view that are marked, or missing, in the target. */
static void find_expunged(struct imap_view *v, struct sync *y)
{
    const struct image *mine = v->map->image, *target = y->target->image;
    uint32_t gone_at = 0, at = 0, count = imap_map_count(y->target);
    if (v->map == y->target) {
        find_marked(v, y);
        return;
    }
    for (uint32_t i = 0; i < v->known; i++) {
        if (gone_at < v->gone_count && v->gone[gone_at] == i) {
            gone_at++;
            continue;
        }
        while (at < count && target->entries[at].uid < mine->entries[i].uid)
            at++;
        if (at == count || target->entries[at].uid != mine->entries[i].uid || is_expunged(target, at))
            note_expunged(y, i);
    }
}

/* The gone ones become those of both lists. */
static void merge_gone(struct imap_view *v, const struct sync *y)
{
    uint32_t total = v->gone_count + y->fresh_count;
    if (y->fresh_count == 0)
        return;
    if (total > v->gone_cap) {
        v->gone_cap = total + total / 2;
        v->gone = mem_realloc(v->gone, v->gone_cap * sizeof *v->gone);
    }
    uint32_t a = v->gone_count, b = y->fresh_count;
    for (uint32_t to = total; b > 0;) /* from the end, in place */
        v->gone[--to] = a > 0 && v->gone[a - 1] > y->fresh[b - 1] ? v->gone[--a] : y->fresh[--b];
    v->gone_count = total;
}

/* Counts in the target from now on: the same messages as before, in the same order. */
static void move_view(struct imap_view *v, struct imap_map *target)
{
    struct imap_view moved = *v;
    uint32_t last = v->known ? v->map->image->entries[v->known - 1].uid : 0;
    uint32_t count = imap_map_count(target), gone_at = 0;
    moved.gone = NULL;
    moved.gone_count = moved.gone_cap = 0;
    moved.known = last == UINT32_MAX ? count : (uint32_t)image_find(target->image, count, last + 1);
    struct sync extra = {0};
    for (uint32_t i = 0, mine = 0; i < moved.known; i++) {
        uint32_t uid = target->image->entries[i].uid;
        for (; mine < v->known && v->map->image->entries[mine].uid < uid; mine++)
            ;
        while (gone_at < v->gone_count && v->gone[gone_at] < mine)
            gone_at++;
        bool was_gone = gone_at < v->gone_count && v->gone[gone_at] == mine;
        if (mine == v->known || v->map->image->entries[mine].uid != uid || was_gone)
            note_expunged(&extra, i);
    }
    moved.map = imap_map_ref(target);
    moved.gone = extra.fresh;
    moved.gone_count = extra.fresh_count;
    moved.gone_cap = extra.fresh_cap;
    imap_map_unref(&v->map);
    free(v->gone);
    *v = moved;
}

static void write_vanished(struct session *s, const struct sync *y, uint32_t from, uint32_t end)
{
    struct imap_set_builder uids = imap_set_builder_new();
    for (uint32_t i = from; i < end; i++)
        imap_set_builder_add(&uids, s->selected->view.map->image->entries[y->fresh[i]].uid);
    struct imap_set set = imap_set_builder_view(&uids);
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* VANISHED ");
    imap_set_write(out, &set);
    buf_add_str(out, "\r\n");
    imap_set_builder_free(&uids);
}

/* From the last to the first, so that no number shifts before it is told. True when all are told. */
static bool write_expunges(struct session *s, struct sync *y)
{
    const struct imap_view *v = &s->selected->view;
    while (y->fresh_at > 0) {
        if (imap_session_is_full(s))
            return false;
        if (s->qresync || s->uidonly) {
            uint32_t from = y->fresh_at > VANISHED_AT_ONCE ? y->fresh_at - VANISHED_AT_ONCE : 0;
            write_vanished(s, y, from, y->fresh_at);
            y->fresh_at = from;
            continue;
        }
        uint32_t index = y->fresh[--y->fresh_at];
        buf_addf(imap_session_output(s), "* %u EXPUNGE\r\n",
                 index - imap_indexes_below(v->gone, v->gone_count, index) + 1);
    }
    return true;
}

/* ---- new messages ---- */

/* New entries get numbers at the end; those expunged already never had one. */
static void take_new(struct session *s, struct sync *y)
{
    struct imap_view *v = &s->selected->view;
    uint32_t exists = imap_view_exists(v), count = imap_map_count(v->map);
    struct sync extra = {0};
    for (uint64_t i = v->known; (i = image_next_expunged(v->map->image, i, count)) < count; i++)
        note_expunged(&extra, (uint32_t)i);
    y->end = v->known; /* flags of the new ones are no news */
    v->known = count;
    merge_gone(v, &extra);
    free(extra.fresh);
    if (imap_view_exists(v) != exists)
        buf_addf(imap_session_output(s), "* %u EXISTS\r\n", imap_view_exists(v));
}

/* ---- the steps ---- */

bool imap_sync_is_pending(const struct session *s)
{
    const struct imap_view *v = &s->selected->view;
    const struct image *live = v->live->image;
    return v->live != v->map || imap_view_live_modseq(v) != v->modseq || imap_map_count(v->map) != v->known ||
           expunged_count(live) != v->gone_count;
}

void imap_sync_free(struct sync *y)
{
    imap_map_unref(&y->target);
    free(y->fresh);
    *y = (struct sync){0};
}

void imap_sync_begin(struct session *s, bool expunge)
{
    struct selected *sel = s->selected;
    struct sync *y = &sel->sync;
    if (y->phase != SYNC_IDLE || imap_notify_mutes(s) || !imap_sync_is_pending(s))
        return;
    *y = (struct sync){.phase = SYNC_EXPUNGES, .expunge = expunge};
    y->with_uid = s->rev2 || s->notify || (s->run && s->run->command.uid); /* RFC 9051 appendix E, 21 */
    y->modseq = imap_view_live_modseq(&sel->view);
    y->target = imap_map_ref(expunge ? sel->view.live : sel->view.map);
    if (expunge)
        find_expunged(&sel->view, y);
    y->fresh_at = y->fresh_count;
    imap_context_expunged(s, y->fresh, y->fresh_count);
}

/* Between the expunges and the flags: what the client knows now is what it was told. */
static void take_over(struct session *s, struct sync *y)
{
    struct imap_view *v = &s->selected->view;
    uint32_t recent = imap_view_recent(v);
    merge_gone(v, y);
    if (v->map != y->target)
        move_view(v, y->target);
    y->end = v->known;
    if (v->map == v->live)
        take_new(s, y);
    if (imap_view_recent(v) != recent)
        buf_addf(imap_session_output(s), "* %u RECENT\r\n", imap_view_recent(v));
    imap_write_new_keywords(s);
    y->cursor = v->modseq == y->modseq || imap_notify_mutes_flags(s) ? y->end : 0;
    y->phase = SYNC_FLAGS;
}

/* The next message from the cursor on that may have changed. While the mailbox has moved there are no blocks
 * to go by. */
static uint32_t next_changed(const struct imap_view *v, const struct sync *y)
{
    return v->map != v->live ? y->cursor
                             : (uint32_t)image_next_changed(v->map->image, y->cursor, y->end, v->modseq);
}

static bool write_changed(struct session *s, struct sync *y)
{
    struct imap_view *v = &s->selected->view;
    for (; (y->cursor = next_changed(v, y)) < y->end; y->cursor++) {
        struct image_state state = imap_view_state(v, y->cursor);
        if (state.modseq <= v->modseq || (state.flags & IMAGE_EXPUNGED) || imap_view_is_own(v, state.modseq))
            continue;
        if (imap_session_is_full(s))
            return false;
        struct imap_message m = {imap_view_seq(v, y->cursor), y->cursor, imap_view_entry(v, y->cursor)->uid};
        if (m.seq > 0)
            imap_write_fetch_flags(s, &m, y->with_uid);
    }
    return true;
}

bool imap_sync_step(struct session *s)
{
    if (!s->selected || s->selected->sync.phase == SYNC_IDLE)
        return true;
    struct sync *y = &s->selected->sync;
    if (y->phase == SYNC_EXPUNGES) {
        if (!write_expunges(s, y))
            return false;
        take_over(s, y);
    }
    if (!write_changed(s, y))
        return false;
    s->selected->view.modseq = y->modseq;
    imap_sync_free(y);
    return true;
}
