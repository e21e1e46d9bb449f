/* imap_args_notify.c: NOTIFY (RFC 5465 section 8). Input: any client. Called by the table in imap_command.c.
 */
#include "grammar/imap_notify.h"
#include "grammar/imap_scan.h"

static const struct {
    const char *name;
    uint32_t bit;
} events[] = {
    {"MessageNew", IMAP_NOTIFY_MESSAGE_NEW},
    {"MessageExpunge", IMAP_NOTIFY_MESSAGE_EXPUNGE},
    {"FlagChange", IMAP_NOTIFY_FLAG_CHANGE},
    {"MailboxName", IMAP_NOTIFY_MAILBOX_NAME},
    {"SubscriptionChange", IMAP_NOTIFY_SUBSCRIPTION},
    {"MailboxMetadataChange", IMAP_NOTIFY_MAILBOX_METADATA},
    {"ServerMetadataChange", IMAP_NOTIFY_SERVER_METADATA},
};

const char *imap_notify_events(void)
{
    return "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange "
           "ServerMetadataChange";
}

static const struct {
    const char *name;
    enum imap_notify_filter filter;
    bool names;
} filters[] = {
    {"SELECTED", IMAP_NOTIFY_SELECTED, false},     {"SELECTED-DELAYED", IMAP_NOTIFY_SELECTED_DELAYED, false},
    {"INBOXES", IMAP_NOTIFY_INBOXES, false},       {"PERSONAL", IMAP_NOTIFY_PERSONAL, false},
    {"SUBSCRIBED", IMAP_NOTIFY_SUBSCRIBED, false}, {"SUBTREE", IMAP_NOTIFY_SUBTREE, true},
    {"MAILBOXES", IMAP_NOTIFY_MAILBOXES, true},
};

static bool is_selected(const struct imap_notify_group *g)
{
    return g->filter <= IMAP_NOTIFY_SELECTED_DELAYED;
}

/* one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")" */
static bool scan_names(struct imap_scan *s, struct imap_notify_group *g)
{
    if (!imap_scan_sp(s))
        return false;
    bool list = imap_scan_try(s, '(');
    size_t most = list ? IMAP_NOTIFY_NAMES_MAX : 1;
    g->names = ARENA_ARRAY(s->arena, struct slice, most);
    do {
        if (g->name_count == most)
            return imap_scan_refuse(s, ERR_REFUSED, "Too many mailboxes");
        if (!imap_scan_mailbox(s, &g->names[g->name_count++]))
            return false;
    } while (list && imap_scan_try(s, ' '));
    return !list || imap_scan_byte(s, ')', "Malformed list of mailboxes");
}

/* filter-mailboxes = "selected" / "selected-delayed" / "inboxes" / "personal" / "subscribed" / ("subtree" SP
 * one-or-more-mailbox) / ("mailboxes" SP one-or-more-mailbox) */
static bool scan_filter(struct imap_scan *s, struct imap_notify_group *g)
{
    struct slice word = imap_scan_word(s);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (!slice_ieq(word, slice_of(filters[i].name)))
            continue;
        g->filter = filters[i].filter;
        return !filters[i].names || scan_names(s, g);
    }
    return imap_scan_fail(s, "Unknown mailbox specifier");
}

/* SP "(" fetch-att *(SP fetch-att) ")", where there is one */
static bool scan_fetch(struct imap_scan *s, struct imap_notify_group *g)
{
    const uint8_t *before = s->at;
    if (!imap_scan_try(s, ' ') || imap_scan_peek(s) != '(') {
        s->at = before;
        return true;
    }
    if (!is_selected(g))
        return imap_scan_fail(s, "FETCH items are for the selected mailbox only");
    g->has_fetch = true;
    return imap_scan_fetch_items(s, &g->fetch);
}

