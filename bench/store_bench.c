/* store_bench.c: what the account layer costs, without processes around it: durable deliveries by many
 * threads over many accounts, and a large mailbox: loading, flags, listing, search. Prints one line per
 * measurement.
 *
 *   store_bench [deliveries [threads [accounts [messages]]]]      in the folder TMPDIR or /tmp
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/account.h"
#include "store/add.h"
#include "store/alter.h"
#include "store/fetch.h"
#include "store/search.h"

#define BODY_SIZE 10240

struct box {
    struct account *account;
    pthread_mutex_t strand, lock;
    struct addition *ready[ADD_GROUP_MAX];
    size_t count;
};

static struct box *boxes;
static unsigned box_count = 100, thread_count = 16;
static _Atomic int left = 4000;
static _Atomic uint64_t commits, number;
static struct add_body body;
static struct facts facts;
static struct buf encoded;

static void die(const char *what, const struct why *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why->text);
    exit(1);
}

static double cpu_seconds(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void make_body(void)
{
    static char bytes[BODY_SIZE], structure[400];
    static const char head[] =
        "From: Ann Example <ann@example.test>\r\nTo: bob@example.test\r\nSubject: a message of the "
        "usual size\r\nDate: Sat, 21 Nov 2026 03:42:49 +0000\r\nMessage-ID: <1@example.test>\r\n\r\n";
    memcpy(bytes, head, sizeof head - 1);
    unsigned seed = 1;
    for (size_t i = sizeof head - 1; i < BODY_SIZE; i++) {
        seed = seed * 1103515245 + 12345;
        bytes[i] = i % 78 == 77 ? '\n' : "etaoin shrdlu cmfwyp"[seed >> 16 & 15];
    }
    memset(structure, '1', sizeof structure);
    structure[0] = '(';
    structure[sizeof structure - 1] = ')';
    facts = (struct facts){.size = BODY_SIZE,
                           .header_len = sizeof head - 1,
                           .sent = 1795232569,
                           .flags = FACTS_TEXT_COMPLETE | FACTS_PARTS_COMPLETE | FACTS_HEADERS_COMPLETE,
                           .envelope = slice_make(structure, sizeof structure),
                           .body = slice_make(structure, sizeof structure),
                           .bodystructure = slice_make(structure, sizeof structure),
                           .headers = slice_make(head, sizeof head - 3),
                           .subject = SLICE("a message of the usual size"),
                           .search_from = SLICE("Ann Example <ann@example.test>"),
                           .text = slice_make(bytes + sizeof head - 1, 4000)};
    encoded = buf_new(FACTS_MAX_ENCODED);
    facts_encode(&facts, &encoded);
    body = (struct add_body){.fd = -1, .size = BODY_SIZE, .facts = &facts};
    body.record = slice_sub(buf_slice(&encoded), 0, facts_record_len(buf_slice(&encoded)));
    struct why why;
    if (io_memfd("body", &body.fd, &why) || io_write_all(body.fd, slice_make(bytes, BODY_SIZE), &why))
        die("body", &why);
}

/* As the role does it: the file by any thread, the commit by whoever gets the strand, for all who wait. */
static void deliver(struct box *box)
{
    char id[32];
    (void)snprintf(id, sizeof id, "q%llu", (unsigned long long)++number);
    struct addition a = {
        .body = &body,
        .queue_id = slice_of(id),
        .date = 1795232569,
        .header = SLICE("Return-Path: <x@example.org>\r\nDelivered-To: bob@example.test\r\nReceived: from "
                        "x by y with ESMTPS id 1; Sat, 21 Nov 2026 03:42:49 +0000\r\n")};
    struct why why;
    if (add_write(box->account, &a, &why))
        die("write", &why);
    pthread_mutex_lock(&box->lock);
    box->ready[box->count++] = &a;
    pthread_mutex_unlock(&box->lock);
    pthread_mutex_lock(&box->strand);
    pthread_mutex_lock(&box->lock);
    struct addition *group[ADD_GROUP_MAX];
    size_t count = a.target ? 0 : box->count; /* somebody else has done it */
    memcpy(group, box->ready, count * sizeof *group);
    box->count -= count;
    pthread_mutex_unlock(&box->lock);
    if (count) {
        add_commit(box->account, group, count);
        commits++;
        if (account_upkeep_due(box->account, clock_unix_s(), false) &&
            account_upkeep(box->account, clock_unix_s(), false, &why))
            die("upkeep", &why);
    }
    pthread_mutex_unlock(&box->strand);
    if (a.err)
        die("commit", &a.refusal.why);
    addition_free(&a);
}

