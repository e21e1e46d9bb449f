/* state_file.c: whatever happens to the file with the state of a mailbox, a mailbox that is opened shows what
 * the index says. */
#include "store/rig.h"

#include <sys/stat.h>
#include <time.h>

#include "store/load.h"
#include "store/state_file.h"

#define FOLDER "accounts/ann@example.test"
#define SOME   2600 /* messages: three rows */

static void shell(const struct rig *rig, const char *what, const char *from, const char *to)
{
    char command[700];
    (void)snprintf(command, sizeof command, "cd '%s' && %s %s %s", rig->path, what, from, to);
    assert_int_equal(system(command), 0);
}

static int64_t file_size(const struct rig *rig, uint64_t mailbox)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    paths_state(FOLDER, mailbox, path);
    return io_stat_at(rig->root.dir, path, &st, NULL) == ERR_OK ? (int64_t)st.st_size : -1;
}

/* Fills INBOX by copying it into itself. */
static void fill(struct rig *rig, uint32_t wanted)
{
    for (unsigned i = 0; i < 4; i++)
        rig_deliver(rig, "", "");
    struct mailbox *m = rig_view(rig, "INBOX");
    while (m->messages < wanted) {
        uint32_t more = wanted - (uint32_t)m->messages, last = more < m->messages ? more : m->uidnext - 1;
        AUTO_BUF struct buf uids = buf_new(100), source = buf_new(1u << 20), target = buf_new(1u << 20);
        assert_int_equal(alter_copy(rig->account, m, m, rig_uids(&uids, 1, last), 0, false, &source, &target,
                                    &rig->refusal),
                         ERR_OK);
    }
}

static void set_flags(struct rig *rig, uint32_t first, uint32_t last, uint64_t flags)
{
    AUTO_BUF struct buf uids = buf_new(100), modified = buf_new(1000);
    struct alter_flags how = {.mode = FLAGS_SET, .flags = flags, .uids = rig_uids(&uids, first, last)};
    uint64_t modseq = 0;
    assert_int_equal(
        alter_flags(rig->account, rig_view(rig, "INBOX"), &how, &modseq, &modified, &rig->refusal), ERR_OK);
}

static void expunge(struct rig *rig, uint32_t first, uint32_t last)
{
    AUTO_BUF struct buf uids = buf_new(100);
    uint32_t count;
    assert_int_equal(alter_remove(rig->account, rig_view(rig, "INBOX"), rig_uids(&uids, first, last), &count,
                                  &rig->refusal),
                     ERR_OK);
}

/* Whether INBOX opens from its file; what it shows is what the index alone shows, in any case. */
static bool opens_from_file(struct rig *rig)
{
    struct mailbox *m = account_mailbox(rig->account, SLICE("INBOX"));
    view_free(&m->view);
    m = rig_view(rig, "INBOX");
    uint64_t len = m->state_len;
    bool wanted = m->state_wanted;
    struct view *seen = m->view;
    m->view = NULL;
    m->state_len = 0;
    m = rig_view(rig, "INBOX");
    assert_int_equal(view_count(seen), view_count(m->view));
    for (uint64_t i = 0; i < view_count(seen); i++) {
        struct entry a = view_entry(seen, i), b = view_entry(m->view, i);
        assert_true(rig_same(&a, &b));
    }
    view_free(&seen);
    m->state_len = len;
    m->state_wanted = wanted;
    return len != 0;
}

static void start(struct rig *rig)
{
    rig_start(rig);
    fill(rig, SOME);
    rig_reopen(rig);
    rig_view(rig, "INBOX");
    rig_reopen(rig);
    assert_true(file_size(rig, 1) > 0);
    assert_true(opens_from_file(rig));
}

static void test_made_when_it_was_opened(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_view(&rig, "INBOX");
    rig_reopen(&rig); /* nothing in it */
    assert_int_equal(file_size(&rig, 1), -1);
    rig_deliver(&rig, "1", "");
    rig_reopen(&rig); /* nobody has waited for it yet */
    assert_int_equal(file_size(&rig, 1), -1);
    rig_view(&rig, "INBOX");
    rig_reopen(&rig);
    assert_true(file_size(&rig, 1) > 0);
    fill(&rig, SOME);
    rig_reopen(&rig);
    int64_t size = file_size(&rig, 1);
    assert_true(size > 2048);
    rig_view(&rig, "INBOX");
    rig_reopen(&rig); /* nothing changed */
    assert_int_equal(file_size(&rig, 1), size);
    assert_true(opens_from_file(&rig));
    rig_stop(&rig);
}

