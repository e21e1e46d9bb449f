/* loop.c: the event loop over libevent: timers, descriptors, posting from other threads. Called by every
 * role. */
#include "base/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/loop_post.h"
#include "base/mem.h"

struct loop {
    struct event_base *base;
    struct event *beat_event, *post_event;
    void (*beat)(void *arg);
    void *beat_arg;
    int post_fd;
    pthread_mutex_t post_lock;
    struct loop_item *post_first, **post_last;
};

struct loop_timer {
    struct event *event;
    void (*fire)(void *arg);
    void *arg;
};

struct loop_watch {
    struct loop *loop;
    struct event *event;
    int fd;
    unsigned events;
    void (*ready)(void *arg, unsigned events);
    void *arg;
};

struct posted {
    struct loop_item item;
    void (*fn)(void *arg);
    void *arg;
};

/* Memory for libevent ran out, or the kernel has no event descriptor left: nothing can go on. */
static void *require(void *got)
{
    if (!got)
        abort();
    return got;
}

static void run_posted(struct loop_item *item)
{
    struct posted *p = (struct posted *)item;
    void (*fn)(void *arg) = p->fn;
    void *arg = p->arg;
    free(p);
    fn(arg);
}

/* Takes the whole list first, so that what is posted meanwhile waits for the next turn. */
bool loop_run_posted(struct loop *loop)
{
    (void)pthread_mutex_lock(&loop->post_lock);
    struct loop_item *item = loop->post_first;
    loop->post_first = NULL;
    loop->post_last = &loop->post_first;
    (void)pthread_mutex_unlock(&loop->post_lock);
    bool any = item != NULL;
    while (item) {
        struct loop_item *next = item->next;
        item->run(item);
        item = next;
    }
    return any;
}

static void on_posted(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    (void)what;
    ssize_t ignored = read(fd, &count, sizeof count);
    (void)ignored;
    (void)loop_run_posted(arg);
}

struct loop *loop_new(void)
{
    struct loop *loop = mem_zero(1, sizeof *loop);
    struct event_config *config = require(event_config_new());
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    loop->base = require(event_base_new_with_config(config));
    event_config_free(config);
    loop->post_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->post_fd < 0)
        abort();
    (void)pthread_mutex_init(&loop->post_lock, NULL);
    loop->post_last = &loop->post_first;
    loop->post_event = require(event_new(loop->base, loop->post_fd, EV_READ | EV_PERSIST, on_posted, loop));
    (void)event_add(loop->post_event, NULL);
    return loop;
}

void loop_free(struct loop **loop_ref)
{
    struct loop *loop = loop_ref ? *loop_ref : NULL;
    if (!loop)
        return;
    event_free(loop->post_event);
    if (loop->beat_event)
        event_free(loop->beat_event);
    event_base_free(loop->base);
    (void)close(loop->post_fd);
    (void)pthread_mutex_destroy(&loop->post_lock);
    free(loop);
    *loop_ref = NULL;
}

void loop_run(struct loop *loop)
{
    (void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *loop)
{
    (void)event_base_loopbreak(loop->base);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    struct timespec now;
    (void)loop;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void *loop_event_base(struct loop *loop)
{
    return loop->base;
}

static struct timeval timeval_of(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    (void)fd;
    (void)what;
    loop->beat(loop->beat_arg);
}

void loop_beat(struct loop *loop, void (*beat)(void *arg), void *arg)
{
    struct timeval every = timeval_of(LOOP_BEAT_MS);
    loop->beat = beat;
    loop->beat_arg = arg;
    if (!loop->beat_event)
        loop->beat_event = require(event_new(loop->base, -1, EV_PERSIST, on_beat, loop));
    (void)event_add(loop->beat_event, &every);
    beat(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *timer = arg;
    (void)fd;
    (void)what;
    timer->fire(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *arg), void *arg)
{
    struct loop_timer *timer = mem_alloc(sizeof *timer);
    *timer = (struct loop_timer){.fire = fire, .arg = arg};
    timer->event = require(event_new(loop->base, -1, 0, on_timer, timer));
    return timer;
}

void loop_timer_set(struct loop_timer *timer, uint64_t ms)
{
    struct timeval after = timeval_of(ms);
    (void)event_add(timer->event, &after);
}

void loop_timer_stop(struct loop_timer *timer)
{
    (void)event_del(timer->event);
}

void loop_timer_free(struct loop_timer **timer)
{
    if (!timer || !*timer)
        return;
    event_free((*timer)->event);
    free(*timer);
    *timer = NULL;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct loop_watch *watch = arg;
    (void)fd;
    watch->ready(watch->arg, (what & EV_READ ? LOOP_READ : 0u) | (what & EV_WRITE ? LOOP_WRITE : 0u));
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, void (*ready)(void *arg, unsigned events),
                                  void *arg)
{
    struct loop_watch *watch = mem_alloc(sizeof *watch);
    *watch = (struct loop_watch){.loop = loop, .fd = fd, .ready = ready, .arg = arg};
    watch->event = require(event_new(loop->base, fd, EV_PERSIST, on_ready, watch));
    return watch;
}

void loop_watch_set(struct loop_watch *watch, unsigned events)
{
    if (events == watch->events)
        return;
    if (watch->events)
        (void)event_del(watch->event);
    watch->events = events;
    if (!events)
        return;
    short what = EV_PERSIST;
    if (events & LOOP_READ)
        what |= EV_READ;
    if (events & LOOP_WRITE)
        what |= EV_WRITE;
    (void)event_assign(watch->event, watch->loop->base, watch->fd, what, on_ready, watch);
    (void)event_add(watch->event, NULL);
}

void loop_watch_free(struct loop_watch **watch)
{
    if (!watch || !*watch)
        return;
    event_free((*watch)->event);
    free(*watch);
    *watch = NULL;
}

void loop_post_item(struct loop *loop, struct loop_item *item)
{
    item->next = NULL;
    (void)pthread_mutex_lock(&loop->post_lock);
    bool wake = loop->post_first == NULL;
    *loop->post_last = item;
    loop->post_last = &item->next;
    (void)pthread_mutex_unlock(&loop->post_lock);
    if (wake) {
        uint64_t one = 1;
        ssize_t ignored = write(loop->post_fd, &one, sizeof one);
        (void)ignored;
    }
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct posted *p = mem_alloc(sizeof *p);
    *p = (struct posted){.item = {.run = run_posted}, .fn = fn, .arg = arg};
    loop_post_item(loop, &p->item);
}
