/* cmd_search.c: SEARCH and UID SEARCH (RFC 9051 section 6.4.4, RFC 4731 ESEARCH, RFC 7162 MODSEQ). What the
 * mailbox image can answer is answered here; the rest goes to store as a program over UIDs. */
#include <string.h>

#include "base/clock.h"
#include "grammar/imap_write.h"
#include "imap/capability.h"
#include "imap/command.h"

#define LOCAL_MAX                                                                                            \
    4000000 /* messages times keys evaluated here at once; more goes to store, which has threads */
#define DAY 86400

struct search_work {
    struct imap_set_builder uids;  /* from store */
    struct imap_set_builder found; /* in the client's numbers */
    uint64_t modseq;               /* the highest of those found */
    struct imap_set_walk walk;     /* of the answer */
    struct imap_set answer;
};

static struct search_work *work_of(struct session *s)
{
    return s->run->state;
}

static struct imap_search *search_of(struct session *s)
{
    return &s->run->command.search.search;
}

static void work_free(void *arg)
{
    struct search_work *w = arg;
    imap_set_builder_free(&w->uids);
    imap_set_builder_free(&w->found);
}

/* ---- the answer ---- */

/* "* SEARCH 2 3 6 (MODSEQ 917162500)": one line, written as the output takes it. */
static void write_numbers(struct session *s)
{
    struct search_work *w = work_of(s);
    struct buf *out = imap_session_output(s);
    uint32_t number;
    for (;;) {
        if (imap_session_is_full(s)) {
            s->run->resume = write_numbers;
            return;
        }
        if (!imap_set_walk_next(&w->walk, &number))
            break;
        buf_add_byte(out, ' ');
        buf_add_u64(out, number);
    }
    if (search_of(s)->has_modseq && w->answer.count > 0)
        buf_addf(out, " (MODSEQ %llu)", (unsigned long long)w->modseq);
    buf_add_str(out, "\r\n");
    imap_session_done(s, "OK Search completed");
}

/* search-return-data (RFC 4731 section 3.1) */
static void write_extended(struct session *s)
{
    struct search_work *w = work_of(s);
    const struct imap_search *search = search_of(s);
    struct buf *out = imap_session_output(s);
    bool any = w->answer.count > 0;
    buf_add_str(out, "* ESEARCH (TAG ");
    imap_write_string(out, s->run->command.tag);
    buf_add_str(out, s->run->command.uid ? ") UID" : ")");
    if ((search->returns & IMAP_RETURN_MIN) && any)
        buf_addf(out, " MIN %u", imap_set_lowest(&w->answer));
    if ((search->returns & IMAP_RETURN_MAX) && any)
        buf_addf(out, " MAX %u", imap_set_highest(&w->answer));
    if ((search->returns & IMAP_RETURN_ALL) && any) {
        buf_add_str(out, " ALL ");
        imap_set_write(out, &w->answer);
    }
    if (search->returns & IMAP_RETURN_COUNT)
        buf_addf(out, " COUNT %llu", (unsigned long long)imap_set_numbers(&w->answer));
    if (search->has_modseq && any)
        buf_addf(out, " MODSEQ %llu", (unsigned long long)w->modseq);
    buf_add_str(out, "\r\n");
    imap_session_done(s, "OK Search completed");
}

static void answer(struct session *s)
{
    struct search_work *w = work_of(s);
    w->answer = imap_set_builder_view(&w->found);
    w->walk = (struct imap_set_walk){.set = &w->answer};
    if (search_of(s)->extended) {
        write_extended(s);
        return;
    }
    buf_add_str(imap_session_output(s), "* SEARCH");
    write_numbers(s);
}

static void add_found(struct session *s, const struct imap_message *m)
{
    imap_set_builder_add(&work_of(s)->found, s->run->command.uid ? m->uid : m->seq);
}

/* ---- here ---- */

struct local {
    struct session *session;
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
    const struct image *image = l->session->selected->view.live->image;
    uint64_t bits = l->state.flags >> IMAGE_KEYWORD_SHIFT;
    for (unsigned k = 0; bits; k++, bits >>= 1)
        if ((bits & 1) && slice_ieq(image_keyword(image, k), keyword))
            return IMAP_YES;
    return IMAP_NO;
}

static const struct image_entry *local_entry(const struct local *l)
{
    return imap_view_entry(&l->session->selected->view, l->message.index);
}

static bool local_size(void *ctx, uint64_t *octets)
{
    *octets = local_entry(ctx)->size;
    return true;
}

static bool local_date(void *ctx, int64_t *seconds, int64_t *days)
{
    *seconds = local_entry(ctx)->date;
    *days = *seconds / DAY;
    return true;
}

static bool local_modseq(void *ctx, uint64_t *modseq)
{
    *modseq = ((struct local *)ctx)->state.modseq;
    return true;
}

static void search_here(struct session *s)
{
    const struct imap_search_node *root = search_of(s)->root;
    const struct imap_view *view = &s->selected->view;
    struct search_work *w = work_of(s);
    struct imap_search_subject subject = {.now = clock_unix_s(),
                                          .flag = local_flag,
                                          .keyword = local_keyword,
                                          .size = local_size,
                                          .internal_date = local_date,
                                          .modseq = local_modseq};
    struct local l = {.session = s};
    struct imap_range all = {1, UINT32_MAX};
    struct imap_set set = {.ranges = &all, .count = 1};
    for (struct imap_view_walk walk = imap_view_walk(view, &set, true); imap_view_next(&walk, &l.message);) {
        l.state = imap_view_state(view, l.message.index);
        subject.uid = l.message.uid;
        if (imap_search_match(root, &subject, &l) != IMAP_YES)
            continue;
        add_found(s, &l.message);
        w->modseq = l.state.modseq > w->modseq ? l.state.modseq : w->modseq;
    }
    answer(s);
}

