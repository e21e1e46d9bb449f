/* saved.c: the result that "$" stands for (RFC 5182, RFC 9051 section 6.4.4.1). It belongs to the selection
 * and is kept as UIDs, so that expunged messages drop out by themselves. Called by the commands that search
 * and those that take sets. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "imap/search.h"

void imap_saved_clear(struct session *s)
{
    struct selected *sel = s->selected;
    if (!sel || !sel->saved)
        return;
    imap_set_builder_free(sel->saved);
    free(sel->saved);
    sel->saved = NULL;
}

/* What the answer's numbers from `from` to `end` stand for, added to `numbers`. */
static void add_numbers(const struct search_found *found, uint64_t from, uint64_t end,
                        struct imap_set *numbers)
{
    struct imap_range run;
    for (struct search_runs runs = imap_search_runs(found, from, end); imap_search_next_run(&runs, &run);)
        numbers->ranges[numbers->count++] = run;
}

/* The part that is saved (RFC 9394 section 3.2, table 1): MIN, MAX and PARTIAL alone save what they tell. */
static struct imap_set chosen_in(struct session *s, const struct search_found *found)
{
    const struct imap_search *search = imap_search_of(s);
    const uint32_t parts = IMAP_RETURN_MIN | IMAP_RETURN_MAX | IMAP_RETURN_PARTIAL;
    uint64_t from = 0, end = found->count;
    bool all = !(search->returns & parts) || search->returns & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT);
    if (!all && search->returns & IMAP_RETURN_PARTIAL)
        imap_search_partial(search, found->count, &from, &end);
    else if (!all)
        end = 0;
    uint64_t room = found->listed ? end - from : found->set.count;
    struct imap_set set = {.ranges = ARENA_ARRAY(s->run->arena, struct imap_range, room + 3)};
    add_numbers(found, from, end, &set);
    if (!all && found->count && search->returns & IMAP_RETURN_MIN)
        add_numbers(found, 0, 1, &set);
    if (!all && found->count && search->returns & IMAP_RETURN_MAX)
        add_numbers(found, found->count - 1, found->count, &set);
    imap_set_normalise(&set, UINT32_MAX);
    return set;
}

bool imap_saved_set(struct session *s)
{
    struct imap_set numbers = chosen_in(s, &imap_search_work(s)->found);
    struct imap_set_builder uids = imap_view_uids(&s->selected->view, &numbers, s->run->command.uid);
    imap_saved_clear(s);
    if (!buf_ok(&uids.ranges) || uids.ranges.len > IMAP_SAVED_MAX) {
        imap_set_builder_free(&uids);
        return false;
    }
    if (uids.ranges.len == 0) {
        imap_set_builder_free(&uids);
        return true;
    }
    s->selected->saved = mem_zero(1, sizeof *s->selected->saved);
    *s->selected->saved = uids;
    return true;
}

struct imap_set imap_saved_in(struct session *s, bool by_uid)
{
    struct imap_set uids = {0}, set = {0};
    if (s->selected->saved)
        uids = imap_set_builder_view(s->selected->saved);
    set.ranges = ARENA_ARRAY(s->run->arena, struct imap_range, uids.count + 1);
    if (by_uid) {
        if (uids.count)
            memcpy(set.ranges, uids.ranges, uids.count * sizeof *uids.ranges);
        set.count = uids.count;
        return set;
    }
    struct imap_set_builder numbers = imap_set_builder_new();
    struct imap_message m;
    for (struct imap_view_walk walk = imap_view_walk(&s->selected->view, &uids, true);
         imap_view_next(&walk, &m);)
        imap_set_builder_add(&numbers, m.seq);
    struct imap_set view = imap_set_builder_view(&numbers); /* ranges of UIDs fall together or apart */
    set.ranges = ARENA_ARRAY(s->run->arena, struct imap_range, view.count + 1);
    if (view.count)
        memcpy(set.ranges, view.ranges, view.count * sizeof *view.ranges);
    set.count = view.count;
    imap_set_builder_free(&numbers);
    return set;
}
