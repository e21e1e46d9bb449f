/* SORT over keys from facts, memory and packed rows: always the order a plain comparison gives. */
#include "rig.h"

#include "base/clock.h"
#include "base/coll.h"
#include "store/arrange.h"
#include "store/sortkeys.h"

#define MESSAGES 1700 /* some chunks, the last of them open */

/* What the test knows of each message. */
static struct known {
    struct entry entry;
    int64_t sent;
    const char *subject, *from, *to, *cc, *display_from, *display_to;
} known[MESSAGES];

static unsigned seed = 1;

static unsigned dice(unsigned sides)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % sides;
}

static const char *word(void)
{
    static const char *const words[] = {"",     "ANN",           "ANNA",           "BOB", "CARL",
                                        "DORA", "EVE LONG NAME", "EVE LONG NAMES", "ZOE"};
    return words[dice(ARRAY_LEN(words))];
}

static void insert(struct rig *rig, struct known *k)
{
    struct facts facts = {.size = 100,
                          .header_len = 10,
                          .sent = k->sent,
                          .envelope = SLICE("(NIL)"),
                          .body = SLICE("(NIL)"),
                          .bodystructure = SLICE("(NIL)"),
                          .base_subject = slice_of(k->subject),
                          .sort_from = slice_of(k->from),
                          .sort_to = slice_of(k->to),
                          .sort_cc = slice_of(k->cc),
                          .sort_display_from = slice_of(k->display_from),
                          .sort_display_to = slice_of(k->display_to)};
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED);
    facts_encode(&facts, &encoded);
    assert_int_equal(
        db_run(rig->account->db,
               "INSERT INTO message (id, size, date, sum, header, facts) VALUES (?, 100, 0, x'', x'', ?)",
               DB_ARGS(DB_U64(k->entry.message),
                       DB_BLOB(slice_sub(buf_slice(&encoded), 0, facts_record_len(buf_slice(&encoded))))),
               &rig->why),
        ERR_OK);
}

/* Rows without files, in an order of ids as moving leaves it. */
static void fill(struct rig *rig, struct mailbox *m, size_t from, size_t count)
{
    struct commit commit;
    struct change change = {.kind = CHANGE_ADD};
    AUTO_BUF struct buf packed = buf_new(1 << 20);
    static struct entry entries[MESSAGES];
    assert_int_equal(commit_begin(&commit, rig->account, &rig->why), ERR_OK);
    uint64_t first = atomic_fetch_add(&rig->account->next_message, count);
    for (size_t i = 0; i < count; i++) {
        struct known *k = &known[from + i];
        *k = (struct known){.sent = dice(5) ? (int64_t)dice(500) * 86400 - 20000000 : FACTS_NO_DATE,
                            .subject = word(),
                            .from = word(),
                            .to = word(),
                            .cc = word(),
                            .display_from = word(),
                            .display_to = word()};
        k->entry = (struct entry){.uid = m->uidnext + (uint32_t)i,
                                  .size = dice(50),
                                  .date = dice(300) * 86400,
                                  .modseq = commit_next(&commit),
                                  .message = first + (i ^ 1)};
        if ((i ^ 1) >= count)
            k->entry.message = first + i;
        entries[i] = k->entry;
        mailbox_count(&change.counts, 0, k->entry.size, 1);
        insert(rig, k);
    }
    packed_encode(entries, count, &packed);
    change.entries = buf_slice(&packed);
    assert_int_equal(commit_log(&commit, m, &change, &rig->why), ERR_OK);
    assert_int_equal(commit_end(&commit, &rig->why), ERR_OK);
}

/* ---- the plain comparison ---- */

static int64_t sent_of(const struct known *k)
{
    return k->sent == FACTS_NO_DATE ? (int64_t)k->entry.date : k->sent;
}

