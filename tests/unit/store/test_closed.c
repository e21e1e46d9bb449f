/* closed.c: when an opening may go without looking for what a crash has left, and when not. */
#include "store/rig.h"

#include <sys/stat.h>

#include "store/closed.h"

#define INDEX "accounts/ann@example.test/index.db"

static void copy_file(const struct rig *rig, const char *from, const char *to)
{
    char command[600];
    (void)snprintf(command, sizeof command, "cp '%s/%s' '%s/%s'", rig->path, from, rig->path, to);
    assert_int_equal(system(command), 0);
}

/* What a process leaves that is killed after it has made a file: `id` without a row. */
static void leave_file(const struct rig *rig, uint64_t id)
{
    char folder[PATHS_FOLDER_MAX], path[PATHS_FILE_MAX];
    int fd = -1;
    struct why why;
    paths_account(RIG_ADDRESS, folder);
    paths_message(folder, id, path);
    assert_int_equal(io_open_at(rig->root.dir, path, O_CREAT | O_EXCL | O_WRONLY, 0600, &fd, &why), ERR_OK);
    io_close(&fd);
}

static bool is_there(const struct rig *rig, uint64_t id)
{
    char folder[PATHS_FOLDER_MAX], path[PATHS_FILE_MAX];
    struct stat st;
    paths_account(RIG_ADDRESS, folder);
    paths_message(folder, id, path);
    return io_stat_at(rig->root.dir, path, &st, NULL) == ERR_OK;
}

static unsigned marks(const struct rig *rig)
{
    char command[200];
    (void)snprintf(command, sizeof command, "exit $(ls '%s'/accounts/*/msg/*/closed.* 2>/dev/null | wc -l)",
                   rig->path);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return (unsigned)WEXITSTATUS(status);
}

static void test_clean_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_false(rig.account->marked);
    rig_deliver(&rig, "1", "");
    account_free(&rig.account);
    assert_int_equal(marks(&rig), 1);
    leave_file(&rig, 100); /* nobody looks */
    rig_open(&rig);
    assert_true(rig.account->marked);
    assert_true(is_there(&rig, 100));
    uint64_t stamp = rig.account->closed;
    rig_reopen(&rig); /* nothing was made: the mark stays as it is */
    assert_true(rig.account->marked && rig.account->closed == stamp);
    assert_int_equal(marks(&rig), 1);
    rig_deliver(&rig, "2", ""); /* before the first file it goes */
    assert_false(rig.account->marked);
    assert_int_equal(marks(&rig), 0);
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 2);
    rig_reopen(&rig);
    assert_true(rig.account->marked && rig.account->closed != stamp);
    rig_stop(&rig);
}

/* Asleep and awake again, in the same process. */
static void test_sleep_and_wake(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    for (unsigned i = 0; i < 5; i++) {
        char id[2] = {(char)('a' + i), 0};
        rig_deliver(&rig, id, "");
        assert_false(rig.account->marked);
        account_sleep(rig.account);
        assert_true(rig.account->marked);
        assert_int_equal(marks(&rig), 1);
        assert_int_equal(account_wake(rig.account, &rig.why), ERR_OK);
    }
    rig_stop(&rig);
}

/* Killed: the child leaves the account as it is. */
static void test_killed(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "1", "");
    account_free(&rig.account);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        rig_open(&rig);
        rig_deliver(&rig, "2", "");
        rig_deliver(&rig, "3", ""); /* of a lot of two */
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(marks(&rig), 0);
    assert_true(is_there(&rig, 4));
    rig_open(&rig);
    assert_false(rig.account->marked);
    assert_false(is_there(&rig, 4));
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 3);
    rig_stop(&rig);
}

/* Cut off before the sync of its first lot: the file came to the disk, the removal of the mark did not. */
static void test_cut_before_first_sync(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "1", "");
    uint64_t next = atomic_load(&rig.account->next_message);
    account_free(&rig.account);
    leave_file(&rig, next);
    rig_open(&rig);
    assert_true(rig.account->marked);
    rig_reopen(&rig);
    assert_true(rig.account->marked);
    assert_false(is_there(&rig, next));
    leave_file(&rig, next);
    rig_deliver(&rig, "2", ""); /* its number is not stepped over */
    assert_int_equal(atomic_load(&rig.account->next_message), next + 1);
    account_free(&rig.account);
    next++;
    char to[80];
    (void)snprintf(to, sizeof to, "accounts/ann@example.test/msg/%02x/%u.eml", (unsigned)(next >> 8 & 0xff),
                   (unsigned)next);
    copy_file(&rig, INDEX, to); /* nothing of ours */
    rig_open(&rig);
    rig_reopen(&rig);
    assert_false(rig.account->marked);
    rig_stop(&rig);
}

/* An index of an earlier day does not know the stamp; the mark of the later one goes with its opening. */
static void test_older_index(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "1", "");
    account_free(&rig.account);
    copy_file(&rig, INDEX, "old.db");
    rig_open(&rig);
    for (unsigned i = 0; i < 200; i++)
        rig_deliver(&rig, "", "");
    account_free(&rig.account);
    assert_int_equal(marks(&rig), 1);
    copy_file(&rig, "old.db", INDEX);
    rig_open(&rig);
    assert_false(rig.account->marked);
    assert_int_equal(rig.account->strays, 200); /* mail: it stays */
    assert_int_equal(atomic_load(&rig.account->next_message), 202);
    rig_reopen(&rig); /* and is told of each time */
    assert_int_equal(rig.account->strays, 200);
    assert_int_equal(marks(&rig), 0);
    rig_stop(&rig);
}

/* A file that was made and got no row keeps the mark away, until an opening has looked. */
static void test_file_without_row(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t id;
    rig_start(&rig);
    rig_deliver(&rig, "1", "");
    assert_int_equal(blanks_take(rig.account, &id, &rig.why), ERR_OK);
    account_sleep(rig.account);
    assert_false(rig.account->marked);
    assert_int_equal(marks(&rig), 0);
    assert_int_equal(account_wake(rig.account, &rig.why), ERR_OK);
    rig_deliver(&rig, "2", "");
    rig_reopen(&rig);
    assert_false(is_there(&rig, id));
    assert_false(rig.account->marked);
    rig_reopen(&rig);
    assert_true(rig.account->marked);
    rig_stop(&rig);
}

/* The folder of the next message is not there yet: none is made for the mark. */
static void test_new_folder(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    for (unsigned i = 0; i < 255; i++)
        rig_deliver(&rig, "", "");
    assert_int_equal(atomic_load(&rig.account->next_message), 256);
    rig_reopen(&rig);
    assert_false(rig.account->marked);
    rig_deliver(&rig, "", "");
    rig_reopen(&rig);
    assert_true(rig.account->marked);
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_end),
        cmocka_unit_test(test_sleep_and_wake),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_older_index),
        cmocka_unit_test(test_file_without_row),
        cmocka_unit_test(test_new_folder),
        cmocka_unit_test(test_cut_before_first_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
