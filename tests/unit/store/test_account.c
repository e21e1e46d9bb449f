/* The account: deliveries, flags, expunges, copies; what stands on disk is what stands in memory. */
#include "rig.h"

static void test_new_account(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    AUTO_BUF struct buf rows = buf_new(100000);
    names_list(rig.account, &rows);
    struct slice list = buf_slice(&rows);
    struct mailbox_row row;
    const char *names[] = {"Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"};
    for (size_t i = 0; i < 6; i++) {
        assert_true(mailbox_row_take(&list, &row));
        assert_true(slice_eq(row.name, slice_of(names[i])));
        assert_true(row.flags & MAILBOX_SUBSCRIBED);
        assert_int_equal(row.uidnext, 1);
        assert_true(row.uidvalidity != 0);
    }
    assert_int_equal(list.len, 0);
    uint32_t validity = account_mailbox(rig.account, SLICE("INBOX"))->uidvalidity;
    rig_reopen(&rig);
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->uidvalidity, validity);
    rig_stop(&rig);
}

static void test_deliver(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(rig_deliver(&rig, "q1", ""), 1);
    assert_int_equal(rig_deliver(&rig, "q2", "INBOX"), 2);
    assert_int_equal(rig_deliver(&rig, "q3", "No/Such"), 3); /* never lost */
    assert_int_equal(rig_deliver(&rig, "q4", "Junk"), 1);
    assert_int_equal(rig_deliver(&rig, "q2", "INBOX"), 2); /* the same once more */
    const struct mailbox *inbox = rig_view(&rig, "INBOX");
    assert_int_equal(inbox->messages, 3);
    assert_int_equal(inbox->unseen, 3);
    rig_reopen(&rig);
    assert_int_equal(rig_deliver(&rig, "q2", "INBOX"), 2); /* also after the log was folded */
    inbox = rig_view(&rig, "INBOX");
    assert_int_equal(inbox->messages, 3);
    assert_int_equal(rig_alive(inbox), 3);
    rig_check_against_disk(&rig, "INBOX");
    rig_stop(&rig);
}

static void test_file(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    struct rig_message m;
    rig_message(&m, "cut", "body");
    /* "From: a@example.test\r\n" goes, two fields come in front. */
    struct facts_cut cut = {.off = 0, .len = 22};
    m.facts.cuts = &cut;
    m.facts.cut_count = 1;
    m.facts.added = SLICE("Date: now\r\n");
    m.facts.header_len += m.facts.added.len - cut.len;
    m.facts.size += m.facts.added.len - cut.len;
    struct addition a = {.body = &m.body, .header = SLICE("Return-Path: <>\r\n"), .queue_id = SLICE("q")},
                    *list = &a;
    add_commit(rig.account, &list, 1);
    assert_int_equal(a.err, ERR_OK);
    addition_free(&a);
    AUTO_FD int fd = -1;
    assert_int_equal(blob_open(&rig.root, rig.account->folder, a.message, &fd, &rig.why), ERR_OK);
    char bytes[300];
    size_t got = 0;
    assert_int_equal(io_read(fd, bytes, sizeof bytes, &got, &rig.why), ERR_OK);
    static const char expected[] =
        "Return-Path: <>\r\nDate: now\r\nSubject: cut\r\nX-Odd: strange value\r\n\r\nbody\r\n";
    assert_int_equal(got, sizeof expected - 1);
    assert_memory_equal(bytes, expected, got);
    struct blob_made sum;
    assert_int_equal(blob_sum(fd, &sum, &rig.why), ERR_OK);
    assert_memory_equal(sum.sum, a.made.sum, BLOB_SUM_LEN);
    assert_int_equal(sum.size, got);
    rig_message_free(&m);
    rig_stop(&rig);
}

static void test_group(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    struct rig_message m[8];
    struct addition a[8] = {0}, *list[8];
    char ids[8][16];
    for (int i = 0; i < 8; i++) {
        rig_message(&m[i], "group", "text");
        (void)snprintf(ids[i], sizeof ids[i], "g%d", i);
        a[i] = (struct addition){.body = &m[i].body,
                                 .queue_id = slice_of(ids[i]),
                                 .mailbox = i % 2 ? SLICE("Junk") : SLICE("INBOX"),
                                 .date = 5};
        list[i] = &a[i];
    }
    a[7].queue_id = a[6].queue_id; /* a twin in one group is put off, not doubled */
    assert_int_equal(add_write(rig.account, &a[3], &rig.why), ERR_OK);
    uint64_t rows = rig.account->log_rows;
    add_commit(rig.account, list, 8);
    for (int i = 0; i < 7; i++)
        assert_int_equal(a[i].err, ERR_OK);
    assert_int_equal(a[7].err, ERR_LATER);
    assert_int_equal(rig.account->log_rows - rows, 2); /* one per mailbox */
    assert_int_equal(rig_view(&rig, "INBOX")->messages, 4);
    assert_int_equal(rig_view(&rig, "Junk")->messages, 3);
    for (int i = 0; i < 8; i++) {
        addition_free(&a[i]);
        rig_message_free(&m[i]);
    }
    rig_check_against_disk(&rig, "INBOX");
    rig_check_against_disk(&rig, "Junk");
    rig_stop(&rig);
}

