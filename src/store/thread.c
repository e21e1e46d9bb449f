/* thread.c: the threading algorithms over plain arrays. Input: ids and dates of strangers' messages: any
 * graph. Called by threads.c. No recursion: a thread may be as deep as the mailbox is long. */
#include "store/thread.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "store/sort.h"

#define NONE UINT32_MAX

/* Nodes are numbers: the messages first, then those that are only referred to, then those step 5 makes. */
struct forest {
    const struct thread_message *messages;
    uint32_t count; /* messages */
    uint32_t nodes, node_cap;
    uint32_t *parent;
    uint32_t *children; /* how many; valid while links are made */
    uint64_t *ids;      /* by node; 0: none */
    uint32_t *slots;    /* from ids to nodes */
    uint64_t mask, seed;
    uint64_t steps;
    uint32_t *order; /* messages by sent date, then number */
};

/* ---- ids ---- */

static uint32_t *slot_of(const struct forest *f, uint64_t id)
{
    uint64_t at = (id ^ f->seed) * 0x9e3779b97f4a7c15ull >> 20 & f->mask;
    while (f->slots[at] != NONE && f->ids[f->slots[at]] != id)
        at = (at + 1) & f->mask;
    return &f->slots[at];
}

static uint32_t new_node(struct forest *f, uint64_t id)
{
    if (f->nodes == f->node_cap) {
        f->node_cap *= 2;
        f->parent = mem_realloc(f->parent, f->node_cap * sizeof *f->parent);
        f->children = mem_realloc(f->children, f->node_cap * sizeof *f->children);
        f->ids = mem_realloc(f->ids, f->node_cap * sizeof *f->ids);
    }
    f->parent[f->nodes] = NONE;
    f->children[f->nodes] = 0;
    f->ids[f->nodes] = id;
    return f->nodes++;
}

static uint32_t node_of(struct forest *f, uint64_t id)
{
    uint32_t *slot = slot_of(f, id);
    if (*slot == NONE)
        *slot = new_node(f, id);
    return *slot;
}

/* Of messages with the same id the first one has it. */
static void add_messages(struct forest *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        uint64_t id = f->messages[i].id;
        uint32_t *slot = id ? slot_of(f, id) : NULL;
        bool first = slot && *slot == NONE;
        uint32_t node = new_node(f, first ? id : 0);
        if (first)
            *slot = node;
    }
}

/* ---- step 1: links ---- */

/* Whether `node` is `child` or stands below it. Without children nothing does. */
static bool is_below(struct forest *f, uint32_t node, uint32_t child)
{
    if (node == child)
        return true;
    if (f->children[child] == 0)
        return false;
    for (; node != NONE && f->steps < THREAD_STEPS_MAX; f->steps++) {
        if (node == child)
            return true;
        node = f->parent[node];
    }
    return node != NONE; /* not found out: as if it were */
}

static void link_nodes(struct forest *f, uint32_t parent, uint32_t child)
{
    if (is_below(f, parent, child))
        return;
    f->parent[child] = parent;
    f->children[parent]++;
}

static void cut_link(struct forest *f, uint32_t child)
{
    if (f->parent[child] != NONE)
        f->children[f->parent[child]]--;
    f->parent[child] = NONE;
}

static void link_message(struct forest *f, uint32_t message, uint32_t most)
{
    const struct thread_message *m = &f->messages[message];
    uint32_t last = NONE;
    for (uint32_t i = m->ref_count > most ? m->ref_count - most : 0; i < m->ref_count; i++) { /* (A) */
        uint32_t node = node_of(f, m->refs[i]);
        if (last != NONE && f->parent[node] == NONE)
            link_nodes(f, last, node);
        last = node;
    }
    if (f->parent[message] == last) /* (B) */
        return;
    cut_link(f, message);
    if (last != NONE)
        link_nodes(f, last, message);
}

/* How many references each message may have so that all together are not too many. */
static uint32_t refs_each(const struct thread_message *messages, size_t count, uint64_t *all)
{
    *all = 0;
    for (size_t i = 0; i < count; i++)
        *all += messages[i].ref_count;
    if (*all <= THREAD_REFS_MAX)
        return UINT32_MAX;
    uint64_t each = THREAD_REFS_MAX / count;
    each = each ? each : 1;
    *all = each * count;
    return (uint32_t)each;
}

