/* ban_image.c: the threads that make the image of bans and write the database. Called by ban_role.c. */
#include "auth/ban_image.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"

#define IMAGE_PAUSE_MS   250   /* between two images; four times a second */
#define IMAGE_PAUSE_MORE 4     /* and at least so many times what the last one took */
#define THREADS          2     /* an fsync does not hold up an image */
#define WRITES_MAX       20000 /* changes that wait for the disk, 17 MB; further ones live in memory only */

struct ban_image {
    struct loop *loop;
    const struct bans *bans;
    struct ban_store *store;
    struct ban_image_ops ops;
    struct loop_pool *pool;
    struct loop_strand *strand;
    struct loop_timer *timer;
    int fd;
    uint32_t count;
    bool dirty, at_once, making, writing, ending;
    struct ban_image_mark told, done;
    uint64_t took_ms;
    struct vec writes; /* struct ban_write */
};

static struct bans_now now_of(const struct ban_image *image)
{
    return (struct bans_now){(uint64_t)clock_unix_s(), loop_now_ms(image->loop)};
}

/* ---- the image ---- */

struct making {
    struct ban_image *image;
    struct ban_entry *entries;
    size_t count;
    uint64_t begun_ms, changes;
    int fd;
    enum err err;
};

static void make_soon(struct ban_image *image);

static void make_work(void *arg)
{
    struct making *m = arg;
    m->err = ban_list_make(m->entries, m->count, &m->fd, NULL);
}

static void make_done(void *arg)
{
    struct making *m = arg;
    struct ban_image *image = m->image;
    image->making = false;
    image->took_ms = clock_mono_ms() - m->begun_ms;
    if (m->err) {
        image->dirty = true; /* no descriptors left: later */
    } else {
        io_close(&image->fd);
        image->fd = m->fd;
        image->count = (uint32_t)m->count;
        image->done.changes = m->changes;
    }
    bool made = !m->err;
    free(m->entries);
    free(m);
    if (image->ending)
        return;
    if (image->dirty)
        make_soon(image);
    if (made)
        image->ops.made(image->ops.ctx);
}

static void make_now(void *arg)
{
    struct ban_image *image = arg;
    const struct bans_now now = now_of(image);
    if (image->making || !image->dirty)
        return;
    struct making *m = mem_zero(1, sizeof *m);
    m->image = image;
    m->begun_ms = clock_mono_ms();
    m->changes = image->told.changes;
    m->entries = bans_snapshot(image->bans, &now, &m->count);
    image->dirty = image->at_once = false;
    image->making = true;
    loop_pool_run(image->pool, make_work, make_done, m);
}

static void make_soon(struct ban_image *image)
{
    uint64_t pause = image->took_ms * IMAGE_PAUSE_MORE;
    if (pause < IMAGE_PAUSE_MS)
        pause = IMAGE_PAUSE_MS;
    loop_timer_set(image->timer, image->at_once ? 0 : pause);
}

void ban_image_changed(struct ban_image *image, bool at_once)
{
    bool waits = image->dirty && !image->making;
    image->told.changes++;
    image->dirty = true;
    image->at_once |= at_once;
    if (!image->making && (!waits || at_once))
        make_soon(image);
}

/* ---- the database ---- */

struct writing {
    struct ban_image *image;
    struct vec writes;
    uint64_t upto;
    enum err err;
    struct why why;
};

static void write_begin(struct ban_image *image);

static void write_work(void *arg)
{
    struct writing *w = arg;
    w->err = ban_store_write(w->image->store, w->writes.items, w->writes.len, &w->why);
}

static void write_done(void *arg)
{
    struct writing *w = arg;
    struct ban_image *image = w->image;
    image->writing = false;
    image->done.writes = w->upto;
    if (!image->ending) {
        write_begin(image);
        image->ops.written(image->ops.ctx, w->err, &w->why);
    }
    vec_free(&w->writes);
    free(w);
}

static void write_begin(struct ban_image *image)
{
    if (image->writing || image->writes.len == 0)
        return;
    struct writing *w = mem_zero(1, sizeof *w);
    w->image = image;
    w->writes = image->writes;
    w->upto = image->told.writes;
    image->writes = VEC_NEW(struct ban_write, WRITES_MAX);
    image->writing = true;
    loop_strand_run(image->strand, write_work, write_done, w);
}

void ban_image_write(struct ban_image *image, const struct ban_write *write)
{
    struct ban_write *item = vec_push(&image->writes);
    if (!item) {
        const struct why why = {"the disk does not keep up: a ban is kept in memory only"};
        image->ops.written(image->ops.ctx, ERR_LATER, &why);
        return;
    }
    *item = *write;
    image->told.writes++;
    write_begin(image);
}

struct ban_image_mark ban_image_mark(const struct ban_image *image)
{
    return image->told;
}

bool ban_image_reached(const struct ban_image *image, const struct ban_image_mark *mark)
{
    return image->done.changes >= mark->changes && image->done.writes >= mark->writes;
}

/* ---- life ---- */

int ban_image_fd(const struct ban_image *image)
{
    return image->fd;
}

uint32_t ban_image_count(const struct ban_image *image)
{
    return image->count;
}

enum err ban_image_new(struct loop *loop, const struct bans *bans, struct ban_store **store,
                       const struct ban_image_ops *ops, struct ban_image **result, struct why *why)
{
    struct ban_image *image = mem_zero(1, sizeof *image);
    image->loop = loop;
    image->bans = bans;
    image->ops = *ops;
    image->fd = -1;
    const struct bans_now now = now_of(image);
    size_t count;
    struct ban_entry *entries = bans_snapshot(bans, &now, &count);
    enum err err = ban_list_make(entries, count, &image->fd, why);
    free(entries);
    if (err) {
        free(image);
        return err;
    }
    image->count = (uint32_t)count;
    image->store = *store;
    *store = NULL;
    image->writes = VEC_NEW(struct ban_write, WRITES_MAX);
    image->pool = loop_pool_new(loop, "bans", THREADS);
    image->strand = loop_strand_new(image->pool);
    image->timer = loop_timer_new(loop, make_now, image);
    *result = image;
    return ERR_OK;
}

void ban_image_free(struct ban_image **ref)
{
    struct ban_image *image = *ref;
    if (!image)
        return;
    image->ending = true;
    loop_pool_free(&image->pool);
    loop_strand_free(&image->strand);
    loop_timer_free(&image->timer);
    if (image->writes.len) { /* the role ends: nobody is left to hear of an error */
        enum err ignored = ban_store_write(image->store, image->writes.items, image->writes.len, NULL);
        (void)ignored;
    }
    ban_store_close(&image->store);
    vec_free(&image->writes);
    io_close(&image->fd);
    free(image);
    *ref = NULL;
}
