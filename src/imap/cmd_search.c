/* cmd_search.c: SEARCH and UID SEARCH (RFC 9051 section 6.4.4, RFC 4731 ESEARCH, RFC 7162 MODSEQ). What the
 * mailbox image can answer is answered here; the rest goes to store as a program over UIDs. */
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/search.h"

/* ---- the answer ---- */

void imap_search_add(struct session *s, const struct imap_message *m)
{
    struct search_work *w = imap_search_work(s);
    imap_set_builder_add(&w->uids, m->uid);
    if (!s->run->command.uid)
        imap_set_builder_add(&w->numbers, m->seq);
}

static void found(struct session *s)
{
    struct search_work *w = imap_search_work(s);
    struct imap_set set = imap_set_builder_view(s->run->command.uid ? &w->uids : &w->numbers);
    w->found = (struct search_found){.set = set, .count = imap_set_numbers(&set)};
    imap_search_answer(s);
}

static void search_here(struct session *s)
{
    const struct imap_search_node *root = imap_search_of(s)->root;
    const struct imap_view *view = imap_search_view(s);
    struct search_work *w = imap_search_work(s);
    struct imap_range all = {1, UINT32_MAX};
    struct imap_set set = {.ranges = &all, .count = 1};
    struct imap_message m;
    for (struct imap_view_walk walk = imap_search_walk_here(view, root, &set); imap_view_next(&walk, &m);) {
        if (!imap_search_matches(view, root, &m))
            continue;
        imap_search_add(s, &m);
        uint64_t modseq = imap_view_state(view, m.index).modseq;
        w->modseq = modseq > w->modseq ? modseq : w->modseq;
    }
    found(s);
}

/* ---- at store ---- */

static void on_searched(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct search_work *w = imap_search_work(s);
    struct wire_searched searched;
    err = wire_answer(err, packet, WIRE_SEARCHED, &searched);
    if (!err && searched.err == ERR_ABSENT && w->finished) { /* the mailbox has gone: nothing found */
        w->finished(s);
        return;
    }
    if (err || searched.err) {
        imap_session_refused(s, err ? err : searched.err, searched.code, searched.text);
        return;
    }
    uint32_t first, last;
    while (wire_range_take(&searched.uids, &first, &last))
        imap_set_builder_add_range(&w->at_store, first, last);
    w->modseq = searched.modseq > w->modseq ? searched.modseq : w->modseq;
    if (packet->more)
        return;
    struct imap_set uids = imap_set_builder_view(&w->at_store);
    struct imap_message m;
    for (struct imap_view_walk walk = imap_view_walk(imap_search_view(s), &uids, true);
         imap_view_next(&walk, &m);)
        imap_search_add(s, &m);
    found(s);
}

static void search_at_store(struct session *s)
{
    AUTO_BUF struct buf program = buf_new(WIRE_BLOB_MAX);
    if (!imap_search_program(s, &program))
        return;
    const struct wire_search message = {.grant = s->grant,
                                        .watch = imap_search_watch(s),
                                        .max_uid = imap_view_last_uid(imap_search_view(s)),
                                        .program = buf_slice(&program)};
    imap_session_ask(s, ROLE_STORE, WIRE_SEARCH, &message, on_searched);
}

void imap_search_run(struct session *s)
{
    static const struct imap_sort unsorted;
    const struct imap_search *search = imap_search_of(s);
    uint64_t cost = imap_search_local_cost(search->root);
    if (search->returns & IMAP_RETURN_RELEVANCY)
        imap_search_sorted(s, &unsorted);
    else if (imap_search_fits_here(cost, imap_view_exists(imap_search_view(s))))
        search_here(s);
    else
        search_at_store(s);
}

void imap_cmd_search(struct session *s)
{
    struct imap_search *search = imap_search_of(s);
    if (s->rev2 && !search->extended) { /* RFC 9051 section 6.4.4: ESEARCH answers always */
        search->extended = true;
        search->returns = IMAP_RETURN_ALL;
    }
    if (imap_search_begin(s))
        imap_search_run(s);
}
