/* handle_search.c: what sessions look for in an open mailbox: SEARCH, SORT, THREAD. From imap and http, under
 * a grant and a watch. All in steps between which others get at the account; the answer goes out at the end.
 */
#include "base/clock.h"
#include "store/arrange.h"
#include "store/context.h"
#include "store/search.h"

#define ANSWER_PACKET (48u * 1024 / 8 * 8) /* bytes of an answer in one packet: whole pairs, whole UIDs */

static struct slice take_piece(struct slice *rest)
{
    struct slice piece = slice_sub(*rest, 0, ANSWER_PACKET);
    *rest = slice_from(*rest, piece.len);
    return piece;
}

/* ---- search ---- */

struct search_state {
    struct search *search;
    bool done;
};

static void end_search(void *arg)
{
    search_free(&((struct search_state *)arg)->search);
}

static void search_work(struct job *job)
{
    const struct wire_search *m = job->message;
    struct search_state *state = job->state;
    if (!state) {
        job->state = state = ARENA_NEW(job->arena, struct search_state);
        arena_defer(job->arena, end_search, state);
        job->err = search_new(m->program, job->mailbox, m->max_uid, clock_unix_s(), &state->search,
                              &job->refusal.why);
    }
    if (!job->err)
        job->err = search_step(state->search, job->account, STORE_SEARCH_NS, &state->done, &job->refusal.why);
    job->again = !job->err && !state->done;
}

static void search_answer(struct job *job)
{
    const struct search_state *state = job->state;
    struct wire_searched searched = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    if (job->err || !state) {
        wire_reply(job->link, job->request, WIRE_SEARCHED, false, &searched);
        return;
    }
    if (job->again) /* all at the end: ranges grow meanwhile */
        return;
    struct slice rest = buf_slice(search_found(state->search));
    searched.modseq = search_modseq(state->search);
    do {
        searched.uids = take_piece(&rest);
        wire_reply(job->link, job->request, WIRE_SEARCHED, rest.len > 0, &searched);
    } while (rest.len);
}

static const struct job_op search_op = {.work = search_work, .answer = search_answer, .may_stop = true};

/* ---- sort and thread ---- */

struct arrange_state {
    struct arrange *arrange;
    bool done;
};

static void end_arrange(void *arg)
{
    arrange_free(&((struct arrange_state *)arg)->arrange);
}

static struct arrange_state *new_state(struct job *job)
{
    struct arrange_state *state = ARENA_NEW(job->arena, struct arrange_state);
    arena_defer(job->arena, end_arrange, state);
    job->state = state;
    return state;
}

static void arrange_on(struct job *job, struct arrange_state *state)
{
    if (!job->err)
        job->err =
            arrange_step(state->arrange, job->account, STORE_SEARCH_NS, &state->done, &job->refusal.why);
    if (job->err == ERR_REFUSED)
        job->refusal.code = STORE_CODE_LIMIT;
    job->again = !job->err && !state->done;
}

static void take_keys(struct slice keys, struct imap_sort *sort)
{
    for (size_t i = 0; i < keys.len && i < IMAP_SORT_KEYS_MAX; i++) {
        sort->keys[sort->count].key = (enum imap_sort_key)(keys.ptr[i] & ~WIRE_SORT_REVERSE);
        sort->keys[sort->count++].reverse = keys.ptr[i] & WIRE_SORT_REVERSE;
    }
}

static void sort_work(struct job *job)
{
    const struct wire_sort *m = job->message;
    struct arrange_state *state = job->state;
    if (!state) {
        struct imap_sort sort = {0};
        take_keys(m->keys, &sort);
        state = new_state(job);
        job->err = arrange_new(&sort, IMAP_THREAD_REFS, m->program, m->strict, job->mailbox, m->max_uid,
                               clock_unix_s(), &state->arrange, &job->refusal.why);
    }
    arrange_on(job, state);
}

static void thread_work(struct job *job)
{
    const struct wire_thread *m = job->message;
    struct arrange_state *state = job->state;
    if (!state) {
        state = new_state(job);
        job->err = arrange_new(NULL, (enum imap_thread_algorithm)m->algorithm, m->program, SLICE_EMPTY,
                               job->mailbox, m->max_uid, clock_unix_s(), &state->arrange, &job->refusal.why);
    }
    arrange_on(job, state);
}

static void arrange_answer(struct job *job)
{
    const struct arrange_state *state = job->state;
    struct wire_arranged arranged = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    if (job->err || !state) {
        wire_reply(job->link, job->request, WIRE_ARRANGED, false, &arranged);
        return;
    }
    if (job->again)
        return;
    struct slice rest = arrange_result(state->arrange);
    arranged.modseq = arrange_modseq(state->arrange);
    do {
        arranged.list = take_piece(&rest);
        wire_reply(job->link, job->request, WIRE_ARRANGED, rest.len > 0, &arranged);
    } while (rest.len);
}

static const struct job_op sort_op = {.work = sort_work, .answer = arrange_answer, .may_stop = true};
static const struct job_op thread_op = {.work = thread_work, .answer = arrange_answer, .may_stop = true};

/* ---- handlers ---- */

bool message_on_search(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_search *m = message;
    return message_start(ctx, link, packet, &m->grant, m->watch, &search_op);
}

static bool keys_are_known(struct slice keys, bool scored)
{
    uint8_t last = scored ? IMAP_SORT_RELEVANCY : IMAP_SORT_DISPLAYTO;
    for (size_t i = 0; i < keys.len; i++)
        if ((keys.ptr[i] & ~WIRE_SORT_REVERSE) > last)
            return false;
    return keys.len > 0 || scored;
}

bool message_on_sort(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_sort *m = message;
    return keys_are_known(m->keys, m->strict.len > 0) &&
           message_start(ctx, link, packet, &m->grant, m->watch, &sort_op);
}

bool message_on_thread(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_thread *m = message;
    return m->algorithm <= IMAP_THREAD_REFS &&
           message_start(ctx, link, packet, &m->grant, m->watch, &thread_op);
}