/* A change costs the rows it touches, until half of the file holds no longer. */
static void test_appended_and_made_anew(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig);
    int64_t made = file_size(&rig, 1), before = made;
    unsigned anew = 0;
    for (uint32_t i = 0; i < 60; i++) {
        set_flags(&rig, 1 + i * 40, 3 + i * 40, i % 2 ? IMAGE_SEEN : IMAGE_FLAGGED);
        if (i % 3)
            assert_int_equal(account_fold(rig.account, 0, &rig.why), ERR_OK);
        else
            rig_reopen(&rig);
        int64_t now = file_size(&rig, 1);
        assert_true(now < 4 * made + (128 << 10));
        anew += now < before;
        before = now;
        assert_true(opens_from_file(&rig));
    }
    assert_true(anew > 0);
    rig_stop(&rig);
}

/* Rows that lose all their messages, and so many that lose most of them that all are written anew. */
static void test_rows_that_go(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    fill(&rig, 12000);
    rig_reopen(&rig);
    rig_view(&rig, "INBOX");
    rig_reopen(&rig);
    assert_true(opens_from_file(&rig));
    expunge(&rig, 900, 3100);
    assert_int_equal(account_fold(rig.account, 0, &rig.why), ERR_OK);
    assert_true(opens_from_file(&rig));
    int64_t before = file_size(&rig, 1);
    for (uint32_t uid = 1; uid < 12000; uid += 500)
        expunge(&rig, uid, uid + 490);
    assert_int_equal(account_fold(rig.account, 0, &rig.why), ERR_OK); /* each row is short now */
    assert_true(opens_from_file(&rig));
    set_flags(&rig, 1, 12000, IMAGE_SEEN);
    assert_int_equal(account_fold(rig.account, 0, &rig.why), ERR_OK);
    assert_true(opens_from_file(&rig));
    assert_true(file_size(&rig, 1) < before);
    rig_stop(&rig);
}

static void test_random(void **state)
{
    (void)state;
    struct rig rig;
    const char *given = getenv("STATE_SEED");
    unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);
    print_message("STATE_SEED=%u\n", seed);
    srand(seed);
    start(&rig);
    for (unsigned i = 0; i < 150; i++) {
        struct mailbox *m = account_mailbox(rig.account, SLICE("INBOX"));
        uint32_t first = 1 + (uint32_t)rand() % m->uidnext, last = first + (uint32_t)rand() % 300;
        switch (rand() % 8) {
        case 0:
            rig_deliver(&rig, "", "");
            break;
        case 1:
            expunge(&rig, first, last);
            break;
        case 2:
        case 3:
            set_flags(&rig, first, last, (uint64_t)rand() & IMAGE_SYSTEM_FLAGS);
            break;
        case 4:
            if (m->messages < 1000)
                fill(&rig, SOME);
            break;
        case 5:
            assert_int_equal(account_fold(rig.account, 0, &rig.why), ERR_OK);
            break;
        case 6:
            rig_reopen(&rig);
            break;
        default:
            view_free(&m->view);
        }
        (void)opens_from_file(&rig);
    }
    rig_stop(&rig);
}

static void test_damaged(void **state)
{
    (void)state;
    static const char *const damages[] = {
        "rm " FOLDER "/state/1",
        "rm -r " FOLDER "/state",
        "truncate -s 0 " FOLDER "/state/1",
        "truncate -s 2000 " FOLDER "/state/1",
        "truncate -s -1 " FOLDER "/state/1",
        "dd status=none conv=notrunc bs=1 count=1 if=/dev/zero seek=4 of=" FOLDER "/state/1",
        "dd status=none conv=notrunc bs=1024 count=1 if=/dev/zero seek=1 of=" FOLDER "/state/1",
    };
    struct rig rig;
    start(&rig);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        account_free(&rig.account);
        shell(&rig, damages[i], "", "");
        rig_open(&rig);
        assert_false(opens_from_file(&rig));
        rig_view(&rig, "INBOX");
        rig_reopen(&rig); /* and it is made anew */
        assert_true(opens_from_file(&rig));
    }
    account_free(&rig.account);
    shell(&rig, "echo more >>", FOLDER "/state/1", ""); /* what lies behind does not count */
    rig_open(&rig);
    assert_true(opens_from_file(&rig));
    set_flags(&rig, 1, 1, IMAGE_SEEN);
    rig_reopen(&rig);
    assert_true(opens_from_file(&rig));
    rig_stop(&rig);
}

