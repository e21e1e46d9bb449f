/* search_answer.c: what SEARCH and SORT found, as the client asked to be told: plain numbers (RFC 9051
 * section 7.3.4, RFC 5256) or ESEARCH with its items (RFC 4731, 5267, 9394). Written as the output takes it.
 */
#include "grammar/imap_write.h"
#include "imap/search_context.h"
#include "imap/search.h"

struct search_work *imap_search_work(struct session *s)
{
    return s->run->state;
}

struct imap_search *imap_search_of(struct session *s)
{
    return &s->run->command.search.search;
}

/* ---- runs ---- */

struct search_runs imap_search_runs(const struct search_found *found, uint64_t from, uint64_t end)
{
    return (struct search_runs){.found = found, .at = from, .end = end < found->count ? end : found->count};
}

static bool next_of_set(struct search_runs *r, struct imap_range *run)
{
    const struct imap_set *set = &r->found->set;
    while (r->range < set->count) {
        struct imap_range whole = set->ranges[r->range];
        uint64_t length = (uint64_t)whole.hi - whole.lo + 1;
        if (r->at >= r->before + length) {
            r->before += length;
            r->range++;
            continue;
        }
        uint64_t skip = r->at - r->before, left = r->end - r->at;
        run->lo = whole.lo + (uint32_t)skip;
        run->hi = length - skip > left ? run->lo + (uint32_t)(left - 1) : whole.hi;
        r->at += (uint64_t)run->hi - run->lo + 1;
        return true;
    }
    return false;
}

/* Ranges only upwards (RFC 5267 section 3.2). */
static void next_of_list(struct search_runs *r, struct imap_range *run)
{
    const uint32_t *numbers = r->found->numbers;
    *run = (struct imap_range){numbers[r->at], numbers[r->at]};
    for (r->at++; r->at < r->end && run->hi < UINT32_MAX && numbers[r->at] == run->hi + 1; r->at++)
        run->hi++;
}

bool imap_search_next_run(struct search_runs *r, struct imap_range *run)
{
    if (r->at >= r->end)
        return false;
    if (!r->found->listed)
        return next_of_set(r, run);
    next_of_list(r, run);
    return true;
}

void imap_search_partial(const struct imap_search *search, uint64_t count, uint64_t *from, uint64_t *end)
{
    int64_t a = search->partial_from, b = search->partial_to;
    uint64_t low = (uint64_t)(a < 0 ? -a : a), high = (uint64_t)(b < 0 ? -b : b);
    if (low > high) {
        uint64_t swap = low;
        low = high;
        high = swap;
    }
    high = high < count ? high : count;
    *from = *end = 0;
    if (low > count)
        return;
    *from = a < 0 ? count - high : low - 1;
    *end = a < 0 ? count - low + 1 : high;
}

/* ---- items of ESEARCH ---- */

static uint32_t number_at(const struct search_found *found, uint64_t at)
{
    struct search_runs runs = imap_search_runs(found, at, at + 1);
    struct imap_range run;
    return imap_search_next_run(&runs, &run) ? run.lo : 0;
}

/* The change number of one result, that of the message as it is now. */
static uint64_t modseq_of(struct session *s, uint32_t number)
{
    struct imap_range range = {number, number};
    struct imap_set set = {.ranges = &range, .count = 1};
    struct imap_message m;
    struct imap_view_walk walk = imap_view_walk(imap_search_view(s), &set, s->run->command.uid);
    return imap_view_next(&walk, &m) ? imap_view_state(imap_search_view(s), m.index).modseq : 0;
}

/* RFC 4731 section 3.2: of MIN and MAX alone only their messages count. */
static uint64_t told_modseq(struct session *s)
{
    const struct search_work *w = imap_search_work(s);
    uint32_t returns =
        imap_search_of(s)->returns & ~(uint32_t)(IMAP_RETURN_SAVE | IMAP_RETURN_UPDATE | IMAP_RETURN_CONTEXT);
    uint64_t low = 0, high = 0;
    if (returns & ~(uint32_t)(IMAP_RETURN_MIN | IMAP_RETURN_MAX))
        return w->modseq;
    if (returns & IMAP_RETURN_MIN)
        low = modseq_of(s, number_at(&w->found, 0));
    if (returns & IMAP_RETURN_MAX)
        high = modseq_of(s, number_at(&w->found, w->found.count - 1));
    return low > high ? low : high;
}

