/* recent.c: \\Recent (RFC 3501 section 2.3.2): of several sessions of one mailbox exactly one has it on a
 * message. Store says what nobody has taken yet; what arrives later belongs to one of the sessions here, the
 * first that may change the mailbox, and when that one leaves to another. Called by cmd_select.c and ENABLE.
 */
#include "imap/session.h"

/* The UID behind the last that the client was told of. */
static uint32_t next_told(const struct imap_view *v)
{
    return v->known ? imap_view_entry(v, v->known - 1)->uid + 1 : 1;
}

static bool may_take(const struct selected *sel)
{
    return !sel->read_only && !sel->session->rev2;
}

void imap_recent_enter(struct selected *sel, const struct wire_mbox_selected *reply)
{
    struct imap_mailbox *mailbox = sel->mailbox;
    struct imap_view *v = &sel->view;
    if (sel->session->rev2)
        return;
    if (!may_take(sel)) { /* looks at what is there, and takes nothing */
        v->recent_from = reply->recent_from;
        v->recent_to = next_told(v);
    } else if (!mailbox->recent) {
        mailbox->recent = sel;
        v->recent_from = reply->recent_from;
    }
}

/* What the one that leaves was not told of is for its heir, as far as that one was not told of it either. */
void imap_recent_leave(struct selected *sel)
{
    struct imap_mailbox *mailbox = sel->mailbox;
    sel->view.recent_from = sel->view.recent_to = 0;
    if (mailbox->recent != sel)
        return;
    mailbox->recent = NULL;
    LIST_EACH(&mailbox->sessions, node)
    {
        struct selected *heir = CONTAINER_OF(node, struct selected, node);
        if (heir == sel || !may_take(heir) || mailbox->recent)
            continue;
        uint32_t ours = next_told(&sel->view), theirs = next_told(&heir->view);
        heir->view.recent_from = ours > theirs ? ours : theirs;
        heir->view.recent_to = 0;
        mailbox->recent = heir;
    }
}

/* What it has it keeps; where somebody else has come first, no more than it was told of. */
void imap_recent_move(struct selected *sel, struct imap_mailbox *to)
{
    struct imap_view *v = &sel->view;
    bool had = sel->mailbox->recent == sel;
    if (!had)
        return;
    sel->mailbox->recent = NULL;
    if (!to->recent)
        to->recent = sel;
    else
        v->recent_to = next_told(v);
}
