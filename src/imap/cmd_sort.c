/* cmd_sort.c: SORT and UID SORT (RFC 5256, 5957), with RETURN options (RFC 5267 section 3). Store searches
 * and orders; here UIDs become the client's numbers. */
#include <string.h>

#include "imap/capability.h"
#include "imap/command.h"
#include "imap/search.h"

/* In the order of the mailbox, for search_context.c. */
static void gather_uids(struct session *s, const uint32_t *order, size_t count)
{
    struct imap_set set = {.ranges = ARENA_ARRAY(s->run->arena, struct imap_range, count + 1),
                           .count = count};
    for (size_t i = 0; i < count; i++)
        set.ranges[i] = (struct imap_range){order[i], order[i]};
    imap_set_normalise(&set, UINT32_MAX);
    for (size_t i = 0; i < set.count; i++)
        imap_set_builder_add_range(&imap_search_work(s)->uids, set.ranges[i].lo, set.ranges[i].hi);
}

/* UIDs of store, and their scores, as the client counts; messages that are not in the view are left out. */
static void take_numbers(struct session *s)
{
    bool scored = imap_search_of(s)->strict;
    struct search_work *w = imap_search_work(s);
    const struct imap_view *view = imap_search_view(s);
    struct slice rest = buf_slice(&w->list);
    uint32_t *numbers = ARENA_ARRAY(s->run->arena, uint32_t, rest.len / 4 + 1), uid, score = 0;
    uint32_t *order = ARENA_ARRAY(s->run->arena, uint32_t, rest.len / 4 + 1);
    uint8_t *scores = ARENA_ARRAY(s->run->arena, uint8_t, scored ? rest.len / 8 + 1 : 1);
    size_t count = 0;
    bool by_uid = s->run->command.uid;
    while (slice_take_le32(&rest, &uid) && (!scored || slice_take_le32(&rest, &score))) {
        /* what store finds is in the view: it is asked only up to the highest UID there */
        uint32_t seq = by_uid ? uid : imap_view_seq_of_uid(view, uid);
        if (!seq)
            continue;
        if (scored)
            scores[count] = (uint8_t)score;
        order[count] = uid;
        numbers[count++] = seq;
    }
    w->scores = scores;
    w->order = order;
    if (imap_search_of(s)->returns & IMAP_RETURN_UPDATE)
        gather_uids(s, order, count);
    buf_free(&w->list);
    w->found = (struct search_found){.listed = true, .numbers = numbers, .count = count};
}

static void on_sorted(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct search_work *w = imap_search_work(s);
    struct wire_arranged arranged;
    err = wire_answer(err, packet, WIRE_ARRANGED, &arranged);
    if (err || arranged.err) {
        imap_session_refused(s, err ? err : arranged.err, arranged.code, arranged.text);
        return;
    }
    buf_add(&w->list, arranged.list);
    w->modseq = arranged.modseq;
    if (packet->more)
        return;
    take_numbers(s);
    imap_search_answer(s);
}

static bool may_sort(struct session *s)
{
    const struct imap_sort *sort = &s->run->command.search.sort;
    for (size_t i = 0; i < sort->count; i++) {
        enum imap_sort_key key = sort->keys[i].key;
        bool display = key == IMAP_SORT_DISPLAYFROM || key == IMAP_SORT_DISPLAYTO;
        bool relevancy = key == IMAP_SORT_RELEVANCY; /* only of FUZZY searches (RFC 6203 section 6) */
        if ((!display || imap_capability_has(s, CAP_SORT_DISPLAY)) &&
            (!relevancy || (imap_capability_has(s, CAP_SEARCH_FUZZY) && imap_search_of(s)->strict)))
            continue;
        imap_session_done(s, "BAD Unknown sort key");
        return false;
    }
    return true;
}

size_t imap_search_sort_keys(const struct imap_sort *sort, uint8_t keys[IMAP_SORT_KEYS_MAX])
{
    size_t count = sort->count < IMAP_SORT_KEYS_MAX ? sort->count : IMAP_SORT_KEYS_MAX;
    for (size_t i = 0; i < count; i++)
        keys[i] = (uint8_t)(sort->keys[i].key | (sort->keys[i].reverse ? WIRE_SORT_REVERSE : 0));
    return count;
}

void imap_search_sorted(struct session *s, const struct imap_sort *sort)
{
    AUTO_BUF struct buf program = buf_new(WIRE_BLOB_MAX), strict = buf_new(WIRE_STRICT_MAX);
    uint8_t keys[IMAP_SORT_KEYS_MAX];
    if (!imap_search_program(s, &program) || (imap_search_of(s)->strict && !imap_search_strict(s, &strict)))
        return;
    const struct wire_sort message = {.grant = s->grant,
                                      .watch = imap_search_watch(s),
                                      .max_uid = imap_view_last_uid(imap_search_view(s)),
                                      .keys = slice_make(keys, imap_search_sort_keys(sort, keys)),
                                      .program = buf_slice(&program),
                                      .strict = buf_slice(&strict)};
    imap_session_ask(s, ROLE_STORE, WIRE_SORT, &message, on_sorted);
}

void imap_cmd_sort(struct session *s)
{
    if (may_sort(s) && imap_search_begin(s))
        imap_search_sorted(s, &s->run->command.search.sort);
}
