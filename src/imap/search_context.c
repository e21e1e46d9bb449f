/* search_context.c: ADDTO and REMOVEFROM. What changed since a result was last looked at is evaluated anew,
 * here where the image can answer, else by store; sorted results are put in order by store. Input: programs
 * of the client, bounded by the parser; answers of store. Called by the commands that search, by sync.c, and
 * at the end of commands. */
#include "imap/search_context.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/imap_write.h"
#include "imap/search.h"

struct context {
    struct list node;
    struct arena *arena; /* tag and program */
    struct slice tag, blob;
    struct imap_search_node *root;
    bool uid;
    uint64_t cost;                   /* of looking at a message here; 0: only store can */
    struct imap_sort sort;           /* count 0: in the order of the mailbox */
    uint64_t modseq;                 /* changes up to here are in the result */
    struct imap_set_builder members; /* UIDs */
    uint32_t *order;                 /* the same as sorted */
    size_t count;
};

struct contexts {
    struct list all;
    size_t count;
    bool waiting;                             /* for store */
    uint64_t modseq;                          /* of the look under way */
    struct imap_set_builder changed, matched; /* UIDs looked at, and those of them that match */
    struct imap_set_builder added;
    struct buf order; /* le32 UIDs from store */
};

static struct contexts *contexts_of(const struct session *s)
{
    return s->selected ? s->selected->contexts : NULL;
}

static void context_free(struct contexts *cs, struct context *c)
{
    list_remove(&c->node);
    cs->count--;
    imap_set_builder_free(&c->members);
    free(c->order);
    arena_free(&c->arena);
    free(c);
}

void imap_contexts_free(struct selected *sel)
{
    struct contexts *cs = sel->contexts;
    if (!cs)
        return;
    LIST_EACH(&cs->all, node)
    {
        context_free(cs, CONTAINER_OF(node, struct context, node));
    }
    imap_set_builder_free(&cs->changed);
    imap_set_builder_free(&cs->matched);
    imap_set_builder_free(&cs->added);
    buf_free(&cs->order);
    free(cs);
    sel->contexts = NULL;
}

static struct context *find(const struct session *s, struct slice tag)
{
    struct contexts *cs = contexts_of(s);
    if (!cs)
        return NULL;
    LIST_EACH(&cs->all, node)
    {
        struct context *c = CONTAINER_OF(node, struct context, node);
        if (slice_eq(c->tag, tag))
            return c;
    }
    return NULL;
}

bool imap_context_has(const struct session *s, struct slice tag)
{
    return find(s, tag) != NULL;
}

bool imap_context_cancel(struct session *s, struct slice tag)
{
    struct context *c = find(s, tag);
    if (c)
        context_free(contexts_of(s), c);
    return c != NULL;
}

static void refuse(struct session *s, struct slice tag, const char *text)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* NO [NOUPDATE ");
    imap_write_string(out, tag);
    buf_addf(out, "] %s\r\n", text);
}

/* ---- a new one ---- */

static struct contexts *contexts_new(struct selected *sel)
{
    struct contexts *cs = mem_zero(1, sizeof *cs);
    list_init(&cs->all);
    cs->changed = imap_set_builder_new();
    cs->matched = imap_set_builder_new();
    cs->added = imap_set_builder_new();
    cs->order = buf_new(IMAP_CONTEXT_SORTED_MAX * 4);
    sel->contexts = cs;
    return cs;
}

/* The program as store would get it: a copy that outlives the command. */
static bool take_program(struct session *s, struct context *c)
{
    AUTO_BUF struct buf blob = buf_new(WIRE_BLOB_MAX);
    struct why why;
    if (imap_search_encode(&blob, imap_search_of(s)->root, &why) != ERR_OK)
        return false;
    c->blob = arena_dup(c->arena, buf_slice(&blob));
    return imap_search_decode_in(c->arena, c->blob, &c->root, &why) == ERR_OK;
}

static bool take_result(struct session *s, struct context *c)
{
    const struct search_work *w = imap_search_work(s);
    struct imap_set uids = imap_set_builder_view(&w->uids);
    for (size_t i = 0; i < uids.count; i++)
        imap_set_builder_add_range(&c->members, uids.ranges[i].lo, uids.ranges[i].hi);
    if (c->members.ranges.len > IMAP_CONTEXT_BYTES_MAX ||
        (c->sort.count && w->found.count > IMAP_CONTEXT_SORTED_MAX))
        return false;
    if (!c->sort.count)
        return true;
    c->order = mem_alloc((w->found.count + 1) * sizeof *c->order);
    c->count = w->found.count;
    memcpy(c->order, w->order, c->count * sizeof *c->order);
    return true;
}

/* Relevancy changes with what else is found: such results are not kept. */
static bool can_keep(const struct imap_sort *sort)
{
    for (size_t i = 0; i < sort->count; i++)
        if (sort->keys[i].key == IMAP_SORT_RELEVANCY)
            return false;
    return true;
}