static uint64_t store_flags(struct rig *rig, const char *name, enum flags_mode mode, uint64_t flags,
                            const char *keyword, uint32_t first, uint32_t last)
{
    struct mailbox *m = rig_view(rig, name);
    AUTO_BUF struct buf uids = buf_new(1000), keywords = buf_new(1000), modified = buf_new(1000);
    if (keyword)
        wire_strings_add(&keywords, slice_of(keyword));
    struct alter_flags how = {
        .mode = mode, .flags = flags, .keywords = buf_slice(&keywords), .uids = rig_uids(&uids, first, last)};
    uint64_t modseq = 0;
    assert_int_equal(alter_flags(rig->account, m, &how, &modseq, &modified, &rig->refusal), ERR_OK);
    return modseq;
}

/* Of what is written beside the strand: the file of the second delivery goes, that of the first stays. */
static void test_redelivery_written_before(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_message m;
    int fd = -1;
    rig_start(&rig);
    rig_deliver(&rig, "twice", "");
    rig_message(&m, "hello", "some text");
    struct addition a = {.body = &m.body, .queue_id = SLICE("twice"), .date = 1};
    assert_int_equal(add_write(rig.account, &a, &rig.why), ERR_OK);
    uint64_t written = a.message;
    struct addition *one = &a;
    add_commit(rig.account, &one, 1);
    assert_int_equal(a.err, ERR_OK);
    assert_true(a.repeated && a.uid == 1 && a.message == 1 && written != 1);
    assert_int_equal(blob_open(&rig.root, rig.account->folder, 1, &fd, &rig.why), ERR_OK);
    io_close(&fd);
    assert_int_equal(blob_open(&rig.root, rig.account->folder, written, &fd, &rig.why), ERR_ABSENT);
    addition_free(&a);
    rig_message_free(&m);
    rig_stop(&rig);
}

/* Files made in advance have durable names of their own, and go with the handle, or at the next opening. */
static void test_blanks(void **state)
{
    (void)state;
    struct rig rig;
    struct stat st;
    char path[PATHS_FILE_MAX];
    rig_start(&rig);
    for (unsigned i = 0; i < 4; i++) /* lots of 1, 2 and 4: three are left */
        rig_deliver(&rig, "", "");
    assert_int_equal(rig.account->blanks.end - rig.account->blanks.next, 3);
    for (uint64_t id = 5; id <= 7; id++) {
        paths_message(rig.account->folder, id, path);
        assert_int_equal(io_stat_at(rig.root.dir, path, &st, NULL), ERR_OK);
        assert_int_equal(st.st_size, 0);
    }
    rig_reopen(&rig);
    for (uint64_t id = 5; id <= 7; id++) {
        paths_message(rig.account->folder, id, path);
        assert_int_equal(io_stat_at(rig.root.dir, path, &st, NULL), ERR_ABSENT);
    }
    paths_message(rig.account->folder, 9,
                  path); /* of a process that was killed; old ones are no mail either */
    int fd = -1;
    assert_int_equal(io_open_at(rig.root.dir, path, O_CREAT | O_WRONLY, 0600, &fd, &rig.why), ERR_OK);
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(futimens(fd, old), 0);
    io_close(&fd);
    account_free(&rig.account);
    rig_unmark(&rig);
    rig_open(&rig);
    assert_int_equal(rig.account->strays, 0);
    assert_int_equal(io_stat_at(rig.root.dir, path, &st, NULL), ERR_ABSENT);
    rig_deliver(&rig, "", "");
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 5);
    rig_stop(&rig);
}

