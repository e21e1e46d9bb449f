/* imap_args_url.c: the arguments of GENURLAUTH, RESETKEY and URLFETCH (RFC 4467 section 9). Input: any
 * client. */
#include "grammar/imap_scan.h"

/* genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism) */
bool imap_args_genurlauth(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s))
        return false;
    do {
        size_t n = c->urls.count;
        if (n >= IMAP_URLS_MAX)
            return imap_scan_fail(s, "Too many URLs");
        if (!imap_scan_astring(s, &c->urls.urls[n]) || !imap_scan_sp(s) ||
            !imap_scan_atom(s, &c->urls.mechanisms[n]))
            return false;
        c->urls.count++;
    } while (imap_scan_try(s, ' '));
    return true;
}

/* urlfetch = "URLFETCH" 1*(SP url-full) */
bool imap_args_urlfetch(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s))
        return false;
    do {
        if (c->urls.count >= IMAP_URLS_MAX)
            return imap_scan_fail(s, "Too many URLs");
        if (!imap_scan_astring(s, &c->urls.urls[c->urls.count]))
            return false;
        c->urls.count++;
    } while (imap_scan_try(s, ' '));
    return true;
}

/* resetkey = "RESETKEY" [SP mailbox *(SP mechanism)] */
bool imap_args_resetkey(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_try(s, ' '))
        return true;
    if (!imap_scan_mailbox(s, &c->urls.mailbox))
        return false;
    if (c->urls.mailbox.len == 0) /* that would mean all */
        return imap_scan_fail(s, "Empty mailbox name");
    while (imap_scan_try(s, ' ')) {
        if (c->urls.count >= IMAP_URLS_MAX)
            return imap_scan_fail(s, "Too many mechanisms");
        if (!imap_scan_atom(s, &c->urls.mechanisms[c->urls.count]))
            return false;
        c->urls.count++;
    }
    return true;
}
