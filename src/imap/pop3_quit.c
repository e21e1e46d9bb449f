/* pop3_quit.c: QUIT and the UPDATE state (RFC 1939 section 6): what was deleted goes, in one commit that is
 * on disk before the answer; what was read is \Seen for IMAP. */
#include "base/log.h"
#include "imap/pop3.h"

/* Ranges of one request; more than that many islands of deleted messages take several commits. */
#define RANGES_MAX 7000

static void remove_deleted(struct pop3 *p);
static void mark_read(struct pop3 *p);

static bool is_to_be_marked(const struct pop3_drop *drop, uint32_t number)
{
    if (!pop3_bit(drop->read, number) || pop3_bit(drop->deleted, number))
        return false;
    uint32_t index = imap_view_index(&drop->view, number);
    return !(imap_view_state(&drop->view, index).flags & (IMAGE_SEEN | IMAGE_EXPUNGED));
}

static bool is_deleted(const struct pop3_drop *drop, uint32_t number)
{
    return pop3_bit(drop->deleted, number);
}

/* UIDs of the next messages for which `is` holds, from the cursor on, neighbours as one range. Between two
 * neighbours of the view there is no other message, whatever their UIDs. False at the end. */
static bool take_ranges(struct pop3_drop *drop, bool (*is)(const struct pop3_drop *, uint32_t),
                        struct buf *pairs)
{
    for (size_t count = 0; count < RANGES_MAX && drop->cursor <= drop->count; count++) {
        uint32_t from = drop->cursor;
        while (from <= drop->count && !is(drop, from))
            from++;
        uint32_t to = from;
        while (to < drop->count && is(drop, to + 1))
            to++;
        drop->cursor = to + 1;
        if (from <= drop->count)
            wire_range_add(pairs, pop3_drop_entry(drop, from)->uid, pop3_drop_entry(drop, to)->uid);
    }
    return pairs->len > 0;
}

static void say_goodbye(struct pop3 *p)
{
    const struct pop3_drop *drop = p->drop;
    if (drop && drop->gone)
        pop3_ok(p, "%u messages removed, bye", drop->gone);
    else
        pop3_ok(p, "Bye");
    pop3_close(p, true);
}

/* RFC 1939 section 6: the answer must say so when something could not be removed. */
static void on_removed(struct pop3 *p, enum err err, struct ipc_packet *packet)
{
    struct wire_expunged expunged;
    err = wire_answer(err, packet, WIRE_EXPUNGED, &expunged);
    if (!err && !expunged.err) {
        p->drop->removed += expunged.count;
        remove_deleted(p);
        return;
    }
    log_warn("pop3.update", LOG_CSTR("session", p->caller.id), LOG_STR("user", slice_of(p->account)),
             LOG_STR("why", err ? SLICE("the store did not answer") : expunged.text));
    bool never = !err && expunged.code == STORE_CODE_NOPERM;
    pop3_bye(p, never ? "-ERR [SYS/PERM] Deleted messages were not removed: not permitted"
                      : "-ERR [SYS/TEMP] Deleted messages were not removed");
}

static void remove_deleted(struct pop3 *p)
{
    struct pop3_drop *drop = p->drop;
    AUTO_BUF struct buf pairs = buf_new(WIRE_BLOB_MAX);
    if (!drop->deleted || !take_ranges(drop, is_deleted, &pairs)) {
        drop->cursor = 1;
        mark_read(p);
        return;
    }
    const struct wire_expunge expunge = {
        .grant = p->grant, .watch = drop->mailbox->watch, .any = 1, .uids = buf_slice(&pairs)};
    pop3_call(p, WIRE_EXPUNGE, &expunge, on_removed);
}

/* Nobody waits for \Seen: that it could not be set is no failure of QUIT. */
static void on_marked(struct pop3 *p, enum err err, struct ipc_packet *packet)
{
    struct wire_flags_stored stored;
    err = wire_answer(err, packet, WIRE_FLAGS_STORED, &stored);
    if (err || stored.err)
        say_goodbye(p);
    else
        mark_read(p);
}

static void mark_read(struct pop3 *p)
{
    struct pop3_drop *drop = p->drop;
    AUTO_BUF struct buf pairs = buf_new(WIRE_BLOB_MAX);
    if (!drop->read || !take_ranges(drop, is_to_be_marked, &pairs)) {
        say_goodbye(p);
        return;
    }
    const struct wire_flags_store store = {.grant = p->grant,
                                           .watch = drop->mailbox->watch,
                                           .mode = FLAGS_ADD,
                                           .flags = IMAGE_SEEN,
                                           .uids = buf_slice(&pairs)};
    pop3_call(p, WIRE_FLAGS_STORE, &store, on_marked);
}

void pop3_cmd_quit(struct pop3 *p, const struct pop3_command *command)
{
    (void)command;
    if (p->state == POP3_AUTHORIZATION) {
        say_goodbye(p);
        return;
    }
    p->state = POP3_UPDATE;
    p->drop->cursor = 1;
    remove_deleted(p);
}