static int compare_key(enum imap_sort_key key, const struct known *a, const struct known *b)
{
    switch (key) {
    case IMAP_SORT_ARRIVAL:
        return (a->entry.date > b->entry.date) - (a->entry.date < b->entry.date);
    case IMAP_SORT_SIZE:
        return (a->entry.size > b->entry.size) - (a->entry.size < b->entry.size);
    case IMAP_SORT_DATE:
        return (sent_of(a) > sent_of(b)) - (sent_of(a) < sent_of(b));
    case IMAP_SORT_SUBJECT:
        return strcmp(a->subject, b->subject);
    case IMAP_SORT_FROM:
        return strcmp(a->from, b->from);
    case IMAP_SORT_TO:
        return strcmp(a->to, b->to);
    case IMAP_SORT_CC:
        return strcmp(a->cc, b->cc);
    case IMAP_SORT_DISPLAYFROM:
        return strcmp(a->display_from, b->display_from);
    default:
        return strcmp(a->display_to, b->display_to);
    }
}

static int compare(const void *a, const void *b, void *sort)
{
    const struct imap_sort *s = sort;
    const struct known *x = a, *y = b;
    for (size_t i = 0; i < s->count; i++) {
        int order = compare_key(s->keys[i].key, x, y);
        if (order)
            return s->keys[i].reverse ? -order : order;
    }
    return (x->entry.uid > y->entry.uid) - (x->entry.uid < y->entry.uid);
}

/* ---- the test ---- */

static struct buf arranged(struct rig *rig, uint64_t mailbox, const struct imap_sort *sort, uint64_t budget)
{
    const struct imap_search_node all = {.op = IMAP_SEARCH_ALL};
    AUTO_BUF struct buf program = buf_new(100);
    struct arrange *arrange = NULL;
    assert_int_equal(imap_search_encode(&program, &all, &rig->why), ERR_OK);
    assert_int_equal(arrange_new(sort, IMAP_THREAD_REFS, buf_slice(&program), SLICE_EMPTY, mailbox,
                                 UINT32_MAX, 0, &arrange, &rig->why),
                     ERR_OK);
    bool done = false;
    while (!done)
        assert_int_equal(arrange_step(arrange, rig->account, budget, &done, &rig->why), ERR_OK);
    struct buf result = buf_new(1 << 20);
    buf_add(&result, arrange_result(arrange));
    arrange_free(&arrange);
    return result;
}

static void check(struct rig *rig, const struct mailbox *m, size_t count, const struct imap_sort *sort)
{
    static struct known expected[MESSAGES];
    memcpy(expected, known, count * sizeof *known);
    qsort_r(expected, count, sizeof *expected, compare, (void *)(uintptr_t)sort);
    AUTO_BUF struct buf got = arranged(rig, m->id, sort, dice(2) ? 0 : 100000000);
    struct slice rest = buf_slice(&got);
    uint32_t uid;
    for (size_t i = 0; i < count; i++) {
        assert_true(slice_take_le32(&rest, &uid));
        assert_int_equal(uid, expected[i].entry.uid);
    }
    assert_int_equal(rest.len, 0);
}

static void check_many(struct rig *rig, const struct mailbox *m, size_t count)
{
    for (unsigned round = 0; round < 30; round++) {
        struct imap_sort sort = {0};
        do {
            sort.keys[sort.count].key = round < 9 ? (enum imap_sort_key)round : (enum imap_sort_key)dice(9);
            sort.keys[sort.count++].reverse = dice(2);
        } while (round >= 9 && dice(3) && sort.count < 4);
        check(rig, m, count, &sort);
    }
}

static uint64_t rows_on_disk(struct rig *rig)
{
    uint64_t rows = 0;
    assert_int_equal(
        db_number(rig->account->db, "SELECT count(*) FROM sortkey", DB_NO_ARGS, 0, &rows, &rig->why), ERR_OK);
    return rows;
}

