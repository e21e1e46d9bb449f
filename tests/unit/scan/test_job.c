/* A scan task from descriptor to encoded facts. */
#include "scan/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/io.h"

static int memfd_of(struct slice bytes)
{
    int fd = -1;
    assert_int_equal(io_memfd("test", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, bytes, NULL), ERR_OK);
    assert_int_equal(io_seal(fd, NULL), ERR_OK);
    return fd;
}

/* Copied and mapped ones; the tools are used again and again. */
static void test_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 65536, 65537, 1 << 20};
    struct job_tools tools = job_tools_new();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        AUTO_BUF struct buf message = buf_new(2 << 20), out = buf_new(FACTS_MAX_ENCODED);
        AUTO_ARENA struct arena *arena = arena_new(16 << 20);
        buf_add_str(&message, "Subject: x\r\n\r\n");
        while (message.len < sizes[i])
            buf_add_str(&message, "text\r\n");
        buf_truncate(&message, sizes[i]);
        AUTO_FD int fd = memfd_of(buf_slice(&message));
        struct wire_scan_task task = {.kind = BODY_APPEND, .size = message.len};
        struct facts facts;
        assert_int_equal(job_scan(&tools, &task, fd, &out, NULL), ERR_OK);
        assert_int_equal(facts_decode_in(arena, buf_slice(&out), &facts, NULL), ERR_OK);
        assert_int_equal(facts_check(&facts, sizes[i], NULL), ERR_OK);
        assert_int_equal(facts.size, sizes[i]);
    }
    job_tools_free(&tools);
}

/* Sizes that do not belong to the descriptor, and no descriptor at all. */
static void test_wrong_tasks(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {100, 100000, (uint64_t)JOB_MAX_SIZE + 1, UINT64_MAX};
    struct job_tools tools = job_tools_new();
    AUTO_FD int fd = memfd_of(SLICE("Subject: x\r\n\r\n"));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        AUTO_BUF struct buf out = buf_new(FACTS_MAX_ENCODED);
        struct wire_scan_task task = {.kind = BODY_MX, .size = sizes[i]};
        assert_int_equal(job_scan(&tools, &task, fd, &out, NULL), i < 2 ? ERR_BAD : ERR_REFUSED);
        assert_int_not_equal(job_scan(&tools, &task, -1, &out, NULL), ERR_OK);
        assert_int_equal(out.len, 0);
    }
    job_tools_free(&tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_wrong_tasks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