static void test_flags(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    char id[16];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(id, sizeof id, "f%d", i);
        rig_deliver(&rig, id, "");
    }
    struct mailbox *m = rig_view(&rig, "INBOX");
    uint64_t before = m->modseq;
    assert_true(store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_SEEN, "Work", 1, 5) > before);
    assert_int_equal(m->unseen, 5);
    uint64_t again = m->modseq;
    assert_int_equal(store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_SEEN, "work", 1, 5), 0); /* nothing new */
    assert_int_equal(m->modseq, again);
    assert_int_equal(view_entry(m->view, 0).flags, IMAGE_SEEN | 1ull << IMAGE_KEYWORD_SHIFT);
    store_flags(&rig, "INBOX", FLAGS_SET, IMAGE_FLAGGED, NULL, 4, 7);
    assert_int_equal(view_entry(m->view, 3).flags, IMAGE_FLAGGED);
    store_flags(&rig, "INBOX", FLAGS_REMOVE, IMAGE_FLAGGED, "nothing", 7, 7);
    assert_int_equal(view_entry(m->view, 6).flags, 0);
    assert_int_equal(m->unseen, 7);
    rig_check_against_disk(&rig, "INBOX");
    rig_reopen(&rig);
    rig_check_against_disk(&rig, "INBOX");
    m = rig_view(&rig, "INBOX");
    assert_int_equal(m->keyword_count, 1);
    assert_true(slice_eq(m->keywords[0], SLICE("Work")));
    /* RFC 7162: only what has not changed since */
    AUTO_BUF struct buf uids = buf_new(100), modified = buf_new(100);
    struct alter_flags how = {.mode = FLAGS_ADD,
                              .flags = IMAGE_DELETED,
                              .uids = rig_uids(&uids, 1, 10),
                              .conditional = true,
                              .unchanged_since = again};
    uint64_t modseq;
    assert_int_equal(alter_flags(rig.account, m, &how, &modseq, &modified, &rig.refusal), ERR_OK);
    uint32_t first, last;
    struct slice left = buf_slice(&modified);
    assert_true(wire_range_take(&left, &first, &last));
    assert_int_equal(first, 4);
    assert_int_equal(last, 7);
    assert_int_equal(m->deleted, 6);
    rig_stop(&rig);
}

/* What UNCHANGEDSINCE leaves alone is one range however many numbers are missing between: the answer to a
 * STORE of a large mailbox fits. */
static void test_left_alone(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    char id[16];
    for (int i = 0; i < 9; i++) {
        (void)snprintf(id, sizeof id, "l%d", i);
        rig_deliver(&rig, id, "");
    }
    struct mailbox *m = rig_view(&rig, "INBOX");
    AUTO_BUF struct buf uids = buf_new(100), even = buf_new(100), modified = buf_new(16);
    for (uint32_t uid = 2; uid < 9; uid += 2)
        wire_range_add(&even, uid, uid);
    uint32_t gone;
    assert_int_equal(alter_remove(rig.account, m, buf_slice(&even), &gone, &rig.refusal), ERR_OK);
    assert_int_equal(gone, 4);
    rig_reopen(&rig); /* the image of what is there now */
    m = rig_view(&rig, "INBOX");
    const struct alter_flags how = {
        .mode = FLAGS_ADD, .flags = IMAGE_SEEN, .uids = rig_uids(&uids, 1, 9), .conditional = true};
    uint64_t modseq;
    assert_int_equal(alter_flags(rig.account, m, &how, &modseq, &modified, &rig.refusal), ERR_OK);
    uint32_t first, last;
    struct slice left = buf_slice(&modified);
    assert_int_equal(left.len, 8);
    assert_true(wire_range_take(&left, &first, &last));
    assert_int_equal(first, 1);
    assert_int_equal(last, 9);
    rig_stop(&rig);
}

/* POP3's way: what is named goes, with or without \Deleted, and nothing else does. */
static void test_remove(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    char id[16];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(id, sizeof id, "r%d", i);
        rig_deliver(&rig, id, "");
    }
    struct mailbox *m = rig_view(&rig, "INBOX");
    store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_DELETED, NULL, 3, 6);
    AUTO_BUF struct buf uids = buf_new(100);
    uint32_t count = 0;
    uint64_t commits = m->modseq;
    wire_range_add(&uids, 1, 3);
    wire_range_add(&uids, 9, 40);
    assert_int_equal(alter_remove(rig.account, m, buf_slice(&uids), &count, &rig.refusal), ERR_OK);
    assert_int_equal(count, 5);
    assert_int_equal(m->messages, 5);
    assert_int_equal(m->deleted, 3);
    assert_int_equal(m->modseq, commits + 1); /* one commit */
    rig_check_against_disk(&rig, "INBOX");
    assert_int_equal(alter_remove(rig.account, m, buf_slice(&uids), &count, &rig.refusal), ERR_OK);
    assert_int_equal(count, 0); /* gone already */
    rig_stop(&rig);
}