void imap_context_add(struct session *s)
{
    const struct imap_command *command = &s->run->command;
    struct contexts *cs = s->selected->contexts ? s->selected->contexts : contexts_new(s->selected);
    struct context *c = mem_zero(1, sizeof *c);
    c->arena = arena_new(IMAP_CONTEXT_ARENA);
    c->tag = arena_dup(c->arena, command->tag);
    c->uid = command->uid;
    c->modseq = imap_search_work(s)->begun_modseq;
    c->members = imap_set_builder_new();
    if (command->verb == IMAP_SORT)
        c->sort = command->search.sort;
    bool room = cs->count < IMAP_CONTEXTS_MAX;
    list_push_back(&cs->all, &c->node);
    cs->count++;
    if (room && can_keep(&c->sort) && take_program(s, c) && take_result(s, c)) {
        c->cost = imap_search_local_cost(c->root);
        return;
    }
    refuse(s, c->tag, room ? "This result is not kept up to date" : "Too many contexts");
    context_free(cs, c);
}

/* ---- telling ---- */

static void write_head(struct session *s, const struct context *c, const char *item)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* ESEARCH (TAG ");
    imap_write_string(out, c->tag);
    buf_addf(out, ")%s %s (", c->uid ? " UID" : "", item);
}

static uint32_t number_of(const struct session *s, const struct context *c, uint32_t uid)
{
    return c->uid ? uid : imap_view_seq_of_uid(&s->selected->view, uid);
}

/* In the order of the mailbox: position 0 (section 4.3.3). */
static void tell_unordered(struct session *s, const struct context *c, const char *item,
                           const struct imap_set *uids)
{
    struct imap_set_builder numbers = imap_set_builder_new();
    struct imap_message m;
    for (struct imap_view_walk walk = imap_view_walk(&s->selected->view, uids, true);
         imap_view_next(&walk, &m);)
        imap_set_builder_add(&numbers, c->uid ? m.uid : m.seq);
    struct imap_set set = imap_set_builder_view(&numbers);
    if (set.count) {
        write_head(s, c, item);
        buf_add_str(imap_session_output(s), "0 ");
        imap_set_write(imap_session_output(s), &set);
        buf_add_str(imap_session_output(s), ")\r\n");
    }
    imap_set_builder_free(&numbers);
}

/* Pairs of position and results: those of `order` that are in `uids`. A removed one leaves the others behind
 * it one place nearer; an added one stands where it will be. */
static void tell_ordered(struct session *s, const struct context *c, bool add, const struct imap_set *uids)
{
    struct buf *out = imap_session_output(s);
    uint64_t kept = 0;
    bool any = false, in_run = false;
    for (size_t i = 0; i < c->count; i++) {
        if (!imap_set_contains(uids, c->order[i])) {
            kept++;
            in_run = false;
            continue;
        }
        if (!any)
            write_head(s, c, add ? "ADDTO" : "REMOVEFROM");
        if (!in_run)
            buf_addf(out, any ? " %llu " : "%llu ", (unsigned long long)(add ? i + 1 : kept + 1));
        else
            buf_add_byte(out, ',');
        buf_add_u64(out, number_of(s, c, c->order[i]));
        any = in_run = true;
    }
    if (any)
        buf_add_str(out, ")\r\n");
}

/* ---- the result as a set ---- */

static bool is_in(const struct imap_set_builder *builder, uint32_t uid)
{
    struct imap_set set = imap_set_builder_view(builder);
    return imap_set_contains(&set, uid);
}

static void clear(struct imap_set_builder *builder)
{
    imap_set_builder_free(builder);
    *builder = imap_set_builder_new();
}

/* `members` without `removed`, with `added`: both ascending, and neither overlaps what it should not. */
static void update_members(struct context *c, const struct imap_set *removed, const struct imap_set *added)
{
    struct imap_set_builder next = imap_set_builder_new();
    struct imap_set old = imap_set_builder_view(&c->members);
    struct imap_set_walk walk = {.set = &old}, fresh = {.set = added};
    uint32_t uid, add;
    bool more = imap_set_walk_next(&fresh, &add);
    while (imap_set_walk_next(&walk, &uid)) {
        for (; more && add < uid; more = imap_set_walk_next(&fresh, &add))
            imap_set_builder_add(&next, add);
        if (!imap_set_contains(removed, uid))
            imap_set_builder_add(&next, uid);
    }
    for (; more; more = imap_set_walk_next(&fresh, &add))
        imap_set_builder_add(&next, add);
    imap_set_builder_free(&c->members);
    c->members = next;
}

static void drop_from_order(struct context *c, const struct imap_set *removed)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++)
        if (!imap_set_contains(removed, c->order[i]))
            c->order[kept++] = c->order[i];
    c->count = kept;
}