static void link_all(struct forest *f)
{
    uint64_t refs, size = 64;
    uint32_t most = refs_each(f->messages, f->count, &refs);
    while (size < 2 * (f->count + refs))
        size *= 2;
    f->mask = size - 1;
    f->slots = mem_alloc(size * sizeof *f->slots);
    memset(f->slots, 0xff, size * sizeof *f->slots);
    random_fill(&f->seed, sizeof f->seed);
    add_messages(f);
    for (uint32_t i = 0; i < f->count; i++)
        link_message(f, i, most);
    free(f->slots);
    f->slots = NULL;
}

/* ---- steps 2 and 3: only messages, and dummies at the top ---- */

/* The next message above the dummy, or the topmost dummy; what was found is noted on the way. */
static uint32_t message_above(struct forest *f, uint32_t dummy)
{
    uint32_t top = dummy;
    while (top >= f->count && f->parent[top] != NONE)
        top = f->parent[top];
    while (dummy != top && dummy >= f->count) {
        uint32_t next = f->parent[dummy];
        f->parent[dummy] = top;
        dummy = next;
    }
    return top;
}

/* An only child of a dummy takes its place; a dummy without children is never named. */
static void prune(struct forest *f)
{
    memset(f->children, 0, f->nodes * sizeof *f->children);
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->parent[i] != NONE && f->parent[i] >= f->count)
            f->parent[i] = message_above(f, f->parent[i]);
        if (f->parent[i] != NONE)
            f->children[f->parent[i]]++;
    }
    for (uint32_t i = 0; i < f->count; i++)
        if (f->parent[i] != NONE && f->parent[i] >= f->count && f->children[f->parent[i]] == 1)
            f->parent[i] = NONE;
}

/* ---- order ---- */

static void order_by_date(struct forest *f)
{
    struct sort_item *items = mem_alloc((2 * (size_t)f->count + 1) * sizeof *items);
    for (uint32_t i = 0; i < f->count; i++)
        items[i] = (struct sort_item){sort_signed(f->messages[i].sent), i};
    sort_items(items, items + f->count, f->count);
    for (uint32_t i = 0; i < f->count; i++)
        f->order[i] = items[i].index;
    free(items);
}

/* What stands at the top, by the date of the message or of the dummy's first child. */
struct roots {
    struct root {
        uint32_t node;
        uint32_t message; /* itself, or the first child of a dummy */
    } * at;
    uint32_t count;
};

static struct roots roots_of(const struct forest *f)
{
    struct roots roots = {.at = mem_alloc((f->count + 1) * sizeof *roots.at)};
    uint8_t *seen = mem_zero(f->nodes - f->count + 1, 1);
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t message = f->order[i], parent = f->parent[message];
        if (parent == NONE) {
            roots.at[roots.count++] = (struct root){message, message};
        } else if (parent >= f->count && !seen[parent - f->count]) {
            seen[parent - f->count] = 1;
            roots.at[roots.count++] = (struct root){parent, message};
        }
    }
    free(seen);
    return roots;
}

/* ---- step 5: the same subject ---- */

struct subject_table {
    struct subject_row {
        uint32_t subject; /* 0: free */
        uint32_t node;
        bool reply;
    } * rows;
    uint64_t mask;
};

static struct subject_row *row_of(const struct subject_table *t, uint32_t subject)
{
    uint64_t at = subject * 0x9e3779b97f4a7c15ull >> 20 & t->mask;
    while (t->rows[at].subject && t->rows[at].subject != subject)
        at = (at + 1) & t->mask;
    return &t->rows[at];
}

/* (B) */
static void fill_table(const struct forest *f, const struct roots *roots, struct subject_table *t)
{
    for (uint32_t i = 0; i < roots->count; i++) {
        const struct thread_message *m = &f->messages[roots->at[i].message];
        if (!m->subject)
            continue;
        struct subject_row *row = row_of(t, m->subject);
        bool dummy = roots->at[i].node >= f->count;
        if (!row->subject || (row->node < f->count && (dummy || (row->reply && !m->reply))))
            *row = (struct subject_row){m->subject, roots->at[i].node, m->reply};
    }
}