static void test_expunge_and_vanished(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    char id[16];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(id, sizeof id, "e%d", i);
        rig_deliver(&rig, id, "");
    }
    struct mailbox *m = rig_view(&rig, "INBOX");
    uint64_t start = m->modseq;
    store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_DELETED, NULL, 3, 5);
    store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_DELETED, NULL, 9, 9);
    AUTO_BUF struct buf uids = buf_new(100), gone = buf_new(1000);
    uint32_t count = 0;
    assert_int_equal(alter_expunge(rig.account, m, rig_uids(&uids, 1, 4), &count, &rig.refusal), ERR_OK);
    assert_int_equal(count, 2);
    uint64_t middle = m->modseq;
    assert_int_equal(alter_expunge(rig.account, m, SLICE_EMPTY, &count, &rig.refusal), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(m->messages, 6);
    rig_check_against_disk(&rig, "INBOX");
    for (int round = 0; round < 2; round++) { /* from the log, then folded */
        m = rig_view(&rig, "INBOX");
        buf_clear(&gone);
        assert_int_equal(fetch_vanished(rig.account, m, start, &gone, &rig.why), ERR_OK);
        uint32_t first, last;
        struct slice rest = buf_slice(&gone);
        assert_true(wire_range_take(&rest, &first, &last) && first == 3 && last == 5);
        assert_true(wire_range_take(&rest, &first, &last) && first == 9 && last == 9);
        assert_int_equal(rest.len, 0);
        buf_clear(&gone);
        assert_int_equal(fetch_vanished(rig.account, m, middle, &gone, &rig.why), ERR_OK);
        rest = buf_slice(&gone);
        assert_true(wire_range_take(&rest, &first, &last) && first == 5 && last == 5);
        buf_clear(&gone); /* before anything is remembered: all that is not there */
        assert_int_equal(fetch_vanished(rig.account, m, 0, &gone, &rig.why), ERR_OK);
        rest = buf_slice(&gone);
        assert_true(wire_range_take(&rest, &first, &last) && first == 3 && last == 5);
        rig_reopen(&rig);
    }
    rig_check_against_disk(&rig, "INBOX");
    /* the files go when it is time */
    assert_int_equal(rig.account->doomed, 4);
    AUTO_FD int fd = -1;
    assert_int_equal(blob_open(&rig.root, rig.account->folder, 3, &fd, &rig.why), ERR_OK);
    io_close(&fd);
    assert_int_equal(account_purge(rig.account, INT64_MAX, UINT64_MAX, &rig.why), ERR_OK);
    assert_int_equal(blob_open(&rig.root, rig.account->folder, 3, &fd, &rig.why), ERR_ABSENT);
    assert_int_equal(rig.account->doomed, 0);
    assert_int_equal(rig_deliver(&rig, "new", ""), 11); /* numbers are not given out again */
    rig_stop(&rig);
}

static void test_copy_and_move(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    char id[16];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(id, sizeof id, "c%d", i);
        rig_deliver(&rig, id, "");
    }
    store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_SEEN, "Mine", 2, 3);
    store_flags(&rig, "Trash", FLAGS_ADD, 0, "Other", 1, 1); /* keyword bits differ from INBOX's */
    struct mailbox *inbox = rig_view(&rig, "INBOX"), *trash = rig_view(&rig, "Trash");
    AUTO_BUF struct buf uids = buf_new(100), source = buf_new(1000), target = buf_new(1000);
    assert_int_equal(alter_copy(rig.account, inbox, trash, rig_uids(&uids, 2, 4), 0, false, &source, &target,
                                &rig.refusal),
                     ERR_OK);
    uint32_t first, last;
    struct slice rest = buf_slice(&target);
    assert_true(wire_range_take(&rest, &first, &last) && first == 1 && last == 3);
    assert_int_equal(trash->messages, 3);
    assert_int_equal(trash->unseen, 1);
    int bit = mailbox_keyword(trash, SLICE("Mine"));
    assert_true(view_entry(trash->view, 0).flags >> (bit + IMAGE_KEYWORD_SHIFT) & 1);
    buf_clear(&source);
    buf_clear(&target);
    assert_int_equal(
        alter_copy(rig.account, inbox, trash, rig_uids(&uids, 1, 2), 0, true, &source, &target, &rig.refusal),
        ERR_OK);
    assert_int_equal(inbox->messages, 4);
    assert_int_equal(trash->messages, 5);
    rig_check_against_disk(&rig, "INBOX");
    rig_check_against_disk(&rig, "Trash");
    rig_reopen(&rig);
    /* message 3 stands in both: its file goes with the last of them */
    uint32_t count;
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "Trash" : "INBOX";
        store_flags(&rig, name, FLAGS_ADD, IMAGE_DELETED, NULL, 1, 100);
        assert_int_equal(alter_expunge(rig.account, rig_view(&rig, name), SLICE_EMPTY, &count, &rig.refusal),
                         ERR_OK);
        assert_int_equal(account_purge(rig.account, INT64_MAX, UINT64_MAX, &rig.why), ERR_OK);
        AUTO_FD int fd = -1;
        assert_int_equal(blob_open(&rig.root, rig.account->folder, 3, &fd, &rig.why),
                         i ? ERR_ABSENT : ERR_OK);
    }
    rig_stop(&rig);
}

