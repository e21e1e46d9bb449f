/* metric.c: counting into shared memory, and printing it. Readers trust the blocks' writers only for numbers:
 * a hijacked role can lie about its own counters and nothing else. */
#include "base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"

#define METRIC_MAGIC 0x31746d766b636f72u /* "rockvmt1" */
#define PAGE         4096u

struct metric_block {
    struct metric_head head;
    _Atomic uint64_t slots[METRIC_SLOTS_MAX];
};

/* The one block of this process. Before metric_attach() everything counts into `nowhere`, which nobody reads.
 */
static struct metric_block nowhere;
static struct {
    const struct metric_table *table;
    struct metric_block *block;
    size_t first[METRIC_TABLE_MAX]; /* of each metric, its first slot */
} ctx = {.block = &nowhere};

static size_t label_count(const struct metric_label *label)
{
    size_t n = 0;
    while (label->values && label->values[n])
        n++;
    return n ? n : 1;
}

static size_t series_count(const struct metric_def *def)
{
    size_t n = 1;
    for (size_t i = 0; i < METRIC_LABELS_MAX; i++)
        n *= label_count(&def->labels[i]);
    return n;
}

/* A histogram's series: a number per bucket, the one beyond the last, and the sum in nanoseconds. */
static size_t series_width(const struct metric_def *def)
{
    return def->kind == METRIC_HISTOGRAM ? def->bucket_count + 2 : 1;
}

static size_t slots_of(const struct metric_def *def)
{
    return series_count(def) * series_width(def);
}

static size_t lay_out(const struct metric_table *table, size_t *first)
{
    size_t at = 0;
    for (size_t i = 0; i < table->count && i < METRIC_TABLE_MAX; i++) {
        if (first)
            first[i] = at;
        at += slots_of(&table->defs[i]);
    }
    return at;
}

size_t metric_block_size(const struct metric_table *table)
{
    size_t slots = lay_out(table, NULL);
    if (slots > METRIC_SLOTS_MAX || table->count > METRIC_TABLE_MAX)
        abort(); /* our own constant table is too large */
    size_t size = offsetof(struct metric_block, slots) + slots * sizeof(uint64_t);
    return (size + PAGE - 1) / PAGE * PAGE;
}

