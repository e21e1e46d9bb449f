/* imap_search_match.c: whether a message matches a search program. Input: programs decoded strictly, texts of
 * any origin. Called by store. */
#include "grammar/imap_search.h"

static enum imap_truth truth(bool yes)
{
    return yes ? IMAP_YES : IMAP_NO;
}

static enum imap_truth inverse(enum imap_truth t)
{
    return t == IMAP_UNKNOWN ? IMAP_UNKNOWN : truth(t == IMAP_NO);
}

/* `base` is the BEFORE of its three; ON and SINCE follow it in the enum. */
static enum imap_truth compare_day(enum imap_search_op op, enum imap_search_op base, int64_t day,
                                   int64_t wanted)
{
    if (day == INT64_MIN)
        return IMAP_NO;
    switch (op - base) {
    case 0:
        return truth(day < wanted);
    case 1:
        return truth(day == wanted);
    default:
        return truth(day >= wanted);
    }
}

static enum imap_truth match_date(const struct imap_search_node *n, const struct imap_search_subject *s,
                                  void *ctx)
{
    int64_t seconds, day, wanted = (int64_t)n->number;
    if (n->op <= IMAP_SEARCH_SINCE) {
        if (!s->internal_date || !s->internal_date(ctx, &seconds, &day))
            return IMAP_UNKNOWN;
        return compare_day(n->op, IMAP_SEARCH_BEFORE, day, wanted);
    }
    if (n->op <= IMAP_SEARCH_SENTSINCE) {
        if (!s->sent_date || !s->sent_date(ctx, &day))
            return IMAP_UNKNOWN;
        return compare_day(n->op, IMAP_SEARCH_SENTBEFORE, day, wanted);
    }
    if (!s->save_date || !s->save_date(ctx, &day))
        return IMAP_UNKNOWN;
    return compare_day(n->op, IMAP_SEARCH_SAVEDBEFORE, day, wanted);
}

static enum imap_truth match_age(const struct imap_search_node *n, const struct imap_search_subject *s,
                                 void *ctx)
{
    int64_t seconds, day;
    if (!s->internal_date || !s->internal_date(ctx, &seconds, &day))
        return IMAP_UNKNOWN;
    bool young = seconds >= s->now - (int64_t)n->number;
    return truth(n->op == IMAP_SEARCH_YOUNGER ? young : seconds <= s->now - (int64_t)n->number);
}

static enum imap_truth match_number(const struct imap_search_node *n, const struct imap_search_subject *s,
                                    void *ctx)
{
    uint64_t value;
    if (n->op == IMAP_SEARCH_MODSEQ)
        return s->modseq && s->modseq(ctx, &value) ? truth(value >= n->number) : IMAP_UNKNOWN;
    if (!s->size || !s->size(ctx, &value))
        return IMAP_UNKNOWN;
    return truth(n->op == IMAP_SEARCH_LARGER ? value > n->number : value < n->number);
}

static enum imap_truth match_text(const struct imap_search_node *n, const struct imap_search_subject *s,
                                  void *ctx)
{
    enum imap_truth in_header = s->any_header ? s->any_header(ctx, &n->needle) : IMAP_UNKNOWN;
    if (in_header == IMAP_YES)
        return IMAP_YES;
    enum imap_truth in_body = s->body ? s->body(ctx, &n->needle) : IMAP_UNKNOWN;
    return in_body == IMAP_NO ? in_header : in_body;
}

static enum imap_truth match_node(const struct imap_search_node *n, const struct imap_search_subject *s,
                                  void *ctx);

/* AND stops at the first NO, OR at the first YES; UNKNOWN is kept when nothing decides. */
static enum imap_truth match_children(const struct imap_search_node *n, const struct imap_search_subject *s,
                                      void *ctx)
{
    enum imap_truth decides = n->op == IMAP_SEARCH_AND ? IMAP_NO : IMAP_YES;
    enum imap_truth result = inverse(decides);
    for (const struct imap_search_node *child = n->child; child; child = child->next) {
        enum imap_truth t = match_node(child, s, ctx);
        if (t == decides)
            return t;
        if (t == IMAP_UNKNOWN)
            result = IMAP_UNKNOWN;
    }
    return result;
}

static enum imap_truth match_node(const struct imap_search_node *n, const struct imap_search_subject *s,
                                  void *ctx)
{
    switch (n->op) {
    case IMAP_SEARCH_ALL:
        return IMAP_YES;
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_OR:
        return match_children(n, s, ctx);
    case IMAP_SEARCH_NOT:
        return inverse(match_node(n->child, s, ctx));
    case IMAP_SEARCH_UID:
        return truth(imap_set_contains(&n->set, s->uid));
    case IMAP_SEARCH_FLAG:
        return s->flag ? s->flag(ctx, (uint32_t)n->number) : IMAP_UNKNOWN;
    case IMAP_SEARCH_KEYWORD:
        return s->keyword ? s->keyword(ctx, n->needle.text) : IMAP_UNKNOWN;
    case IMAP_SEARCH_HEADER:
        return s->header ? s->header(ctx, n->name, &n->needle) : IMAP_UNKNOWN;
    case IMAP_SEARCH_BODY:
        return s->body ? s->body(ctx, &n->needle) : IMAP_UNKNOWN;
    case IMAP_SEARCH_TEXT:
        return match_text(n, s, ctx);
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER:
        return match_age(n, s, ctx);
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
    case IMAP_SEARCH_MODSEQ:
        return match_number(n, s, ctx);
    case IMAP_SEARCH_EMAILID:
        return s->email_id ? s->email_id(ctx, n->needle.text) : IMAP_UNKNOWN;
    case IMAP_SEARCH_THREADID:
        return s->thread_id ? s->thread_id(ctx, n->needle.text) : IMAP_UNKNOWN;
    case IMAP_SEARCH_NONE:
    case IMAP_SEARCH_SEQ:
    case IMAP_SEARCH_OP_COUNT:
        return IMAP_NO;
    default:
        return match_date(n, s, ctx);
    }
}

enum imap_truth imap_search_match(const struct imap_search_node *root,
                                  const struct imap_search_subject *subject, void *ctx)
{
    return match_node(root, subject, ctx);
}
