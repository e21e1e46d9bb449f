/* cmd_cancelupdate.c: CANCELUPDATE (RFC 5267 section 4.3.5): results are no longer kept up to date. */
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/search_context.h"

void imap_cmd_cancelupdate(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    bool known = imap_capability_has(s, CAP_CONTEXT_SEARCH) || imap_capability_has(s, CAP_CONTEXT_SORT);
    bool all = true;
    for (size_t i = 0; i < c->cancel.count; i++)
        all = imap_context_cancel(s, c->cancel.tags[i]) && all;
    if (!known)
        imap_session_done(s, "BAD Unknown command");
    else
        imap_session_done(s, all ? "OK No further updates" : "BAD No search of this tag is kept up to date");
}
