/* search_bench.c: what SEARCH costs over a large mailbox of made-up mail, scanned as the server does it,
 * without processes around it. Prints one line per search: what was found and the CPU time it took.
 *
 *   search_bench FOLDER [messages]      makes the account in FOLDER where there is none, and keeps it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "scan/scan_message.h"
#include "settings/metrics.h"
#include "store/account.h"
#include "store/fulltext.h"
#include "store/search.h"
#include "store/text.h"

#define WORDS       40000 /* of the language the messages are written in */
#define PEOPLE      2000
#define MESSAGE_MAX (256u * 1024)
#define ROUNDS      3

static char words[WORDS][16];
static uint64_t seed = 88172645463325252u;

/* Of the processor: a busy machine changes nothing. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const struct why *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why->text);
    exit(1);
}

static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % below;
}

static void make_words(void)
{
    static const char *const begins[] = {"b",  "br", "c",  "ch", "d", "f", "fr", "g", "gr", "h",
                                         "j",  "k",  "l",  "m",  "n", "p", "pl", "r", "s",  "sh",
                                         "st", "t",  "tr", "v",  "w", "",  "qu", "y", "cl", "sp"};
    static const char *const middles[] = {"a", "e", "i", "o", "u", "ea", "ou", "ai", "ie", "y"};
    static const char *const ends[] = {"",  "n", "r", "s", "t",  "l",  "nd", "st", "ng", "m",
                                       "d", "c", "p", "k", "sh", "th", "x",  "b",  "rt", "ck"};
    for (size_t i = 0; i < WORDS; i++) {
        unsigned syllables = 1 + (i > 60) + (i > 2000) * draw(2);
        words[i][0] = 0;
        for (unsigned s = 0; s < syllables; s++) {
            char part[8];
            (void)snprintf(part, sizeof part, "%s%s%s", begins[draw(30)], middles[draw(10)], ends[draw(20)]);
            strncat(words[i], part, sizeof words[i] - strlen(words[i]) - 1);
        }
    }
}

/* Few words are common, most are rare. */
static const char *word(void)
{
    uint32_t level = draw(100);
    return words[draw(level < 45 ? 100 : level < 75 ? 1500 : level < 95 ? 10000 : WORDS)];
}

static void add_words(struct buf *out, unsigned count, size_t width)
{
    size_t column = 0;
    for (unsigned i = 0; i < count; i++) {
        const char *w = word();
        column += strlen(w) + 1;
        buf_add_str(out, w);
        bool full = width && column > width;
        buf_add_str(out, full ? "\r\n" : i % 11 == 10 ? ". " : " ");
        column = full ? 0 : column;
    }
}

static void add_random(struct buf *out, unsigned count)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned i = 0; i < count; i++)
        buf_add_byte(out, (uint8_t)letters[draw(64)]);
}

static void add_person(struct buf *out, uint32_t who)
{
    char text[120];
    (void)snprintf(text, sizeof text, "%s %s <%s.%s@%s.example>", words[who * 7 % WORDS],
                   words[who * 13 % WORDS], words[who * 7 % WORDS], words[who * 13 % WORDS],
                   words[who * 3 % 200]);
    buf_add_str(out, text);
}

static void add_front(struct buf *out, unsigned number)
{
    char text[300];
    for (unsigned hop = 0; hop < 3; hop++) {
        (void)snprintf(
            text, sizeof text,
            "Received: from mx%u.%s.example (mx%u.%s.example [192.0.2.%u])\r\n\tby mail.example.org "
            "with ESMTPS id ",
            hop, words[draw(200)], hop, words[draw(200)], draw(256));
        buf_add_str(out, text);
        add_random(out, 12);
        buf_add_str(out, ";\r\n\tSat, 21 Nov 2026 03:42:49 +0000 (UTC)\r\n");
    }
    buf_add_str(out, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example; s=2026;\r\n\t"
                     "h=from:to:subject:date:message-id; bh=");
    add_random(out, 43);
    buf_add_str(out, "=;\r\n\tb=");
    for (unsigned line = 0; line < 5; line++) {
        add_random(out, 70);
        buf_add_str(out, "\r\n\t ");
    }
    buf_add_str(out, "==\r\nFrom: ");
    add_person(out, draw(draw(2) ? 50 : PEOPLE));
    buf_add_str(out, "\r\nTo: Ann Owner <ann@example.test>\r\n");
    if (draw(4) == 0) {
        buf_add_str(out, "Cc: ");
        add_person(out, draw(PEOPLE));
        buf_add_str(out, "\r\n");
    }
    (void)snprintf(text, sizeof text, "Message-ID: <%u.", number);
    buf_add_str(out, text);
    add_random(out, 16);
    buf_add_str(out, "@sender.example>\r\nDate: Sat, 21 Nov 2026 03:42:49 +0000\r\nSubject: ");
    add_words(out, 3 + draw(6), 0);
    buf_add_str(out, "\r\nMIME-Version: 1.0\r\nX-Mailer: Example Mailer 4.2\r\n");
}