enum err metric_block_new(const struct metric_table *table, int *fd, struct why *why)
{
    AUTO_FD int memfd = -1;
    enum err err = io_memfd("metrics", &memfd, why);
    if (err == ERR_OK)
        err = io_truncate(memfd, metric_block_size(table), why);
    uint64_t magic = METRIC_MAGIC;
    if (err == ERR_OK)
        err =
            io_pwrite_all(memfd, slice_make(&magic, sizeof magic), offsetof(struct metric_head, magic), why);
    if (err == ERR_OK && fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        err = err_errno(why, errno, "seal metrics");
    if (err == ERR_OK) {
        *fd = memfd;
        memfd = -1;
    }
    return err;
}

static enum err map_block(const struct metric_table *table, int fd, int protection,
                          struct metric_block **block, struct why *why)
{
    struct stat st;
    enum err err = io_fstat(fd, &st, why);
    if (err)
        return err;
    if (st.st_size < 0 || (size_t)st.st_size != metric_block_size(table))
        return err_set(why, ERR_BAD, "metrics block has another size");
    void *at = mmap(NULL, (size_t)st.st_size, protection, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return err_errno(why, errno, "map metrics");
    struct metric_block *mapped = at;
    if (mapped->head.magic != METRIC_MAGIC) {
        (void)munmap(at, (size_t)st.st_size);
        return err_set(why, ERR_BAD, "not a metrics block");
    }
    *block = mapped;
    return ERR_OK;
}

enum err metric_attach(const struct metric_table *table, int fd, const char *role, struct why *why)
{
    struct metric_block *block = &nowhere;
    if (fd >= 0) {
        enum err err = map_block(table, fd, PROT_READ | PROT_WRITE, &block, why);
        if (err)
            return err;
    }
    (void)metric_block_size(table); /* checks the table */
    (void)lay_out(table, ctx.first);
    struct metric_head *head = &block->head;
    memset(head->role, 0, sizeof head->role);
    memcpy(head->role, role, strnlen(role, sizeof head->role - 1));
    atomic_store(&head->pid, (uint64_t)getpid());
    atomic_store(&head->started_unix_ms, clock_unix_ms());
    atomic_store(&head->state, 0);
    ctx.table = table;
    ctx.block = block;
    metric_beat();
    return ERR_OK;
}

/* ---- counting ---- */

/* The slots of a series, or NULL for what the table does not have. */
static _Atomic uint64_t *series(size_t id, size_t at)
{
    if (!ctx.table || id >= ctx.table->count)
        return NULL;
    const struct metric_def *def = &ctx.table->defs[id];
    if (at >= series_count(def))
        return NULL;
    return &ctx.block->slots[ctx.first[id] + at * series_width(def)];
}

void metric_add(size_t id, size_t at, uint64_t n)
{
    _Atomic uint64_t *slot = series(id, at);
    if (slot)
        atomic_fetch_add_explicit(slot, n, memory_order_relaxed);
}

void metric_inc(size_t id)
{
    metric_add(id, 0, 1);
}

void metric_set(size_t id, size_t at, uint64_t value)
{
    _Atomic uint64_t *slot = series(id, at);
    if (slot)
        atomic_store_explicit(slot, value, memory_order_relaxed);
}

void metric_sub(size_t id, size_t at, uint64_t n)
{
    metric_add(id, at, -n);
}

void metric_observe(size_t id, size_t at, uint64_t ns)
{
    _Atomic uint64_t *slot = series(id, at);
    if (!slot || ctx.table->defs[id].kind != METRIC_HISTOGRAM)
        return;
    const struct metric_def *def = &ctx.table->defs[id];
    double seconds = (double)ns / 1e9;
    size_t bucket = 0;
    while (bucket < def->bucket_count && seconds > def->buckets[bucket])
        bucket++;
    atomic_fetch_add_explicit(&slot[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot[def->bucket_count + 1], ns, memory_order_relaxed);
}

uint64_t metric_get(size_t id, size_t at)
{
    _Atomic uint64_t *slot = series(id, at);
    if (!slot)
        return 0;
    const struct metric_def *def = &ctx.table->defs[id];
    uint64_t sum = 0;
    for (size_t i = 0; i < (def->kind == METRIC_HISTOGRAM ? def->bucket_count + 1 : 1); i++)
        sum += atomic_load_explicit(&slot[i], memory_order_relaxed);
    return sum;
}

size_t metric_label_index(const struct metric_label *label, struct slice value)
{
    for (size_t i = 0; label->values && label->values[i]; i++)
        if (slice_ieq(slice_of(label->values[i]), value))
            return i;
    return SIZE_MAX;
}

void metric_beat(void)
{
    atomic_fetch_add_explicit(&ctx.block->head.beats, 1, memory_order_relaxed);
    atomic_store_explicit(&ctx.block->head.beat_mono_ms, clock_mono_ms(), memory_order_relaxed);
}

void metric_state_set(enum metric_state flag, bool on)
{
    if (on)
        atomic_fetch_or(&ctx.block->head.state, (uint64_t)flag);
    else
        atomic_fetch_and(&ctx.block->head.state, ~(uint64_t)flag);
}

/* ---- reading ---- */

enum err metric_block_map(const struct metric_table *table, int fd, struct metric_block **block,
                          struct why *why)
{
    return map_block(table, fd, PROT_READ, block, why);
}

void metric_block_unmap(const struct metric_table *table, struct metric_block **block)
{
    if (block && *block) {
        (void)munmap(*block, metric_block_size(table));
        *block = NULL;
    }
}

const struct metric_head *metric_block_head(const struct metric_block *block)
{
    return &block->head;
}

struct rendering {
    const struct metric_block *const *blocks;
    size_t count;
    struct buf *text;
};

static uint64_t sum_slot(const struct rendering *r, size_t slot)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->blocks[i])
            sum += atomic_load_explicit(&r->blocks[i]->slots[slot], memory_order_relaxed);
    return sum;
}

/* name="value", for each label of series `at`; and `le` when it is a bucket. */
static void render_labels(const struct metric_def *def, size_t at, const char *le, struct buf *text)
{
    size_t second = label_count(&def->labels[1]);
    size_t index[METRIC_LABELS_MAX] = {at / second, at % second};
    const char *sep = "{";
    for (size_t i = 0; i < METRIC_LABELS_MAX; i++) {
        const struct metric_label *label = &def->labels[i];
        if (!label->name)
            continue;
        buf_addf(text, "%s%s=\"%s\"", sep, label->name, label->values[index[i]]);
        sep = ",";
    }
    if (le) {
        buf_addf(text, "%sle=\"%s\"", sep, le);
        sep = ",";
    }
    if (*sep == ',')
        buf_add_byte(text, '}');
}

static void render_histogram(const struct rendering *r, const struct metric_def *def, size_t first, size_t at)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= def->bucket_count; i++) {
        char le[32] = "+Inf";
        if (i < def->bucket_count)
            (void)snprintf(le, sizeof le, "%g", def->buckets[i]);
        total += sum_slot(r, first + i);
        buf_addf(r->text, "%s_bucket", def->name);
        render_labels(def, at, le, r->text);
        buf_addf(r->text, " %llu\n", (unsigned long long)total);
    }
    uint64_t ns = sum_slot(r, first + def->bucket_count + 1);
    buf_addf(r->text, "%s_sum", def->name);
    render_labels(def, at, NULL, r->text);
    buf_addf(r->text, " %llu.%09llu\n", (unsigned long long)(ns / 1000000000u),
             (unsigned long long)(ns % 1000000000u));
    buf_addf(r->text, "%s_count", def->name);
    render_labels(def, at, NULL, r->text);
    buf_addf(r->text, " %llu\n", (unsigned long long)total);
}

static void render_metric(const struct rendering *r, const struct metric_def *def, size_t first)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    buf_addf(r->text, "# HELP %s %s\n# TYPE %s %s\n", def->name, def->help, def->name, kinds[def->kind]);
    size_t width = series_width(def);
    for (size_t at = 0; at < series_count(def); at++, first += width) {
        if (def->kind == METRIC_HISTOGRAM) {
            render_histogram(r, def, first, at);
            continue;
        }
        buf_add_str(r->text, def->name);
        render_labels(def, at, NULL, r->text);
        uint64_t value = sum_slot(r, first);
        if (def->kind == METRIC_GAUGE &&
            value > INT64_MAX) /* one role took away before another's addition was seen */
            value = 0;
        buf_addf(r->text, " %llu\n", (unsigned long long)value);
    }
}

void metric_render(const struct metric_table *table, const struct metric_block *const *blocks, size_t count,
                   struct buf *text)
{
    struct rendering r = {.blocks = blocks, .count = count, .text = text};
    size_t first = 0;
    for (size_t i = 0; i < table->count; i++) {
        render_metric(&r, &table->defs[i], first);
        first += slots_of(&table->defs[i]);
    }
}