static void *work(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    while (left-- > 0) {
        seed = seed * 1103515245 + 12345;
        deliver(&boxes[(seed >> 16) % box_count]);
    }
    return NULL;
}

static void open_boxes(const struct store_root *root)
{
    boxes = mem_zero(box_count, sizeof *boxes);
    for (unsigned i = 0; i < box_count; i++) {
        char address[32];
        struct why why;
        (void)snprintf(address, sizeof address, "user%u@example.test", i);
        pthread_mutex_init(&boxes[i].strand, NULL);
        pthread_mutex_init(&boxes[i].lock, NULL);
        if (account_open(root, slice_of(address), true, &boxes[i].account, &why))
            die(address, &why);
    }
}

static void bench_deliveries(int deliveries)
{
    pthread_t threads[64];
    left = deliveries;
    uint64_t begun = clock_mono_ns();
    double cpu = cpu_seconds();
    for (unsigned i = 0; i < thread_count; i++)
        (void)pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1));
    for (unsigned i = 0; i < thread_count; i++)
        (void)pthread_join(threads[i], NULL);
    double took = (double)(clock_mono_ns() - begun) / 1e9;
    (void)printf("deliveries: %d by %u threads over %u accounts: %.0f a second, %.3f CPU s per 1000, %.2f "
                 "per commit\n",
                 deliveries, thread_count, box_count, deliveries / took,
                 (cpu_seconds() - cpu) * 1000 / deliveries, (double)deliveries / (double)commits);
}

/* ---- a large mailbox, made without files ---- */

static void fill_rows(struct account *account, struct mailbox *m, size_t messages)
{
    struct why why;
    AUTO_BUF struct buf text = buf_new(1 << 20);
    struct entry *entries = mem_alloc(messages * sizeof *entries);
    struct commit commit;
    struct change change = {.kind = CHANGE_ADD};
    AUTO_BUF struct buf packed = buf_new(64 << 20);
    if (commit_begin(&commit, account, &why))
        die("begin", &why);
    for (size_t i = 0; i < messages; i++) {
        entries[i] = (struct entry){.uid = m->uidnext + (uint32_t)i,
                                    .size = BODY_SIZE,
                                    .date = 1795232569,
                                    .modseq = commit_next(&commit),
                                    .message = atomic_fetch_add(&account->next_message, 1)};
        mailbox_count(&change.counts, 0, BODY_SIZE, 1);
        if (db_run(account->db,
                   "INSERT INTO message (id, size, date, sum, header, facts) VALUES (?, ?, 0, x'', ?, ?)",
                   DB_ARGS(DB_U64(entries[i].message), DB_U64(BODY_SIZE), DB_BLOB(SLICE("")),
                           DB_BLOB(body.record)),
                   &why))
            die("insert", &why);
    }
    packed_encode(entries, messages, &packed);
    change.entries = buf_slice(&packed);
    if (commit_log(&commit, m, &change, &why) || commit_end(&commit, &why))
        die("fill", &why);
    free(entries);
}

static double ms_since(uint64_t begun)
{
    return (double)(clock_mono_ns() - begun) / 1e6;
}

static void bench_flags(struct account *account, struct mailbox *m, uint64_t flag, const char *name)
{
    AUTO_BUF struct buf uids = buf_new(64), modified = buf_new(1000);
    wire_range_add(&uids, 1, UINT32_MAX);
    struct alter_flags how = {.mode = FLAGS_ADD, .flags = flag, .uids = buf_slice(&uids)};
    struct refusal refusal;
    uint64_t modseq, begun = clock_mono_ns();
    if (alter_flags(account, m, &how, &modseq, &modified, &refusal))
        die("flags", &refusal.why);
    (void)printf("  %s on all: %.2f ms\n", name, ms_since(begun));
}

static void bench_search(struct account *account, const struct mailbox *m)
{
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    AUTO_BUF struct buf program = buf_new(1000);
    struct imap_search_node from = {.op = IMAP_SEARCH_HEADER,
                                    .name = SLICE("From"),
                                    .needle = imap_needle_in(arena, SLICE("nobody here"))};
    struct why why;
    struct search *search = NULL;
    if (imap_search_encode(&program, &from, &why) ||
        search_new(buf_slice(&program), m->id, UINT32_MAX, 0, &search, &why))
        die("search", &why);
    bool done = false;
    uint64_t begun = clock_mono_ns();
    while (!done)
        if (search_step(search, account, 10000000, &done, &why))
            die("search", &why);
    (void)printf("  SEARCH FROM: %.1f ms\n", ms_since(begun));
    search_free(&search);
}

