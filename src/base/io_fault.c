/* io_fault.c: records file calls and makes them fail. Only in builds with IO_FAULTS: for tests. Trusts its
 * environment.
 *
 * A record file: the line "rockdove-io 1\n", then entries, little-endian:
 *   u32 length of what follows; u8 kind; u64 begin, u64 end (ns of CLOCK_MONOTONIC, around the call); then by
 * kind W  dev ino offset bytes     T  dev ino length      S  dev ino site (fsync)      D  dev ino site (fsync
 * of a folder) C L M  folder's dev ino, the new name's dev ino, name       U  folder's dev ino, name R
 * folders' dev ino (from, to), dev ino of the file, u16 length of the old name, old name, new name where dev,
 * ino, offset and length are u64. Entries of one process stand in the order in which calls ended.
 */
#include "base/io_fault.h"

#ifdef IO_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define RULES_MAX     16
#define RULES_TEXT    2048
#define NAME_TEXT_MAX 120  /* of path= and site= */
#define PATH_TEXT_MAX 160  /* remembered end of a path */
#define PATHS_MAX     4096 /* descriptors whose path is remembered */
#define ENTRY_MAX     4400 /* an entry without the bytes of a write */

struct rule {
    int call; /* enum io_call, or -1: all */
    int what; /* errno, IO_FAULT_SHORT, IO_FAULT_SKIP */
    uint64_t after, count, every;
    char path[NAME_TEXT_MAX], site[NAME_TEXT_MAX];
    uint64_t seen, done;
};

static struct {
    pthread_mutex_t lock;
    int record_fd, file_fd;
    bool moved;
    struct timespec file_time;
    off_t file_size;
    struct rule rules[RULES_MAX];
    size_t rule_count;
    char paths[PATHS_MAX][PATH_TEXT_MAX];
} ctx = {.lock = PTHREAD_MUTEX_INITIALIZER, .record_fd = -1, .file_fd = -1};

/* ---- rules ---- */

static const char *const call_names[IO_CALL_COUNT] = {"open",     "read",     "write",    "fsync",
                                                      "fsyncdir", "rename",   "link",     "unlink",
                                                      "mkdir",    "truncate", "fallocate"};
static const struct {
    const char *name;
    int what;
} what_names[] = {{"eio", EIO},     {"enospc", ENOSPC},        {"edquot", EDQUOT},     {"emfile", EMFILE},
                  {"erofs", EROFS}, {"short", IO_FAULT_SHORT}, {"skip", IO_FAULT_SKIP}};

/* A rule nobody understands would make a test pass for nothing: end at once. */
static void bad_rule(const char *what, struct slice text)
{
    (void)fprintf(stderr, "ROCKDOVE_IO_FAULT: %s: %.*s\n", what, SLICE_ARG(text));
    abort();
}

static int read_call(struct slice word)
{
    if (slice_eq(word, SLICE("*")))
        return -1;
    for (int i = 0; i < IO_CALL_COUNT; i++)
        if (slice_eq(word, slice_of(call_names[i])))
            return i;
    bad_rule("unknown call", word);
    return -1;
}

static int read_what(struct slice word)
{
    for (size_t i = 0; i < sizeof what_names / sizeof *what_names; i++)
        if (slice_eq(word, slice_of(what_names[i].name)))
            return what_names[i].what;
    bad_rule("unknown fault", word);
    return 0;
}

