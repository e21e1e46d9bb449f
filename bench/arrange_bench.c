/* arrange_bench.c: what SORT and THREAD cost at the account layer, over a mailbox made without files: the
 * first time (keys from the facts), again (keys in memory), after one new message, and after the account has
 * slept (keys from packed rows). Prints CPU time, one line per measurement.
 *
 *   arrange_bench [messages]      in the folder TMPDIR or /tmp
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/account.h"
#include "store/arrange.h"
#include "store/sortkeys.h"
#include "wire/facts.h"

static unsigned seed = 1;

static unsigned dice(unsigned sides)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % sides;
}

static void die(const char *what, const struct why *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why->text);
    exit(1);
}

/* Of this process: what it costs, whatever else the machine does. */
static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Conversations of about four messages, some thousands of people, facts as long as usual ones. */
static void make_facts(uint64_t number, struct buf *encoded)
{
    static char filler[1200];
    static char subject[110], base[100], from[100], to[100], name[100], id[60], refs[4][60];
    struct slice at[4];
    memset(filler, 'x', sizeof filler);
    filler[0] = '(';
    filler[sizeof filler - 1] = ')';
    uint64_t thread = number / 8 + dice(4);
    (void)snprintf(base, sizeof base, "minutes of meeting %llu about %u", (unsigned long long)thread,
                   dice(2) * 7);
    (void)snprintf(subject, sizeof subject, "%s%s", dice(2) ? "Re: " : "", base);
    (void)snprintf(from, sizeof from, "person%u", dice(3000));
    (void)snprintf(to, sizeof to, "list%u", dice(50));
    (void)snprintf(name, sizeof name, "given name%u family", dice(3000));
    (void)snprintf(id, sizeof id, "%llu.%u@mail.example.test", (unsigned long long)number, 17);
    size_t count = dice(5);
    for (size_t i = 0; i < count; i++) {
        uint64_t back = (count - i) * (1 + dice(5));
        (void)snprintf(refs[i], sizeof refs[i], "%llu.17@mail.example.test",
                       (unsigned long long)(number > back ? number - back : 0));
        at[i] = slice_of(refs[i]);
    }
    const struct facts facts = {.size = 5000,
                                .header_len = 900,
                                .sent = 1700000000 + (int64_t)number * 60 + dice(600),
                                .flags = FACTS_TEXT_COMPLETE | FACTS_PARTS_COMPLETE | FACTS_HEADERS_COMPLETE,
                                .envelope = slice_make(filler, sizeof filler),
                                .body = SLICE("(NIL)"),
                                .bodystructure = slice_make(filler, sizeof filler),
                                .message_id = slice_of(id),
                                .references = {at, count},
                                .subject = slice_of(subject),
                                .base_subject = slice_of(base),
                                .sort_from = slice_of(from),
                                .sort_to = slice_of(to),
                                .sort_display_from = slice_of(name),
                                .sort_display_to = slice_of(to)};
    buf_clear(encoded);
    facts_encode(&facts, encoded);
}

static void fill(struct account *account, struct mailbox *m, size_t messages)
{
    struct why why;
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED), packed = buf_new(64 << 20);
    struct entry *entries = mem_alloc(messages * sizeof *entries);
    struct commit commit;
    struct change change = {.kind = CHANGE_ADD};
    if (commit_begin(&commit, account, &why))
        die("begin", &why);
    for (size_t i = 0; i < messages; i++) {
        uint64_t number = atomic_fetch_add(&account->next_message, 1);
        entries[i] = (struct entry){.uid = m->uidnext + (uint32_t)i,
                                    .size = 1000 + dice(50000),
                                    .date = 1700000000 + (uint32_t)number * 60,
                                    .modseq = commit_next(&commit),
                                    .message = number};
        mailbox_count(&change.counts, 0, entries[i].size, 1);
        make_facts(number, &encoded);
        if (db_run(
                account->db,
                "INSERT INTO message (id, size, date, sum, header, facts) VALUES (?, 5000, 0, x'', x'', ?)",
                DB_ARGS(DB_U64(number),
                        DB_BLOB(slice_sub(buf_slice(&encoded), 0, facts_record_len(buf_slice(&encoded))))),
                &why))
            die("insert", &why);
    }
    packed_encode(entries, messages, &packed);
    change.entries = buf_slice(&packed);
    if (commit_log(&commit, m, &change, &why) || commit_end(&commit, &why))
        die("fill", &why);
    free(entries);
}