/* ---- at store ---- */

static void on_searched(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct search_work *w = work_of(s);
    struct wire_searched searched;
    err = wire_answer(err, packet, WIRE_SEARCHED, &searched);
    if (err || searched.err) {
        imap_session_refused(s, err ? err : searched.err, searched.code, searched.text);
        return;
    }
    uint32_t first, last;
    while (wire_range_take(&searched.uids, &first, &last))
        imap_set_builder_add_range(&w->uids, first, last);
    w->modseq = searched.modseq > w->modseq ? searched.modseq : w->modseq;
    if (packet->more)
        return;
    struct imap_set uids = imap_set_builder_view(&w->uids);
    struct imap_message m;
    for (struct imap_view_walk walk = imap_view_walk(&s->selected->view, &uids, true);
         imap_view_next(&walk, &m);)
        add_found(s, &m);
    answer(s);
}

static void search_at_store(struct session *s)
{
    AUTO_BUF struct buf program = buf_new(WIRE_BLOB_MAX);
    struct why why;
    if (imap_search_encode(&program, search_of(s)->root, &why) != ERR_OK) {
        imap_session_done(s, "NO [LIMIT] The search is too long");
        return;
    }
    const struct wire_search message = {.grant = s->grant,
                                        .watch = s->selected->mailbox->watch,
                                        .max_uid = imap_view_last_uid(&s->selected->view),
                                        .program = buf_slice(&program)};
    imap_session_ask(s, ROLE_STORE, WIRE_SEARCH, &message, on_searched);
}

/* ---- translation ---- */

/* What only this session knows becomes UIDs. */
static void to_uids(struct session *s, struct imap_search_node *node, const struct imap_set *set)
{
    struct imap_set_builder uids = imap_view_uids(&s->selected->view, set, false);
    struct imap_set view = imap_set_builder_view(&uids);
    node->op = view.count ? IMAP_SEARCH_UID : IMAP_SEARCH_NONE;
    node->set = (struct imap_set){.count = view.count};
    node->set.ranges = ARENA_ARRAY(s->run->arena, struct imap_range, view.count + 1);
    if (view.count)
        memcpy(node->set.ranges, view.ranges, view.count * sizeof *view.ranges);
    imap_set_builder_free(&uids);
}

static void recent_to_uids(struct session *s, struct imap_search_node *node)
{
    const struct imap_view *v = &s->selected->view;
    node->op = v->recent_from ? IMAP_SEARCH_UID : IMAP_SEARCH_NONE;
    node->set = (struct imap_set){.ranges = ARENA_NEW(s->run->arena, struct imap_range), .count = 1};
    node->set.ranges[0] = (struct imap_range){v->recent_from, UINT32_MAX};
}

static bool translate_node(struct imap_search_node *node, void *ctx)
{
    struct session *s = ctx;
    if (node->set.saved) {
        imap_session_done(s, "BAD There is no saved search result");
        return false;
    }
    if (node->op == IMAP_SEARCH_SEQ && s->uidonly) {
        imap_session_done(s, "BAD [UIDREQUIRED] Only UIDs are understood after ENABLE UIDONLY");
        return false;
    }
    if (node->op == IMAP_SEARCH_FLAG && node->number == IMAP_FLAG_RECENT)
        recent_to_uids(s, node);
    else if (node->op == IMAP_SEARCH_UID)
        (void)!imap_view_resolve(&s->selected->view, &node->set, true);
    if (node->op != IMAP_SEARCH_SEQ)
        return true;
    /* A number beyond the mailbox matches nothing: Roundcube searches for numbers that may just have gone. */
    (void)!imap_view_resolve(&s->selected->view, &node->set, false);
    to_uids(s, node, &node->set);
    return true;
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

static bool may_search(struct session *s)
{
    const struct imap_search *search = search_of(s);
    if (search->charset_unknown)
        imap_session_done(s, "NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset");
    else if (search->charset.len > 0 && s->utf8_accept)
        imap_session_done(s, "BAD The charset is UTF-8"); /* RFC 9755 section 3 */
    else if (search->extended && !imap_capability_has(s, CAP_ESEARCH))
        imap_session_done(s, "BAD Unknown search key");
    else if (search->returns & (IMAP_RETURN_SAVE | IMAP_RETURN_PARTIAL))
        imap_session_done(s, "BAD Unknown RETURN option");
    else
        return true;
    return false;
}

void imap_cmd_search(struct session *s)
{
    struct run *run = s->run;
    struct imap_search *search = search_of(s);
    if (!may_search(s))
        return;
    if (s->rev2 && !search->extended) { /* RFC 9051 section 6.4.4: ESEARCH answers always */
        search->extended = true;
        search->returns = IMAP_RETURN_ALL;
    }
    if (search->has_modseq)
        imap_session_use_condstore(s);
    struct search_work *w = ARENA_NEW(run->arena, struct search_work);
    w->uids = imap_set_builder_new();
    w->found = imap_set_builder_new();
    arena_defer(run->arena, work_free, w);
    run->state = w;
    if (!imap_search_walk(search->root, translate_node, s))
        return; /* answered */
    search->root = imap_limit_search(s, search->root);
    if (!search->root)
        return; /* answered */
    struct cost cost = {0};
    (void)imap_search_walk(search->root, add_cost, &cost);
    if (cost.store || cost.nodes * imap_view_exists(&s->selected->view) > LOCAL_MAX)
        search_at_store(s);
    else
        search_here(s);
}
