/* cmd_mailbox.c: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 9051 sections 6.3.4 to 6.3.8, RFC 6154).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/status.h"
#include "wire/mailbox.h"
#include "wire/objectid.h"

/* A name that ends with the delimiter says that names below it will follow (RFC 9051 section 6.3.4). */
static struct slice without_delimiter(struct slice name)
{
    if (slice_ends(name, SLICE("/")))
        name.len--;
    return name;
}

/* The selected mailbox, or one above it, has a new name. INBOX keeps its own: only its messages move. */
static void follow_rename(struct session *s)
{
    struct selected *sel = s->selected;
    struct slice from = without_delimiter(s->run->command.rename.from);
    struct slice to = without_delimiter(s->run->command.rename.to);
    struct slice name = sel ? slice_make(sel->name, sel->name_len) : SLICE_EMPTY;
    bool same = slice_eq(name, from),
         below = slice_starts(name, from) && name.len > from.len && name.ptr[from.len] == '/';
    if (!sel || imap_mailbox_is_inbox(from) || (!same && !below))
        return;
    AUTO_BUF struct buf renamed = buf_new(WIRE_MAILBOX_MAX + IMAP_MAILBOX_NAME_MAX);
    buf_add(&renamed, to);
    buf_add(&renamed, slice_from(name, from.len));
    free(sel->name);
    sel->name = mem_dup(renamed.data, renamed.len);
    sel->name_len = renamed.len;
}

/* RFC 9051 section 6.3.9.7: the name is not the one that was. */
static void tell_name(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    struct slice name = SLICE_EMPTY, old = SLICE_EMPTY;
    const char *attributes = "";
    switch (c->verb) {
    case IMAP_RENAME:
        name = without_delimiter(c->rename.to);
        old = imap_mailbox_is_inbox(c->rename.from) ? SLICE_EMPTY : without_delimiter(c->supplied);
        break;
    case IMAP_CREATE:
        name = without_delimiter(c->create.mailbox);
        old = without_delimiter(imap_list_supplied(s, c->create.mailbox));
        break;
    case IMAP_DELETE:
        name = c->mailbox.mailbox;
        old = imap_list_supplied(s, name);
        attributes = "\\NonExistent";
        break;
    default:
        break;
    }
    if (old.len)
        imap_list_write(s, attributes, name, old);
}

static struct slice created_name(const struct session *s)
{
    return without_delimiter(s->run->command.create.mailbox);
}

/* What the new mailbox is called for ever (RFC 8474 section 4.1). Who may not look at it is not told. */
static void on_created(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_mbox_rows rows;
    struct mailbox_row row;
    AUTO_BUF struct buf id = buf_new(OBJECTID_MAX);
    if (wire_answer(err, packet, WIRE_MBOX_ROWS, &rows) || rows.err || !mailbox_row_take(&rows.rows, &row)) {
        imap_session_done(s, "OK Create completed");
        return;
    }
    object_mailbox(&id, row.tag, row.id, row.uidvalidity);
    imap_session_done(s, "OK [MAILBOXID (%.*s)] Create completed", SLICE_ARG(buf_slice(&id)));
}

static void on_done(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    static const struct {
        enum imap_verb verb;
        const char *name;
    } names[] = {{IMAP_CREATE, "Create"},
                 {IMAP_DELETE, "Delete"},
                 {IMAP_RENAME, "Rename"},
                 {IMAP_SUBSCRIBE, "Subscribe"},
                 {IMAP_UNSUBSCRIBE, "Unsubscribe"}};
    if (!imap_session_result(s, err, packet))
        return;
    if (s->run->command.verb == IMAP_RENAME)
        follow_rename(s);
    if (s->rev2)
        tell_name(s);
    if (s->run->command.verb == IMAP_CREATE && imap_capability_has(s, CAP_OBJECTID)) {
        const struct wire_mbox_name name = {.grant = s->grant, .name = created_name(s)};
        imap_session_ask(s, ROLE_STORE, WIRE_MBOX_STATUS, &name, on_created);
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].verb == s->run->command.verb) {
            imap_session_done(s, "OK %s completed", names[i].name);
            return;
        }
}

