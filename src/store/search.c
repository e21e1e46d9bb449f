/* search.c: evaluating search programs. Input: a program decoded strictly by grammar/imap_search.h; facts and
 * texts that came from strangers' messages, bounded when they were stored. Called by the role's jobs. */
#include "store/search.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/zone.h"
#include "store/saved.h"
#include "store/sortkeys.h"
#include "store/subject.h"
#include "wire/objectid.h"

#define SEARCH_PROGRAM_ARENA (16u << 20)
#define SEARCH_FOUND_MAX     (64u << 20)

struct search {
    struct arena *arena; /* the program */
    struct imap_search_node *root;
    uint64_t mailbox;
    uint32_t next_uid, max_uid;
    int64_t now;
    uint64_t modseq;
    struct buf found;
    struct fulltext_filter *filter;
    struct subject *subject; /* of the message that is looked at */
    struct mailbox *open;    /* during a step */
    struct account *account; /* the same */
    struct buf saved;        /* dates of saving (saved.h), once they were asked for */
    size_t saved_at;
    bool has_saved;
    struct entry entry;
};

enum err search_new(struct slice program, uint64_t mailbox, uint32_t max_uid, int64_t now,
                    struct search **out, struct why *why)
{
    struct search *s = mem_zero(1, sizeof *s);
    s->arena = arena_new(SEARCH_PROGRAM_ARENA);
    s->mailbox = mailbox;
    s->next_uid = 1;
    s->max_uid = max_uid;
    s->now = now;
    s->found = buf_new(SEARCH_FOUND_MAX);
    s->saved = buf_new(SAVED_MAX);
    s->filter = fulltext_filter_new();
    s->subject = subject_new(s->filter);
    enum err err = imap_search_decode_in(s->arena, arena_dup(s->arena, program), &s->root, why);
    if (err) {
        search_free(&s);
        return err;
    }
    *out = s;
    return ERR_OK;
}

void search_free(struct search **search)
{
    struct search *s = *search;
    if (!s)
        return;
    subject_free(&s->subject);
    fulltext_filter_free(&s->filter);
    buf_free(&s->found);
    buf_free(&s->saved);
    arena_free(&s->arena);
    free(s);
    *search = NULL;
}

struct buf *search_found(struct search *search)
{
    return &search->found;
}

uint64_t search_modseq(const struct search *search)
{
    return search->modseq;
}

/* ---- what the evaluation asks ---- */

static enum imap_truth truth(bool yes)
{
    return yes ? IMAP_YES : IMAP_NO;
}

static enum imap_truth ask_flag(void *ctx, uint32_t bit)
{
    const struct search *s = ctx;
    return truth(s->entry.flags & IMAGE_SYSTEM_FLAGS & bit);
}

static enum imap_truth ask_keyword(void *ctx, struct slice keyword)
{
    const struct search *s = ctx;
    int bit = mailbox_keyword(s->open, keyword);
    return truth(bit >= 0 && s->entry.flags >> (bit + IMAGE_KEYWORD_SHIFT) & 1);
}

static bool ask_size(void *ctx, uint64_t *octets)
{
    *octets = ((const struct search *)ctx)->entry.size;
    return true;
}

/* As INTERNALDATE is told. */
static bool ask_internal_date(void *ctx, int64_t *seconds, int64_t *days)
{
    *seconds = ((const struct search *)ctx)->entry.date;
    *days = zone_day(*seconds);
    return true;
}

static bool ask_sent_date(void *ctx, int64_t *days)
{
    return subject_sent_day(((const struct search *)ctx)->subject, days);
}

/* Messages are looked at by ascending UID: so are the ranges. */
static bool find_saved(struct search *s, int64_t *seconds)
{
    uint32_t range[3];
    for (;; s->saved_at += SAVED_RANGE) {
        struct slice at = slice_from(buf_slice(&s->saved), s->saved_at);
        for (size_t i = 0; i < 3; i++)
            if (!slice_take_le32(&at, &range[i]))
                return false;
        if (range[1] >= s->entry.uid)
            break;
    }
    *seconds = range[2];
    return range[0] <= s->entry.uid;
}

static bool ask_save_date(void *ctx, int64_t *days)
{
    struct search *s = ctx;
    struct why why;
    if (!s->has_saved && saved_ranges(s->account, s->mailbox, &s->saved, &why))
        return false;
    s->has_saved = true;
    int64_t seconds = 0;
    *days = zone_day(find_saved(s, &seconds) ? seconds : s->entry.date);
    return true;
}

