/* Metrics: counting into shared memory, reading it elsewhere, the text for Prometheus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"
#include "base/metric.h"

enum { HITS, LOGINS, OPEN, SECONDS, COUNT };
static const char *const services[] = {"smtp", "imap", NULL};
static const char *const results[] = {"ok", "failed", NULL};
static const double buckets[] = {0.001, 0.1, 1};
static const struct metric_def defs[COUNT] = {
    [HITS] = {.name = "t_hits_total", .help = "Hits.", .kind = METRIC_COUNTER},
    [LOGINS] = {.name = "t_logins_total",
                .help = "Logins.",
                .labels = {{"service", services}, {"result", results}}},
    [OPEN] = {.name = "t_open", .help = "Open.", .kind = METRIC_GAUGE, .labels = {{"service", services}}},
    [SECONDS] = {.name = "t_seconds",
                 .help = "Time.",
                 .kind = METRIC_HISTOGRAM,
                 .buckets = buckets,
                 .bucket_count = 3},
};
static const struct metric_table table = {defs, COUNT};

static void count_in_child(int fd)
{
    if (metric_attach(&table, fd, "imap", NULL) != ERR_OK)
        _exit(1);
    metric_inc(HITS);
    metric_add(LOGINS, 3, 5);
    metric_set(OPEN, 1, 10);
    metric_sub(OPEN, 1, 4);
    metric_observe(SECONDS, 0, 500000000);
    metric_observe(SECONDS, 0, 5000000000);
    metric_state_set(METRIC_READY, true);
    _exit(0);
}

static void test_shared_blocks(void **state)
{
    (void)state;
    int fds[2] = {-1, -1}, status;
    struct metric_block *blocks[3] = {NULL, NULL, NULL};
    struct why why;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(metric_block_new(&table, &fds[i], &why), ERR_OK);
        pid_t pid = fork();
        if (pid == 0)
            count_in_child(fds[i]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(metric_block_map(&table, fds[i], &blocks[i], &why), ERR_OK);
        assert_string_equal(metric_block_head(blocks[i])->role, "imap");
        assert_int_equal(metric_block_head(blocks[i])->state, METRIC_READY);
        assert_true(metric_block_head(blocks[i])->beats > 0);
    }
    AUTO_BUF struct buf text = buf_new(100000);
    metric_render(&table, (const struct metric_block *const *)blocks, 3, &text);
    static const char expected[] = "# HELP t_hits_total Hits.\n# TYPE t_hits_total counter\nt_hits_total 2\n"
                                   "# HELP t_logins_total Logins.\n# TYPE t_logins_total counter\n"
                                   "t_logins_total{service=\"smtp\",result=\"ok\"} 0\n"
                                   "t_logins_total{service=\"smtp\",result=\"failed\"} 0\n"
                                   "t_logins_total{service=\"imap\",result=\"ok\"} 0\n"
                                   "t_logins_total{service=\"imap\",result=\"failed\"} 10\n"
                                   "# HELP t_open Open.\n# TYPE t_open gauge\n"
                                   "t_open{service=\"smtp\"} 0\nt_open{service=\"imap\"} 12\n"
                                   "# HELP t_seconds Time.\n# TYPE t_seconds histogram\n"
                                   "t_seconds_bucket{le=\"0.001\"} 0\nt_seconds_bucket{le=\"0.1\"} 0\n"
                                   "t_seconds_bucket{le=\"1\"} 2\nt_seconds_bucket{le=\"+Inf\"} 4\n"
                                   "t_seconds_sum 11.000000000\nt_seconds_count 4\n";
    assert_int_equal(text.len, sizeof expected - 1);
    assert_memory_equal(text.data, expected, text.len);
    for (int i = 0; i < 2; i++) {
        metric_block_unmap(&table, &blocks[i]);
        io_close(&fds[i]);
    }
}

static void test_private_and_wrong_blocks(void **state)
{
    (void)state;
    assert_int_equal(metric_attach(&table, -1, "test", NULL), ERR_OK);
    metric_inc(HITS);
    metric_add(HITS, 1, 5);      /* no such series */
    metric_add(COUNT + 7, 0, 5); /* no such metric */
    metric_observe(HITS, 0, 5);  /* no histogram */
    assert_int_equal(metric_get(HITS, 0), 1);
    assert_int_equal(metric_label_index(&defs[LOGINS].labels[0], SLICE("IMAP")), 1);
    assert_int_equal(metric_label_index(&defs[LOGINS].labels[0], SLICE("x")), SIZE_MAX);
    AUTO_FD int fd = -1;
    struct why why;
    assert_int_equal(io_memfd("x", &fd, &why), ERR_OK);
    assert_int_equal(metric_attach(&table, fd, "test", &why), ERR_BAD);
    assert_int_equal(io_truncate(fd, metric_block_size(&table), &why), ERR_OK);
    assert_int_equal(metric_attach(&table, fd, "test", &why), ERR_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_private_and_wrong_blocks),
                                       cmocka_unit_test(test_shared_blocks)};
    return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