static bool name_is_new(struct session *s, struct slice name)
{
    struct why why;
    if (imap_mailbox_check_new(name, '/', &why) == ERR_OK)
        return true;
    imap_session_done(s, "NO [CANNOT] %s", why.text);
    return false;
}

/* The use as store names it; one at most is possible. */
static uint32_t special_use(uint32_t bits)
{
    switch (bits) {
    case 0:
        return SPECIAL_NONE;
    case IMAP_USE_ALL:
        return SPECIAL_ALL;
    case IMAP_USE_ARCHIVE:
        return SPECIAL_ARCHIVE;
    case IMAP_USE_DRAFTS:
        return SPECIAL_DRAFTS;
    case IMAP_USE_FLAGGED:
        return SPECIAL_FLAGGED;
    case IMAP_USE_JUNK:
        return SPECIAL_JUNK;
    case IMAP_USE_SENT:
        return SPECIAL_SENT;
    case IMAP_USE_TRASH:
        return SPECIAL_TRASH;
    default:
        return SPECIAL_COUNT;
    }
}

void imap_cmd_create(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    struct slice name = without_delimiter(c->create.mailbox);
    uint32_t use = special_use(c->create.use);
    if (c->create.unknown_use || use == SPECIAL_COUNT || use == SPECIAL_ALL || use == SPECIAL_FLAGGED) {
        imap_session_done(s, "NO [USEATTR] This special use is not possible"); /* RFC 6154 section 3 */
        return;
    }
    if (imap_mailbox_is_inbox(name)) {
        imap_session_done(s, "NO [ALREADYEXISTS] INBOX exists always");
        return;
    }
    if (!name_is_new(s, name))
        return;
    const struct wire_mbox_create create = {.grant = s->grant, .special_use = use, .name = name};
    imap_session_ask(s, ROLE_STORE, WIRE_MBOX_CREATE, &create, on_done);
}

/* Who deletes what it has selected goes on without a mailbox; store has told that it is gone. */
static void on_deleted(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    if (!imap_session_result(s, err, packet))
        return;
    if (s->selected && s->selected->gone) {
        imap_session_unselect(s);
        buf_add_str(imap_session_output(s), "* OK [CLOSED] The selected mailbox was deleted\r\n");
    }
    if (s->rev2)
        tell_name(s);
    imap_session_done(s, "OK Delete completed");
}

void imap_cmd_delete(struct session *s)
{
    struct slice name = s->run->command.mailbox.mailbox;
    if (imap_mailbox_is_inbox(name)) {
        imap_session_done(s, "NO [CANNOT] INBOX cannot be deleted");
        return;
    }
    const struct wire_mbox_name message = {.grant = s->grant, .name = name};
    imap_session_ask(s, ROLE_STORE, WIRE_MBOX_DELETE, &message, on_deleted);
}

void imap_cmd_rename(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    struct slice to = without_delimiter(c->rename.to);
    if (imap_mailbox_is_inbox(to)) {
        imap_session_done(s, "NO [ALREADYEXISTS] INBOX exists always");
        return;
    }
    if (!name_is_new(s, to))
        return;
    const struct wire_mbox_rename message = {
        .grant = s->grant, .from = without_delimiter(c->rename.from), .to = to};
    imap_session_ask(s, ROLE_STORE, WIRE_MBOX_RENAME, &message, on_done);
}

void imap_cmd_subscribe(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    const struct wire_mbox_subscribe message = {
        .grant = s->grant, .on = c->verb == IMAP_SUBSCRIBE, .name = without_delimiter(c->mailbox.mailbox)};
    imap_session_ask(s, ROLE_STORE, WIRE_MBOX_SUBSCRIBE, &message, on_done);
}
