/* arrange.c: search, then keys, then order. Input: programs decoded strictly by search.c; keys of strangers'
 * messages. Called by handle_search.c. */
#include "store/arrange.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/search.h"
#include "store/sort.h"
#include "store/sortkeys.h"
#include "store/thread.h"

struct found {
    uint64_t message;
    uint32_t uid, size, date;
    bool strict; /* matches the program without FUZZY */
};

struct arrange {
    bool threads;
    struct imap_sort sort;
    enum imap_thread_algorithm algorithm;
    uint64_t mailbox;
    struct search *search; /* NULL: done */
    struct search *strict; /* for scores; NULL: none, or done */
    bool scored;
    uint64_t modseq;
    struct found *found; /* by UID */
    uint64_t *ids;       /* of the same, ascending */
    size_t count, loaded;
    uint64_t made; /* the keys that were loaded, see struct account */
    struct buf result;
};

enum err arrange_new(const struct imap_sort *sort, enum imap_thread_algorithm algorithm, struct slice program,
                     struct slice strict, uint64_t mailbox, uint32_t max_uid, int64_t now,
                     struct arrange **out, struct why *why)
{
    struct arrange *a = mem_zero(1, sizeof *a);
    a->threads = !sort;
    if (sort)
        a->sort = *sort;
    a->algorithm = algorithm;
    a->mailbox = mailbox;
    a->result = buf_new(THREAD_TOKENS_MAX);
    a->scored = strict.len > 0;
    enum err err = search_new(program, mailbox, max_uid, now, &a->search, why);
    if (!err && a->scored)
        err = search_new(strict, mailbox, max_uid, now, &a->strict, why);
    if (err)
        arrange_free(&a);
    else
        *out = a;
    return err;
}

void arrange_free(struct arrange **arrange)
{
    struct arrange *a = *arrange;
    if (!a)
        return;
    search_free(&a->search);
    search_free(&a->strict);
    free(a->found);
    free(a->ids);
    buf_free(&a->result);
    free(a);
    *arrange = NULL;
}

struct slice arrange_result(const struct arrange *a)
{
    return buf_slice(&a->result);
}

uint64_t arrange_modseq(const struct arrange *a)
{
    return a->modseq;
}

/* ---- what was found ---- */

