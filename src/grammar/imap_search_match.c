/* imap_search_match.c: whether a message matches a search program. Input: programs decoded strictly, texts of
 * any origin. Called by store. */
#include <string.h>

#include "grammar/casefold.h"
#include "grammar/imap_search.h"

struct imap_needle imap_needle_in(struct arena *arena, struct slice text)
{
    struct imap_needle needle = {.text = text};
    /* Folding can lengthen: U+2C62 (3 octets) and its like stay within 4 octets a code point. */
    uint8_t *folded = ARENA_ARRAY(arena, uint8_t, 4 * text.len + 1);
    size_t n = 0;
    for (size_t at = 0; at < text.len;)
        n += casefold_put(folded + n, casefold_next(text, &at));
    needle.folded = slice_make(folded, n);
    needle.ascii = slice_is_ascii(needle.folded);
    needle.foreign =
        needle.ascii && (slice_find(needle.folded, 'k') >= 0 || slice_find(needle.folded, 's') >= 0);
    return needle;
}

/* Letters of mail text by how common they are; the search looks for the needle's rarest first. */
static unsigned commonness(uint8_t c)
{
    static const char by_frequency[] = "zqxjkvbpygfwmculdrhsnioate ";
    const char *at = c ? strchr(by_frequency, c) : NULL;
    return at ? (unsigned)(at - by_frequency) + 1 : 0;
}

static size_t rarest(struct slice needle)
{
    size_t best = 0;
    for (size_t i = 1; i < needle.len; i++)
        if (commonness(needle.ptr[i]) < commonness(needle.ptr[best]))
            best = i;
    return best;
}

static bool equal_folded(const uint8_t *text, struct slice needle)
{
    for (size_t i = 0; i < needle.len; i++)
        if (ascii_lower(text[i]) != needle.ptr[i])
            return false;
    return true;
}

static const uint8_t *find_byte(const uint8_t *from, const uint8_t *end, uint8_t c)
{
    const uint8_t *at = from < end ? memchr(from, c, (size_t)(end - from)) : NULL;
    return at ? at : end;
}

static bool match_ascii(struct slice needle, struct slice text)
{
    if (text.len < needle.len)
        return false;
    size_t pivot = rarest(needle);
    const uint8_t *end = text.ptr + text.len - (needle.len - 1 - pivot);
    uint8_t low = needle.ptr[pivot], high = ascii_upper(low);
    const uint8_t *next_low = find_byte(text.ptr + pivot, end, low);
    const uint8_t *next_high = high == low ? end : find_byte(text.ptr + pivot, end, high);
    while (next_low < end || next_high < end) {
        const uint8_t *at = next_low < next_high ? next_low : next_high;
        if (equal_folded(at - pivot, needle))
            return true;
        if (at == next_low)
            next_low = find_byte(at + 1, end, low);
        else
            next_high = find_byte(at + 1, end, high);
    }
    return false;
}

static bool matches_at(struct slice needle, struct slice text, size_t at)
{
    for (size_t n = 0; n < needle.len;) {
        if (at >= text.len || casefold_next(text, &at) != casefold_next(needle, &n))
            return false;
    }
    return true;
}

static bool match_code_points(struct slice needle, struct slice text)
{
    size_t n = 0;
    int32_t first = casefold_next(needle, &n);
    for (size_t at = 0; at < text.len;) {
        size_t start = at;
        if (casefold_next(text, &at) == first && matches_at(needle, text, start))
            return true;
    }
    return false;
}

/* KELVIN SIGN folds to "k", LATIN SMALL LETTER LONG S to "s". */
static bool has_foreign_letters(struct slice text)
{
    return memmem(text.ptr, text.len, "\xe2\x84\xaa", 3) || memmem(text.ptr, text.len, "\xc5\xbf", 2);
}

bool imap_needle_match(const struct imap_needle *needle, struct slice text)
{
    if (needle->folded.len == 0)
        return true;
    if (text.len == 0 || text.len > INT32_MAX)
        return false;
    if (!needle->ascii)
        return match_code_points(needle->folded, text);
    if (match_ascii(needle->folded, text))
        return true;
    return needle->foreign && has_foreign_letters(text) && match_code_points(needle->folded, text);
}

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
