/* Larger reads through the guarded memory map: what they see, what a disk that fails under it does, and that
 * nothing but such a failure is forgiven. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "db/db.h"

#define ROWS      400  /* a page each: more than one page leads to them */
#define DATA      2500 /* octets of a row */
#define SMALL     40   /* rows of the table whose rows share a page */
#define FILE_MAX  (8u << 20)
#define PAGE      4096
#define NO_NUMBER 12345

static const char step[] = "CREATE TABLE thing (id INTEGER PRIMARY KEY, data BLOB);"
                           "CREATE TABLE small (id INTEGER PRIMARY KEY, name TEXT)";
static const struct db_step steps[] = {{.sql = step}};
static const struct db_schema schema = {.name = "things", .steps = steps, .count = 1};
static const char walk_things[] = "SELECT id, data FROM thing WHERE id >= ? AND id <= ?";
static const char walk_small[] = "SELECT id, name FROM small";

static struct sigaction guard; /* cmocka puts handlers of its own in the place of ours */
static char folder[64];
static struct db *db;
static uint8_t *copy; /* of the file */
static size_t copy_len;

static void add(uint64_t from, uint64_t to)
{
    static char data[DATA];
    struct why why;
    assert_int_equal(db_begin(db, &why), ERR_OK);
    for (uint64_t id = from; id <= to; id++) {
        memset(data, (int)('a' + id % 26), sizeof data);
        assert_int_equal(db_run(db, "INSERT INTO thing (id, data) VALUES (?, ?)",
                                DB_ARGS(DB_U64(id), DB_BLOB(slice_make(data, sizeof data))), &why),
                         ERR_OK);
    }
    assert_int_equal(db_commit(db, &why), ERR_OK);
}

static int enter(void **state)
{
    (void)state;
    struct why why;
    (void)snprintf(folder, sizeof folder, "/tmp/rd-map-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder) || db_open("t.db", DB_EXCLUSIVE, &schema, NULL, &db, &why))
        return 1;
    add(1, ROWS);
    for (uint64_t id = 1; id <= SMALL; id++)
        if (db_run(db, "INSERT INTO small (id, name) VALUES (?, 'name')", DB_ARGS(DB_U64(id)), &why))
            return 1;
    return db_checkpoint(db, &why) != ERR_OK;
}

static int leave(void **state)
{
    (void)state;
    char command[100];
    db_close(&db);
    free(copy);
    copy = NULL;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/tmp") || system(command);
}

static bool is_mapped(void)
{
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        found = found || strstr(line, "/t.db\n");
    (void)fclose(maps);
    return found;
}

/* Rows found; every one is as it was written. */
static enum err walk(uint64_t from, uint64_t to, uint64_t *found, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, walk_things, DB_ARGS(DB_U64(from), DB_U64(to)), &rows, why);
    assert_int_equal(err, ERR_OK);
    *found = 0;
    bool same = true;
    while (db_next(&rows)) {
        struct slice data = db_slice(&rows, 1);
        for (size_t i = 0; i < data.len; i++)
            same = same && data.ptr[i] == 'a' + db_u64(&rows, 0) % 26;
        same = same && data.len == DATA;
        ++*found;
    }
    err = db_end(&rows, why);
    assert_true(err || same);
    return err;
}

static void assert_all(uint64_t to)
{
    assert_int_equal(sigaction(SIGBUS, &guard, NULL), 0);
    struct why why;
    uint64_t found = 0;
    assert_int_equal(db_read_many_begin(db, &why), ERR_OK);
    assert_int_equal(walk(1, to, &found, &why), ERR_OK);
    db_read_end(db);
    assert_int_equal(found, to);
}

static void cut_file(size_t len)
{
    int fd = open("t.db", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    copy = malloc(FILE_MAX);
    ssize_t got = pread(fd, copy, FILE_MAX, 0);
    assert_true(got > 0);
    copy_len = (size_t)got;
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    (void)close(fd);
}

static void mend_file(void)
{
    int fd = open("t.db", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, copy, copy_len, 0), (ssize_t)copy_len);
    (void)close(fd);
}

/* The map comes with the first larger read and stays; what was written since is seen, be it
 * in the log still or at the end of a file that has grown. */
static void test_reads(void **state)
{
    (void)state;
    struct why why;
    assert_false(is_mapped());
    assert_all(ROWS);
    assert_true(is_mapped());
    add(ROWS + 1, ROWS + 10);
    assert_all(ROWS + 10);
    assert_int_equal(db_run(db, "DELETE FROM thing WHERE id > ?", DB_ARGS(DB_U64(ROWS)), &why), ERR_OK);
    assert_int_equal(db_checkpoint(db, &why), ERR_OK);
    assert_all(ROWS);
    add(ROWS + 1, 2 * ROWS);
    assert_int_equal(db_checkpoint(db, &why), ERR_OK);
    assert_all(2 * ROWS);
    db_shrink(db);
    assert_all(2 * ROWS);
    assert_true(is_mapped());
    assert_int_equal(db_check(db, &why), ERR_OK);
}