static void remove_members(struct session *s, struct context *c, const struct imap_set *removed)
{
    static const struct imap_set none;
    if (!removed->count)
        return;
    if (c->sort.count)
        tell_ordered(s, c, false, removed);
    else
        tell_unordered(s, c, "REMOVEFROM", removed);
    drop_from_order(c, removed);
    update_members(c, removed, &none);
}

void imap_context_expunged(struct session *s, const uint32_t *indexes, uint32_t count)
{
    struct contexts *cs = contexts_of(s);
    if (!cs || !count)
        return;
    LIST_EACH(&cs->all, node)
    {
        struct context *c = CONTAINER_OF(node, struct context, node);
        struct imap_set_builder removed = imap_set_builder_new();
        for (uint32_t i = 0; i < count; i++) {
            uint32_t uid = imap_view_entry(&s->selected->view, indexes[i])->uid;
            if (is_in(&c->members, uid))
                imap_set_builder_add(&removed, uid);
        }
        struct imap_set set = imap_set_builder_view(&removed);
        remove_members(s, c, &set);
        imap_set_builder_free(&removed);
    }
}

/* ---- looking again ---- */

static void go_on(struct session *s)
{
    contexts_of(s)->waiting = false;
    if (s->run->ending)
        imap_session_ending(s);
    else if (s->run->changed)
        s->run->changed(s);
}

/* The one whose turn it is: the first that is behind. */
static struct context *next_behind(struct contexts *cs)
{
    LIST_EACH(&cs->all, node)
    {
        struct context *c = CONTAINER_OF(node, struct context, node);
        if (c->modseq < cs->modseq)
            return c;
    }
    return NULL;
}

/* Store is away, or says no: the result cannot be kept. */
static void give_up(struct session *s)
{
    struct contexts *cs = contexts_of(s);
    struct context *c = next_behind(cs);
    if (c) {
        refuse(s, c->tag, "The result could not be kept up to date");
        context_free(cs, c);
    }
    go_on(s);
}

static bool ask(struct session *s, enum wire_type type, const void *message, call_done *done)
{
    contexts_of(s)->waiting = imap_session_call(s, ROLE_STORE, type, message, done, NULL);
    return contexts_of(s)->waiting;
}

/* The new ones at their places among those the client has, which keep theirs: also such as store has no
 * longer. */
static void insert_added(struct contexts *cs, struct context *c)
{
    struct slice rest = buf_slice(&cs->order);
    struct imap_set added = imap_set_builder_view(&cs->added);
    uint32_t *merged = mem_alloc((rest.len / 4 + c->count + 1) * sizeof *merged), uid;
    size_t count = 0, at = 0;
    while (slice_take_le32(&rest, &uid)) {
        if (!is_in(&c->members, uid))
            continue; /* expunged meanwhile */
        if (imap_set_contains(&added, uid))
            merged[count++] = uid;
        else
            while (at < c->count && (merged[count++] = c->order[at++]) != uid)
                ;
    }
    while (at < c->count)
        merged[count++] = c->order[at++];
    free(c->order);
    c->order = merged;
    c->count = count;
}

static void on_sorted(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct contexts *cs = contexts_of(s);
    struct context *c = next_behind(cs);
    struct wire_arranged arranged;
    err = wire_answer(err, packet, WIRE_ARRANGED, &arranged);
    if (err || arranged.err) {
        give_up(s);
        return;
    }
    buf_add(&cs->order, arranged.list);
    if (packet->more)
        return;
    insert_added(cs, c);
    struct imap_set added = imap_set_builder_view(&cs->added);
    tell_ordered(s, c, true, &added);
    c->modseq = cs->modseq;
    go_on(s);
}

/* Where the new ones stand among the others. */
static bool ask_for_order(struct session *s, struct context *c)
{
    struct imap_search_node members = {.op = IMAP_SEARCH_UID, .set = imap_set_builder_view(&c->members)};
    AUTO_BUF struct buf program = buf_new(WIRE_BLOB_MAX);
    uint8_t keys[IMAP_SORT_KEYS_MAX];
    struct why why;
    size_t count = imap_search_sort_keys(&c->sort, keys);
    buf_clear(&contexts_of(s)->order);
    const struct wire_sort message = {.grant = s->grant,
                                      .watch = s->selected->mailbox->watch,
                                      .max_uid = imap_view_last_uid(&s->selected->view),
                                      .keys = slice_make(keys, count)};
    struct wire_sort sort = message;
    if (imap_search_encode(&program, &members, &why) != ERR_OK)
        return false;
    sort.program = buf_slice(&program);
    return ask(s, WIRE_SORT, &sort, on_sorted);
}