static size_t count_found(struct slice pairs, uint64_t most)
{
    uint32_t first, last;
    uint64_t count = 0;
    while (wire_range_take(&pairs, &first, &last))
        count += (uint64_t)last - first + 1;
    return (size_t)(count < most ? count : most);
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void order_ids(struct arrange *a)
{
    bool ascending = true;
    for (size_t i = 0; i < a->count; i++) {
        a->ids[i] = a->found[i].message;
        ascending = ascending && (i == 0 || a->ids[i] > a->ids[i - 1]);
    }
    if (!ascending) /* messages that were moved here */
        qsort(a->ids, a->count, sizeof *a->ids, by_id);
}

static enum err gather(struct arrange *a, struct account *account, struct why *why)
{
    struct mailbox *m;
    enum err err = account_view(account, a->mailbox, &m, why);
    if (err)
        return err;
    struct slice pairs = buf_slice(search_found(a->search));
    size_t room = count_found(pairs, view_count(m->view));
    if (room > ARRANGE_MESSAGES_MAX)
        return err_set(why, ERR_REFUSED, "too many messages to sort");
    a->found = mem_alloc((room + 1) * sizeof *a->found);
    a->ids = mem_alloc((room + 1) * sizeof *a->ids);
    uint64_t index;
    for (struct view_walk walk = view_walk(m->view, pairs);
         a->count < room && view_walk_next(&walk, &index);) {
        const struct image_entry *entry = &m->view->image->entries[index];
        a->found[a->count++] = (struct found){.message = image_message(entry),
                                              .uid = entry->uid,
                                              .size = image_octets(entry),
                                              .date = image_date(entry)};
    }
    order_ids(a);
    a->modseq = search_modseq(a->search);
    search_free(&a->search);
    return ERR_OK;
}

static void mark_strict(struct arrange *a)
{
    struct slice pairs = buf_slice(search_found(a->strict));
    uint32_t first, last;
    size_t i = 0;
    while (wire_range_take(&pairs, &first, &last)) {
        for (; i < a->count && a->found[i].uid < first; i++)
            ;
        for (; i < a->count && a->found[i].uid <= last; i++)
            a->found[i].strict = true;
    }
    search_free(&a->strict);
}

/* RFC 6203 section 4: 51 to 100 for what has the texts as they stand, 1 to 50 for what has their words;
 * within both the newer ones have more. */
static uint32_t score_of(const struct arrange *a, size_t index)
{
    uint32_t age = a->count > 1 ? (uint32_t)(49 * index / (a->count - 1)) : 49;
    return (a->found[index].strict ? 51 : 1) + age;
}

/* ---- keys ---- */

/* The column of a sort key; SORTKEY_COUNT: the image has it. */
static enum sortkey column_of(enum imap_sort_key key)
{
    static const enum sortkey columns[] = {[IMAP_SORT_ARRIVAL] = SORTKEY_COUNT,
                                           [IMAP_SORT_CC] = SORTKEY_CC,
                                           [IMAP_SORT_DATE] = SORTKEY_SENT,
                                           [IMAP_SORT_FROM] = SORTKEY_FROM,
                                           [IMAP_SORT_SIZE] = SORTKEY_COUNT,
                                           [IMAP_SORT_SUBJECT] = SORTKEY_SUBJECT,
                                           [IMAP_SORT_TO] = SORTKEY_TO,
                                           [IMAP_SORT_DISPLAYFROM] = SORTKEY_DISPLAYFROM,
                                           [IMAP_SORT_DISPLAYTO] = SORTKEY_DISPLAYTO,
                                           [IMAP_SORT_RELEVANCY] = SORTKEY_COUNT};
    return columns[key];
}

static uint32_t wanted_columns(const struct arrange *a)
{
    uint32_t wanted = 0;
    for (size_t i = 0; i < a->sort.count; i++)
        wanted |= 1u << column_of(a->sort.keys[i].key);
    if (a->threads) {
        wanted = 1u << SORTKEY_SENT;
        wanted |= a->algorithm != IMAP_THREAD_REFS ? 1u << SORTKEY_SUBJECT : 0;
        wanted |= a->algorithm != IMAP_THREAD_ORDEREDSUBJECT ? 1u << SORTKEY_THREAD : 0;
    }
    return wanted & ((1u << SORTKEY_COUNT) - 1);
}

/* RFC 5256 section 2.2: the Date field, else INTERNALDATE. */
static int64_t sent_date(const struct sortkeys *keys, const struct found *f)
{
    int64_t sent = sortkeys_sent(keys, f->message);
    return sent == SORTKEY_NO_DATE ? (int64_t)f->date : sent;
}

static uint64_t key_value(const struct arrange *a, const struct sortkeys *keys, const uint32_t *ranks,
                          enum imap_sort_key key, size_t index)
{
    const struct found *f = &a->found[index];
    switch (key) {
    case IMAP_SORT_ARRIVAL:
        return f->date;
    case IMAP_SORT_SIZE:
        return f->size;
    case IMAP_SORT_DATE:
        return sort_signed(sent_date(keys, f));
    case IMAP_SORT_RELEVANCY:
        return 100 - score_of(a, index);
    default:
        return ranks ? ranks[sortkeys_text(keys, column_of(key), f->message)] : 0;
    }
}

/* ---- orders ---- */

/* From the last key to the first, stable: ties fall back to the next key, at last to the UID. */
static void sort_found(struct arrange *a, struct sortkeys *keys)
{
    struct sort_item *items = mem_alloc((2 * a->count + 1) * sizeof *items);
    for (size_t i = 0; i < a->count; i++)
        items[i].index = (uint32_t)i;
    for (size_t k = a->sort.count; k-- > 0;) {
        enum imap_sort_key key = a->sort.keys[k].key;
        enum sortkey column = column_of(key);
        bool text = column != SORTKEY_SENT && column != SORTKEY_COUNT;
        const uint32_t *ranks = text ? sortkeys_ranks(keys, column) : NULL;
        for (size_t i = 0; i < a->count; i++) {
            uint64_t value = key_value(a, keys, ranks, key, items[i].index);
            items[i].key = a->sort.keys[k].reverse ? ~value : value;
        }
        sort_items(items, items + a->count, a->count);
    }
    for (size_t i = 0; i < a->count; i++) {
        buf_add_le32(&a->result, a->found[items[i].index].uid);
        if (a->scored)
            buf_add_le32(&a->result, score_of(a, items[i].index));
    }
    free(items);
}

static enum err thread_found(struct arrange *a, const struct sortkeys *keys, struct why *why)
{
    struct thread_message *messages = mem_zero(a->count + 1, sizeof *messages);
    for (size_t i = 0; i < a->count; i++) {
        const struct found *f = &a->found[i];
        struct thread_message *m = &messages[i];
        m->uid = f->uid;
        m->sent = sent_date(keys, f);
        if (a->algorithm != IMAP_THREAD_REFS) {
            m->subject = sortkeys_text(keys, SORTKEY_SUBJECT, f->message);
            m->reply = sortkeys_reply(keys, f->message);
        }
        if (a->algorithm != IMAP_THREAD_ORDEREDSUBJECT) {
            struct sortkey_ids ids = sortkeys_ids(keys, f->message);
            m->id = ids.id;
            m->refs = ids.refs;
            m->ref_count = ids.count;
        }
    }
    enum err err = thread_build(a->algorithm, messages, a->count, &a->result, why);
    free(messages);
    return err;
}

static enum err put_in_order(struct arrange *a, struct account *account, struct why *why)
{
    enum err err = ERR_OK;
    if (!a->count)
        return ERR_OK;
    if (a->threads)
        err = thread_found(a, account->sortkeys, why);
    else
        sort_found(a, account->sortkeys);
    if (sortkeys_memory(account->sortkeys) > SORTKEY_MEMORY_MAX)
        sortkeys_free(&account->sortkeys);
    return err;
}

enum err arrange_step(struct arrange *a, struct account *account, uint64_t budget_ns, bool *done,
                      struct why *why)
{
    enum err err = ERR_OK;
    *done = false;
    if (a->search) {
        bool searched;
        err = search_step(a->search, account, budget_ns, &searched, why);
        return err || !searched ? err : gather(a, account, why);
    }
    if (a->strict) {
        bool searched;
        err = search_step(a->strict, account, budget_ns, &searched, why);
        if (!err && searched)
            mark_strict(a);
        return err;
    }
    if (!account->sortkeys || a->made != account->sortkeys_made)
        a->loaded = 0; /* they were dropped meanwhile: too much memory */
    if (!wanted_columns(a))
        a->loaded = a->count;
    if (a->loaded < a->count) {
        err = sortkeys_load(account, wanted_columns(a), a->ids, a->count, budget_ns, &a->loaded, why);
        sortkeys_rest(account, err || a->loaded == a->count);
    }
    a->made = account->sortkeys_made;
    if (err || a->loaded < a->count)
        return err;
    *done = true;
    return put_in_order(a, account, why);
}
