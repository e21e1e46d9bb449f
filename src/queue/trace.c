/* trace.c: gathers events and hands them to the spool once a second: nothing of it is on the way of a
 * message. */
#include "queue/trace.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct trace {
    struct loop *loop;
    struct spool *spool;
    struct loop_timer *timer;
    struct buf records;
    uint64_t lost;
};

static void on_timer(void *arg)
{
    struct trace *trace = arg;
    trace_flush(trace);
    loop_timer_set(trace->timer, TRACE_FLUSH_MS);
}

struct trace *trace_new(struct loop *loop, struct spool *spool)
{
    struct trace *trace = mem_zero(1, sizeof *trace);
    trace->loop = loop;
    trace->spool = spool;
    trace->records = buf_new(TRACE_BUFFER_MAX);
    trace->timer = loop_timer_new(loop, on_timer, trace);
    loop_timer_set(trace->timer, TRACE_FLUSH_MS);
    return trace;
}

void trace_free(struct trace **trace)
{
    if (!*trace)
        return;
    trace_flush(*trace);
    loop_timer_free(&(*trace)->timer);
    buf_free(&(*trace)->records);
    free(*trace);
    *trace = NULL;
}

void trace_flush(struct trace *trace)
{
    if (trace->lost)
        log_warn("queue.trace", LOG_U64("lost", trace->lost));
    trace->lost = 0;
    if (trace->records.len == 0)
        return;
    size_t len;
    uint8_t *records = buf_take(&trace->records, &len);
    spool_trace(trace->spool, records, len);
}

/* Control bytes of peers must not reach an administrator's terminal. */
static struct slice printable(struct slice text, uint8_t copy[TRACE_EVENT_MAX])
{
    size_t len = text.len < TRACE_EVENT_MAX ? text.len : TRACE_EVENT_MAX;
    for (size_t i = 0; i < len; i++)
        copy[i] = text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? '?' : text.ptr[i];
    return slice_make(copy, len);
}

void trace_add(struct trace *trace, struct slice session, struct slice id, struct slice text)
{
    uint8_t copy[TRACE_EVENT_MAX];
    if (!trace)
        return; /* the role is ending */
    if (trace->records.len + text.len + session.len + id.len + 64 > TRACE_BUFFER_MAX) {
        trace->lost++;
        return;
    }
    buf_add_le64(&trace->records, clock_unix_ms());
    wire_strings_add(&trace->records, session);
    wire_strings_add(&trace->records, id);
    wire_strings_add(&trace->records, printable(text, copy));
}

bool trace_take(struct slice *records, uint64_t *unix_ms, struct slice *session, struct slice *id,
                struct slice *text)
{
    return slice_take_le64(records, unix_ms) && wire_strings_take(records, session) &&
           wire_strings_take(records, id) && wire_strings_take(records, text);
}