static void test_no_writing(void **state)
{
    (void)state;
    struct why why;
    assert_int_equal(db_read_many_begin(db, &why), ERR_OK);
    assert_int_equal(db_run(db, "DELETE FROM thing", DB_NO_ARGS, &why), ERR_INTERNAL);
    db_read_end(db);
    assert_all(ROWS);
    assert_int_equal(db_run(db, "DELETE FROM thing WHERE id = 1", DB_NO_ARGS, &why), ERR_OK);
}

/* Pages that are gone when they are asked for: this read fails, the process lives, the next ones have no map
 * and tell SQLite's own error until the file is whole again. */
static void test_failing_disk(void **state)
{
    (void)state;
    struct why why;
    uint64_t found = 0, number = NO_NUMBER;
    assert_all(ROWS);
    assert_int_equal(db_read_many_begin(db, &why), ERR_OK);
    assert_int_equal(walk(1, 20, &found, &why), ERR_OK);
    cut_file((size_t)10 * PAGE);
    assert_int_equal(walk(1, ROWS, &found, &why), ERR_INTERNAL);
    assert_non_null(strstr(why.text, "the disk gave no data"));
    assert_true(found < ROWS);
    /* nor does anything else of this read count */
    assert_int_equal(db_number(db, "SELECT count(*) FROM small", DB_NO_ARGS, 0, &number, &why), ERR_INTERNAL);
    assert_int_equal(number, NO_NUMBER);
    db_read_end(db);
    assert_false(is_mapped());

    assert_int_equal(db_read_many_begin(db, &why), ERR_OK);
    assert_int_equal(walk(1, ROWS, &found, &why), ERR_INTERNAL);
    assert_null(strstr(why.text, "the disk gave no data"));
    db_read_end(db);
    mend_file();
    db_shrink(db); /* SQLite keeps what it read behind the end of the file as a page of zeros */
    assert_all(ROWS);
    assert_false(is_mapped());
    add(ROWS + 1, ROWS + 1);
    assert_all(ROWS + 1);
    db_close(&db);
    assert_int_equal(db_open("t.db", DB_EXCLUSIVE | DB_EXISTING, &schema, NULL, &db, &why), ERR_OK);
    assert_int_equal(db_check(db, &why), ERR_OK);
    assert_all(ROWS + 1);
    assert_true(is_mapped());
}

/* The page was there when SQLite took it, and goes while its rows are walked. */
static void test_failing_page_in_hand(void **state)
{
    (void)state;
    struct why why;
    struct db_rows rows;
    assert_all(ROWS);
    assert_int_equal(db_read_many_begin(db, &why), ERR_OK);
    assert_int_equal(db_query(db, walk_small, DB_NO_ARGS, &rows, &why), ERR_OK);
    assert_true(db_next(&rows));
    cut_file(0);
    unsigned more = 0;
    while (db_next(&rows))
        more++;
    assert_true(more < SMALL - 1);
    assert_int_equal(db_end(&rows, &why), ERR_INTERNAL);
    db_read_end(db);
    mend_file();
    assert_all(ROWS);
}

/* Takes a page of another file that is mapped and cut; what the child ends with. */
static int status_of_foreign_fault(bool within)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct why why;
        int fd = open("other", O_RDWR | O_CREAT | O_CLOEXEC, 0600), quiet = open("/dev/null", O_WRONLY);
        if (fd < 0 || quiet < 0 || ftruncate(fd, PAGE) || dup2(quiet, 2) < 0)
            _exit(0);
        volatile const uint8_t *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
        if (within && db_read_many_begin(db, &why))
            _exit(0);
        if (ftruncate(fd, 0))
            _exit(0);
        _exit(at[0] == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* A sanitizer ends the process in its own way. */
static void test_other_faults(void **state)
{
    (void)state;
    assert_all(ROWS);
    assert_int_not_equal(status_of_foreign_fault(false), 0);
    assert_int_not_equal(status_of_foreign_fault(true), 0);
}

int main(void)
{
    if (enter(NULL) || leave(NULL) || sigaction(SIGBUS, NULL, &guard))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads, enter, leave),
        cmocka_unit_test_setup_teardown(test_no_writing, enter, leave),
        cmocka_unit_test_setup_teardown(test_failing_disk, enter, leave),
        cmocka_unit_test_setup_teardown(test_failing_page_in_hand, enter, leave),
        cmocka_unit_test_setup_teardown(test_other_faults, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
