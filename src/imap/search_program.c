/* search_program.c: a command's search program made fit for store, and whether the client may ask for all
 * that is in it. Input: commands of any client, bounded by the parser. Called by SEARCH, SORT and THREAD. */
#include <string.h>

#include "imap/capability.h"
#include "imap/search_context.h"
#include "imap/search.h"

static void work_free(void *arg)
{
    struct search_work *w = arg;
    imap_set_builder_free(&w->at_store);
    imap_set_builder_free(&w->uids);
    imap_set_builder_free(&w->numbers);
    buf_free(&w->list);
}

static void work_new(struct session *s)
{
    struct search_work *w = ARENA_NEW(s->run->arena, struct search_work);
    w->at_store = imap_set_builder_new();
    w->uids = imap_set_builder_new();
    w->numbers = imap_set_builder_new();
    w->list = buf_new(IMAP_LIST_MAX);
    arena_defer(s->run->arena, work_free, w);
    s->run->state = w;
}

const struct imap_view *imap_search_view(struct session *s)
{
    const struct search_place *place = imap_search_work(s)->place;
    return place ? &place->view : &s->selected->view;
}

uint64_t imap_search_watch(struct session *s)
{
    const struct search_place *place = imap_search_work(s)->place;
    return place ? place->mailbox->watch : s->selected->mailbox->watch;
}

static struct arena *arena_of(struct session *s)
{
    struct arena *arena = imap_search_work(s)->arena;
    return arena ? arena : s->run->arena;
}

/* ---- translation ---- */

/* What only this session knows becomes UIDs. */
static void to_uids(struct session *s, struct imap_search_node *node, const struct imap_set *set)
{
    struct imap_set_builder uids = imap_view_uids(imap_search_view(s), set, false);
    struct imap_set view = imap_set_builder_view(&uids);
    node->op = view.count ? IMAP_SEARCH_UID : IMAP_SEARCH_NONE;
    node->set = (struct imap_set){.count = view.count};
    node->set.ranges = ARENA_ARRAY(arena_of(s), struct imap_range, view.count + 1);
    if (view.count)
        memcpy(node->set.ranges, view.ranges, view.count * sizeof *view.ranges);
    imap_set_builder_free(&uids);
}

static void recent_to_uids(struct session *s, struct imap_search_node *node)
{
    const struct imap_view *v = imap_search_view(s);
    uint32_t last = v->recent_to ? v->recent_to - 1 : UINT32_MAX;
    node->op = v->recent_from && v->recent_from <= last ? IMAP_SEARCH_UID : IMAP_SEARCH_NONE;
    node->set = (struct imap_set){.ranges = ARENA_NEW(arena_of(s), struct imap_range), .count = 1};
    node->set.ranges[0] = (struct imap_range){v->recent_from, last};
}

static bool translate_node(struct imap_search_node *node, void *ctx)
{
    struct session *s = ctx;
    if (node->op == IMAP_SEARCH_SEQ && s->uidonly && !node->set.saved) {
        imap_session_done(s, "BAD [UIDREQUIRED] Only UIDs are understood after ENABLE UIDONLY");
        return false;
    }
    if (node->set.saved) {
        node->set = imap_saved_in(s, true);
        node->op = node->set.count ? IMAP_SEARCH_UID : IMAP_SEARCH_NONE;
        return true;
    }
    if (node->op == IMAP_SEARCH_FLAG && node->number == IMAP_FLAG_RECENT)
        recent_to_uids(s, node);
    else if (node->op == IMAP_SEARCH_UID)
        (void)!imap_view_resolve(imap_search_view(s), &node->set, true);
    if (node->op != IMAP_SEARCH_SEQ)
        return true;
    /* A number beyond the mailbox matches nothing: Roundcube searches for numbers that may just have gone. */
    (void)!imap_view_resolve(imap_search_view(s), &node->set, false);
    to_uids(s, node, &node->set);
    return true;
}

static bool uses_saved(struct imap_search_node *node, void *ctx)
{
    *(bool *)ctx = *(bool *)ctx || node->set.saved;
    return true;
}

/* ---- what may be asked ---- */

