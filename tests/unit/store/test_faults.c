/* Calls that fail while mail comes in: what was answered with success is there exactly once, nothing is there
 * half, and the next delivery works. In a build with -Dio_faults=true; the failing part runs in a child,
 * because the rules are read before main(). */
#include "rig.h"

#include "store/verify.h"

#define DELIVERIES 40

/* Delivers and tells the parent which ones were promised: one letter each. Ends without a word. */
static int child(const char *path, int out)
{
    struct rig rig = {.root = {.dir = -1}};
    char answers[DELIVERIES], id[16];
    uint32_t count;
    (void)snprintf(rig.path, sizeof rig.path, "%s", path);
    if (metric_attach(&metrics_table, -1, "test", NULL) ||
        io_open_dir(AT_FDCWD, path, &rig.root.dir, &rig.why))
        return 1;
    rig.root.path = rig.path;
    for (int tries = 0; !rig.account; tries++)
        if (account_open(&rig.root, RIG_ADDRESS, true, &rig.account, &rig.why) && tries > 5)
            return 2;
    for (int i = 0; i < DELIVERIES; i++) {
        struct addition a = {.header = SLICE("Return-Path: <>\r\n")};
        (void)snprintf(id, sizeof id, "f%d", i);
        a.queue_id = slice_of(id);
        rig_add(&rig, &a, "faults", "some text");
        answers[i] = a.err ? 'n' : 'y';
        if (i % 10 == 5)
            (void)!account_fold(rig.account, i, &rig.why);
        if (i % 10 == 7)
            (void)!account_upkeep(rig.account, i, true, &rig.why);
        if (i == 20 && !account_view(rig.account, 1, &(struct mailbox *){NULL}, &rig.why))
            (void)!alter_expunge(rig.account, account_mailbox_by_id(rig.account, 1), SLICE_EMPTY, &count,
                                 &rig.refusal);
    }
    _exit(write(out, answers, sizeof answers) == sizeof answers ? 0 : 3);
}

static void run_child(const char *path, const char *rule, char answers[DELIVERIES])
{
    int pipes[2], status = -1;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char out[16];
        (void)snprintf(out, sizeof out, "%d", pipes[1]);
        (void)setenv("ROCKDOVE_IO_FAULT", rule, 1);
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        (void)execl("/proc/self/exe", "test_faults", path, out, (char *)NULL);
        _exit(9);
    }
    (void)close(pipes[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status)
        print_error("%s: the child ended with %d\n", rule, status);
    assert_int_equal(status, 0);
    assert_int_equal(read(pipes[0], answers, DELIVERIES), DELIVERIES);
    (void)close(pipes[0]);
}

static void on_finding(void *arg, struct slice account, const char *text)
{
    (void)account;
    print_error("%s: %s\n", (const char *)arg, text);
}

static void check_rule(const char *rule, bool must_fail)
{
    struct rig rig;
    char answers[DELIVERIES] = {0}, id[16];
    rig_start(&rig);
    account_free(&rig.account);
    run_child(rig.path, rule, answers);
    unsigned promised = 0, refused = 0;
    for (int i = 0; i < DELIVERIES; i++) {
        promised += answers[i] == 'y';
        refused += answers[i] == 'n';
    }
    if (must_fail && (!refused || !promised))
        print_error("%s: %u promised, %u refused\n", rule, promised, refused);
    assert_true(!must_fail || (refused && promised));
    rig_open(&rig);
    /* asked again, what was promised is answered as it was then: it is there, once */
    uint64_t before = account_mailbox(rig.account, SLICE("INBOX"))->messages;
    assert_true(before >= promised);
    for (int i = 0; i < DELIVERIES; i++) {
        (void)snprintf(id, sizeof id, "f%d", i);
        uint64_t had = account_mailbox(rig.account, SLICE("INBOX"))->messages;
        rig_deliver(&rig, id, "");
        bool fresh = account_mailbox(rig.account, SLICE("INBOX"))->messages > had;
        if (fresh && answers[i] == 'y')
            print_error("%s: lost %s\n", rule, id);
        assert_false(fresh && answers[i] == 'y');
    }
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, DELIVERIES);
    rig_check_against_disk(&rig, "INBOX");
    account_free(&rig.account);
    struct verify_report report = {.finding = on_finding, .arg = (void *)(uintptr_t)rule};
    assert_int_equal(store_verify(rig.path, SLICE_EMPTY, &report, &rig.why), ERR_OK);
    assert_int_equal(report.findings, 0);
    rig_stop(&rig);
}

static void test_faults(void **state)
{
    (void)state;
#ifndef IO_FAULTS
    skip();
#endif
    static const struct {
        const char *rule;
        bool must_fail;
    } rows[] = {
        {"fsync:eio:path=.eml,after=3,count=2", true},
        {"fsync:eio:path=index.db-wal,after=8,count=3", true},
        {"fsync:eio:path=index.db-wal,every=3", true},
        {"fsync:eio:every=5", true},
        {"fsyncdir:eio:path=msg,after=3,count=4", true},
        {"write:enospc:path=.eml,after=5,count=5", true},
        {"write:short:path=.eml,every=4", true},
        {"write:enospc:path=index.db-wal,after=9,count=4", true},
        {"write:eio:path=index.db-wal,after=7,count=5", true},
        {"write:short:path=index.db-wal,after=8,count=2", false},
        {"open:emfile:path=.eml,every=7", true},
        {"unlink:eio", false},
        {"*:eio:path=accounts,after=300,count=40", true},
        {"*:enospc:path=accounts,after=200,every=9", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_rule(rows[i].rule, rows[i].must_fail);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return child(argv[1], atoi(argv[2]));
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