static void copy_text(char out[NAME_TEXT_MAX], struct slice text)
{
    size_t len = text.len < NAME_TEXT_MAX - 1 ? text.len : NAME_TEXT_MAX - 1;
    memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static void read_option(struct rule *rule, struct slice option)
{
    struct slice name = option;
    ptrdiff_t at = slice_find(option, '=');
    struct slice value = at < 0 ? SLICE_EMPTY : slice_from(option, (size_t)at + 1);
    bool good = at > 0 && value.len > 0;
    if (good)
        name = slice_sub(option, 0, (size_t)at);
    if (good && slice_eq(name, SLICE("path")))
        copy_text(rule->path, value);
    else if (good && slice_eq(name, SLICE("site")))
        copy_text(rule->site, value);
    else if (good && slice_eq(name, SLICE("after")))
        good = slice_u64(value, UINT32_MAX, &rule->after);
    else if (good && slice_eq(name, SLICE("count")))
        good = slice_u64(value, UINT32_MAX, &rule->count);
    else if (good && slice_eq(name, SLICE("every")))
        good = slice_u64(value, UINT32_MAX, &rule->every);
    else
        good = false;
    if (!good)
        bad_rule("option", option);
}

static void read_rules(struct slice text)
{
    struct slice line, word, option;
    ctx.rule_count = 0;
    while (slice_token(&text, ';', &line)) {
        line = slice_trim(line);
        if (line.len == 0)
            continue;
        if (ctx.rule_count == RULES_MAX)
            bad_rule("too many rules", line);
        struct rule *rule = &ctx.rules[ctx.rule_count++];
        *rule = (struct rule){.call = -1};
        (void)slice_token(&line, ':', &word);
        rule->call = read_call(word);
        if (!slice_token(&line, ':', &word))
            bad_rule("fault missing", word);
        rule->what = read_what(word);
        while (slice_token(&line, ',', &option))
            read_option(rule, option);
    }
}

static void reread_file(void)
{
    struct stat st;
    char text[RULES_TEXT];
    if (ctx.file_fd < 0 || fstat(ctx.file_fd, &st) != 0)
        return;
    if (st.st_size == ctx.file_size && memcmp(&st.st_mtim, &ctx.file_time, sizeof st.st_mtim) == 0)
        return;
    ctx.file_size = st.st_size;
    ctx.file_time = st.st_mtim;
    ssize_t n = pread(ctx.file_fd, text, sizeof text, 0);
    read_rules(slice_make(text, n > 0 ? (size_t)n : 0));
}

static bool rule_fits(const struct rule *rule, enum io_call call, const char *path)
{
    if (rule->call >= 0 ? rule->call != (int)call
                        : call == IO_CALL_READ) /* "*" means what changes something */
        return false;
    if (rule->what == IO_FAULT_SHORT && call != IO_CALL_WRITE)
        return false;
    bool sync = call == IO_CALL_FSYNC || call == IO_CALL_FSYNCDIR;
    if ((rule->what == IO_FAULT_SKIP || rule->site[0]) && !sync)
        return false;
    if (rule->site[0] && !strstr(io_site, rule->site))
        return false;
    return !rule->path[0] || strstr(path, rule->path);
}

int io_fault_check(enum io_call call, int fd, const char *path)
{
    int what = 0;
    (void)pthread_mutex_lock(&ctx.lock);
    reread_file();
    if (!path)
        path = fd >= 0 && fd < PATHS_MAX ? ctx.paths[fd] : "";
    for (size_t i = 0; i < ctx.rule_count && what == 0; i++) {
        struct rule *rule = &ctx.rules[i];
        if (!rule_fits(rule, call, path))
            continue;
        uint64_t n = ++rule->seen;
        if (n <= rule->after || (rule->every && (n - rule->after) % rule->every != 0) ||
            (rule->count && rule->done >= rule->count))
            continue;
        rule->done++;
        what = rule->what;
    }
    (void)pthread_mutex_unlock(&ctx.lock);
    return what;
}

void io_fault_opened(int fd, const char *path)
{
    if (fd < 0 || fd >= PATHS_MAX)
        return;
    size_t len = strlen(path), from = len >= PATH_TEXT_MAX ? len - PATH_TEXT_MAX + 1 : 0;
    (void)pthread_mutex_lock(&ctx.lock);
    memcpy(ctx.paths[fd], path + from, len - from + 1);
    (void)pthread_mutex_unlock(&ctx.lock);
}

/* ---- the record ---- */

struct entry {
    uint8_t bytes[ENTRY_MAX];
    size_t len;
};

static void put(struct entry *e, const void *bytes, size_t len)
{
    if (len > sizeof e->bytes - e->len)
        abort(); /* a path longer than PATH_MAX */
    memcpy(e->bytes + e->len, bytes, len);
    e->len += len;
}

static void put_u64(struct entry *e, uint64_t v)
{
    put(e, &v, sizeof v); /* tests run on little-endian machines */
}

static void put_id(struct entry *e, struct io_id id)
{
    put_u64(e, id.dev);
    put_u64(e, id.ino);
}

static struct entry entry_new(char kind, uint64_t begin)
{
    struct entry e = {.len = 4};
    put(&e, &kind, 1);
    put_u64(&e, begin);
    put_u64(&e, io_fault_now());
    return e;
}

/* One append per entry; a record with a hole is worse than none. */
static void entry_write(struct entry *e, struct slice bytes)
{
    uint32_t len = (uint32_t)(e->len - 4 + bytes.len);
    memcpy(e->bytes, &len, sizeof len);
    struct iovec parts[2] = {{e->bytes, e->len}, {(void *)(uintptr_t)bytes.ptr, bytes.len}};
    if (ctx.record_fd >= 0 &&
        writev(ctx.record_fd, parts, bytes.len ? 2 : 1) != (ssize_t)(e->len + bytes.len))
        abort();
}

uint64_t io_fault_now(void)
{
    return clock_mono_ns();
}

struct io_id io_id_of_fd(int fd)
{
    struct stat st = {.st_ino = 0};
    (void)fstat(fd, &st);
    return (struct io_id){st.st_dev, st.st_ino};
}

struct io_id io_id_of_path(int dir, const char *path)
{
    struct stat st = {.st_ino = 0};
    (void)fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW);
    return (struct io_id){st.st_dev, st.st_ino};
}