/* NULL, or why the RETURN options may not be used so. */
static const char *wrong_options(const struct session *s, const struct imap_search *search)
{
    bool sorts = s->run->command.verb == IMAP_SORT;
    if (!search->extended)
        return NULL;
    if (!imap_capability_has(s, sorts ? CAP_ESORT : CAP_ESEARCH))
        return sorts ? "Unknown sort key" : "Unknown search key";
    if (search->returns & IMAP_RETURN_SAVE && !imap_capability_has(s, CAP_SEARCHRES))
        return "Unknown RETURN option";
    if (search->returns & IMAP_RETURN_PARTIAL && !imap_capability_has(s, CAP_PARTIAL))
        return "Unknown RETURN option";
    if (search->returns & IMAP_RETURN_PARTIAL && search->returns & IMAP_RETURN_ALL)
        return "PARTIAL and ALL exclude each other"; /* RFC 9394 section 3.1 */
    uint64_t context = sorts ? CAP_CONTEXT_SORT : CAP_CONTEXT_SEARCH;
    if (search->returns & (IMAP_RETURN_UPDATE | IMAP_RETURN_CONTEXT) && !imap_capability_has(s, context))
        return "Unknown RETURN option";
    if (search->returns & IMAP_RETURN_UPDATE && imap_context_has(s, s->run->command.tag))
        return "Tag reuse"; /* RFC 5267 section 4.3 */
    if (search->returns & IMAP_RETURN_RELEVANCY && !imap_capability_has(s, CAP_SEARCH_FUZZY))
        return "Unknown RETURN option";
    if (search->returns & IMAP_RETURN_RELEVANCY && !search->strict)
        return "RELEVANCY needs FUZZY"; /* RFC 6203 section 4 */
    return NULL;
}

static bool may_search(struct session *s)
{
    const struct imap_search *search = imap_search_of(s);
    const char *wrong = wrong_options(s, search);
    bool saved = false;
    (void)imap_search_walk(search->root, uses_saved, &saved);
    if ((saved && !imap_capability_has(s, CAP_SEARCHRES)) ||
        (search->strict && !imap_capability_has(s, CAP_SEARCH_FUZZY)))
        wrong = "Unknown search key";
    if (search->charset.len > 0 && s->utf8_accept && s->run->command.verb != IMAP_SORT &&
        s->run->command.verb != IMAP_THREAD)
        wrong = "The charset is UTF-8"; /* RFC 9755 section 3 */
    if (wrong) {
        imap_session_done(s, "BAD %s", wrong);
        return false;
    }
    if (!search->charset_unknown)
        return true;
    if (search->returns & IMAP_RETURN_SAVE)
        imap_saved_clear(s); /* RFC 5182 section 2.1: after NO nothing is saved */
    imap_session_done(s, "NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset");
    return false;
}

bool imap_search_check(struct session *s)
{
    const struct imap_search *search = imap_search_of(s);
    if (!may_search(s))
        return false;
    if (search->has_modseq)
        imap_session_use_condstore(s);
    work_new(s);
    if (s->selected)
        imap_search_work(s)->begun_modseq = s->selected->view.modseq;
    return true;
}

bool imap_search_translate(struct session *s)
{
    struct imap_search *search = imap_search_of(s);
    return imap_search_walk(search->root, translate_node, s) &&
           imap_search_walk(search->strict, translate_node, s);
}

bool imap_search_begin(struct session *s)
{
    struct imap_search *search = imap_search_of(s);
    if (!imap_search_check(s) || !imap_search_translate(s))
        return false; /* answered */
    if (search->returns & IMAP_RETURN_SAVE)
        imap_saved_clear(s); /* whatever goes wrong from here on is a NO */
    struct imap_search_node *root = imap_limit_search(s, search->root);
    if (!root)
        return false; /* answered: the command and its search are gone */
    search->root = root;
    return true;
}

static bool encode(struct session *s, const struct imap_search_node *root, struct buf *program)
{
    struct why why;
    if (imap_search_encode(program, root, &why) == ERR_OK)
        return true;
    imap_session_done(s, "NO [LIMIT] The search is too long");
    return false;
}

bool imap_search_program(struct session *s, struct buf *program)
{
    return encode(s, imap_search_of(s)->root, program);
}

bool imap_search_strict(struct session *s, struct buf *program)
{
    return encode(s, imap_search_of(s)->strict, program);
}