/* (C) (iv) */
static void merge(struct forest *f, const struct root *root, struct subject_row *row)
{
    if (root->node >= f->count) { /* both are dummies: see fill_table() */
        f->parent[root->node] = row->node;
    } else if (row->node >= f->count || (f->messages[root->node].reply && !row->reply)) {
        f->parent[root->node] = row->node;
    } else {
        uint32_t dummy = new_node(f, 0);
        f->parent[row->node] = f->parent[root->node] = dummy;
        row->node = dummy;
    }
}

static void merge_subjects(struct forest *f)
{
    struct roots roots = roots_of(f);
    struct subject_table t = {.mask = 63};
    while (t.mask < 2ull * roots.count)
        t.mask = 2 * t.mask + 1;
    t.rows = mem_zero(t.mask + 1, sizeof *t.rows);
    fill_table(f, &roots, &t);
    for (uint32_t i = 0; i < roots.count; i++) {
        const struct root *root = &roots.at[i];
        uint32_t subject = f->messages[root->message].subject;
        struct subject_row *row = subject ? row_of(&t, subject) : NULL;
        if (row && row->node != root->node && f->parent[root->node] == NONE)
            merge(f, root, row);
    }
    free(t.rows);
    free(roots.at);
    for (uint32_t i = 0; i < f->count; i++) /* children of dummies that were merged into others */
        while (f->parent[i] != NONE && f->parent[i] >= f->count && f->parent[f->parent[i]] != NONE)
            f->parent[i] = f->parent[f->parent[i]];
}

/* ---- ORDEREDSUBJECT ---- */

static void group_subjects(struct forest *f)
{
    struct subject_table t = {.mask = 63};
    uint32_t empty = NONE; /* the first message without a subject */
    while (t.mask < 2ull * f->count)
        t.mask = 2 * t.mask + 1;
    t.rows = mem_zero(t.mask + 1, sizeof *t.rows);
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t message = f->order[i], subject = f->messages[message].subject;
        struct subject_row *row = subject ? row_of(&t, subject) : NULL;
        uint32_t first = row && row->subject ? row->node : row ? NONE : empty;
        f->parent[message] = first;
        if (first == NONE && row)
            *row = (struct subject_row){subject, message, false};
        else if (first == NONE)
            empty = message;
    }
    free(t.rows);
}

/* ---- REFS: threads by their newest message ---- */

static uint32_t top_of(const struct forest *f, uint32_t *tops, uint32_t node)
{
    uint32_t top = node;
    while (tops[top] == NONE && f->parent[top] != NONE)
        top = f->parent[top];
    top = tops[top] == NONE ? top : tops[top];
    while (node != NONE && tops[node] == NONE) {
        tops[node] = top;
        node = f->parent[node];
    }
    return top;
}

static void order_by_newest(const struct forest *f, struct roots *roots)
{
    uint32_t *tops = mem_alloc(2 * (size_t)f->nodes * sizeof *tops + 1), *newest = tops + f->nodes;
    memset(tops, 0xff, 2 * (size_t)f->nodes * sizeof *tops);
    for (uint32_t i = 0; i < f->count; i++)
        newest[top_of(f, tops, f->order[i])] = f->order[i];
    struct sort_item *items = mem_alloc((2 * (size_t)roots->count + 1) * sizeof *items);
    for (uint32_t i = 0; i < roots->count; i++)
        items[i] = (struct sort_item){sort_signed(f->messages[newest[roots->at[i].node]].sent), i};
    sort_items(items, items + roots->count, roots->count);
    struct root *sorted = mem_alloc((roots->count + 1) * sizeof *sorted);
    for (uint32_t i = 0; i < roots->count; i++)
        sorted[i] = roots->at[items[i].index];
    free(roots->at);
    roots->at = sorted;
    free(items);
    free(tops);
}

/* ---- step 6 and the tokens ---- */