static void test_orders(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    fill(&rig, account_mailbox(rig.account, SLICE("INBOX")), 0, 5);
    check_many(&rig, account_mailbox(rig.account, SLICE("INBOX")), 5);
    fill(&rig, account_mailbox(rig.account, SLICE("INBOX")), 5, 1295);
    check_many(&rig, account_mailbox(rig.account, SLICE("INBOX")), 1300);
    uint64_t rows = rows_on_disk(&rig);
    assert_int_equal(rows, 2 * __builtin_popcount(SORTKEY_FOR_SORT)); /* of the chunks that are full */
    rig_reopen(&rig);
    check_many(&rig, account_mailbox(rig.account, SLICE("INBOX")), 1300);
    /* new messages beside keys that are in memory; then from disk, damaged rows among them */
    fill(&rig, account_mailbox(rig.account, SLICE("INBOX")), 1300, 400);
    check_many(&rig, account_mailbox(rig.account, SLICE("INBOX")), MESSAGES);
    rig_reopen(&rig);
    assert_int_equal(db_run(rig.account->db, "UPDATE sortkey SET keys = substr(keys, 1, length(keys) - 1)",
                            DB_NO_ARGS, &rig.why),
                     ERR_OK);
    check_many(&rig, account_mailbox(rig.account, SLICE("INBOX")), MESSAGES);
    /* a message that leaves the disk takes the rows with it that hold it */
    rows = rows_on_disk(&rig);
    assert_int_equal(sortkeys_purge(rig.account, known[600].entry.message, &rig.why), ERR_OK);
    assert_int_equal(rows_on_disk(&rig), rows - (uint64_t)__builtin_popcount(SORTKEY_FOR_SORT));
    rig_stop(&rig);
}

static void test_rows(void **state)
{
    (void)state;
    static struct sortkey_values values[SORTKEY_CHUNK], again[SORTKEY_CHUNK];
    static uint64_t refs[SORTKEY_CHUNK][4];
    AUTO_ARENA struct arena *arena = arena_new(64u << 20);
    for (size_t i = 0; i < SORTKEY_CHUNK; i++) {
        values[i] = (struct sortkey_values){.present = dice(10), .id = dice(5), .refs = refs[i]};
        for (size_t n = 0; n < SORTKEY_NUMBERS; n++)
            values[i].number[n] = dice(5) ? (int64_t)dice(60000) * 30000 - 900000000 : SORTKEY_NO_DATE;
        for (unsigned n = SORTKEY_NUMBERS; n < SORTKEY_THREAD; n++)
            values[i].flags |= dice(2) ? 1u << n : 0;
        for (values[i].ref_count = 0; values[i].ref_count < dice(5);)
            refs[i][values[i].ref_count++] = (uint64_t)dice(60000) << 40;
        for (size_t n = SORTKEY_SUBJECT; n < SORTKEY_THREAD; n++)
            values[i].text[n] = slice_of(word());
    }
    for (unsigned column = 0; column < SORTKEY_COUNT; column++) {
        AUTO_BUF struct buf row = buf_new(SORTKEY_ROW_MAX);
        sortkeys_row_encode((enum sortkey)column, values, &row);
        memset(again, 0, sizeof again);
        assert_true(sortkeys_row_decode_in(arena, (enum sortkey)column, buf_slice(&row), again));
        for (size_t i = 0; i < SORTKEY_CHUNK; i++) {
            const struct sortkey_values *a = &values[i], *b = &again[i];
            assert_int_equal(a->present, b->present);
            if (!a->present)
                continue;
            if (column < SORTKEY_NUMBERS)
                assert_true(a->number[column] == b->number[column]);
            else if (column == SORTKEY_THREAD)
                assert_true(a->id == b->id && a->ref_count == b->ref_count &&
                            !memcmp(a->refs, b->refs, a->ref_count * sizeof *a->refs));
            else
                assert_true(slice_eq(a->text[column], b->text[column]));
            if (column >= SORTKEY_NUMBERS && column < SORTKEY_THREAD)
                assert_int_equal(a->flags >> column & 1, b->flags >> column & 1);
        }
        for (size_t cut = 0; cut < row.len; cut += 1 + cut / 20)
            assert_false(sortkeys_row_decode_in(arena, (enum sortkey)column,
                                                slice_sub(buf_slice(&row), 0, cut), again));
    }
}

int main(void)
{
    struct why why;
    assert_int_equal(metric_attach(&metrics_table, -1, "test", &why), ERR_OK);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_orders), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
