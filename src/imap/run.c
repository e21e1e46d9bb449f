/* run.c: the running command: requests to other roles, the answer. Input: replies of store and auth. Called
 * by the commands. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "grammar/imap_url.h"
#include "imap/capability.h"
#include "imap/search_context.h"
#include "imap/search.h"
#include "imap/notify.h"
#include "imap/session.h"

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)
#define ANSWER_MAX   2048 /* octets of a tagged answer without its number sets */

/* Store is told, so that a long search of a client that has gone ends too. */
static void cancel(struct session *s, const struct call *call)
{
    ipc_cancel(call->link, call->request);
    const struct wire_cancel message = {.request = call->request};
    if (call->link == role_link(s->imap->run, ROLE_STORE))
        (void)!wire_send(call->link, WIRE_CANCEL, &message); /* away: so is the search */
}

void imap_run_free(struct session *s)
{
    struct run *run = s->run;
    if (!run)
        return;
    s->run = run->outer;
    for (size_t i = 0; run->calls && i < IMAP_CALLS; i++)
        if (run->calls[i].request)
            cancel(s, &run->calls[i]);
    free(run->calls);
    arena_free(&run->arena);
    free(run);
}

/* ---- requests ---- */

static void on_answer(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct call *call = ctx;
    struct session *s = call->session;
    if (err || !packet->more)
        call->request = 0;
    imap_session_enter(s);
    call->done(s, call->arg, err, packet);
    imap_session_leave(s);
}

bool imap_session_call(struct session *s, enum role role, enum wire_type type, const void *message,
                       call_done *done, void *arg)
{
    struct run *run = s->run;
    if (!run->calls)
        run->calls = mem_zero(IMAP_CALLS, sizeof *run->calls);
    for (size_t i = 0; i < IMAP_CALLS; i++) {
        struct call *call = &run->calls[i];
        if (call->request)
            continue;
        *call = (struct call){.session = s, .link = role_link(s->imap->run, role), .done = done, .arg = arg};
        call->request = wire_call(call->link, type, message, IMAP_CALL_MS, on_answer, call);
        return true;
    }
    return false;
}

void imap_session_ask(struct session *s, enum role role, enum wire_type type, const void *message,
                      call_done *done)
{
    if (!imap_session_call(s, role, type, message, done, NULL))
        imap_session_done(s, "NO [SERVERBUG] Too many requests of one command");
}

bool imap_session_result(struct session *s, enum err err, struct ipc_packet *packet)
{
    struct wire_result result;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    if (!err && result.err == ERR_OK)
        return true;
    imap_session_refused(s, err ? err : result.err, result.code, result.text);
    return false;
}

/* ---- answers ---- */

/* What people and programs are told for a code of store (RFC 5530). */
static const struct {
    const char *code, *text;
} refusals[STORE_CODE_COUNT] = {
    [STORE_CODE_NONE] = {"", "Not possible"},
    [STORE_CODE_NONEXISTENT] = {"[NONEXISTENT] ", "No such mailbox"},
    [STORE_CODE_ALREADYEXISTS] = {"[ALREADYEXISTS] ", "Mailbox exists already"},
    [STORE_CODE_TRYCREATE] = {"[TRYCREATE] ", "No such mailbox"},
    [STORE_CODE_OVERQUOTA] = {"[OVERQUOTA] ", "Not enough quota"},
    [STORE_CODE_CANNOT] = {"[CANNOT] ", "Not possible"},
    [STORE_CODE_LIMIT] = {"[LIMIT] ", "Too much at once"},
    [STORE_CODE_INUSE] = {"[INUSE] ", "In use, try again later"},
    [STORE_CODE_NOPERM] = {"[NOPERM] ", "Not permitted"},
    [STORE_CODE_UNAVAILABLE] = {"[UNAVAILABLE] ", "Try again later"},
    [STORE_CODE_EXPIRED] = {"[EXPIRED] ", "Log in again"},
    [STORE_CODE_EXPUNGEISSUED] = {"[EXPUNGEISSUED] ", "Some of the messages are gone"},
    [STORE_CODE_METADATA_TOOMANY] = {"[METADATA TOOMANY] ", "Too many annotations"},
    [STORE_CODE_METADATA_MAXSIZE] = {"[METADATA MAXSIZE " STRING(WIRE_METADATA_VALUE_MAX) "] ",
                                     "The value is too long"},
    [STORE_CODE_HASCHILDREN] = {"[HASCHILDREN] ", "Mailbox has children"},
};

