/* loop.h: one event loop per role, timers, descriptors, and a pool of threads for work that blocks.
 *
 * Everything but a job's `work` function runs on the loop's thread, so a role needs no locks of its own.
 * The loop beats: a heartbeat function given by the role is called at least every LOOP_BEAT_MS; when the
 * loop hangs, the beat stops and the supervisor restarts the role.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/slice.h"

struct loop;
struct loop_timer;
struct loop_watch;
struct loop_pool;
struct loop_strand;

#define LOOP_BEAT_MS 250

struct loop *loop_new(void) __attribute__((returns_nonnull));
/* Frees the loop; all timers, watches and pools must be gone. Clears the pointer; takes NULL. */
void loop_free(struct loop **loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Milliseconds of CLOCK_MONOTONIC, read once per turn of the loop. */
uint64_t loop_now_ms(const struct loop *loop);
/* libevent's base, for libraries that bring their own watches (libunbound). */
void *loop_event_base(struct loop *loop);
/* Calls beat(arg) every LOOP_BEAT_MS. */
void loop_beat(struct loop *loop, void (*beat)(void *arg), void *arg);

/* A one-shot timer, not armed yet. loop_timer_set() arms it anew; it never fires early. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *arg), void *arg)
    __attribute__((returns_nonnull));
void loop_timer_set(struct loop_timer *timer, uint64_t ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer **timer);

enum loop_event { LOOP_READ = 1, LOOP_WRITE = 2 };

/* Watches a descriptor (which stays the caller's), level-triggered, for the events set later. */
struct loop_watch *loop_watch_new(struct loop *loop, int fd, void (*ready)(void *arg, unsigned events),
                                  void *arg) __attribute__((returns_nonnull));
/* `events` is a set of enum loop_event; 0 pauses. */
void loop_watch_set(struct loop_watch *watch, unsigned events);
void loop_watch_free(struct loop_watch **watch);

/* Calls fn(arg) on the loop's thread in a later turn. May be called from any thread. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* A pool of `threads` threads with small stacks (LOOP_POOL_STACK). */
#define LOOP_POOL_STACK (512 * 1024)
struct loop_pool *loop_pool_new(struct loop *loop, const char *name, unsigned threads)
    __attribute__((returns_nonnull));
/* Lets queued jobs finish, joins the threads, calls what is left of `done` functions. The caller's other
 * parts must still be there. */
void loop_pool_free(struct loop_pool **pool);
/* work(arg) on a pool thread, then done(arg) on the loop's thread. */
void loop_pool_run(struct loop_pool *pool, void (*work)(void *arg), void (*done)(void *arg), void *arg);
/* Jobs that wait or run. */
size_t loop_pool_pending(const struct loop_pool *pool);

/* A strand runs its jobs in the order they were given and never two at once, on any thread of the pool: what
 * belongs to one account goes through one strand. */
struct loop_strand *loop_strand_new(struct loop_pool *pool) __attribute__((returns_nonnull));
/* Only when idle (loop_strand_pending() is 0). */
void loop_strand_free(struct loop_strand **strand);
void loop_strand_run(struct loop_strand *strand, void (*work)(void *arg), void (*done)(void *arg), void *arg);
size_t loop_strand_pending(const struct loop_strand *strand);

#endif
