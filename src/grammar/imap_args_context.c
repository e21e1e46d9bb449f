/* imap_args_context.c: CANCELUPDATE (RFC 5267). Input: any client. Called by the table in imap_command.c. */
#include "grammar/imap_scan.h"

/* command-select =/ "CANCELUPDATE" 1*(SP quoted); a tag without quotes is understood too */
bool imap_args_cancelupdate(struct imap_scan *s, struct imap_command *c)
{
    do {
        if (c->cancel.count == IMAP_UPDATES_MAX)
            return imap_scan_fail(s, "Too many tags");
        if (!imap_scan_sp(s) || !imap_scan_astring(s, &c->cancel.tags[c->cancel.count]))
            return false;
        c->cancel.count++;
    } while (imap_scan_peek(s) == ' ');
    return true;
}
