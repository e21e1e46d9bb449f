/* search_here.c: search keys the mailbox image can answer. Input: programs parsed and translated. Called by
 * SEARCH and search_context.c. */
#include "base/clock.h"
#include "base/zone.h"
#include "imap/search.h"

#define LOCAL_MAX                                                                                            \
    4000000 /* messages times keys evaluated here at once; more goes to store, which has threads */
#define KEYWORD_COST 16 /* keys: the names of all keywords of a message are compared */

struct local {
    const struct imap_view *view;
    struct imap_message message;
    struct image_state state;
};

static enum imap_truth local_flag(void *ctx, uint32_t bit)
{
    return ((struct local *)ctx)->state.flags & bit ? IMAP_YES : IMAP_NO; /* the five bits are the same */
}

static enum imap_truth local_keyword(void *ctx, struct slice keyword)
{
    struct local *l = ctx;
    const struct image *image = l->view->live->image;
    uint64_t bits = l->state.flags >> IMAGE_KEYWORD_SHIFT;
    for (unsigned k = 0; bits; k++, bits >>= 1)
        if ((bits & 1) && slice_ieq(image_keyword(image, k), keyword))
            return IMAP_YES;
    return IMAP_NO;
}

static const struct image_entry *local_entry(const struct local *l)
{
    return imap_view_entry(l->view, l->message.index);
}

static bool local_size(void *ctx, uint64_t *octets)
{
    *octets = image_octets(local_entry(ctx));
    return true;
}

static bool local_date(void *ctx, int64_t *seconds, int64_t *days)
{
    *seconds = image_date(local_entry(ctx));
    *days = zone_day(*seconds);
    return true;
}

static bool local_modseq(void *ctx, uint64_t *modseq)
{
    *modseq = ((struct local *)ctx)->state.modseq;
    return true;
}

bool imap_search_matches(const struct imap_view *view, const struct imap_search_node *root,
                         const struct imap_message *m)
{
    struct imap_search_subject subject = {.now = clock_unix_s(),
                                          .uid = m->uid,
                                          .flag = local_flag,
                                          .keyword = local_keyword,
                                          .size = local_size,
                                          .internal_date = local_date,
                                          .modseq = local_modseq};
    struct local l = {.view = view, .message = *m, .state = imap_view_state(view, m->index)};
    return !(l.state.flags & IMAGE_EXPUNGED) && imap_search_match(root, &subject, &l) == IMAP_YES;
}

/* What one key that must hold says of where to look. */
static void narrow(struct imap_view_walk *walk, const struct imap_search_node *key)
{
    const struct imap_view *view = walk->view;
    bool no = key->op == IMAP_SEARCH_NOT;
    if (key->op == IMAP_SEARCH_UID)
        walk->set = &key->set;
    key = no ? key->child : key;
    if (key->op != IMAP_SEARCH_FLAG || view->map != view->live)
        return;
    if (no && key->number == IMAP_FLAG_SEEN)
        walk->leap = image_next_unseen;
    else if (!no && key->number == IMAP_FLAG_DELETED)
        walk->leap = image_next_deleted;
}

struct imap_view_walk imap_search_walk_here(const struct imap_view *view, const struct imap_search_node *root,
                                            const struct imap_set *all)
{
    struct imap_view_walk walk = imap_view_walk(view, all, true);
    narrow(&walk, root);
    for (const struct imap_search_node *key = root->op == IMAP_SEARCH_AND ? root->child : NULL; key;
         key = key->next)
        narrow(&walk, key);
    return walk;
}

struct cost {
    uint64_t nodes;
    bool store;
};

static bool add_cost(struct imap_search_node *node, void *ctx)
{
    struct cost *cost = ctx;
    cost->nodes++;
    switch (node->op) {
    case IMAP_SEARCH_KEYWORD:
        cost->nodes += KEYWORD_COST - 1;
        break;
    case IMAP_SEARCH_HEADER:
    case IMAP_SEARCH_BODY:
    case IMAP_SEARCH_TEXT:
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE:
    case IMAP_SEARCH_SAVEDBEFORE:
    case IMAP_SEARCH_SAVEDON:
    case IMAP_SEARCH_SAVEDSINCE:
    case IMAP_SEARCH_EMAILID:
    case IMAP_SEARCH_THREADID:
        cost->store = true;
        break;
    default:
        break;
    }
    return true;
}

uint64_t imap_search_local_cost(struct imap_search_node *root)
{
    struct cost cost = {0};
    (void)imap_search_walk(root, add_cost, &cost);
    return cost.store ? 0 : cost.nodes;
}

bool imap_search_fits_here(uint64_t cost, uint64_t messages)
{
    return cost > 0 && messages <= LOCAL_MAX / cost;
}
