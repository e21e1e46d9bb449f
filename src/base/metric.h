/* metric.h: counters, gauges and histograms in memory that the metrics page can read without asking anyone.
 *
 * Which metrics exist is a constant table of the caller (settings/metrics.h). Each process counts into one
 * block of shared memory, made by the supervisor as a memfd; the http role maps all of them read-only and
 * prints sums. Adding is one relaxed atomic. A process without a block (unit test, command) counts into a
 * private one.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/buf.h"
#include "base/err.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_label {
    const char *name;
    const char *const *values; /* fixed; NULL at the end */
};
#define METRIC_LABELS_MAX  2
#define METRIC_BUCKETS_MAX 24
#define METRIC_TABLE_MAX   256  /* metrics */
#define METRIC_SLOTS_MAX   8184 /* numbers of all metrics together */
#define METRIC_BLOCKS_MAX  64

struct metric_def {
    const char *name, *help;
    enum metric_kind kind;
    struct metric_label labels[METRIC_LABELS_MAX]; /* unused ones zeroed; a histogram has none or one */
    const double *buckets;                         /* upper bounds in seconds, growing */
    size_t bucket_count;
};
struct metric_table {
    const struct metric_def *defs;
    size_t count;
};

/* The head of each block, read by the supervisor (heartbeat) and the http role (/livez, /readyz). */
#define METRIC_ROLE_MAX 16
enum metric_state {
    METRIC_READY = 1,     /* does its work */
    METRIC_DRAINING = 2,  /* was told to end */
    METRIC_SPACE_LOW = 4, /* below the free-space reserve: mail is refused */
    METRIC_BROKEN = 8     /* runs, but cannot do its work (database, keys) */
};
struct metric_head {
    uint64_t magic;
    char role[METRIC_ROLE_MAX];
    _Atomic uint64_t pid, started_unix_ms, beats, beat_mono_ms, state;
};

/* Bytes of a block for this table, a multiple of the page size. */
size_t metric_block_size(const struct metric_table *table);
/* Supervisor: a zeroed block as memfd of the right, sealed size. */
enum err metric_block_new(const struct metric_table *table, int *fd, struct why *why) MUST_CHECK;

/* Role: counts into the block behind `fd` from now on (the descriptor may be closed after); `fd` -1: into
 * private memory. `role` is copied. A block of another size or magic is refused. Call before threads exist.
 */
enum err metric_attach(const struct metric_table *table, int fd, const char *role,
                       struct why *why) MUST_CHECK;
/* `at`: index of the label value (first label * number of second's values + second), 0 without labels. An
 * index out of range is counted nowhere. */
void metric_add(size_t id, size_t at, uint64_t n);
void metric_inc(size_t id); /* metric_add(id, 0, 1) */
void metric_set(size_t id, size_t at, uint64_t value);
void metric_sub(size_t id, size_t at, uint64_t n); /* gauges */
void metric_observe(size_t id, size_t at, uint64_t ns);
/* The value of this process (tests). For histograms the number of observations. */
uint64_t metric_get(size_t id, size_t at);
/* Index of the label value named so, or SIZE_MAX. For label sets that are names of commands; costs a scan. */
size_t metric_label_index(const struct metric_label *label, struct slice value);

/* "I am alive": called from the role's loop about once a second. */
void metric_beat(void);
void metric_state_set(enum metric_state flag, bool on);

/* Readers: the block of another process, mapped read-only. */
struct metric_block;
enum err metric_block_map(const struct metric_table *table, int fd, struct metric_block **block,
                          struct why *why) MUST_CHECK;
void metric_block_unmap(const struct metric_table *table, struct metric_block **block);
const struct metric_head *metric_block_head(const struct metric_block *block);
/* Prometheus text format 0.0.4: every metric once with HELP and TYPE, summed over the blocks. */
void metric_render(const struct metric_table *table, const struct metric_block *const *blocks, size_t count,
                   struct buf *text);

#endif
