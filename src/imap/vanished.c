/* vanished.c: VANISHED (EARLIER), for SELECT with QRESYNC and UID FETCH with VANISHED. Input: sets of clients
 * (normalised), UIDs of store. Called by cmd_select.c and cmd_fetch.c. */
#include "imap/vanished.h"

#define LINE_RANGES                                                                                          \
    10000 /* ranges of one response: a mailbox may have more gaps than the output takes at once */

struct vanished {
    struct imap_set_builder gone; /* as store told them */
    struct imap_set_builder told; /* of those, what is to be told */
    size_t at;                    /* ranges of `told` that are written */
    const struct imap_set *among;
    void (*then)(struct session *s);
};

static void vanished_free(void *arg)
{
    struct vanished *v = arg;
    imap_set_builder_free(&v->gone);
    imap_set_builder_free(&v->told);
}

/* What both sets hold. */
static struct imap_set_builder intersect(const struct imap_set *a, const struct imap_set *b)
{
    struct imap_set_builder both = imap_set_builder_new();
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        struct imap_range x = a->ranges[i], y = b->ranges[k];
        uint32_t lo = x.lo > y.lo ? x.lo : y.lo, hi = x.hi < y.hi ? x.hi : y.hi;
        if (lo <= hi)
            imap_set_builder_add_range(&both, lo, hi);
        if (x.hi < y.hi)
            i++;
        else
            k++;
    }
    return both;
}

/* The set without the messages the client counts: those will be told by VANISHED without EARLIER, which alone
 * moves numbers. */
static struct imap_set_builder without_known(const struct imap_view *view, const struct imap_set *set)
{
    struct imap_set_builder rest = imap_set_builder_new();
    for (size_t i = 0; i < set->count; i++) {
        struct imap_set one = {.ranges = &set->ranges[i], .count = 1};
        uint32_t from = set->ranges[i].lo;
        struct imap_message m;
        for (struct imap_view_walk w = imap_view_walk(view, &one, true); imap_view_next(&w, &m);) {
            if (m.uid > from)
                imap_set_builder_add_range(&rest, from, m.uid - 1);
            from = m.uid + 1;
        }
        if (from && from <= set->ranges[i].hi)
            imap_set_builder_add_range(&rest, from, set->ranges[i].hi);
    }
    return rest;
}

static struct imap_set_builder find_told(const struct session *s, const struct vanished *v)
{
    struct imap_set gone = imap_set_builder_view(&v->gone);
    struct imap_set_builder asked = v->among ? intersect(&gone, v->among) : imap_set_builder_new();
    struct imap_set wanted = v->among ? imap_set_builder_view(&asked) : gone;
    struct imap_set_builder told = without_known(&s->selected->view, &wanted);
    imap_set_builder_free(&asked);
    return told;
}

/* As the output takes it. */
static void write_earlier(struct session *s)
{
    struct vanished *v = s->run->more;
    struct imap_set told = imap_set_builder_view(&v->told);
    struct buf *out = imap_session_output(s);
    s->run->resume = write_earlier;
    while (v->at < told.count) {
        if (imap_session_is_full(s))
            return;
        size_t left = told.count - v->at;
        struct imap_set some = {.ranges = told.ranges + v->at,
                                .count = left < LINE_RANGES ? left : LINE_RANGES};
        buf_add_str(out, "* VANISHED (EARLIER) ");
        imap_set_write(out, &some);
        buf_add_str(out, "\r\n");
        v->at += some.count;
    }
    s->run->resume = NULL;
    v->then(s);
}

static void on_vanished(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    struct vanished *v = arg;
    struct wire_vanished vanished;
    err = wire_answer(err, packet, WIRE_VANISHED, &vanished);
    if (err || vanished.err) {
        imap_session_refused(s, err ? err : vanished.err, vanished.code, vanished.text);
        return;
    }
    uint32_t first, last;
    while (wire_range_take(&vanished.uids, &first, &last))
        imap_set_builder_add_range(&v->gone, first, last);
    if (packet->more)
        return;
    v->told = find_told(s, v);
    write_earlier(s);
}

void imap_vanished_ask(struct session *s, uint64_t modseq, const struct imap_set *among,
                       void (*then)(struct session *s))
{
    struct vanished *v = ARENA_NEW(s->run->arena, struct vanished);
    *v = (struct vanished){.gone = imap_set_builder_new(), .among = among, .then = then};
    s->run->more = v;
    arena_defer(s->run->arena, vanished_free, v);
    const struct wire_vanished_get get = {
        .grant = s->grant, .watch = s->selected->mailbox->watch, .modseq = modseq};
    if (!imap_session_call(s, ROLE_STORE, WIRE_VANISHED_GET, &get, on_vanished, v))
        imap_session_done(s, "NO [SERVERBUG] Too many requests of one command");
}
