/* cmd_copy.c: COPY and MOVE (RFC 9051 sections 6.4.7 and 6.4.8, COPYUID of RFC 4315). */
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/notify.h"

static bool write_copyuid(struct session *s, const struct wire_copied *copied, struct buf *out)
{
    struct imap_set source, target;
    if (!imap_session_pairs_in(s->run->arena, copied->source, &source) ||
        !imap_session_pairs_in(s->run->arena, copied->target, &target))
        return false;
    buf_addf(out, "OK [COPYUID %u ", copied->uidvalidity);
    imap_set_write(out, &source);
    buf_add_byte(out, ' ');
    imap_set_write(out, &target);
    buf_add_str(out, "] ");
    return true;
}

static void on_copied(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_copied copied;
    bool move = s->run->command.verb == IMAP_MOVE;
    err = wire_answer(err, packet, WIRE_COPIED, &copied);
    if (err || copied.err) {
        imap_session_refused(s, err ? err : copied.err, copied.code, copied.text);
        return;
    }
    struct slice made = copied.target;
    uint32_t first, last;
    while (wire_range_take(&made, &first, &last))
        imap_notify_own(s, copied.uidvalidity, first, last);
    AUTO_BUF struct buf code = buf_new(4 * WIRE_BLOB_MAX);
    bool told =
        copied.source.len > 0 && imap_capability_has(s, CAP_UIDPLUS) && write_copyuid(s, &copied, &code);
    if (!told) {
        imap_session_done(s, "OK %s completed", move ? "Move" : "Copy");
    } else if (move) {
        /* Untagged, before the EXPUNGEs that sync tells (RFC 6851 section 4.3). */
        struct buf *out = imap_session_output(s);
        buf_add_str(out, "* ");
        buf_add(out, buf_slice(&code));
        buf_add_str(out, "Moved\r\n");
        imap_session_done(s, "OK Move completed");
    } else {
        buf_add_str(&code, "Copy completed");
        imap_session_answer(s, buf_slice(&code));
    }
}

/* A number the client may use stands for a message it has seen: all of them are copied, or none (RFC 2180
 * section 4.4). UIDs that are gone are just left out (RFC 9051 section 6.4.9). */
static uint32_t count_messages(struct session *s)
{
    uint32_t count = 0;
    struct imap_message m;
    for (struct imap_view_walk w = imap_view_walk(&s->selected->view, &s->run->command.copy.set, false);
         imap_view_next(&w, &m);)
        count++;
    return count;
}

void imap_cmd_copy(struct session *s)
{
    struct run *run = s->run;
    bool move = run->command.verb == IMAP_MOVE;
    if (move && s->selected->read_only) {
        imap_session_done(s, "NO [NOPERM] Mailbox is read-only");
        return;
    }
    if (!imap_session_resolve(s, &run->command.copy.set))
        return;
    struct imap_set_builder uids =
        imap_view_uids(&s->selected->view, &run->command.copy.set, run->command.uid);
    struct imap_set set = imap_set_builder_view(&uids);
    AUTO_BUF struct buf pairs = buf_new(WIRE_BLOB_MAX);
    size_t at = 0;
    uint32_t expect = run->command.uid ? 0 : count_messages(s);
    bool any = imap_session_take_pairs(&set, &at, &pairs), fits = at == set.count;
    imap_set_builder_free(&uids);
    if (!any || !fits) {
        imap_session_done(s, any ? "NO [LIMIT] Too many ranges of messages at once" : "OK No messages");
        return;
    }
    const struct wire_copy copy = {.grant = s->grant,
                                   .watch = s->selected->mailbox->watch,
                                   .move = move,
                                   .expect = expect,
                                   .target = run->command.copy.mailbox,
                                   .uids = buf_slice(&pairs)};
    imap_session_ask(s, ROLE_STORE, WIRE_COPY, &copy, on_copied);
}