/* Whatever stands in parentheses behind an event nobody knows. */
static bool skip_arguments(struct imap_scan *s)
{
    const uint8_t *before = s->at;
    if (!imap_scan_try(s, ' ') || imap_scan_peek(s) != '(') {
        s->at = before;
        return true;
    }
    size_t depth = 0;
    do {
        if (s->at == s->end || *s->at == '\r')
            return imap_scan_fail(s, "Malformed event");
        depth += *s->at == '(';
        depth -= *s->at == ')';
        s->at++;
    } while (depth > 0);
    return true;
}

static bool scan_event(struct imap_scan *s, struct imap_notify_args *a, struct imap_notify_group *g)
{
    struct slice word;
    if (!imap_scan_atom(s, &word))
        return false;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        if (!slice_ieq(word, slice_of(events[i].name)))
            continue;
        g->events |= events[i].bit;
        return events[i].bit != IMAP_NOTIFY_MESSAGE_NEW || scan_fetch(s, g);
    }
    a->unknown_event = true;
    return skip_arguments(s);
}

/* RFC 5465 sections 5 and 6.1 */
static bool check_events(struct imap_scan *s, const struct imap_notify_group *g)
{
    const uint32_t both = IMAP_NOTIFY_MESSAGE_NEW | IMAP_NOTIFY_MESSAGE_EXPUNGE;
    if ((g->events & IMAP_NOTIFY_MESSAGES) && (g->events & both) != both)
        return imap_scan_fail(s, "MessageNew and MessageExpunge come together, FlagChange only with them");
    if (is_selected(g) && (g->events & ~(uint32_t)IMAP_NOTIFY_MESSAGES))
        return imap_scan_fail(s, "Only events of messages are for the selected mailbox");
    return true;
}

/* events = ("(" event *(SP event) ")") / "NONE" */
static bool scan_events(struct imap_scan *s, struct imap_notify_args *a, struct imap_notify_group *g)
{
    if (!imap_scan_try(s, '('))
        return slice_ieq(imap_scan_word(s), SLICE("NONE")) || imap_scan_fail(s, "Expected events or NONE");
    do {
        if (!scan_event(s, a, g))
            return false;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed events") && check_events(s, g);
}

/* event-group = "(" filter-mailboxes SP events ")" */
static bool scan_group(struct imap_scan *s, struct imap_notify_args *a)
{
    if (a->group_count == IMAP_NOTIFY_GROUPS_MAX)
        return imap_scan_refuse(s, ERR_REFUSED, "Too many event groups");
    struct imap_notify_group *g = &a->groups[a->group_count++];
    *g = (struct imap_notify_group){0};
    if (!imap_scan_byte(s, '(', "Expected an event group") || !scan_filter(s, g) || !imap_scan_sp(s) ||
        !scan_events(s, a, g))
        return false;
    for (size_t i = 0; i + 1 < a->group_count && is_selected(g); i++)
        if (is_selected(&a->groups[i]))
            return imap_scan_fail(s, "The selected mailbox is specified twice");
    return imap_scan_byte(s, ')', "Malformed event group");
}

/* notify = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-group *(SP event-group) / "NONE") */
bool imap_args_notify(struct imap_scan *s, struct imap_command *c)
{
    struct imap_notify_args *a = &c->notify;
    if (!imap_scan_sp(s))
        return false;
    struct slice word = imap_scan_word(s);
    a->none = slice_ieq(word, SLICE("NONE"));
    if (a->none)
        return true;
    if (!slice_ieq(word, SLICE("SET")) || !imap_scan_sp(s))
        return imap_scan_fail(s, "Expected SET or NONE");
    if (imap_scan_peek(s) != '(') {
        a->status = slice_ieq(imap_scan_word(s), SLICE("STATUS"));
        if (!a->status || !imap_scan_sp(s))
            return imap_scan_fail(s, "Expected STATUS or an event group");
    }
    a->groups = ARENA_ARRAY(s->arena, struct imap_notify_group, IMAP_NOTIFY_GROUPS_MAX);
    do {
        if (!scan_group(s, a))
            return false;
    } while (imap_scan_try(s, ' '));
    return true;
}
