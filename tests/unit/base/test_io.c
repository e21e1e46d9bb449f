/* File calls: their errors, reading whole files, folders, locks, sealed memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"

static int root = -1;

static int make_root(void **state)
{
    static char path[] = "/tmp/rockdove-io-XXXXXX";
    *state = path;
    return mkdtemp(path) && io_open_dir(AT_FDCWD, path, &root, NULL) == ERR_OK ? 0 : -1;
}

static bool remove_one(void *arg, const char *name, int type)
{
    (void)type;
    int *left = arg;
    *left += unlinkat(root, name, 0) != 0 && unlinkat(root, name, AT_REMOVEDIR) != 0;
    return true;
}

static int drop_root(void **state)
{
    int left = 0;
    enum err err = io_list_dir(root, ".", remove_one, &left, NULL);
    io_close(&root);
    return err || left || rmdir(*state) != 0;
}

static void test_files(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    struct why why;
    struct slice bytes;
    int fd = -1;
    size_t got;
    char room[16];
    assert_int_equal(io_open_at(root, "absent", O_RDONLY, 0, &fd, &why), ERR_ABSENT);
    assert_non_null(strstr(why.text, "absent"));
    assert_int_equal(fd, -1);
    assert_int_equal(io_open_at(root, "a", O_RDWR | O_CREAT | O_EXCL, 0600, &fd, &why), ERR_OK);
    assert_int_equal(io_write_all(fd, SLICE("hello "), &why), ERR_OK);
    char part1[] = "wor", part2[] = "ld";
    struct iovec parts[] = {{part1, 3}, {NULL, 0}, {part2, 2}};
    assert_int_equal(io_writev(fd, parts, 3, &why), ERR_OK);
    assert_int_equal(io_pwrite_all(fd, SLICE("H"), 0, &why), ERR_OK);
    assert_int_equal(io_fsync(fd, &why), ERR_OK);
    assert_int_equal(io_fsync_dir(root, &why), ERR_OK);
    assert_int_equal(io_pread(fd, room, sizeof room, 6, &got, &why), ERR_OK);
    assert_int_equal(got, 5);
    assert_int_equal(io_read_file_in(arena, root, "a", 100, &bytes, &why), ERR_OK);
    assert_true(slice_eq(bytes, SLICE("Hello world")));
    assert_int_equal(io_read_file_in(arena, root, "a", 10, &bytes, &why), ERR_REFUSED);
    int again = -1;
    assert_int_equal(io_open_at(root, "a", O_RDWR | O_CREAT | O_EXCL, 0600, &again, &why), ERR_REFUSED);
    assert_int_equal(io_link(root, "a", root, "b", &why), ERR_OK);
    assert_int_equal(io_link(root, "a", root, "b", &why), ERR_REFUSED);
    assert_int_equal(io_rename(root, "b", root, "c", &why), ERR_OK);
    assert_int_equal(io_unlink(root, "b", &why), ERR_ABSENT);
    assert_int_equal(io_unlink(root, "c", &why), ERR_OK);
    assert_int_equal(io_truncate(fd, 3, &why), ERR_OK);
    assert_int_equal(io_fallocate(fd, 100000, &why), ERR_OK);
    struct stat st;
    assert_int_equal(io_stat_at(root, "a", &st, &why), ERR_OK);
    assert_int_equal(st.st_size, 3);
    io_close(&fd);
    assert_int_equal(fd, -1);
}

static bool count_names(void *arg, const char *name, int type)
{
    (void)name;
    (void)type;
    return ++*(int *)arg < 2;
}

static void test_folders(void **state)
{
    (void)state;
    struct why why;
    int names = 0;
    assert_int_equal(io_mkdir(root, "d", 0700, &why), ERR_OK);
    assert_int_equal(io_mkdir(root, "d", 0700, &why), ERR_REFUSED);
    assert_int_equal(io_fsync_dir_at(root, "d", &why), ERR_OK);
    assert_int_equal(io_list_dir(root, "d", count_names, &names, &why), ERR_OK);
    assert_int_equal(names, 0);
    assert_int_equal(io_mkdir(root, "e", 0700, &why), ERR_OK);
    assert_int_equal(io_mkdir(root, "f", 0700, &why), ERR_OK);
    assert_int_equal(io_list_dir(root, ".", count_names, &names, &why), ERR_OK);
    assert_int_equal(names, 2);
    assert_int_equal(io_rmdir(root, "d", &why), ERR_OK);
    struct io_space space;
    assert_int_equal(io_statvfs(root, &space, &why), ERR_OK);
    assert_true(space.total >= space.free && space.total > 0);
    AUTO_FD int a = -1, b = -1;
    assert_int_equal(io_open_at(root, "lock", O_RDWR | O_CREAT, 0600, &a, &why), ERR_OK);
    assert_int_equal(io_open_at(root, "lock", O_RDWR, 0600, &b, &why), ERR_OK);
    assert_int_equal(io_lock(a, &why), ERR_OK);
    assert_int_equal(io_lock(b, &why), ERR_LATER);
}

static void test_pipe_and_memory(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    struct why why;
    struct slice bytes;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    io_write_line(ends[1], SLICE("through a pipe"));
    io_close(&ends[1]);
    assert_int_equal(io_read_all_in(arena, ends[0], 100, &bytes, &why), ERR_OK);
    assert_true(slice_eq(bytes, SLICE("through a pipe")));
    io_close(&ends[0]);
    AUTO_FD int fd = -1;
    assert_int_equal(io_memfd("test", &fd, &why), ERR_OK);
    assert_int_equal(io_write_all(fd, SLICE("final"), &why), ERR_OK);
    assert_false(io_is_sealed(fd));
    assert_int_equal(io_seal(fd, &why), ERR_OK);
    assert_true(io_is_sealed(fd));
    assert_int_equal(io_write_all(fd, SLICE("more"), &why), ERR_REFUSED);
    assert_int_equal(io_read_all_in(arena, fd, 100, &bytes, &why), ERR_OK);
    assert_true(slice_eq(bytes, SLICE("final")));
}

static void test_no_space(void **state)
{
    (void)state;
    AUTO_FD int fd = -1;
    struct why why;
    if (io_open_at(AT_FDCWD, "/dev/full", O_WRONLY, 0, &fd, &why) != ERR_OK)
        skip();
    assert_int_equal(io_write_all(fd, SLICE("x"), &why), ERR_LATER);
    assert_non_null(strstr(why.text, "No space"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files), cmocka_unit_test(test_folders),
                                       cmocka_unit_test(test_pipe_and_memory),
                                       cmocka_unit_test(test_no_space)};
    return cmocka_run_group_tests_name("io", tests, make_root, drop_root);
}
