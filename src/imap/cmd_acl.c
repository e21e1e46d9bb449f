/* cmd_acl.c: SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314), and the rights of LIST (RFC 8440).
 * What may be asked and changed is decided in store. */
#include "grammar/imap_acl.h"
#include "grammar/imap_write.h"
#include "imap/acl.h"
#include "imap/command.h"

static void begin_response(struct session *s, const char *name)
{
    struct buf *out = imap_session_output(s);
    buf_addf(out, "* %s ", name);
    imap_write_mailbox(out, s->run->command.acl.mailbox, s->utf8);
}

void imap_myrights_write(struct session *s, struct slice mailbox, uint32_t rights)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* MYRIGHTS ");
    imap_write_mailbox(out, mailbox, s->utf8);
    buf_add_byte(out, ' ');
    imap_rights_write(out, rights);
    buf_add_str(out, "\r\n");
}

/* acl-data = "ACL" SP mailbox *(SP identifier SP rights) */
static bool write_acl(struct session *s, struct slice entries)
{
    struct buf *out = imap_session_output(s);
    struct slice identifier;
    uint64_t rights;
    begin_response(s, "ACL");
    while (wire_strings_take(&entries, &identifier)) {
        if (!slice_take_varint(&entries, &rights))
            return false;
        buf_add_byte(out, ' ');
        imap_write_astring(out, identifier);
        buf_add_byte(out, ' ');
        imap_rights_write(out, (uint32_t)rights & RIGHT_ALL);
    }
    buf_add_str(out, "\r\n");
    return true;
}

/* listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights): what an identifier always
 * has, then what it may be given, each alone but for the obsolete letters, which stand for several. */
static void write_possible(struct session *s, struct slice owner)
{
    struct buf *out = imap_session_output(s);
    struct slice identifier = s->run->command.acl.identifier;
    begin_response(s, "LISTRIGHTS");
    buf_add_byte(out, ' ');
    imap_write_astring(out, identifier);
    buf_add_str(out, slice_eq(identifier, owner) ? " la r s w i p k x t e c d\r\n"
                                                 : " \"\" l r s w i p k x t e a c d\r\n");
}

static void on_acl(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_acl acl;
    const struct imap_command *c = &s->run->command;
    err = wire_answer(err, packet, WIRE_ACL, &acl);
    if (err || acl.err) {
        imap_session_refused(s, err ? err : acl.err, acl.code, acl.text);
        return;
    }
    switch (c->verb) {
    case IMAP_MYRIGHTS:
        imap_myrights_write(s, c->acl.mailbox, acl.rights);
        imap_session_done(s, "OK Myrights completed");
        break;
    case IMAP_LISTRIGHTS:
        write_possible(s, acl.owner);
        imap_session_done(s, "OK Listrights completed");
        break;
    default:
        if (write_acl(s, acl.entries))
            imap_session_done(s, "OK Getacl completed");
        else
            imap_session_done(s, "NO [SERVERBUG] Internal error");
        break;
    }
}

void imap_cmd_getacl(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    const struct wire_acl_get get = {
        .grant = s->grant, .own = c->verb == IMAP_MYRIGHTS, .mailbox = c->acl.mailbox};
    imap_session_ask(s, ROLE_STORE, WIRE_ACL_GET, &get, on_acl);
}

static void on_set(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    if (imap_session_result(s, err, packet))
        imap_session_done(s, "OK %s completed", s->run->command.verb == IMAP_SETACL ? "Setacl" : "Deleteacl");
}

void imap_cmd_setacl(struct session *s)
{
    static const enum acl_mode modes[] = {ACL_REPLACE, ACL_ADD, ACL_REMOVE};
    const struct imap_command *c = &s->run->command;
    const struct wire_acl_set set = {.grant = s->grant,
                                     .mode = c->verb == IMAP_DELETEACL ? ACL_DELETE : modes[c->acl.mode],
                                     .rights = c->acl.rights,
                                     .mailbox = c->acl.mailbox,
                                     .identifier = c->acl.identifier};
    imap_session_ask(s, ROLE_STORE, WIRE_ACL_SET, &set, on_set);
}
