/* progress.c: INPROGRESS (RFC 9585): who waits long for a command hears from time to time that it goes on, so
 * that nothing between him and us takes the connection for dead. One timer serves all sessions, and runs only
 * while commands do. Called by session.c; commands tell how far they are with imap_session_progress(). */
#include "base/clock.h"
#include "grammar/imap_write.h"
#include "imap/capability.h"
#include "imap/session.h"

#define PROGRESS_MS 10000 /* between two messages; the first comes after half of this at the earliest */

void imap_session_progress(struct session *s, uint32_t done, uint32_t goal)
{
    s->run->progress = done;
    s->run->goal = goal;
}

static void write_number(struct buf *out, uint32_t number)
{
    if (number)
        buf_addf(out, " %u", number);
    else
        buf_add_str(out, " NIL");
}

/* "* OK [INPROGRESS ("tag" 454 1000)] …" */
static void tell(struct session *s)
{
    const struct run *run = s->run;
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* OK [INPROGRESS (");
    imap_write_string(out, run->command.tag);
    write_number(out, run->progress);
    write_number(out, run->goal);
    buf_add_str(out, ")] Still at it\r\n");
}

/* The command waits for another role, not for the client, and has begun no line it could not end yet. */
static bool is_waiting(const struct session *s)
{
    const struct run *run = s->run;
    return run && !run->internal && !run->ending && !run->input && !run->resume && !s->closing;
}

static bool may_hear(const struct session *s)
{
    bool in = s->state == SESSION_LOGGED_IN || s->state == SESSION_SELECTED;
    return in && imap_capability_has(s, CAP_INPROGRESS) && !imap_session_is_full(s);
}

bool imap_progress_tell(struct caller *caller)
{
    struct session *s = CONTAINER_OF(caller, struct session, caller);
    if (is_waiting(s) && may_hear(s) &&
        clock_mono_ns() - s->run->started_ns >= caller->imap->progress_ms * 500000)
        tell(s);
    return s->run && !s->run->input;
}

static void on_time(void *arg)
{
    struct imap *imap = arg;
    bool again = false;
    imap->progress_armed = false;
    LIST_EACH(&imap->service.sessions, node)
    {
        struct caller *caller = CONTAINER_OF(node, struct caller, node);
        again = (caller->ops->still_busy && caller->ops->still_busy(caller)) || again;
    }
    if (again)
        imap_progress_watch(imap);
}

void imap_progress_watch(struct imap *imap)
{
    if (imap->progress_armed)
        return;
    imap->progress_armed = true;
    loop_timer_set(imap->progress, imap->progress_ms);
}

void imap_progress_init(struct imap *imap)
{
    imap->progress_ms = PROGRESS_MS;
    imap->progress = loop_timer_new(imap->loop, on_time, imap);
}