static void bench_rows(struct account *account, const struct mailbox *m)
{
    AUTO_BUF struct buf ids = buf_new(64 << 20), rows = buf_new(1 << 20);
    struct why why;
    uint64_t bytes = 0, begun = clock_mono_ns();
    for (uint64_t i = 0; i < view_count(m->view); i++)
        buf_add_le64(&ids, image_message(&m->view->image->entries[i]));
    struct slice rest = buf_slice(&ids);
    while (rest.len) {
        buf_clear(&rows);
        if (fetch_rows(account, FACTS_WANT_ENVELOPE, &rest, &rows, &why))
            die("rows", &why);
        bytes += rows.len;
    }
    (void)printf("  facts of all: %.1f ms, %.1f MB\n", ms_since(begun), (double)bytes / 1e6);
}

static void bench_mailbox(size_t messages)
{
    struct account *account = boxes[0].account;
    struct mailbox *m = account_mailbox(account, SLICE("Archive"));
    struct why why;
    for (size_t at = 0; at < messages; at += PACKED_MAX)
        fill_rows(account, m, messages - at < PACKED_MAX ? messages - at : PACKED_MAX);
    uint64_t begun = clock_mono_ns();
    if (account_fold(account, 1, &why))
        die("fold", &why);
    (void)printf("mailbox of %zu messages:\n  fold: %.2f ms\n", messages, ms_since(begun));
    view_free(&m->view);
    account_sleep(account);
    begun = clock_mono_ns();
    if (account_wake(account, &why) || account_view(account, m->id, &m, &why))
        die("view", &why);
    (void)printf("  handle and image: %.2f ms\n", ms_since(begun));
    bench_flags(account, m, IMAGE_SEEN, "STORE");
    begun = clock_mono_ns();
    if (account_fold(account, 1, &why))
        die("fold", &why);
    (void)printf("  fold of that: %.2f ms\n", ms_since(begun));
    bench_rows(account, m);
    bench_search(account, m);
    bench_flags(account, m, IMAGE_DELETED, "\\Deleted");
    uint32_t count;
    struct refusal refusal;
    AUTO_BUF struct buf uids = buf_new(64);
    wire_range_add(&uids, 1, 1000);
    begun = clock_mono_ns();
    if (alter_expunge(account, m, buf_slice(&uids), &count, &refusal))
        die("expunge", &refusal.why);
    (void)printf("  EXPUNGE of %u: %.2f ms\n", count, ms_since(begun));
    AUTO_BUF struct buf source = buf_new(1 << 20), target = buf_new(1 << 20);
    buf_clear(&uids);
    wire_range_add(&uids, 2001, 3000);
    for (int move = 0; move < 2; move++) {
        begun = clock_mono_ns();
        if (alter_copy(account, m, account_mailbox(account, SLICE("Trash")), buf_slice(&uids), 0, move,
                       &source, &target, &refusal))
            die("copy", &refusal.why);
        (void)printf("  %s of 1000: %.2f ms\n", move ? "MOVE" : "COPY", ms_since(begun));
    }
}

int main(int argc, char **argv)
{
    int deliveries = argc > 1 ? atoi(argv[1]) : 4000;
    thread_count = argc > 2 ? (unsigned)atoi(argv[2]) : thread_count;
    box_count = argc > 3 ? (unsigned)atoi(argv[3]) : box_count;
    size_t messages = argc > 4 ? (size_t)atoi(argv[4]) : 100000;
    char path[100];
    const char *base = getenv("TMPDIR");
    struct why why;
    (void)snprintf(path, sizeof path, "%.60s/store-bench-XXXXXX", base ? base : "/tmp");
    struct store_root root = {.dir = -1, .path = path};
    if (thread_count < 1 || thread_count > 64 || box_count < 1 || !mkdtemp(path) ||
        metric_attach(&metrics_table, -1, "bench", &why) || io_open_dir(AT_FDCWD, path, &root.dir, &why))
        return 1;
    make_body();
    open_boxes(&root);
    bench_deliveries(deliveries);
    if (messages)
        bench_mailbox(messages);
    for (unsigned i = 0; i < box_count; i++)
        account_free(&boxes[i].account);
    free(boxes);
    buf_free(&encoded);
    char command[200];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command) != 0;
}
