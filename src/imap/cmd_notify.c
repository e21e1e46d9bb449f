/* cmd_notify.c: NOTIFY (RFC 5465 section 3.1): which events the client is told of, with or without a command
 * under way. */
#include "grammar/imap_acl.h"
#include "grammar/imap_notify.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/fetch.h"
#include "imap/notify.h"

/* The answer's arena is a new one: what the client asked for stays in the old. */
static void install(struct session *s, bool none)
{
    struct run *run = s->run;
    struct arena *kept = run->arena;
    if (!none) {
        struct imap_notify_args *args = ARENA_NEW(kept, struct imap_notify_args);
        *args = run->command.notify;
        run->arena = arena_new(IMAP_RUN_ARENA);
        imap_notify_install(s, kept, args);
    } else {
        imap_notify_install(s, NULL, NULL);
    }
}

static const struct imap_notify_args *args_of(const struct session *s)
{
    return s->notify->args;
}

static void tell_status(struct session *s, const struct mailbox_row *row)
{
    uint32_t what = imap_notify_wants(args_of(s), row, SLICE_EMPTY) & IMAP_NOTIFY_MESSAGES;
    if (what && row->rights & RIGHT_READ && !imap_notify_is_selected(s, row) &&
        !(row->flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT)))
        imap_notify_write_status(s, row, what);
}

static void on_rows(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_mbox_rows rows;
    struct mailbox_row row;
    err = wire_answer(err, packet, WIRE_MBOX_ROWS, &rows);
    if (err || rows.err) {
        imap_notify_install(s, NULL, NULL);
        imap_session_refused(s, err ? err : rows.err, rows.code, rows.text);
        return;
    }
    while (mailbox_row_take(&rows.rows, &row))
        tell_status(s, &row);
    if (!packet->more)
        imap_session_done(s, "OK Notify completed");
}

/* From here on events are heard, so what STATUS tells now cannot be older than they. */
static void tell_all(struct session *s)
{
    const struct wire_mbox_list list = {.grant = s->grant};
    if (args_of(s)->status)
        imap_session_ask(s, ROLE_STORE, WIRE_MBOX_LIST, &list, on_rows);
    else
        imap_session_done(s, "OK Notify completed");
}

static void on_listening(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_mbox_listening listening;
    err = wire_answer(err, packet, WIRE_MBOX_LISTENING, &listening);
    if (err || listening.err) {
        imap_session_refused(s, err ? err : listening.err, listening.code, listening.text);
        return;
    }
    install(s, false);
    imap_notify_join(s, listening.watch);
    tell_all(s);
}

static bool wants_others(const struct imap_notify_args *args)
{
    for (size_t i = 0; i < args->group_count; i++)
        if (args->groups[i].filter > IMAP_NOTIFY_SELECTED_DELAYED && args->groups[i].events)
            return true;
    return false;
}

static bool items_are_known(const struct session *s, const struct imap_notify_args *args)
{
    enum fetch_need need;
    for (size_t i = 0; i < args->group_count; i++)
        if (args->groups[i].has_fetch && imap_fetch_needs(s, &args->groups[i].fetch, &need) != ERR_OK)
            return false;
    return true;
}

void imap_cmd_notify(struct session *s)
{
    struct imap_notify_args *args = &s->run->command.notify;
    if (args->none) {
        install(s, true);
        imap_session_done(s, "OK Notify completed");
    } else if (args->unknown_event) {
        imap_session_done(s, "NO [BADEVENT (%s)] Unknown event", imap_notify_events());
    } else if (!items_are_known(s, args)) {
        imap_session_done(s, "BAD Unknown FETCH item");
    } else if (wants_others(args)) {
        const struct wire_mbox_listen listen = {.grant = s->grant, .others = imap_notify_wants_others(args)};
        imap_session_ask(s, ROLE_STORE, WIRE_MBOX_LISTEN, &listen, on_listening);
    } else {
        install(s, false);
        tell_all(s);
    }
}
