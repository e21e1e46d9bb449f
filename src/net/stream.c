/* stream.c: the life of a stream: callbacks, timeouts, the end. Bytes are in stream_io.c, TLS in
 * stream_tls.c. Called by listener.c and by the sessions of smtp, imap and http.
 *
 * Callbacks are made in one place, deliver(), which only handlers of the loop reach; what happens inside a
 * stream_ call sets a flag and schedules `turn`, an event that runs at the end of the loop's turn. */
#include "net/stream.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/stream_int.h"

#define DELIVER_ROUNDS 4 /* writable - write - written - writable …, then others get their turn */

static void run(struct stream *s, unsigned events);

static void on_ready(void *arg, unsigned events)
{
    run(arg, events);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    run(arg, 0);
}

/* At the end of this turn of the loop, before it waits again. */
void stream_schedule(struct stream *s)
{
    if (s->busy == 0 && s->phase != STREAM_DEAD)
        event_active(&s->turn, EV_TIMEOUT, 0);
}

/* In the next turn, after others had theirs. */
static void schedule_later(struct stream *s)
{
    static const struct timeval at_once = {0, 0};
    (void)event_add(&s->turn, &at_once);
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* The point in time when the stream ends if nothing moves; 0: never. */
static uint64_t due_ms(const struct stream *s)
{
    uint64_t due = earlier(s->deadline_ms, s->handshake_ms);
    return earlier(due, s->timeout_ms ? s->moved_ms + s->timeout_ms : 0);
}

/* The timer is only ever moved when it would fire too late: progress costs nothing. */
static void arm(struct stream *s)
{
    uint64_t due = due_ms(s);
    if (!due || (s->timer_ms && s->timer_ms <= due))
        return;
    uint64_t now = loop_now_ms(s->loop);
    s->timer_ms = due;
    loop_timer_set(s->timer, due > now ? due - now : 0);
}

static void on_timer(void *arg)
{
    struct stream *s = arg;
    uint64_t now = loop_now_ms(s->loop), due = due_ms(s);
    s->timer_ms = 0;
    if (due && due <= now) {
        if (s->phase >= STREAM_FINISHES)
            s->phase = STREAM_DEAD;
        else if (s->handshake_ms && s->handshake_ms <= now)
            stream_fail(s, STREAM_TLS, "handshake timed out");
        else
            stream_fail(s, STREAM_TIMEOUT, "timed out");
    } else {
        arm(s);
    }
    run(s, 0);
}

void stream_moved(struct stream *s)
{
    if (s->timeout_ms)
        s->moved_ms = loop_now_ms(s->loop);
}

void stream_set_timeout(struct stream *s, uint64_t ms)
{
    s->timeout_ms = ms;
    if (!ms)
        return;
    s->moved_ms = loop_now_ms(s->loop);
    arm(s);
}

void stream_set_deadline(struct stream *s, uint64_t ms)
{
    s->deadline_ms = ms ? loop_now_ms(s->loop) + ms : 0;
    arm(s);
}

/* ---- life ---- */

struct stream *stream_new(struct loop *loop, int fd, const struct netaddr *peer, const struct stream_ops *ops,
                          void *ctx)
{
    struct stream *s = mem_zero(1, sizeof *s);
    s->loop = loop;
    s->fd = fd;
    s->client = *peer;
    s->ops = ops;
    s->ctx = ctx;
    s->silent = true;
    s->end_text = "";
    s->read_size = STREAM_READ_FIRST;
    s->in = buf_new(STREAM_INPUT_MAX);
    s->out = buf_new(STREAM_OUTPUT_MAX);
    s->piece = buf_new(STREAM_PIECE);
    list_init(&s->files);
    (void)event_assign(&s->turn, loop_event_base(loop), -1, 0, on_turn, s);
    s->watch = loop_watch_new(loop, fd, on_ready, s);
    s->timer = loop_timer_new(loop, on_timer, s);
    loop_watch_set(s->watch, LOOP_READ);
    return s;
}

static void destroy(struct stream *s)
{
    (void)event_del(&s->turn);
    loop_watch_free(&s->watch);
    loop_timer_free(&s->timer);
    stream_drop_output(s);
    stream_deflate_free(s);
    stream_tls_free(s);
    buf_free(&s->in);
    (void)close(s->fd);
    if (s->closed)
        s->closed(s->closed_arg);
    free(s);
}

void stream_set_brief(struct stream *s)
{
    s->brief = true;
}

void stream_on_close(struct stream *s, void (*closed)(void *arg), void *arg)
{
    s->closed = closed;
    s->closed_arg = arg;
}

void stream_free(struct stream **ref)
{
    struct stream *s = ref ? *ref : NULL;
    if (!s)
        return;
    *ref = NULL;
    s->ops = NULL;
    s->phase = STREAM_DEAD;
    if (s->busy == 0)
        destroy(s);
}

void stream_finish(struct stream **ref)
{
    struct stream *s = ref ? *ref : NULL;
    if (!s)
        return;
    if (s->failed && s->end == STREAM_TIMEOUT)
        s->failed = false; /* the connection itself is sound: last words may follow */
    if (s->failed || s->phase == STREAM_TLS_WAITS || s->phase == STREAM_HANDSHAKES) {
        stream_free(ref);
        return;
    }
    *ref = NULL;
    s->ops = NULL;
    s->phase = STREAM_FINISHES;
    s->timeout_ms = 0;
    s->handshake_ms = 0;
    buf_free(&s->in);
    s->in_at = 0;
    stream_set_deadline(s, STREAM_FINISH_MS);
    if (s->busy == 0)
        stream_push(s); /* last words before whatever comes next: the process may be about to end */
    stream_schedule(s);
}

void stream_set_owner(struct stream *s, const struct stream_ops *ops, void *ctx)
{
    s->ops = ops;
    s->ctx = ctx;
    s->input_news = stream_input(s).len > 0;
    stream_schedule(s);
}

void stream_fail(struct stream *s, enum stream_end end, const char *text)
{
    if (s->failed)
        return;
    s->failed = true;
    s->end = end;
    s->end_text = text;
    stream_schedule(s);
}

/* ---- callbacks ---- */

/* One that is due; false when there is none (left). */
static bool deliver_one(struct stream *s)
{
    if (!s->ops || s->end_told)
        return false;
    if (s->secured_news) {
        s->secured_news = false;
        if (s->ops->secured)
            s->ops->secured(s->ctx, s);
    } else if (s->input_news && !s->paused && s->phase == STREAM_OPEN) {
        s->input_news = false;
        s->ops->readable(s->ctx, s);
    } else if (s->failed) {
        s->end_told = true;
        s->ops->ended(s->ctx, s, s->end);
    } else if (s->eof && !s->eof_told && !s->paused) {
        s->eof_told = true;
        s->end_text = "closed by the peer";
        s->ops->ended(s->ctx, s, STREAM_EOF);
    } else if (s->emptied) {
        s->emptied = false;
        if (s->ops->writable)
            s->ops->writable(s->ctx, s);
    } else {
        return false;
    }
    return true;
}

static void deliver(struct stream *s)
{
    for (int i = 0; i < DELIVER_ROUNDS; i++) {
        while (deliver_one(s))
            ;
        if (s->phase >= STREAM_FINISHES || s->end_told)
            return;
        stream_push(s);
        if (!s->emptied && !s->failed)
            return;
    }
    schedule_later(s);
}

/* After the last byte: close_notify and FIN. Closing with unread input would reset the connection and could
 * destroy our last words on their way, so that input is read for a moment. */
static void finish(struct stream *s)
{
    if (s->failed) {
        s->phase = STREAM_DEAD;
        return;
    }
    if (s->phase == STREAM_FINISHES) {
        stream_push(s);
        if (!s->failed && stream_has_output(s))
            return;
        stream_tls_close(s);
        s->phase = STREAM_DEAD;
        if (s->eof || s->failed || !stream_linger(s) || s->lingered == 0 || s->brief)
            return;
        (void)shutdown(s->fd, SHUT_WR);
        s->phase = STREAM_LINGERS;
        stream_set_deadline(s, STREAM_LINGER_MS);
    } else if (s->phase == STREAM_LINGERS && !stream_linger(s)) {
        s->phase = STREAM_DEAD;
    }
}

static unsigned wanted(const struct stream *s)
{
    unsigned events = 0;
    switch (s->phase) {
    case STREAM_OPEN:
        if (!s->paused && !s->eof && !s->failed && s->in.len - s->in_at < s->in.max)
            events |= LOOP_READ;
        break;
    case STREAM_HANDSHAKES:
        return s->failed ? 0 : s->read_wants_write ? LOOP_WRITE : LOOP_READ;
    case STREAM_LINGERS:
        return LOOP_READ;
    case STREAM_TLS_WAITS:
    case STREAM_FINISHES:
    case STREAM_DEAD:
        break;
    }
    if (!s->failed && ((s->blocked && stream_has_output(s)) || s->read_wants_write))
        events |= LOOP_WRITE;
    return events;
}

static void handle(struct stream *s, unsigned events)
{
    if (s->phase == STREAM_TLS_WAITS && !s->failed) {
        stream_push(s);
        if (!stream_has_output(s))
            s->phase = STREAM_HANDSHAKES;
        events |= LOOP_READ;
    }
    if (s->phase == STREAM_HANDSHAKES && !s->failed && events)
        stream_handshake(s);
    if (events & LOOP_WRITE)
        stream_push(s);
    if (events || stream_holds_input(s))
        stream_fill(s);
}

static void run(struct stream *s, unsigned events)
{
    s->busy++;
    if (s->phase < STREAM_FINISHES)
        handle(s, events);
    if (s->phase < STREAM_FINISHES)
        deliver(s);
    if (s->phase == STREAM_FINISHES || s->phase == STREAM_LINGERS)
        finish(s);
    s->busy--;
    if (s->phase == STREAM_DEAD) {
        destroy(s);
        return;
    }
    if (s->phase == STREAM_TLS_WAITS && !stream_has_output(s))
        stream_schedule(s);
    if (s->in.len == 0)
        buf_free(&s->in); /* an idle connection holds no buffer */
    unsigned events_wanted = wanted(s);
    if ((events_wanted & LOOP_READ) && stream_holds_input(s))
        schedule_later(s); /* no event of the socket tells of what OpenSSL has read already */
    loop_watch_set(s->watch, events_wanted);
    arm(s);
}

/* ---- the owner's side ---- */

void stream_pause(struct stream *s)
{
    s->paused = true;
    if (s->busy == 0)
        loop_watch_set(s->watch, wanted(s));
}

void stream_resume(struct stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    if (stream_input(s).len > 0)
        s->input_news = true;
    stream_schedule(s);
}

struct buf *stream_output(struct stream *s)
{
    stream_schedule(s);
    return &s->out;
}

void stream_write(struct stream *s, struct slice bytes)
{
    buf_add(stream_output(s), bytes);
}

void stream_flush(struct stream *s)
{
    if (s->busy > 0 || s->phase >= STREAM_FINISHES)
        return; /* it is flushed when the handler returns */
    stream_push(s);
    if (!stream_has_output(s) && s->phase == STREAM_OPEN && !s->failed && !(s->ops && s->ops->writable))
        (void)event_del(&s->turn); /* nothing left to do at the end of the turn */
    else
        stream_schedule(s);
}

const char *stream_end_text(const struct stream *s)
{
    return s->end_text;
}

bool stream_was_silent(const struct stream *s)
{
    return s->silent;
}

const struct netaddr *stream_client(const struct stream *s)
{
    return &s->client;
}

void stream_set_client(struct stream *s, const struct netaddr *client)
{
    s->client = *client;
}
