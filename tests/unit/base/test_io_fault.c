/* In a build with -Dio_faults=true: the record of file calls, SQLite's too, and calls that fail as told. In
 * any build: a database works through the VFS. The recorded part runs in a child, because the record is
 * opened before main(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "base/io.h"
#include "base/io_vfs.h"

static char folder[] = "/tmp/rockdove-fault-XXXXXX";

/* ---- what the child does ---- */

static int child_files(const char *where)
{
    struct why why = {""};
    AUTO_FD int dir = -1, fd = -1;
    enum err err = io_open_dir(AT_FDCWD, where, &dir, &why);
    if (!err)
        err = io_open_at(dir, "msg", O_RDWR | O_CREAT | O_EXCL, 0600, &fd, &why);
    if (!err)
        err = io_write_all(fd, SLICE("hello"), &why);
    if (!err)
        err = io_fsync(fd, &why);
    if (!err)
        err = io_rename(dir, "msg", dir, "final", &why);
    if (!err)
        err = io_fsync_dir(dir, &why);
    if (!err)
        err = io_link(dir, "final", dir, "second", &why);
    if (!err)
        err = io_mkdir(dir, "sub", 0700, &why);
    if (!err)
        err = io_unlink(dir, "second", &why);
    if (!err)
        err = io_truncate(fd, 2, &why);
    (void)fprintf(stderr, "%s\n", why.text);
    return (int)err;
}

static int child_database(const char *where)
{
    char path[4096];
    sqlite3 *db = NULL;
    (void)snprintf(path, sizeof path, "%s/test.db", where);
    if (io_vfs_register(NULL) != ERR_OK)
        return 90;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, IO_VFS_NAME);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(
            db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t(n);", NULL,
            NULL, NULL);
    for (int i = 0; i < 50 && rc == SQLITE_OK; i++)
        rc = sqlite3_exec(db, "INSERT INTO t VALUES(randomblob(200));", NULL, NULL, NULL);
    (void)sqlite3_close(db);
    return rc;
}

/* ---- the parent ---- */

struct setting {
    const char *name, *value;
};

static int run_child(const char *mode, const struct setting *settings)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (; settings && settings->name; settings++)
            (void)setenv(settings->name, settings->value, 1);
        char self[4096];
        ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
        self[len > 0 ? len : 0] = '\0';
        (void)execl(self, self, mode, folder, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void clean(void)
{
    static const char *const names[] = {"msg",         "final",       "second", "test.db",
                                        "test.db-wal", "test.db-shm", "rules"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/sub", folder);
    (void)rmdir(path);
}

static void test_database_through_vfs(void **state)
{
    (void)state;
    clean();
    assert_int_equal(run_child("database", NULL), SQLITE_OK);
    clean();
}

#ifdef IO_FAULTS

static bool read_kinds(void *arg, const char *name, int type)
{
    (void)type;
    char *kinds = arg, path[4096];
    if (strncmp(name, "record.", 7) != 0)
        return true;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    uint32_t len;
    (void)fseek(f, 14, SEEK_SET);
    while (f && fread(&len, 4, 1, f) == 1) {
        int kind = fgetc(f);
        size_t at = strlen(kinds);
        if (at < 4000) {
            kinds[at] = (char)kind;
            kinds[at + 1] = '\0';
        }
        (void)fseek(f, (long)len - 1, SEEK_CUR);
    }
    (void)fclose(f);
    (void)unlink(path);
    return true;
}

/* The kinds of all entries, in order; the record is removed. */
static const char *recorded(void)
{
    static char kinds[4096];
    kinds[0] = '\0';
    assert_int_equal(io_list_dir(AT_FDCWD, folder, read_kinds, kinds, NULL), ERR_OK);
    return kinds;
}

static void test_record(void **state)
{
    (void)state;
    char prefix[4096];
    (void)snprintf(prefix, sizeof prefix, "%s/record", folder);
    struct setting settings[] = {{"ROCKDOVE_IO_RECORD", prefix}, {NULL, NULL}};
    clean();
    assert_int_equal(run_child("files", settings), ERR_OK);
    assert_string_equal(recorded(), "CWSRDLMUT");
    clean();
    assert_int_equal(run_child("database", settings), SQLITE_OK);
    const char *kinds = recorded();
    size_t syncs = 0;
    for (const char *at = kinds; *at; at++)
        syncs += *at == 'S';
    assert_true(syncs >= 50); /* synchronous=FULL: each commit syncs the WAL */
    assert_non_null(strchr(kinds, 'D'));
    clean();
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *rule;
        int expected;
        const char *kinds;
    } rows[] = {
        {"files", "fsync:eio", ERR_INTERNAL, "CW"},
        {"files", "fsync:eio:after=1", ERR_OK, "CWSRDLMUT"},
        {"files", "write:enospc", ERR_LATER, "C"},
        {"files", "write:short", ERR_LATER, "CW"},
        {"files", "write:enospc:path=other", ERR_OK, "CWSRDLMUT"},
        {"files", "write:enospc:path=msg", ERR_LATER, "C"},
        {"files", "fsync:skip", ERR_OK, "CWRDLMUT"},
        {"files", "fsync:skip:site=test_io_fault.c", ERR_OK, "CWRDLMUT"},
        {"files", "fsync:skip:site=elsewhere.c;fsyncdir:skip", ERR_OK, "CWSRLMUT"},
        {"files", "fsyncdir:eio;unlink:eio", ERR_INTERNAL, "CWSR"},
        {"files", "rename:enospc", ERR_LATER, "CWS"},
        {"files", "link:erofs", ERR_REFUSED, "CWSRD"},
        {"files", "mkdir:edquot", ERR_LATER, "CWSRDL"},
        {"files", "truncate:eio", ERR_INTERNAL, "CWSRDLMU"},
        {"files", "open:emfile:path=msg", ERR_LATER, ""},
        {"files", "*:eio", ERR_INTERNAL, ""},
        {"database", "write:enospc:after=30", SQLITE_FULL, NULL},
        {"database", "fsync:eio:after=10", SQLITE_IOERR, NULL},
        {"database", "write:eio:path=-wal,after=20", SQLITE_IOERR, NULL},
    };
    char prefix[4096];
    (void)snprintf(prefix, sizeof prefix, "%s/record", folder);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct setting settings[] = {
            {"ROCKDOVE_IO_RECORD", prefix}, {"ROCKDOVE_IO_FAULT", rows[i].rule}, {NULL, NULL}};
        clean();
        int got = run_child(rows[i].mode, settings);
        const char *kinds = recorded();
        if (got != rows[i].expected || (rows[i].kinds && strcmp(kinds, rows[i].kinds) != 0))
            fail_msg("%s: %d %s", rows[i].rule, got, kinds);
    }
    clean();
}

static void test_rules_from_file(void **state)
{
    (void)state;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/rules", folder);
    AUTO_FD int fd = -1;
    assert_int_equal(io_open_at(AT_FDCWD, path, O_WRONLY | O_CREAT, 0600, &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, SLICE("mkdir:enospc\n"), NULL), ERR_OK);
    struct setting settings[] = {{"ROCKDOVE_IO_FAULT_FILE", path}, {NULL, NULL}};
    assert_int_equal(run_child("files", settings), ERR_LATER);
    clean();
}

#endif

int main(int argc, char **argv)
{
    if (argc == 3)
        return strcmp(argv[1], "files") == 0 ? child_files(argv[2]) : child_database(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_database_through_vfs),
#ifdef IO_FAULTS
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_rules_from_file),
#endif
    };
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests_name("io_fault", tests, NULL, NULL);
    (void)rmdir(folder);
    return failed;
}