static double arrange(struct account *account, uint64_t mailbox, const struct imap_sort *sort,
                      enum imap_thread_algorithm algorithm)
{
    const struct imap_search_node all = {.op = IMAP_SEARCH_ALL};
    AUTO_BUF struct buf program = buf_new(100);
    struct arrange *a = NULL;
    struct why why;
    bool done = false;
    double begun = cpu_ms();
    if (imap_search_encode(&program, &all, &why) ||
        arrange_new(sort, algorithm, buf_slice(&program), SLICE_EMPTY, mailbox, UINT32_MAX, 0, &a, &why))
        die("arrange", &why);
    while (!done)
        if (arrange_step(a, account, 10000000, &done, &why))
            die("arrange", &why);
    arrange_free(&a);
    return cpu_ms() - begun;
}

static const struct {
    const char *name;
    struct imap_sort sort;
    enum imap_thread_algorithm algorithm;
} rows[] = {
    {"SORT (ARRIVAL)", {.keys = {{IMAP_SORT_ARRIVAL, false}}, .count = 1}, 0},
    {"SORT (DATE)", {.keys = {{IMAP_SORT_DATE, false}}, .count = 1}, 0},
    {"SORT (REVERSE DATE)", {.keys = {{IMAP_SORT_DATE, true}}, .count = 1}, 0},
    {"SORT (SIZE)", {.keys = {{IMAP_SORT_SIZE, false}}, .count = 1}, 0},
    {"SORT (SUBJECT)", {.keys = {{IMAP_SORT_SUBJECT, false}}, .count = 1}, 0},
    {"SORT (FROM)", {.keys = {{IMAP_SORT_FROM, false}}, .count = 1}, 0},
    {"SORT (DISPLAYFROM REVERSE DATE)",
     {.keys = {{IMAP_SORT_DISPLAYFROM, false}, {IMAP_SORT_DATE, true}}, .count = 2},
     0},
    {"THREAD REFS", {.count = 0}, IMAP_THREAD_REFS},
    {"THREAD REFERENCES", {.count = 0}, IMAP_THREAD_REFERENCES},
    {"THREAD ORDEREDSUBJECT", {.count = 0}, IMAP_THREAD_ORDEREDSUBJECT},
};

static double run(struct account *account, uint64_t mailbox, size_t row)
{
    return arrange(account, mailbox, rows[row].sort.count ? &rows[row].sort : NULL, rows[row].algorithm);
}

static void sleep_and_wake(struct account *account, uint64_t mailbox)
{
    struct mailbox *m;
    struct why why;
    account_sleep(account);
    if (account_wake(account, &why) || account_view(account, mailbox, &m, &why))
        die("wake", &why);
}

int main(int argc, char **argv)
{
    size_t messages = argc > 1 ? (size_t)atoi(argv[1]) : 100000;
    char path[100], command[200];
    const char *base = getenv("TMPDIR");
    struct why why;
    struct account *account;
    (void)snprintf(path, sizeof path, "%.60s/arrange-bench-XXXXXX", base ? base : "/tmp");
    struct store_root root = {.dir = -1, .path = path};
    if (!mkdtemp(path) || metric_attach(&metrics_table, -1, "bench", &why) ||
        io_open_dir(AT_FDCWD, path, &root.dir, &why) ||
        account_open(&root, SLICE("user@example.test"), true, &account, &why))
        return 1;
    struct mailbox *m = account_mailbox(account, SLICE("INBOX"));
    uint64_t id = m->id;
    for (size_t at = 0; at < messages; at += PACKED_MAX)
        fill(account, m, messages - at < PACKED_MAX ? messages - at : PACKED_MAX);
    sleep_and_wake(account, id);
    (void)printf("%zu messages, CPU ms: %-30s%10s%10s%10s%10s\n", messages, "", "first", "again", "one more",
                 "awoken");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (db_run(account->db, "DELETE FROM sortkey", DB_NO_ARGS, &why))
            die("delete", &why);
        sleep_and_wake(account, id);
        double first = run(account, id, i), again = run(account, id, i);
        fill(account, account_mailbox(account, SLICE("INBOX")), 1);
        double more = run(account, id, i);
        sleep_and_wake(account, id);
        (void)printf("%-54s%10.1f%10.1f%10.1f%10.1f\n", rows[i].name, first, again, more,
                     run(account, id, i));
    }
    uint64_t bytes = 0;
    if (!db_number(account->db, "SELECT sum(length(keys)) FROM sortkey", DB_NO_ARGS, 0, &bytes, &why))
        (void)printf("rows: %.1f MB\n", (double)bytes / 1e6);
    account_free(&account);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command) != 0;
}