/* Our own texts, but they may quote a mailbox name. */
static struct slice clean_in(struct arena *arena, struct slice text)
{
    uint8_t *clean = ARENA_ARRAY(arena, uint8_t, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        clean[i] = ascii_is_print(text.ptr[i]) ? text.ptr[i] : '?';
    return slice_make(clean, text.len);
}

void imap_session_refused(struct session *s, uint32_t err, uint32_t code, struct slice text)
{
    if (code >= STORE_CODE_COUNT)
        code = STORE_CODE_NONE;
    if (code == STORE_CODE_NONE && err == ERR_LATER)
        code = STORE_CODE_UNAVAILABLE;
    if (code == STORE_CODE_NONE && err == ERR_INTERNAL) {
        log_error("imap.failed", LOG_CSTR("session", s->caller.id), LOG_STR("user", imap_session_account(s)),
                  LOG_CSTR("command", imap_verb_name(s->run->command.verb)), LOG_STR("why", text));
        imap_session_done(s, "NO [SERVERBUG] Internal error");
        return;
    }
    if (text.len == 0)
        text = slice_of(refusals[code].text);
    text = clean_in(s->run->arena, text);
    imap_session_done(s, "NO %s%.*s", refusals[code].code, SLICE_ARG(text));
    if (code == STORE_CODE_EXPIRED)
        imap_session_bye(s, "[EXPIRED] The login is over");
}

void imap_session_done(struct session *s, const char *format, ...)
{
    struct run *run = s->run;
    va_list args;
    if (!run || run->ending || s->closing)
        return;
    va_start(args, format);
    char text[ANSWER_MAX];
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t kept = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    imap_session_answer(s, slice_make(text, kept));
}

/* An answer that MESSAGELIMIT made incomplete says so; in front of it where it has a code already (RFC 9738
 * section 3.1). */
static struct slice limited_in(struct session *s, struct slice answer)
{
    AUTO_BUF struct buf whole = buf_new(answer.len + 100);
    if (slice_starts(answer, SLICE("OK ["))) {
        struct buf *out = imap_session_output(s);
        buf_add_str(out, "* NO ");
        imap_limit_write_code(s, out);
        buf_add_str(out, "Not all messages\r\n");
    } else if (slice_starts(answer, SLICE("OK "))) {
        buf_add_str(&whole, "OK ");
        imap_limit_write_code(s, &whole);
        answer = slice_from(answer, 3);
    }
    buf_add(&whole, answer);
    return arena_dup(s->run->arena, buf_slice(&whole));
}

void imap_session_answer(struct session *s, struct slice answer)
{
    struct run *run = s->run;
    run->answer = run->limit_uid ? limited_in(s, answer) : arena_dup(run->arena, answer);
    run->outcome = answer.ptr[0] == 'O'   ? METRIC_IMAP_OK
                   : answer.ptr[0] == 'N' ? METRIC_IMAP_NO
                                          : METRIC_IMAP_BAD;
    run->ending = true;
    run->resume = NULL;
    if (s->selected && run->sync != SYNC_NONE)
        imap_sync_begin(s, run->sync == SYNC_ALL);
    imap_session_ending(s);
}

static void write_answer(struct session *s)
{
    struct run *run = s->run;
    struct buf *out = imap_session_output(s);
    if (run->command.tag.len)
        buf_add(out, run->command.tag);
    else
        buf_add_byte(out, '*');
    buf_add_byte(out, ' ');
    buf_add(out, run->answer);
    buf_add_str(out, "\r\n");
    metric_add(METRIC_IMAP_REPLIES, run->outcome, 1);
    metric_add(METRIC_IMAP_COMMANDS,
               metrics_command(&metrics_imap_commands, slice_of(imap_verb_name(run->command.verb))), 1);
    metric_observe(METRIC_IMAP_COMMAND_SECONDS, 0, clock_mono_ns() - run->started_ns);
}

/* A FETCH of our own is done: IDLE goes on, or whatever the client sends. */
static void end_internal(struct session *s)
{
    imap_run_free(s);
    if (s->run && s->run->changed)
        s->run->changed(s);
    else if (s->selected && s->selected->gone)
        imap_session_bye(s, "The selected mailbox was deleted");
    else
        imap_notify_news(s);
    if (s->closing)
        return;
    stream_flush(s->stream);
    imap_session_pump(s);
}

void imap_session_ending(struct session *s)
{
    if (!imap_sync_step(s))
        return; /* the output is full: on_writable comes back here */
    if (s->run->internal) {
        end_internal(s);
        return;
    }
    if (s->run->sync != SYNC_NONE && !imap_context_step(s))
        return; /* it comes back here when store has answered */
    imap_notify_flush(s);
    write_answer(s);
    imap_run_free(s);
    if (s->selected && s->selected->gone)
        imap_session_bye(s, "The selected mailbox was deleted");
    else if (s->imap->service.draining)
        imap_session_bye(s, "[UNAVAILABLE] The server is going down");
    else if (!imap_notify_fetch(s))
        imap_session_pump(s);
}

/* ---- sets for store ---- */

bool imap_session_take_pairs(const struct imap_set *set, size_t *at, struct buf *pairs)
{
    buf_clear(pairs);
    for (size_t n = 0; n < IMAP_PAIRS_MAX && *at < set->count; n++, ++*at)
        wire_range_add(pairs, set->ranges[*at].lo, set->ranges[*at].hi);
    return pairs->len > 0;
}

bool imap_session_pairs_in(struct arena *arena, struct slice pairs, struct imap_set *set)
{
    size_t count = pairs.len / 8, n = 0;
    struct imap_range *ranges = ARENA_ARRAY(arena, struct imap_range, count + 1);
    uint32_t last = 0;
    while (n < count && wire_range_take(&pairs, &ranges[n].lo, &ranges[n].hi)) {
        if (ranges[n].lo <= last || ranges[n].hi < ranges[n].lo)
            return false;
        last = ranges[n++].hi;
    }
    *set = (struct imap_set){.ranges = ranges, .count = n};
    return pairs.len == 0;
}

void imap_session_keywords(struct buf *list, const struct imap_flags *flags)
{
    for (size_t i = 0; i < flags->keyword_count; i++)
        wire_strings_add(list, flags->keywords[i]);
}

void imap_session_use_condstore(struct session *s)
{
    enum imap_verb verb = s->run->command.verb;
    if (s->condstore || !imap_capability_has(s, CAP_CONDSTORE))
        return;
    s->condstore = true;
    if (s->selected && verb != IMAP_SELECT && verb != IMAP_EXAMINE)
        buf_addf(imap_session_output(s), "* OK [HIGHESTMODSEQ %llu] Highest\r\n",
                 (unsigned long long)s->selected->view.modseq);
}

bool imap_session_resolve(struct session *s, struct imap_set *set)
{
    bool known = !set->saved || imap_capability_has(s, CAP_SEARCHRES);
    if (set->saved && known)
        *set = imap_saved_in(s, s->run->command.uid);
    if (!known)
        imap_session_done(s, "BAD Invalid message set");
    else if (imap_view_resolve(&s->selected->view, set, s->run->command.uid))
        return imap_limit_set(s, set);
    else
        imap_session_done(s, "BAD Message number out of range");
    return false;
}

bool imap_session_owns_url(const struct session *s, const struct imap_url *url)
{
    struct slice account = imap_session_account(s);
    return imap_url_is_here(url, role_settings(s->caller.imap->run)->hostname, account) &&
           imap_url_is_of(url, account);
}