/* Children as lists in the order of their dates. */
struct lists {
    uint32_t *first; /* by node */
    uint32_t *next;  /* by message */
};

static struct lists lists_of(const struct forest *f)
{
    struct lists l = {.first = mem_alloc((f->nodes + 1) * sizeof *l.first),
                      .next = mem_alloc((f->count + 1) * sizeof *l.next)};
    memset(l.first, 0xff, f->nodes * sizeof *l.first);
    for (uint32_t i = f->count; i-- > 0;) {
        uint32_t message = f->order[i], parent = f->parent[message];
        l.next[message] = NONE;
        if (parent == NONE)
            continue;
        l.next[message] = l.first[parent];
        l.first[parent] = message;
    }
    return l;
}

/* Closes what ends here; the next sibling to be opened, or NONE when the whole thread is closed. */
static uint32_t close_up(const struct lists *l, uint32_t *stack, uint32_t *depth, struct buf *tokens)
{
    for (;;) {
        buf_add_varint(tokens, WIRE_THREAD_CLOSE);
        if (*depth == 0)
            return NONE;
        uint32_t next = stack[*depth - 1];
        if (next != NONE) {
            stack[*depth - 1] = l->next[next];
            return next;
        }
        --*depth;
    }
}

/* thread-nested and thread-members (RFC 5256 section 5). `stack`: siblings still to come, at most one for
 * each message. */
static void write_thread(const struct forest *f, const struct lists *l, uint32_t node, uint32_t *stack,
                         struct buf *tokens)
{
    uint32_t depth = 0;
    buf_add_varint(tokens, WIRE_THREAD_OPEN);
    while (node != NONE) {
        if (node < f->count)
            buf_add_varint(tokens, (uint64_t)f->messages[node].uid + WIRE_THREAD_FIRST);
        uint32_t child = l->first[node];
        if (child != NONE && l->next[child] == NONE) {
            node = child;
            continue;
        }
        if (child != NONE) {
            stack[depth++] = l->next[child];
            node = child;
        } else {
            node = close_up(l, stack, &depth, tokens);
        }
        if (node != NONE)
            buf_add_varint(tokens, WIRE_THREAD_OPEN);
    }
}

static void write_forest(const struct forest *f, const struct roots *roots, struct buf *tokens)
{
    struct lists l = lists_of(f);
    uint32_t *stack = mem_alloc((f->count + 1) * sizeof *stack);
    for (uint32_t i = 0; i < roots->count; i++)
        write_thread(f, &l, roots->at[i].node, stack, tokens);
    free(stack);
    free(l.first);
    free(l.next);
}

enum err thread_build(enum imap_thread_algorithm algorithm, const struct thread_message *messages,
                      size_t count, struct buf *tokens, struct why *why)
{
    if (count > THREAD_MESSAGES_MAX)
        return err_set(why, ERR_REFUSED, "too many messages to thread");
    struct forest f = {.messages = messages, .count = (uint32_t)count, .node_cap = (uint32_t)count + 64};
    f.parent = mem_alloc(f.node_cap * sizeof *f.parent);
    f.children = mem_alloc(f.node_cap * sizeof *f.children);
    f.ids = mem_alloc(f.node_cap * sizeof *f.ids);
    f.order = mem_alloc((count + 1) * sizeof *f.order);
    order_by_date(&f);
    if (algorithm == IMAP_THREAD_ORDEREDSUBJECT) {
        for (uint32_t i = 0; i < f.count; i++)
            (void)new_node(&f, 0);
        group_subjects(&f);
    } else {
        link_all(&f);
        prune(&f);
    }
    if (algorithm == IMAP_THREAD_REFERENCES)
        merge_subjects(&f);
    struct roots roots = roots_of(&f);
    if (algorithm == IMAP_THREAD_REFS)
        order_by_newest(&f, &roots);
    write_forest(&f, &roots, tokens);
    free(roots.at);
    free(f.parent);
    free(f.children);
    free(f.ids);
    free(f.order);
    return buf_ok(tokens) ? ERR_OK : err_set(why, ERR_REFUSED, "too many messages to thread");
}
