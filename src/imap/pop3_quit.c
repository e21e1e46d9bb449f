/* pop3_quit.c: QUIT and the UPDATE state (RFC 1939 section 6): what was deleted goes, in one commit that is
 * on disk before the answer; what was read is \Seen for IMAP. */
#include "base/io.h"
#include "base/log.h"
#include "imap/pop3.h"

#define FLAGS_RANGES  7000                  /* of one request to set \Seen */
#define REMOVE_RANGES (WIRE_REMOVE_MAX / 8) /* more islands of deleted messages take a second commit */

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
static bool take_ranges(struct pop3_drop *drop, bool (*is)(const struct pop3_drop *, uint32_t), size_t most,
                        struct buf *pairs)
{
    for (size_t count = 0; count < most && drop->cursor <= drop->count; count++) {
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

/* Lists longer than a packet go as sealed memory. */
static enum err ask_to_remove(struct pop3 *p, struct slice pairs)
{
    struct wire_remove remove = {.grant = p->grant, .watch = p->drop->mailbox->watch, .uids = pairs};
    AUTO_FD int fd = -1;
    if (pairs.len > WIRE_BLOB_MAX) {
        remove.uids = SLICE_EMPTY;
        enum err err = io_memfd("remove", &fd, NULL);
        if (!err)
            err = io_write_all(fd, pairs, NULL);
        if (!err)
            err = io_seal(fd, NULL);
        if (err)
            return err;
    }
    pop3_call(p, WIRE_REMOVE, &remove, fd, on_removed);
    return ERR_OK;
}

static void remove_deleted(struct pop3 *p)
{
    struct pop3_drop *drop = p->drop;
    AUTO_BUF struct buf pairs = buf_new(WIRE_REMOVE_MAX);
    if (!drop->deleted || !take_ranges(drop, is_deleted, REMOVE_RANGES, &pairs)) {
        drop->cursor = 1;
        mark_read(p);
    } else if (ask_to_remove(p, buf_slice(&pairs)) != ERR_OK) {
        pop3_bye(p, "-ERR [SYS/TEMP] Deleted messages were not removed");
    }
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
    if (!drop->read || !take_ranges(drop, is_to_be_marked, FLAGS_RANGES, &pairs)) {
        say_goodbye(p);
        return;
    }
    const struct wire_flags_store store = {.grant = p->grant,
                                           .watch = drop->mailbox->watch,
                                           .mode = FLAGS_ADD,
                                           .flags = IMAGE_SEEN,
                                           .uids = buf_slice(&pairs)};
    pop3_call(p, WIRE_FLAGS_STORE, &store, -1, on_marked);
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
