/* log.c: where events go: outputs of this process, and the brake on warnings that repeat. Safe from any
 * thread: the outputs are swapped as a whole, the brake has a lock, lines are built on the caller's stack. */
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/random.h"

#define ROLE_NAME_MAX 32
#define HOSTNAME_MAX  256
#define BRAKE_SLOTS                                                                                          \
    256 /* different warnings remembered at once; a newcomer takes the place of an older one */

struct log_setup {
    char role[ROLE_NAME_MAX], hostname[HOSTNAME_MAX];
    struct log_output outputs[LOG_OUTPUTS_MAX];
    size_t count;
    int pid; /* asked once: a line costs no system call but its write */
};

/* The process has one log, as it has one stderr. Two places, so that a line being written while log_setup()
 * runs still sees a whole one; a third setup within the time of one line does not happen (reloads are seconds
 * apart). */
static struct log_setup setups[2] = {{.role = "rockdove",
                                      .hostname = "localhost",
                                      .outputs = {{.fd = STDERR_FILENO, .level = LOG_LEVEL_INFO}},
                                      .count = 1}};
static _Atomic(const struct log_setup *) current = &setups[0];
static _Atomic uint64_t suppressed;

static struct {
    pthread_mutex_t lock;
    uint64_t seed;
    struct {
        uint64_t hash, since_ms, left_out;
        unsigned count;
    } slots[BRAKE_SLOTS];
} brake = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* For the syslog form: parsers there know no underscore, nor anything a host name cannot hold. */
static void copy_hostname(char out[HOSTNAME_MAX], struct slice hostname)
{
    size_t len = 0;
    for (size_t i = 0; i < hostname.len && len < HOSTNAME_MAX - 1; i++) {
        uint8_t c = hostname.ptr[i];
        out[len++] = ascii_is_alnum(c) || c == '.' ? (char)c : '-';
    }
    out[len] = '\0';
    if (len == 0)
        memcpy(out, "localhost", sizeof "localhost");
}

void log_setup(const char *role, struct slice hostname, const struct log_output *outputs, size_t count)
{
    const struct log_setup *old = atomic_load(&current);
    if (!old->pid)
        tzset(); /* reads the time zone's file now, while files can still be opened; never again */
    struct log_setup *next = old == &setups[0] ? &setups[1] : &setups[0];
    memset(next, 0, sizeof *next);
    memcpy(next->role, role, strnlen(role, ROLE_NAME_MAX - 1));
    copy_hostname(next->hostname, hostname);
    next->pid = getpid();
    next->count = count < LOG_OUTPUTS_MAX ? count : LOG_OUTPUTS_MAX;
    if (next->count)
        memcpy(next->outputs, outputs, next->count * sizeof *outputs);
    atomic_store(&current, next);
}

bool log_wants(enum log_level level)
{
    const struct log_setup *setup = atomic_load(&current);
    for (size_t i = 0; i < setup->count; i++)
        if (level >= setup->outputs[i].level)
            return true;
    return false;
}

uint64_t log_suppressed(void)
{
    return atomic_load(&suppressed);
}

/* Level, event and fields without durations: what makes two warnings the same one. */
static uint64_t hash_event(enum log_level level, const char *event, const struct log_field *fields)
{
    uint64_t hash = slice_hash(slice_of(event), brake.seed + level);
    for (; fields->kind != LOG_KIND_END; fields++) {
        if (fields->kind == LOG_KIND_MS || fields->kind == LOG_KIND_COMPAT)
            continue;
        hash = slice_hash(slice_of(fields->key), hash);
        hash = slice_hash(fields->text, hash);
        hash = slice_hash(slice_make(&fields->number, sizeof fields->number), hash);
    }
    return hash;
}

/* May this one be written? `*repeated`: how many like it were left out before. */
static bool brake_pass(enum log_level level, const char *event, const struct log_field *fields,
                       uint64_t *repeated)
{
    uint64_t now = clock_mono_ms();
    bool pass = true;
    (void)pthread_mutex_lock(&brake.lock);
    if (!brake.seed)
        brake.seed = random_u64() | 1;
    uint64_t hash = hash_event(level, event, fields);
    size_t at = (size_t)(hash % BRAKE_SLOTS);
    if (brake.slots[at].hash != hash || now - brake.slots[at].since_ms >= LOG_REPEAT_MS) {
        *repeated = brake.slots[at].hash == hash ? brake.slots[at].left_out : 0;
        brake.slots[at].hash = hash;
        brake.slots[at].since_ms = now;
        brake.slots[at].left_out = 0;
        brake.slots[at].count = 0;
    }
    if (++brake.slots[at].count > LOG_REPEAT_MAX) {
        brake.slots[at].left_out++;
        pass = false;
    }
    (void)pthread_mutex_unlock(&brake.lock);
    return pass;
}

/* Lines in the form for other tools are each a fact they count: never left out. */
static bool has_compat(const struct log_field *fields)
{
    for (; fields->kind != LOG_KIND_END; fields++)
        if (fields->kind == LOG_KIND_COMPAT)
            return true;
    return false;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    const struct log_setup *setup = atomic_load(&current);
    struct log_head head = {.role = setup->role,
                            .hostname = setup->hostname,
                            .pid = setup->pid ? setup->pid : getpid(),
                            .unix_ms = clock_unix_ms()};
    if (level >= LOG_LEVEL_COUNT || !log_wants(level))
        return;
    if (level >= LOG_LEVEL_WARN && !has_compat(fields) && !brake_pass(level, event, fields, &head.repeated)) {
        atomic_fetch_add_explicit(&suppressed, 1, memory_order_relaxed);
        return;
    }
    char line[LOG_LINE_MAX];
    for (size_t i = 0; i < setup->count; i++) {
        if (level < setup->outputs[i].level)
            continue;
        size_t len = log_format_line(setup->outputs[i].format, &head, level, event, fields, line);
        if (len)
            io_write_line(setup->outputs[i].fd, slice_make(line, len));
    }
}