/* Many folds with everything mixed; a model of flags beside it. */
static void test_fold(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    unsigned seed = 7;
    char id[16];
    uint32_t count;
    for (int i = 0; i < 400; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned dice = seed >> 16 & 15;
        struct mailbox *m = account_mailbox(rig.account, SLICE("INBOX"));
        uint32_t top = m->uidnext, uid = top > 1 ? 1 + (seed >> 8) % (top - 1) : 1;
        (void)snprintf(id, sizeof id, "r%d", i);
        if (dice < 8)
            rig_deliver(&rig, id, "");
        else if (dice < 11)
            store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_SEEN << (seed >> 20 & 3), NULL, uid, uid + 5);
        else if (dice < 13)
            assert_int_equal(
                alter_expunge(rig.account, rig_view(&rig, "INBOX"), SLICE_EMPTY, &count, &rig.refusal),
                ERR_OK);
        else if (dice == 13)
            assert_int_equal(account_fold(rig.account, i, &rig.why), ERR_OK);
        else if (dice == 14)
            view_free(&m->view);
        else
            rig_reopen(&rig);
        if (i % 20 == 0)
            rig_check_against_disk(&rig, "INBOX");
    }
    rig_check_against_disk(&rig, "INBOX");
    rig_reopen(&rig);
    rig_check_against_disk(&rig, "INBOX");
    rig_stop(&rig);
}

/* A process that ends without a word: what was answered is there, files without a row are not. */
static void test_killed(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "k0", "");
    rig_reopen(&rig);
    account_free(&rig.account);
    pid_t child = fork();
    if (child == 0) {
        rig_open(&rig);
        rig_deliver(&rig, "k1", "");
        store_flags(&rig, "INBOX", FLAGS_ADD, IMAGE_SEEN, NULL, 1, 1);
        struct rig_message m;
        rig_message(&m, "lost", "never committed");
        struct addition a = {.body = &m.body};
        if (add_write(rig.account, &a, &rig.why))
            _exit(1);
        _exit(a.message == 3 ? 0 : 2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct stat st;
    char path[PATHS_FILE_MAX];
    paths_account(RIG_ADDRESS, path);
    char file[PATHS_FILE_MAX];
    paths_message(path, 3, file);
    assert_int_equal(io_stat_at(rig.root.dir, file, &st, &rig.why), ERR_OK);
    rig_open(&rig);
    assert_int_equal(io_stat_at(rig.root.dir, file, &st, &rig.why), ERR_ABSENT); /* swept */
    struct mailbox *m = rig_view(&rig, "INBOX");
    assert_int_equal(m->messages, 2);
    assert_int_equal(m->unseen, 1);
    rig_check_against_disk(&rig, "INBOX");
    assert_int_equal(rig_deliver(&rig, "k1", ""), 2);
    assert_int_equal(rig_deliver(&rig, "k2", ""), 3);
    rig_stop(&rig);
}

static void test_quota(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig.account->limits.messages = 1;
    rig_deliver(&rig, "1", "");
    struct addition a = {.queue_id = SLICE("2")};
    rig_add(&rig, &a, "s", "t");
    assert_int_equal(a.err, ERR_REFUSED);
    assert_int_equal(a.refusal.code, STORE_CODE_OVERQUOTA);
    a = (struct addition){.mailbox = SLICE("None")};
    rig_add(&rig, &a, "s", "t");
    assert_int_equal(a.err, ERR_ABSENT);
    assert_int_equal(a.refusal.code, STORE_CODE_TRYCREATE);
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_account),
        cmocka_unit_test(test_deliver),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_expunge_and_vanished),
        cmocka_unit_test(test_copy_and_move),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_redelivery_written_before),
        cmocka_unit_test(test_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
