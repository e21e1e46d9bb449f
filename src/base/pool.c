/* pool.c: threads for work that blocks, and strands that keep jobs in order. Called by roles that touch disks
 * or hash passwords. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/loop_post.h"
#include "base/mem.h"

struct job {
    struct loop_item item; /* first: the way back to the loop */
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
    struct loop_pool *pool;
    struct loop_strand *strand;
    struct job *next;
};

struct loop_pool {
    struct loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *first, **last;
    bool stopping;
    unsigned thread_count;
    pthread_t *threads;
    size_t pending; /* the loop's thread only */
};

struct loop_strand {
    struct loop_pool *pool;
    struct job *first, **last; /* jobs behind the running one; the loop's thread only */
    bool running;
    size_t pending;
};

static void give(struct loop_pool *pool, struct job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    *pool->last = job;
    pool->last = &job->next;
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_cond_signal(&pool->wake); /* who wakes finds the lock free */
}

static struct job *take(struct loop_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->first && !pool->stopping)
        (void)pthread_cond_wait(&pool->wake, &pool->lock);
    struct job *job = pool->first;
    if (job) {
        pool->first = job->next;
        if (!pool->first)
            pool->last = &pool->first;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *pool_thread(void *arg)
{
    struct loop_pool *pool = arg;
    for (struct job *job; (job = take(pool)) != NULL;) {
        job->work(job->arg);
        loop_post_item(pool->loop, &job->item);
    }
    return NULL;
}

static void strand_next(struct loop_strand *strand)
{
    struct job *next = strand->first;
    strand->running = next != NULL;
    if (!next)
        return;
    strand->first = next->next;
    if (!strand->first)
        strand->last = &strand->first;
    give(strand->pool, next);
}

/* Back on the loop's thread. The strand may be freed by `done` of its last job, so it is advanced first. */
static void finish(struct loop_item *item)
{
    struct job *job = (struct job *)item;
    job->pool->pending--;
    if (job->strand) {
        job->strand->pending--;
        strand_next(job->strand);
    }
    if (job->done)
        job->done(job->arg);
    free(job);
}

struct loop_pool *loop_pool_new(struct loop *loop, const char *name, unsigned threads)
{
    struct loop_pool *pool = mem_zero(1, sizeof *pool);
    pthread_attr_t attr;
    sigset_t all, old;
    pool->loop = loop;
    pool->last = &pool->first;
    pool->thread_count = threads;
    pool->threads = mem_zero(threads, sizeof *pool->threads);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, LOOP_POOL_STACK);
    /* Signals belong to the loop's thread. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    for (unsigned i = 0; i < threads; i++) {
        char title[16];
        if (pthread_create(&pool->threads[i], &attr, pool_thread, pool) != 0)
            abort();
        (void)snprintf(title, sizeof title, "%.10s%u", name, i % 1000);
        (void)pthread_setname_np(pool->threads[i], title);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    return pool;
}

/* The threads are gone: hand the last results over, and do here what these still ask for. */
static void finish_here(struct loop_pool *pool)
{
    bool any;
    do {
        any = loop_run_posted(pool->loop);
        for (struct job *job; (job = take(pool)) != NULL; any = true) {
            job->work(job->arg);
            finish(&job->item);
        }
    } while (any);
}

void loop_pool_free(struct loop_pool **pool_ref)
{
    struct loop_pool *pool = pool_ref ? *pool_ref : NULL;
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        (void)pthread_join(pool->threads[i], NULL);
    finish_here(pool);
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
    *pool_ref = NULL;
}

static struct job *job_new(struct loop_pool *pool, void (*work)(void *arg), void (*done)(void *arg),
                           void *arg)
{
    struct job *job = mem_zero(1, sizeof *job);
    job->item.run = finish;
    job->work = work;
    job->done = done;
    job->arg = arg;
    job->pool = pool;
    pool->pending++;
    return job;
}

void loop_pool_run(struct loop_pool *pool, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    give(pool, job_new(pool, work, done, arg));
}

size_t loop_pool_pending(const struct loop_pool *pool)
{
    return pool->pending;
}

struct loop_strand *loop_strand_new(struct loop_pool *pool)
{
    struct loop_strand *strand = mem_zero(1, sizeof *strand);
    strand->pool = pool;
    strand->last = &strand->first;
    return strand;
}

void loop_strand_free(struct loop_strand **strand)
{
    if (!strand || !*strand)
        return;
    free(*strand);
    *strand = NULL;
}

void loop_strand_run(struct loop_strand *strand, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct job *job = job_new(strand->pool, work, done, arg);
    job->strand = strand;
    strand->pending++;
    if (!strand->running) {
        strand->running = true;
        give(strand->pool, job);
        return;
    }
    *strand->last = job;
    strand->last = &job->next;
}

size_t loop_strand_pending(const struct loop_strand *strand)
{
    return strand->pending;
}
