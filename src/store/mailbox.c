/* mailbox.c: a mailbox in memory and how changes act on it. Input: changes of our own log. Called by the
 * account layer. */
#include "store/mailbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/acl.h"
#include "wire/wire.h"

static struct slice own(struct slice s)
{
    return slice_make(mem_dup(s.len ? s.ptr : (const uint8_t *)"", s.len), s.len);
}

static void disown(struct slice *s)
{
    free((void *)(uintptr_t)s->ptr);
    *s = SLICE_EMPTY;
}

struct mailbox *mailbox_new(uint64_t id, struct slice name)
{
    struct mailbox *m = mem_zero(1, sizeof *m);
    m->id = id;
    m->name = own(name);
    m->uidnext = 1;
    m->recent_from = 1;
    return m;
}

void mailbox_free(struct mailbox **mailbox)
{
    struct mailbox *m = *mailbox;
    if (!m)
        return;
    view_free(&m->view);
    acl_free(&m->acl);
    for (unsigned i = 0; i < m->keyword_count; i++)
        disown(&m->keywords[i]);
    free(m->keywords);
    disown(&m->name);
    free(m);
    *mailbox = NULL;
}

void mailbox_set_name(struct mailbox *m, struct slice name)
{
    struct slice old = m->name;
    m->name = own(name);
    disown(&old);
}

int mailbox_keyword(const struct mailbox *m, struct slice name)
{
    for (unsigned i = 0; i < m->keyword_count; i++)
        if (slice_ieq(m->keywords[i], name))
            return (int)i;
    return -1;
}

int mailbox_keyword_add(struct mailbox *m, struct slice name)
{
    int found = mailbox_keyword(m, name);
    if (found >= 0)
        return found;
    if (m->keyword_count == IMAGE_KEYWORDS || name.len == 0 || name.len > IMAGE_KEYWORD_MAX)
        return -1;
    if (!m->keywords)
        m->keywords = mem_zero(IMAGE_KEYWORDS, sizeof *m->keywords);
    m->keywords[m->keyword_count] = own(name);
    if (m->view)
        view_keyword(m->view, m->keyword_count, name);
    return (int)m->keyword_count++;
}

static bool among(const struct slice *names, unsigned count, struct slice name)
{
    for (unsigned i = 0; i < count; i++)
        if (slice_ieq(names[i], name))
            return true;
    return false;
}

static bool keywords_fit(const struct mailbox *m, struct slice names)
{
    struct slice name, fresh[IMAGE_KEYWORDS];
    unsigned count = 0, room = IMAGE_KEYWORDS - m->keyword_count;
    while (wire_strings_take(&names, &name)) {
        if (mailbox_keyword(m, name) >= 0 || among(fresh, count, name))
            continue;
        if (count == room || name.len == 0 || name.len > IMAGE_KEYWORD_MAX)
            return false;
        fresh[count++] = name;
    }
    return true;
}

bool mailbox_keywords_add(struct mailbox *m, struct slice names, uint64_t *bits)
{
    if (!keywords_fit(m, names))
        return false;
    struct slice name;
    while (wire_strings_take(&names, &name))
        *bits |= 1ull << (mailbox_keyword_add(m, name) + (int)IMAGE_KEYWORD_SHIFT);
    return true;
}

bool mailbox_translate_flags(const struct mailbox *from, struct mailbox *to, uint64_t flags, uint64_t *result)
{
    uint64_t translated = flags & IMAGE_SYSTEM_FLAGS;
    for (unsigned i = 0; from != to && i < from->keyword_count; i++) {
        if (!(flags >> (i + IMAGE_KEYWORD_SHIFT) & 1))
            continue;
        int bit = mailbox_keyword_add(to, from->keywords[i]);
        if (bit < 0)
            return false;
        translated |= 1ull << (bit + IMAGE_KEYWORD_SHIFT);
    }
    *result = from == to ? flags & ~(uint64_t)IMAGE_EXPUNGED : translated;
    return true;
}

