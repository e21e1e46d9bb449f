/* imap_args_acl.c: SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314). Input: any client. Called by
 * the table in imap_command.c. */
#include "grammar/imap_acl.h"
#include "grammar/imap_scan.h"

/* identifier = astring; addresses are compared without case */
static bool scan_identifier(struct imap_scan *s, struct slice *identifier)
{
    struct slice raw;
    if (!imap_scan_sp(s) || !imap_scan_astring(s, &raw))
        return false;
    uint8_t *lower = ARENA_ARRAY(s->arena, uint8_t, raw.len + 1);
    for (size_t i = 0; i < raw.len; i++)
        lower[i] = ascii_lower(raw.ptr[i]);
    *identifier = slice_make(lower, raw.len);
    return imap_acl_identifier_is_valid(*identifier) ||
           imap_scan_refuse(s, ERR_REFUSED, "An identifier is an address of this server, or anyone");
}

/* mod-rights = astring ; +rights to add, -rights to remove, rights to replace */
static bool scan_mod_rights(struct imap_scan *s, struct imap_acl_args *a)
{
    struct slice text;
    if (!imap_scan_sp(s) || !imap_scan_astring(s, &text))
        return false;
    if (slice_starts(text, SLICE("+")))
        a->mode = IMAP_STORE_ADD;
    else if (slice_starts(text, SLICE("-")))
        a->mode = IMAP_STORE_REMOVE;
    if (a->mode != IMAP_STORE_REPLACE)
        text = slice_from(text, 1);
    return imap_rights_parse(text, &a->rights) || imap_scan_fail(s, "Unknown right");
}

/* setacl = "SETACL" SP mailbox SP identifier SP mod-rights */
bool imap_args_setacl(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_mailbox(s, &c->acl.mailbox) &&
           scan_identifier(s, &c->acl.identifier) && scan_mod_rights(s, &c->acl);
}

/* deleteacl = "DELETEACL" SP mailbox SP identifier; listrights = "LISTRIGHTS" SP mailbox SP identifier */
bool imap_args_identifier(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_mailbox(s, &c->acl.mailbox) && scan_identifier(s, &c->acl.identifier);
}

/* getacl = "GETACL" SP mailbox; myrights = "MYRIGHTS" SP mailbox */
bool imap_args_acl(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_mailbox(s, &c->acl.mailbox);
}