static bool item_min(struct session *s)
{
    const struct search_found *found = &imap_search_work(s)->found;
    if (found->count)
        buf_addf(imap_session_output(s), " MIN %u", number_at(found, 0));
    return true;
}

static bool item_max(struct session *s)
{
    const struct search_found *found = &imap_search_work(s)->found;
    if (found->count)
        buf_addf(imap_session_output(s), " MAX %u", number_at(found, found->count - 1));
    return true;
}

/* Goes on with work->runs; false when the output is full. */
static bool write_runs(struct session *s)
{
    struct search_work *w = imap_search_work(s);
    struct buf *out = imap_session_output(s);
    struct imap_range run;
    while (!imap_session_is_full(s)) {
        if (!imap_search_next_run(&w->runs, &run))
            return true;
        if (w->number_before)
            buf_add_byte(out, ',');
        w->number_before = true;
        buf_add_u64(out, run.lo);
        if (run.hi != run.lo) {
            buf_add_byte(out, ':');
            buf_add_u64(out, run.hi);
        }
    }
    return false;
}

static bool item_all(struct session *s)
{
    struct search_work *w = imap_search_work(s);
    if (!w->found.count)
        return true;
    if (!w->begun) {
        buf_add_str(imap_session_output(s), " ALL ");
        w->runs = imap_search_runs(&w->found, 0, w->found.count);
        w->number_before = false;
        w->begun = true;
    }
    return write_runs(s);
}

static bool item_partial(struct session *s)
{
    const struct imap_search *search = imap_search_of(s);
    struct search_work *w = imap_search_work(s);
    struct buf *out = imap_session_output(s);
    uint64_t from, end;
    if (!w->begun) {
        imap_search_partial(search, w->found.count, &from, &end);
        int64_t a = search->partial_from, b = search->partial_to; /* 4:2 and 2:4 are the same range */
        bool turned = a < 0 ? a < b : a > b;
        buf_addf(out, " PARTIAL (%lld:%lld ", (long long)(turned ? b : a), (long long)(turned ? a : b));
        if (from == end)
            buf_add_str(out, "NIL");
        w->runs = imap_search_runs(&w->found, from, end);
        w->number_before = false;
        w->begun = true;
    }
    if (!write_runs(s))
        return false;
    buf_add_byte(out, ')');
    return true;
}

static bool item_count(struct session *s)
{
    buf_addf(imap_session_output(s), " COUNT %llu", (unsigned long long)imap_search_work(s)->found.count);
    return true;
}

/* Of the results that are told: those of PARTIAL, or all. */
static bool item_relevancy(struct session *s)
{
    const struct imap_search *search = imap_search_of(s);
    struct search_work *w = imap_search_work(s);
    struct buf *out = imap_session_output(s);
    uint64_t from = 0, end = w->found.count;
    if (search->returns & IMAP_RETURN_PARTIAL)
        imap_search_partial(search, w->found.count, &from, &end);
    if (!w->begun) {
        buf_add_str(out, " RELEVANCY (");
        w->score_at = from;
        w->begun = true;
    }
    for (; w->score_at < end && !imap_session_is_full(s); w->score_at++)
        buf_addf(out, w->score_at > from ? " %u" : "%u", w->scores[w->score_at]);
    if (w->score_at < end)
        return false;
    buf_add_byte(out, ')');
    return true;
}

