/* cmd_status.c: STATUS (RFC 9051 section 6.3.11, RFC 8438, RFC 7162, RFC 9208). Input: a row of store. */
#include "grammar/imap_write.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/status.h"
#include "imap/status_ahead.h"
#include "wire/objectid.h"

static void write_item(struct buf *out, const char *name, uint64_t value, const char **separator)
{
    buf_add_str(out, *separator);
    buf_add_str(out, name);
    buf_add_byte(out, ' ');
    buf_add_u64(out, value);
    *separator = " ";
}

void imap_status_write(struct session *s, const struct mailbox_row *row, struct slice name, uint32_t items)
{
    uint64_t append_limit = role_settings(s->imap->run)->limits.message_size;
    const struct {
        uint32_t bit;
        const char *name;
        uint64_t value;
    } values[] = {
        {IMAP_STATUS_MESSAGES, "MESSAGES", row->messages},
        {IMAP_STATUS_RECENT, "RECENT", row->recent},
        {IMAP_STATUS_UIDNEXT, "UIDNEXT", row->uidnext},
        {IMAP_STATUS_UIDVALIDITY, "UIDVALIDITY", row->uidvalidity},
        {IMAP_STATUS_UNSEEN, "UNSEEN", row->unseen},
        {IMAP_STATUS_DELETED, "DELETED", row->deleted},
        {IMAP_STATUS_DELETED_STORAGE, "DELETED-STORAGE", row->deleted_bytes},
        {IMAP_STATUS_SIZE, "SIZE", row->bytes},
        {IMAP_STATUS_HIGHESTMODSEQ, "HIGHESTMODSEQ", row->modseq},
        {IMAP_STATUS_APPENDLIMIT, "APPENDLIMIT", append_limit},
    };
    struct buf *out = imap_session_output(s);
    const char *separator = "";
    buf_add_str(out, "* STATUS ");
    imap_write_mailbox(out, name, s->utf8);
    buf_add_str(out, " (");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (items & values[i].bit)
            write_item(out, values[i].name, values[i].value, &separator);
    if (items & IMAP_STATUS_MAILBOXID) {
        buf_addf(out, "%sMAILBOXID (", separator);
        object_mailbox(out, row->tag, row->id, row->uidvalidity);
        buf_add_byte(out, ')');
    }
    buf_add_str(out, ")\r\n");
}

static void write_row(struct session *s)
{
    imap_status_write(s, s->run->state, s->run->command.status.mailbox, s->run->command.status.items);
    imap_session_done(s, "OK Status completed");
}

static void on_row(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    const struct imap_command *c = &s->run->command;
    struct wire_mbox_rows rows;
    struct mailbox_row row;
    err = wire_answer(err, packet, WIRE_MBOX_ROWS, &rows);
    if (err || rows.err) {
        imap_session_refused(s, err ? err : rows.err, rows.code, rows.text);
        return;
    }
    if (!mailbox_row_take(&rows.rows, &row) || (row.flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT))) {
        imap_session_done(s, "NO [NONEXISTENT] No such mailbox");
        return;
    }
    struct mailbox_row *kept = ARENA_NEW(s->run->arena, struct mailbox_row);
    *kept = row;
    kept->name = c->status.mailbox;
    s->run->state = kept;
    if (c->status.items & IMAP_STATUS_DELETED_STORAGE)
        imap_deleted_storage_ask(s, kept, 1, write_row);
    else
        write_row(s);
}

bool imap_status_known(const struct session *s, uint32_t items)
{
    uint32_t unknown = imap_capability_has(s, CAP_QUOTA) ? 0 : IMAP_STATUS_DELETED_STORAGE;
    if (!imap_capability_has(s, CAP_OBJECTID))
        unknown |= IMAP_STATUS_MAILBOXID;
    return !(items & unknown);
}

void imap_cmd_status(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    if (!imap_status_known(s, c->status.items)) {
        imap_session_done(s, "BAD Unknown STATUS item");
        return;
    }
    if (c->status.items & IMAP_STATUS_HIGHESTMODSEQ)
        imap_session_use_condstore(s);
    if (imap_ahead_take(s, c->status.mailbox, on_row))
        return;
    const struct wire_mbox_name message = {.grant = s->grant, .name = c->status.mailbox};
    imap_session_ask(s, ROLE_STORE, WIRE_MBOX_STATUS, &message, on_row);
    imap_ahead_ask(s);
}