static bool ask_modseq(void *ctx, uint64_t *modseq)
{
    *modseq = ((const struct search *)ctx)->entry.modseq;
    return true;
}

static enum imap_truth ask_header(void *ctx, struct slice name, const struct imap_needle *needle)
{
    return truth(subject_header(((const struct search *)ctx)->subject, name, needle));
}

static enum imap_truth ask_any_header(void *ctx, const struct imap_needle *needle)
{
    return truth(subject_any_header(((const struct search *)ctx)->subject, needle));
}

static enum imap_truth ask_body(void *ctx, const struct imap_needle *needle)
{
    return truth(subject_body(((const struct search *)ctx)->subject, needle));
}

/* RFC 8474 section 6. */
static enum imap_truth ask_email_id(void *ctx, struct slice id)
{
    const struct search *s = ctx;
    AUTO_BUF struct buf own = buf_new(OBJECTID_MAX);
    object_email(&own, s->open->tag, s->entry.message);
    return truth(slice_eq(buf_slice(&own), id));
}

static enum imap_truth ask_thread_id(void *ctx, struct slice id)
{
    const struct search *s = ctx;
    AUTO_BUF struct buf own = buf_new(OBJECTID_MAX);
    object_thread(&own, s->open->tag, s->entry.message, subject_thread_root(s->subject));
    return truth(slice_eq(buf_slice(&own), id));
}

static const struct imap_search_subject questions = {
    .flag = ask_flag,
    .keyword = ask_keyword,
    .size = ask_size,
    .internal_date = ask_internal_date,
    .sent_date = ask_sent_date,
    .save_date = ask_save_date,
    .modseq = ask_modseq,
    .header = ask_header,
    .any_header = ask_any_header,
    .body = ask_body,
    .email_id = ask_email_id,
    .thread_id = ask_thread_id,
};

/* ---- the walk ---- */

static enum err look_at(struct search *s, struct account *account, uint64_t index, struct why *why)
{
    s->entry = view_entry(s->open->view, index);
    struct imap_search_subject subject = questions;
    subject.uid = s->entry.uid;
    subject.now = s->now;
    subject_begin(s->subject, account, s->entry.message);
    if (imap_search_match(s->root, &subject, s) == IMAP_YES) {
        wire_range_add(&s->found, s->entry.uid, s->entry.uid);
        s->modseq = s->entry.modseq > s->modseq ? s->entry.modseq : s->modseq;
    }
    return subject_error(s->subject, why);
}

/* The clock is asked once for so many messages, unless texts are looked through or columns made: one may take
 * long. */
#define SEARCH_STRIDE    64
#define SEARCH_COST_TEXT 3 /* of a node that does that */

enum err search_step(struct search *s, struct account *account, uint64_t budget_ns, bool *done,
                     struct why *why)
{
    struct mailbox *m;
    enum err err = account_view(account, s->mailbox, &m, why);
    if (err)
        return err;
    s->open = m;
    s->account = account;
    uint64_t end = clock_mono_ns() + budget_ns, count = view_count(m->view);
    uint64_t at = image_find(m->view->image, count, s->next_uid), seen = 0;
    bool texts = s->root->cost >= SEARCH_COST_TEXT, many = texts && count - at >= DB_READ_MANY;
    uint64_t stride = texts ? 1 : SEARCH_STRIDE, built = sortkeys_built(account);
    err = many ? db_read_many_begin(account->db, why) : db_read_begin(account->db, why);
    for (; !err && at < count && m->view->image->entries[at].uid <= s->max_uid; at++) {
        bool look = seen++ % stride == stride - 1 || sortkeys_built(account) != built;
        built = sortkeys_built(account);
        if (look && seen > 1 && clock_mono_ns() > end)
            break;
        if (view_alive(m->view, at))
            err = look_at(s, account, at, why);
    }
    db_read_end(account->db);
    *done = at >= count || m->view->image->entries[at].uid > s->max_uid;
    sortkeys_rest(account, *done || err);
    if (sortkeys_memory(account->sortkeys) > SORTKEY_MEMORY_MAX)
        sortkeys_free(&account->sortkeys);
    s->next_uid = *done ? s->max_uid : m->view->image->entries[at].uid;
    s->open = NULL;
    if (!err && !buf_ok(&s->found))
        err = err_set(why, ERR_REFUSED, "too many ranges of messages found");
    return err;
}