/* The folder a path's last name stands in, and that name. */
static struct io_id split_path(int dir, const char *path, const char **name)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return dir == AT_FDCWD ? io_id_of_path(AT_FDCWD, ".") : io_id_of_fd(dir);
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    if (len >= sizeof folder)
        abort();
    memcpy(folder, path, len);
    folder[len] = '\0';
    struct stat st = {.st_ino = 0};
    (void)fstatat(dir, folder, &st, 0);
    return (struct io_id){st.st_dev, st.st_ino};
}

void io_record_write(uint64_t begin, struct io_id file, uint64_t offset, struct slice bytes)
{
    struct entry e = entry_new('W', begin);
    put_id(&e, file);
    put_u64(&e, offset);
    entry_write(&e, bytes);
}

void io_record_truncate(uint64_t begin, struct io_id file, uint64_t len)
{
    struct entry e = entry_new('T', begin);
    put_id(&e, file);
    put_u64(&e, len);
    entry_write(&e, SLICE_EMPTY);
}

void io_record_fsync(uint64_t begin, struct io_id file, const char *site)
{
    struct entry e = entry_new('S', begin);
    put_id(&e, file);
    entry_write(&e, slice_of(site));
}

void io_record_fsync_dir(uint64_t begin, struct io_id dir, const char *site)
{
    struct entry e = entry_new('D', begin);
    put_id(&e, dir);
    entry_write(&e, slice_of(site));
}

void io_record_name(uint64_t begin, char kind, int dir, const char *path)
{
    const char *name;
    struct entry e = entry_new(kind, begin);
    put_id(&e, split_path(dir, path, &name));
    put_id(&e, io_id_of_path(dir, path));
    entry_write(&e, slice_of(name));
}

void io_record_unlink(uint64_t begin, int dir, const char *path)
{
    const char *name;
    struct entry e = entry_new('U', begin);
    put_id(&e, split_path(dir, path, &name));
    entry_write(&e, slice_of(name));
}

void io_record_rename(uint64_t begin, int from_dir, const char *from, int to_dir, const char *to)
{
    const char *old_name, *new_name;
    struct entry e = entry_new('R', begin);
    put_id(&e, split_path(from_dir, from, &old_name));
    put_id(&e, split_path(to_dir, to, &new_name));
    put_id(&e, io_id_of_path(to_dir, to));
    uint16_t len = (uint16_t)strlen(old_name);
    put(&e, &len, sizeof len);
    put(&e, old_name, len);
    entry_write(&e, slice_of(new_name));
}

unsigned io_kept_fds(int fds[2])
{
    unsigned count = 0;
    if (ctx.record_fd >= 0)
        fds[count++] = ctx.record_fd;
    if (ctx.file_fd >= 0)
        fds[count++] = ctx.file_fd;
    return count;
}

bool io_fault_moves(void)
{
    return ctx.moved;
}

/* A process that forks and goes on writes into its parent's record: entries are whole appends, so that is
 * fine. Every exec comes through here and opens its own. */
__attribute__((constructor)) static void open_all(void)
{
    const char *record = getenv("ROCKDOVE_IO_RECORD"), *rules = getenv("ROCKDOVE_IO_FAULT"),
               *file = getenv("ROCKDOVE_IO_FAULT_FILE"), *moved = getenv("ROCKDOVE_IO_MOVED");
    char path[PATH_MAX];
    static const char head[] = "rockdove-io 1\n";
    ctx.moved = moved && *moved;
    if (rules)
        read_rules(slice_of(rules));
    if (file && *file && (ctx.file_fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
        bad_rule("cannot open", slice_of(file));
    if (!record || !*record)
        return;
    (void)snprintf(path, sizeof path, "%s.%d", record, (int)getpid());
    ctx.record_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (ctx.record_fd < 0 || write(ctx.record_fd, head, sizeof head - 1) != (ssize_t)(sizeof head - 1))
        bad_rule("cannot record to", slice_of(path));
}

#else

/* An ISO C file is never empty. */
typedef int io_fault_is_not_built;

#endif