/* Each writes its part, and answers false when it must go on later. */
static const struct {
    uint32_t bit;
    bool (*write)(struct session *s);
} items[] = {
    {IMAP_RETURN_MIN, item_min},     {IMAP_RETURN_MAX, item_max},
    {IMAP_RETURN_ALL, item_all},     {IMAP_RETURN_PARTIAL, item_partial},
    {IMAP_RETURN_COUNT, item_count}, {IMAP_RETURN_RELEVANCY, item_relevancy},
};
#define ITEMS (sizeof items / sizeof *items)

static void finish(struct session *s)
{
    if (imap_search_of(s)->returns & IMAP_RETURN_UPDATE)
        imap_context_add(s);
    if (imap_search_work(s)->finished)
        imap_search_work(s)->finished(s);
    else
        imap_session_done(s, "OK %s completed", imap_verb_name(s->run->command.verb));
}

static void write_items(struct session *s)
{
    struct search_work *w = imap_search_work(s);
    const struct imap_search *search = imap_search_of(s);
    struct buf *out = imap_session_output(s);
    for (; w->item < ITEMS; w->item++, w->begun = false) {
        if (!(search->returns & items[w->item].bit) || items[w->item].write(s))
            continue;
        s->run->resume = write_items;
        return;
    }
    if (search->has_modseq && w->found.count)
        buf_addf(out, " MODSEQ %llu", (unsigned long long)told_modseq(s));
    buf_add_str(out, "\r\n");
    finish(s);
}

/* search-correlator (RFC 7377 section 2.1) */
static void write_place(struct session *s)
{
    const struct search_work *w = imap_search_work(s);
    struct buf *out = imap_session_output(s);
    buf_add_str(out, " MAILBOX ");
    imap_write_mailbox(out, w->place ? w->place->name : slice_make(s->selected->name, s->selected->name_len),
                       s->utf8);
    buf_addf(out, " UIDVALIDITY %u", imap_search_view(s)->map->image->uidvalidity);
}

static void write_extended(struct session *s)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* ESEARCH (TAG ");
    imap_write_string(out, s->run->command.tag);
    if (imap_search_work(s)->correlate)
        write_place(s);
    buf_add_str(out, s->run->command.uid ? ") UID" : ")");
    write_items(s);
}

/* "* SEARCH 2 3 6 (MODSEQ 917162500)" */
static void write_numbers(struct session *s)
{
    struct search_work *w = imap_search_work(s);
    struct buf *out = imap_session_output(s);
    struct imap_range run;
    while (w->begun || imap_search_next_run(&w->runs, &run)) {
        if (w->begun) { /* in the midst of one */
            run = w->run;
            w->begun = false;
        }
        for (uint64_t n = run.lo; n <= run.hi; n++) {
            if (imap_session_is_full(s)) {
                w->run = (struct imap_range){(uint32_t)n, run.hi};
                w->begun = true;
                s->run->resume = write_numbers;
                return;
            }
            buf_add_byte(out, ' ');
            buf_add_u64(out, n);
        }
    }
    if (imap_search_of(s)->has_modseq && w->found.count)
        buf_addf(out, " (MODSEQ %llu)", (unsigned long long)w->modseq);
    buf_add_str(out, "\r\n");
    finish(s);
}

void imap_search_answer(struct session *s)
{
    struct search_work *w = imap_search_work(s);
    const struct imap_search *search = imap_search_of(s);
    if (search->returns & IMAP_RETURN_SAVE && !imap_saved_set(s)) {
        imap_session_done(s, "NO [NOTSAVED] The result is too large to be kept");
        return;
    }
    uint32_t told = search->returns & ~(uint32_t)(IMAP_RETURN_UPDATE | IMAP_RETURN_CONTEXT);
    bool silent = w->correlate && !w->found.count;                  /* RFC 7377 section 2.1 */
    if (silent || (search->extended && told == IMAP_RETURN_SAVE)) { /* RFC 5182 section 1: no answer but OK */
        finish(s);
        return;
    }
    if (search->extended) {
        write_extended(s);
        return;
    }
    w->runs = imap_search_runs(&w->found, 0, w->found.count);
    buf_addf(imap_session_output(s), "* %s", imap_verb_name(s->run->command.verb));
    write_numbers(s);
}
