/* watch.c: looks at the names of all files of the plan now and then; when what they lead to is another than
 * what was read, and was still the same at the next look (whoever writes it is done), everything is read
 * again. Polling, because a symlink swapped three folders up, a bind mount and a network file system tell no
 * watcher. What cannot be used is tried once, not again until something changes. */
#include "proc/watch.h"

#include <sys/stat.h>

#include "base/log.h"
#include "proc/reload.h"

#define PATHS_MAX  (8u << 20)
#define RECHECK_MS 60000 /* while watching is off: whether a reload turned it on */

/* Content that changed changes one of these. */
static void add_identity(struct hash_sum *sum, const struct stat *st)
{
    const uint64_t facts[] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
                              (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec};
    hash_sum_add(sum, slice_make((const uint8_t *)facts, sizeof facts));
}

/* As the names lead now, or as they were opened. */
static struct watch_identity identity_of(const struct plan *plan, bool opened)
{
    static const struct hash_key key = {0};
    struct watch_identity result;
    struct hash_sum sum;
    AUTO_ARENA struct arena *scratch = arena_new(PATHS_MAX);
    hash_sum_begin(&sum, &key);
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct plan_file *f = &plan->files[i];
        struct stat st = f->opened;
        if (!opened && stat(arena_cstr(scratch, f->path), &st) != 0)
            st = (struct stat){0};
        add_identity(&sum, &st);
    }
    hash_sum_end(&sum, result.sum);
    return result;
}

static bool same(const struct watch_identity *a, const struct watch_identity *b)
{
    return slice_eq(slice_make(a->sum, sizeof a->sum), slice_make(b->sum, sizeof b->sum));
}

static void know_plan(struct supervisor *s)
{
    struct watch *w = &s->files;
    if (w->generation == s->plan->number)
        return;
    w->generation = s->plan->number; /* at the start, and after each reload */
    w->used = w->last = identity_of(s->plan, true);
}

bool watch_changed(struct supervisor *s)
{
    know_plan(s);
    struct watch_identity now = identity_of(s->plan, false);
    return !same(&now, &s->files.used);
}

static void look(struct supervisor *s)
{
    struct watch *w = &s->files;
    know_plan(s);
    struct watch_identity now = identity_of(s->plan, false);
    bool settled = same(&now, &w->last);
    w->last = now;
    if (!settled || same(&now, &w->used))
        return;
    w->used = now;
    log_info("supervisor.files_changed");
    reload_begin(s);
}

static void on_timer(void *arg)
{
    struct supervisor *s = arg;
    uint64_t every = s->plan->settings->watch_files;
    if (every && !s->draining && !s->next && family_all_ready(s))
        look(s);
    loop_timer_set(s->files.timer, every ? every / 2 + 1 : RECHECK_MS);
}

void watch_start(struct supervisor *s)
{
    s->files.timer = loop_timer_new(s->loop, on_timer, s);
    on_timer(s);
}

void watch_stop(struct supervisor *s)
{
    loop_timer_free(&s->files.timer);
}
