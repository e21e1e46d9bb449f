/* message_limit.c: of the messages a command names only some: PARTIAL of FETCH (RFC 9394), and no more than
 * MESSAGELIMIT allows, the newest first (RFC 9738). Input: sets of any logged-in client. Called before a
 * command begins its work. */
#include "imap/capability.h"
#include "imap/session.h"

static uint64_t limit_of(const struct session *s)
{
    bool told = imap_capability_has(s, CAP_MESSAGELIMIT);
    return told ? role_settings(s->imap->run)->imap.message_limit : 0;
}

/* UID EXPUNGE looks at messages with \\Deleted only. */
static bool counts(const struct session *s, const struct imap_message *m)
{
    return s->run->command.verb != IMAP_EXPUNGE ||
           (imap_view_state(&s->selected->view, m->index).flags & IMAGE_DELETED);
}

static uint64_t count_messages(const struct session *s, const struct imap_set *set)
{
    uint64_t count = 0;
    struct imap_message m;
    struct imap_view_walk walk = imap_view_walk(&s->selected->view, set, s->run->command.uid);
    while (imap_view_next(&walk, &m))
        count += counts(s, &m);
    return count;
}

/* The message `nth` (from 1) of those the set names. */
static bool find_message(const struct session *s, const struct imap_set *set, uint64_t nth,
                         struct imap_message *m)
{
    struct imap_view_walk walk = imap_view_walk(&s->selected->view, set, s->run->command.uid);
    while (imap_view_next(&walk, m))
        if (counts(s, m) && --nth == 0)
            return true;
    return false;
}

static uint32_t number_of(const struct session *s, const struct imap_message *m)
{
    return s->run->command.uid ? m->uid : m->seq;
}

/* Leaves the messages `from` to `to` (from 1, in either order; negative: from the end) of the set. */
static void take_partial(struct session *s, struct imap_set *set, int64_t from, int64_t to)
{
    int64_t count = (int64_t)count_messages(s, set);
    from = from < 0 ? count + 1 + from : from;
    to = to < 0 ? count + 1 + to : to;
    int64_t first = from < to ? from : to, last = from < to ? to : from;
    struct imap_message a, b;
    first = first < 1 ? 1 : first;
    last = last > count ? count : last;
    bool some = first <= last && find_message(s, set, (uint64_t)first, &a) &&
                find_message(s, set, (uint64_t)last, &b);
    if (some)
        imap_set_clip(set, number_of(s, &a), number_of(s, &b));
    else
        set->count = 0;
}

static bool refuse(struct session *s, uint64_t limit)
{
    imap_session_done(s, "NO [MESSAGELIMIT %llu] Too many messages at once", (unsigned long long)limit);
    return false;
}

bool imap_limit_set(struct session *s, struct imap_set *set)
{
    const struct imap_command *c = &s->run->command;
    bool partial = c->verb == IMAP_FETCH && c->fetch.items.has_partial;
    uint64_t limit = limit_of(s);
    if (partial)
        take_partial(s, set, c->fetch.items.partial_from, c->fetch.items.partial_to);
    if (!limit)
        return true;
    uint64_t count = count_messages(s, set);
    struct imap_message first;
    if (count <= limit)
        return true;
    /* A copy is made of all or none; who asks for a range gets it or nothing. */
    if (partial || c->verb == IMAP_COPY || !find_message(s, set, count - limit + 1, &first))
        return refuse(s, limit);
    imap_set_clip(set, number_of(s, &first), UINT32_MAX);
    s->run->limit_uid = first.uid;
    return true;
}

/* ---- SEARCH ---- */

/* Every set of UIDs that all messages found must be in: the keys at the top of the program. */
static bool may_match(const struct imap_search_node *root, uint32_t uid)
{
    const struct imap_search_node *key = root->op == IMAP_SEARCH_AND ? root->child : root;
    for (; key; key = root->op == IMAP_SEARCH_AND ? key->next : NULL)
        if (key->op == IMAP_SEARCH_NONE || (key->op == IMAP_SEARCH_UID && !imap_set_contains(&key->set, uid)))
            return false;
    return true;
}

/* The UID above which `limit` messages may match; 0: there are no more than that. */
static uint32_t lowest_uid(const struct session *s, const struct imap_search_node *root, uint64_t limit)
{
    const struct imap_view *view = &s->selected->view;
    uint32_t lowest = 0;
    for (uint32_t seq = imap_view_exists(view); seq > 0; seq--) {
        uint32_t uid = imap_view_entry(view, imap_view_index(view, seq))->uid;
        if (!may_match(root, uid))
            continue;
        if (limit-- == 0)
            return lowest;
        lowest = uid;
    }
    return 0;
}

struct imap_search_node *imap_limit_search(struct session *s, struct imap_search_node *root)
{
    struct arena *arena = s->run->arena;
    uint64_t limit = limit_of(s);
    uint32_t lowest = limit ? lowest_uid(s, root, limit) : 0;
    if (!lowest)
        return root;
    if (s->run->command.verb !=
        IMAP_SEARCH) { /* SORT, THREAD: a part of the answer would be another answer */
        (void)refuse(s, limit);
        return NULL;
    }
    struct imap_search_node *both = ARENA_NEW(arena, struct imap_search_node);
    struct imap_search_node *range = ARENA_NEW(arena, struct imap_search_node);
    range->op = IMAP_SEARCH_UID;
    range->set = (struct imap_set){.ranges = ARENA_NEW(arena, struct imap_range), .count = 1};
    range->set.ranges[0] = (struct imap_range){lowest, UINT32_MAX};
    range->next = root;
    both->op = IMAP_SEARCH_AND;
    both->child = range;
    s->run->limit_uid = lowest;
    return both;
}

void imap_limit_write_code(const struct session *s, struct buf *out)
{
    buf_addf(out, "[MESSAGELIMIT %llu %u] ",
             (unsigned long long)role_settings(s->imap->run)->imap.message_limit, s->run->limit_uid);
}