static void add_message(struct buf *out, unsigned number)
{
    unsigned size = 60 + draw(draw(10) ? 700 : 4000);
    add_front(out, number);
    if (draw(2)) {
        buf_add_str(out, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
        add_words(out, size, 72);
    } else {
        buf_add_str(out, "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>");
        add_words(out, size / 2, 72);
        buf_add_str(out, "</p><a href=\"https://click.example/");
        add_random(out, 60);
        buf_add_str(out, "\">Gr\xc3\xbc\xc3\x9f"
                         "e</a><p style=\"color: black\">");
        add_words(out, size / 2, 72);
        buf_add_str(out, "</p></body></html>\r\n");
    }
    if (number % 1000 == 77)
        buf_add_str(out, "the unusual zebrafish aquarium\r\n");
}

/* ---- the account ---- */

struct maker {
    struct account *account;
    struct arena *arena;
    struct charset_set *charsets;
    struct buf message, encoded, text, packed;
};

static void insert(struct maker *m, uint64_t id, unsigned number)
{
    static const char front[] = "Return-Path: <bounce@sender.example>\r\nDelivered-To: ann@example.test\r\n";
    struct why why;
    struct facts facts = {0};
    buf_clear(&m->message);
    buf_clear(&m->encoded);
    buf_clear(&m->text);
    arena_reset(m->arena);
    add_message(&m->message, number);
    struct slice message = buf_slice(&m->message);
    const struct wire_scan_task task = {
        .kind = BODY_MX, .size = message.len, .hostname = SLICE("mail.example.org")};
    if (scan_message_in(m->arena, m->charsets, &task, message, &facts, NULL))
        die("scan", &(struct why){.text = "refused"});
    facts_encode(&facts, &m->encoded);
    text_pack(facts.text, slice_sub(message, 0, (size_t)facts.header_len), &m->text);
    struct slice record = slice_sub(buf_slice(&m->encoded), 0, facts_record_len(buf_slice(&m->encoded)));
    if (db_run(m->account->db,
               "INSERT INTO message (id, size, date, sum, header, facts) VALUES (?, ?, 0, x'', ?, ?)",
               DB_ARGS(DB_U64(id), DB_U64(message.len), DB_BLOB(slice_of(front)), DB_BLOB(record)), &why) ||
        db_run(m->account->db, "INSERT INTO text (id, text) VALUES (?, ?)",
               DB_ARGS(DB_U64(id), DB_BLOB(buf_slice(&m->text))), &why))
        die("insert", &why);
}

static void make_some(struct maker *m, struct mailbox *box, unsigned from, unsigned count)
{
    struct entry entries[PACKED_MAX];
    struct change change = {.kind = CHANGE_ADD};
    struct commit commit;
    struct why why;
    if (commit_begin(&commit, m->account, &why))
        die("begin", &why);
    for (unsigned i = 0; i < count; i++) {
        entries[i] = (struct entry){.uid = box->uidnext + i,
                                    .size = 5000,
                                    .date = 1795232569,
                                    .modseq = commit_next(&commit),
                                    .message = atomic_fetch_add(&m->account->next_message, 1)};
        mailbox_count(&change.counts, 0, 5000, 1);
        insert(m, entries[i].message, from + i);
    }
    buf_clear(&m->packed);
    packed_encode(entries, count, &m->packed);
    change.entries = buf_slice(&m->packed);
    if (commit_log(&commit, box, &change, &why) || commit_end(&commit, &why) ||
        account_upkeep(m->account, clock_unix_s(), true, &why))
        die("commit", &why);
}

static void make(struct account *account, struct mailbox *box, unsigned messages)
{
    struct maker m = {.account = account,
                      .arena = arena_new(SCAN_ARENA_MAX),
                      .charsets = charset_set_new(),
                      .message = buf_new(MESSAGE_MAX),
                      .encoded = buf_new(FACTS_MAX_ENCODED),
                      .text = buf_new(TEXT_PACKED_MAX),
                      .packed = buf_new(1 << 20)};
    for (unsigned at = 0; at < messages; at += PACKED_MAX)
        make_some(&m, box, at, messages - at < PACKED_MAX ? messages - at : PACKED_MAX);
    arena_free(&m.arena);
    charset_set_free(&m.charsets);
    buf_free(&m.message);
    buf_free(&m.encoded);
    buf_free(&m.text);
    buf_free(&m.packed);
}

/* ---- the searches ---- */

static void run(struct account *account, const struct mailbox *m, const char *name,
                const struct imap_search_node *node)
{
    AUTO_BUF struct buf program = buf_new(10000);
    struct why why;
    double best = 0, begin = 0;
    uint64_t found = 0, longest = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct search *search = NULL;
        uint64_t begun = cpu_ns();
        buf_clear(&program);
        if (imap_search_encode(&program, node, &why) ||
            search_new(buf_slice(&program), m->id, UINT32_MAX, 0, &search, &why))
            die("search", &why);
        for (bool done = false; !done;) {
            uint64_t step = cpu_ns();
            if (search_step(search, account, 10000000, &done, &why))
                die("search", &why);
            step = cpu_ns() - step;
            longest = step > longest ? step : longest;
        }
        struct slice uids = buf_slice(search_found(search));
        uint32_t first, last;
        for (found = 0; wire_range_take(&uids, &first, &last);)
            found += last - first + 1;
        search_free(&search);
        double took = (double)(cpu_ns() - begun) / 1e6;
        begin = round ? begin : took;
        best = !round || took < best ? took : best;
    }
    (void)printf("%-28s %7llu found %9.2f ms, the first time %9.2f, longest step %5.1f ms\n", name,
                 (unsigned long long)found, best, begin, (double)longest / 1e6);
}