/* A file that could not be read for a while and misses a change is not believed later. */
static void test_not_there_for_a_while(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig);
    account_free(&rig.account);
    shell(&rig, "mv", FOLDER "/state/1", "aside");
    rig_open(&rig);
    rig_view(&rig, "INBOX");
    set_flags(&rig, 1, 2000, IMAGE_FLAGGED);
    assert_int_equal(account_fold(rig.account, 0, &rig.why), ERR_OK);
    db_close(&rig.account->db); /* as a kill would leave it: no file is made */
    account_free(&rig.account);
    shell(&rig, "mv", "aside", FOLDER "/state/1");
    rig_open(&rig);
    assert_false(opens_from_file(&rig));
    rig_stop(&rig);
}

/* Index and file of different days, either way round. */
static void test_put_back(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig);
    account_free(&rig.account);
    shell(&rig, "cp", FOLDER "/index.db", "index.old");
    shell(&rig, "cp", FOLDER "/state/1", "file.old");
    rig_open(&rig);
    set_flags(&rig, 100, 900, IMAGE_DRAFT);
    expunge(&rig, 1500, 1600);
    assert_int_equal(account_fold(rig.account, 0, &rig.why), ERR_OK); /* appended to */
    db_close(&rig.account->db);
    account_free(&rig.account);
    shell(&rig, "cp", FOLDER "/index.db", "index.new");
    shell(&rig, "cp", FOLDER "/state/1", "file.new");
    for (unsigned i = 0; i < 4; i++) {
        account_free(&rig.account);
        shell(&rig, "cp", i & 1 ? "index.new" : "index.old", FOLDER "/index.db");
        shell(&rig, "cp", i & 2 ? "file.new" : "file.old", FOLDER "/state/1");
        rig_open(&rig);
        (void)opens_from_file(&rig);
        set_flags(&rig, 1, 50 + i, IMAGE_ANSWERED);
        rig_reopen(&rig);
        (void)opens_from_file(&rig);
    }
    /* the older index goes on behind its own part of the newer file; then the newer index comes back */
    account_free(&rig.account);
    shell(&rig, "cp", "index.old", FOLDER "/index.db");
    shell(&rig, "cp", "file.new", FOLDER "/state/1");
    rig_open(&rig);
    assert_true(opens_from_file(&rig));
    set_flags(&rig, 100, 900, IMAGE_FLAGGED);
    account_free(&rig.account);
    shell(&rig, "cp", "index.new", FOLDER "/index.db");
    rig_open(&rig);
    assert_false(opens_from_file(&rig));
    rig_stop(&rig);
}

static void test_killed(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig);
    for (unsigned when = 0; when < 3; when++) {
        account_free(&rig.account);
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            rig_open(&rig);
            set_flags(&rig, 10, 20 + when, IMAGE_SEEN);
            if (when)
                (void)!account_fold(rig.account, 0, &rig.why);
            if (when > 1)
                set_flags(&rig, 2000, 2100, IMAGE_SEEN);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        rig_open(&rig);
        assert_true(opens_from_file(&rig));
    }
    rig_stop(&rig);
}

static void test_deleted_and_renamed(void **state)
{
    (void)state;
    struct rig rig;
    AUTO_BUF struct buf uids = buf_new(100), source = buf_new(1u << 20), target = buf_new(1u << 20);
    start(&rig);
    assert_int_equal(names_create(rig.account, SLICE("a/b"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    struct mailbox *a = account_mailbox(rig.account, SLICE("a"));
    uint64_t id = a->id;
    assert_int_equal(alter_copy(rig.account, rig_view(&rig, "INBOX"), a, rig_uids(&uids, 1, SOME), 0, false,
                                &source, &target, &rig.refusal),
                     ERR_OK);
    rig_reopen(&rig);
    rig_view(&rig, "a");
    rig_reopen(&rig);
    assert_true(file_size(&rig, id) > 0);
    assert_int_equal(names_rename(rig.account, SLICE("a"), SLICE("c"), &rig.refusal), ERR_OK);
    rig_check_against_disk(&rig, "c");
    assert_true(account_mailbox(rig.account, SLICE("c"))->state_len > 0);
    assert_int_equal(names_delete(rig.account, SLICE("c"), &rig.refusal), ERR_OK); /* its name stays */
    assert_int_equal(file_size(&rig, id), -1);
    rig_reopen(&rig);
    assert_int_equal(names_create(rig.account, SLICE("c"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    rig_deliver(&rig, "new", "c");
    rig_check_against_disk(&rig, "c");
    assert_int_equal(account_mailbox(rig.account, SLICE("c"))->messages, 1);
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_when_it_was_opened),
        cmocka_unit_test(test_appended_and_made_anew),
        cmocka_unit_test(test_rows_that_go),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_not_there_for_a_while),
        cmocka_unit_test(test_put_back),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_deleted_and_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