/* `matched` of `changed` is known. True when the result is up to date. */
static bool apply(struct session *s, struct context *c)
{
    struct contexts *cs = contexts_of(s);
    static const struct imap_set none;
    struct imap_set changed = imap_set_builder_view(&cs->changed);
    struct imap_set_builder removed = imap_set_builder_new();
    struct imap_message m;
    clear(&cs->added);
    for (struct imap_view_walk walk = imap_view_walk(&s->selected->view, &changed, true);
         imap_view_next(&walk, &m);) {
        bool was = is_in(&c->members, m.uid), is = is_in(&cs->matched, m.uid);
        if (was != is)
            imap_set_builder_add(is ? &cs->added : &removed, m.uid);
    }
    struct imap_set gone = imap_set_builder_view(&removed), added = imap_set_builder_view(&cs->added);
    remove_members(s, c, &gone);
    imap_set_builder_free(&removed);
    if (added.count) {
        update_members(c, &none, &added);
        if (c->sort.count && ask_for_order(s, c))
            return false;
        if (c->sort.count) { /* too scattered for one message */
            refuse(s, c->tag, "The result could not be kept up to date");
            context_free(cs, c);
            return true;
        }
        tell_unordered(s, c, "ADDTO", &added);
    }
    c->modseq = cs->modseq;
    return true;
}

static void on_searched(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct contexts *cs = contexts_of(s);
    struct wire_searched searched;
    err = wire_answer(err, packet, WIRE_SEARCHED, &searched);
    if (err || searched.err) {
        give_up(s);
        return;
    }
    uint32_t first, last;
    while (wire_range_take(&searched.uids, &first, &last))
        imap_set_builder_add_range(&cs->matched, first, last);
    if (!packet->more && apply(s, next_behind(cs)))
        go_on(s);
}

/* The program over what has changed. */
static bool ask_for_matches(struct session *s, struct context *c)
{
    struct contexts *cs = contexts_of(s);
    struct imap_search_node changed = {
        .op = IMAP_SEARCH_UID, .set = imap_set_builder_view(&cs->changed), .next = c->root};
    struct imap_search_node both = {.op = IMAP_SEARCH_AND, .child = &changed};
    AUTO_BUF struct buf program = buf_new(WIRE_BLOB_MAX);
    struct why why;
    if (imap_search_encode(&program, &both, &why) != ERR_OK)
        return false;
    const struct wire_search message = {.grant = s->grant,
                                        .watch = s->selected->mailbox->watch,
                                        .max_uid = imap_view_last_uid(&s->selected->view),
                                        .program = buf_slice(&program)};
    return ask(s, WIRE_SEARCH, &message, on_searched);
}

/* How many messages have changed. */
static uint64_t find_changed(struct session *s, const struct context *c)
{
    struct contexts *cs = contexts_of(s);
    const struct imap_view *view = &s->selected->view;
    struct imap_range range = {1, UINT32_MAX};
    struct imap_set all = {.ranges = &range, .count = 1};
    struct imap_message m, last = {0};
    uint64_t count = 0;
    clear(&cs->changed);
    for (struct imap_view_walk walk = imap_view_walk(view, &all, true); imap_view_next(&walk, &m);) {
        if (imap_view_state(view, m.index).modseq <= c->modseq)
            continue;
        /* between neighbours there is no other message */
        imap_set_builder_add_range(&cs->changed, last.seq && m.seq == last.seq + 1 ? last.uid : m.uid, m.uid);
        last = m;
        count++;
    }
    return count;
}

static void match_changed(struct session *s, const struct context *c)
{
    struct contexts *cs = contexts_of(s);
    const struct imap_view *view = &s->selected->view;
    struct imap_set changed = imap_set_builder_view(&cs->changed);
    struct imap_message m;
    for (struct imap_view_walk walk = imap_view_walk(view, &changed, true); imap_view_next(&walk, &m);)
        if (imap_search_matches(view, c->root, &m))
            imap_set_builder_add(&cs->matched, m.uid);
}

/* True when the result is up to date (or given up). */
static bool look_again(struct session *s, struct context *c)
{
    struct contexts *cs = contexts_of(s);
    uint64_t count = find_changed(s, c);
    clear(&cs->matched);
    if (!count) {
        c->modseq = cs->modseq;
        return true;
    }
    if (imap_search_fits_here(c->cost, count)) {
        match_changed(s, c);
        return apply(s, c);
    }
    if (ask_for_matches(s, c))
        return false;
    refuse(s, c->tag, "The result could not be kept up to date");
    context_free(cs, c);
    return true;
}

bool imap_context_step(struct session *s)
{
    struct contexts *cs = contexts_of(s);
    struct context *c;
    if (!cs || !s->run)
        return true;
    if (cs->waiting)
        return false;
    cs->modseq = s->selected->view.modseq;
    while ((c = next_behind(cs)))
        if (!look_again(s, c))
            return false;
    return true;
}
