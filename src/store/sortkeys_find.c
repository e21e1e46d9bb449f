/* sortkeys_find.c: texts looked for in columns: every different text of a column once, then one bit for each
 * message. Input: needles of clients; folded texts of strangers' header fields. Called by subject.c. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/sortkeys.h"
#include "store/strings.h"

#define FINDER_NEEDLES 16 /* texts of one search that are looked for here; more are asked of the messages */

/* One text of the search. */
struct quest {
    const struct imap_needle *needle;
    enum sortkey column; /* SORTKEY_COUNT: none */
    uint64_t made;       /* of the account's keys */
    uint32_t looked;     /* so many texts were looked at */
    uint64_t *hits;      /* a bit for each that holds the needle */
    uint32_t cap;
};

struct sortkeys_finder {
    struct quest quests[FINDER_NEEDLES];
    size_t count;
};

struct sortkeys_finder *sortkeys_finder_new(void)
{
    return mem_zero(1, sizeof(struct sortkeys_finder));
}

void sortkeys_finder_free(struct sortkeys_finder **finder)
{
    if (!*finder)
        return;
    for (size_t i = 0; i < (*finder)->count; i++)
        free((*finder)->quests[i].hits);
    free(*finder);
    *finder = NULL;
}

/* A needle with NUL could lie over two pieces of a text; an empty one asks whether the field is there. */
static enum sortkey column_of(struct slice name, const struct imap_needle *needle)
{
    static const struct {
        struct slice name;
        enum sortkey column;
    } fields[] = {{SLICE("From"), SORTKEY_FIND_FROM},
                  {SLICE("To"), SORTKEY_FIND_TO},
                  {SLICE("Cc"), SORTKEY_FIND_CC},
                  {SLICE("Bcc"), SORTKEY_FIND_BCC},
                  {SLICE("Subject"), SORTKEY_FIND_SUBJECT}};
    if (!needle->folded.len || slice_find(needle->folded, 0) >= 0)
        return SORTKEY_COUNT;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (slice_ieq(fields[i].name, name))
            return fields[i].column;
    return SORTKEY_COUNT;
}

static struct quest *find_quest(struct sortkeys_finder *f, struct slice name,
                                const struct imap_needle *needle)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->quests[i].needle == needle)
            return &f->quests[i];
    if (f->count == FINDER_NEEDLES)
        return NULL;
    struct quest *q = &f->quests[f->count++];
    *q = (struct quest){.needle = needle, .column = column_of(name, needle)};
    return q;
}

static void make_room(struct quest *q, uint32_t count)
{
    if (count <= q->cap)
        return;
    uint32_t cap = count + count / 2 + 64, words = cap / 64 + 1, had = q->cap ? q->cap / 64 + 1 : 0;
    q->hits = mem_realloc(q->hits, words * sizeof *q->hits);
    memset(q->hits + had, 0, (words - had) * sizeof *q->hits);
    q->cap = cap;
}

/* All texts that have come since in one go: they lie one behind the other, each ends in NUL. */
static void look_on(struct quest *q, const struct strings *pool)
{
    struct slice all = slice_make(pool->bytes.data, pool->starts[pool->count]);
    uint32_t number = q->looked ? q->looked : 1;
    make_room(q, pool->count);
    while (number < pool->count) {
        ptrdiff_t at = find_in(&q->needle->find, all, pool->starts[number]);
        if (at < 0)
            break;
        while (pool->starts[number + 1] <= (size_t)at)
            number++;
        q->hits[number / 64] |= 1ull << number % 64;
        number++;
    }
    q->looked = pool->count;
}

static void begin_anew(struct quest *q, uint64_t made)
{
    free(q->hits);
    q->hits = NULL;
    q->looked = q->cap = 0;
    q->made = made;
}

static enum imap_truth answer(struct quest *q, const struct account *account, uint64_t message)
{
    const struct sortkeys *keys = account->sortkeys;
    if (sortkeys_flag(keys, q->column, message))
        return IMAP_UNKNOWN;
    const struct strings *pool = sortkeys_pool(keys, q->column);
    uint32_t number = sortkeys_text(keys, q->column, message);
    if (q->made != account->sortkeys_made)
        begin_anew(q, account->sortkeys_made);
    if (!number)
        return IMAP_NO;
    if (q->looked < pool->count)
        look_on(q, pool);
    return q->hits && q->hits[number / 64] >> number % 64 & 1 ? IMAP_YES : IMAP_NO;
}

enum err sortkeys_find(struct sortkeys_finder *finder, struct account *account, uint64_t message,
                       struct slice name, const struct imap_needle *needle, bool make, enum imap_truth *found,
                       struct why *why)
{
    struct quest *q = account->sortkeys_off ? NULL : find_quest(finder, name, needle);
    *found = IMAP_UNKNOWN;
    if (!q || q->column == SORTKEY_COUNT)
        return ERR_OK;
    bool ready = account->sortkeys && sortkeys_ready(account->sortkeys, q->column, message);
    enum err err = !ready && make ? sortkeys_need(account, q->column, message, &ready, why) : ERR_OK;
    if (!err && ready)
        *found = answer(q, account, message);
    return err;
}

enum err sortkeys_day(struct account *account, uint64_t message, int64_t *day, struct why *why)
{
    *day = SORTKEY_ASK_DAY;
    if (account->sortkeys_off)
        return ERR_OK;
    bool ready = account->sortkeys && sortkeys_ready(account->sortkeys, SORTKEY_DAY, message);
    enum err err = ready ? ERR_OK : sortkeys_need(account, SORTKEY_DAY, message, &ready, why);
    if (!err && ready)
        *day = sortkeys_number(account->sortkeys, SORTKEY_DAY, message);
    return err;
}