void mailbox_count(struct change_counts *counts, uint64_t flags, uint32_t size, int by)
{
    counts->messages += by;
    counts->unseen += flags & IMAGE_SEEN ? 0 : by;
    counts->deleted += flags & IMAGE_DELETED ? by : 0;
    counts->bytes += (int64_t)size * by;
}

static uint64_t moved_by(uint64_t counter, int64_t by)
{
    return by < 0 && counter < (uint64_t)-by ? 0 : counter + (uint64_t)by;
}

static void apply_flags(struct view *view, const struct change *change, uint64_t modseq)
{
    struct view_walk walk = view_walk(view, change->uids);
    uint64_t at;
    while (view_walk_next(&walk, &at))
        view_set_flags(view, at, modseq, (view_entry(view, at).flags & ~change->clear) | change->set);
}

static void apply_expunge(struct view *view, const struct change *change, uint64_t modseq)
{
    struct view_walk walk = view_walk(view, change->uids);
    uint64_t at;
    while (view_walk_next(&walk, &at))
        view_expunge(view, at, modseq);
}

/* Makes room by moving to a new image when the old one is full. */
static enum err add_entries(struct mailbox *m, const struct entry *entries, size_t count, struct why *why)
{
    if (count > view_room(m->view)) {
        struct view *bigger = NULL;
        enum err err = view_move(m->view, count, &bigger, why);
        if (err)
            return err;
        view_free(&m->view);
        m->view = bigger;
        m->moved = true;
    }
    return view_add(m->view, entries, count) ? ERR_OK
                                             : err_set(why, ERR_INTERNAL, "no room in a mailbox image");
}

enum err mailbox_apply_view(struct mailbox *m, uint64_t modseq, const struct change *change,
                            const struct entry *entries, size_t count, struct why *why)
{
    enum err err = ERR_OK;
    if (change->kind == CHANGE_ADD)
        err = add_entries(m, entries, count, why);
    else if (change->kind == CHANGE_FLAGS)
        apply_flags(m->view, change, modseq);
    else
        apply_expunge(m->view, change, modseq);
    return err;
}

enum err mailbox_apply(struct mailbox *m, uint64_t modseq, const struct change *change,
                       const struct entry *entries, size_t count, struct why *why)
{
    m->messages = moved_by(m->messages, change->counts.messages);
    m->unseen = moved_by(m->unseen, change->counts.unseen);
    m->deleted = moved_by(m->deleted, change->counts.deleted);
    m->bytes = moved_by(m->bytes, change->counts.bytes);
    m->modseq = modseq;
    if (change->kind == CHANGE_ADD && count && entries[count - 1].uid >= m->uidnext)
        m->uidnext = entries[count - 1].uid + 1;
    if (m->takers) /* a session that has it open takes \Recent with the notice */
        m->recent_from = m->uidnext;
    if (!m->view)
        return ERR_OK;
    enum err err = mailbox_apply_view(m, modseq, change, entries, count, why);
    if (!err)
        view_publish(m->view, m->modseq, m->uidnext);
    return err;
}

/* Exact only while nothing recent was expunged: the count of \Recent is a hint (RFC 9051 has dropped it). */
static uint64_t recent_of(const struct mailbox *m)
{
    uint64_t recent = m->uidnext > m->recent_from ? m->uidnext - m->recent_from : 0;
    return recent < m->messages ? recent : m->messages;
}

struct mailbox_row mailbox_row_of(const struct mailbox *m)
{
    return (struct mailbox_row){.id = m->id,
                                .flags = m->flags,
                                .special_use = m->special_use,
                                .uidvalidity = m->uidvalidity,
                                .uidnext = m->uidnext,
                                .modseq = m->modseq,
                                .messages = m->messages,
                                .unseen = m->unseen,
                                .recent = recent_of(m),
                                .deleted = m->deleted,
                                .bytes = m->bytes,
                                .tag = m->tag,
                                .name = m->name};
}