static void searches(struct account *account, const struct mailbox *m)
{
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    const struct {
        const char *name, *field, *text;
        enum imap_search_op op;
    } rows[] = {
        {"FROM (nobody)", "From", "nobody here", IMAP_SEARCH_HEADER},
        {"FROM (a person)", "From", words[7 * 1500 % WORDS], IMAP_SEARCH_HEADER},
        {"FROM (all)", "From", "example", IMAP_SEARCH_HEADER},
        {"FROM (one letter)", "From", "z", IMAP_SEARCH_HEADER},
        {"TO (all)", "To", "ann@example.test", IMAP_SEARCH_HEADER},
        {"SUBJECT (rare)", "Subject", words[20000], IMAP_SEARCH_HEADER},
        {"SUBJECT (common)", "Subject", words[50], IMAP_SEARCH_HEADER},
        {"HEADER X-Mailer (all)", "X-Mailer", "example", IMAP_SEARCH_HEADER},
        {"HEADER Return-Path (none)", "Return-Path", "nowhere", IMAP_SEARCH_HEADER},
        {"BODY (1 in 1000)", NULL, "zebrafish aquarium", IMAP_SEARCH_BODY},
        {"BODY (none)", NULL, "not in any of them", IMAP_SEARCH_BODY},
        {"BODY (a rare word)", NULL, words[20000], IMAP_SEARCH_BODY},
        {"BODY (a common word)", NULL, words[50], IMAP_SEARCH_BODY},
        {"TEXT (1 in 1000)", NULL, "zebrafish aquarium", IMAP_SEARCH_TEXT},
        {"TEXT (none)", NULL, "not in any of them", IMAP_SEARCH_TEXT},
        {"TEXT (a rare word)", NULL, words[20000], IMAP_SEARCH_TEXT},
        {"TEXT (a common word)", NULL, words[50], IMAP_SEARCH_TEXT},
        {"TEXT (two letters)", NULL, "zq", IMAP_SEARCH_TEXT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct imap_search_node node = {.op = rows[i].op,
                                        .name = slice_of(rows[i].field ? rows[i].field : ""),
                                        .needle = imap_needle_in(arena, slice_of(rows[i].text))};
        run(account, m, rows[i].name, &node);
    }
}

int main(int argc, char **argv)
{
    unsigned messages = argc > 2 ? (unsigned)atoi(argv[2]) : 100000;
    struct store_root root = {.dir = -1, .path = argc > 1 ? argv[1] : ""};
    struct account *account = NULL;
    struct mailbox *m = NULL;
    struct why why;
    if (argc < 2 || metric_attach(&metrics_table, -1, "bench", &why) ||
        io_open_dir(AT_FDCWD, root.path, &root.dir, &why)) {
        (void)fprintf(stderr, "search_bench FOLDER [messages]\n");
        return 1;
    }
    charset_load();
    make_words();
    if (account_open(&root, SLICE("ann@example.test"), true, &account, &why))
        die("open", &why);
    if (account_view(account, account_mailbox(account, SLICE("Archive"))->id, &m, &why))
        die("view", &why);
    if (!m->messages)
        make(account, m, messages);
    if (account_view(account, m->id, &m, &why))
        die("view", &why);
    account->fulltext_off = account->sortkeys_off = true;
    (void)printf("without index and columns:\n");
    searches(account, m);
    account->sortkeys_off = false;
    (void)printf("with columns:\n");
    searches(account, m);
    account->fulltext_off = false;
    uint64_t indexed, begun = cpu_ns();
    if (fulltext_rebuild(account, &indexed, &why))
        die("index", &why);
    (void)printf("with the index: %llu messages in %.1f s\n", (unsigned long long)indexed,
                 (double)(cpu_ns() - begun) / 1e9);
    searches(account, m);
    account_free(&account);
    io_close(&root.dir);
    return 0;
}
