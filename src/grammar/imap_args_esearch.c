/* imap_args_esearch.c: ESEARCH, the search in many mailboxes (RFC 7377), and its sources, which RFC 5465
 * section 6 calls filters. Input: any client. Called by the table in imap_command.c. */
#include "grammar/imap_scan.h"

static const struct {
    const char *name;
    enum imap_source_kind kind;
    bool names;
} kinds[] = {
    {"selected", IMAP_SOURCE_SELECTED, false},  {"inboxes", IMAP_SOURCE_INBOXES, false},
    {"personal", IMAP_SOURCE_PERSONAL, false},  {"subscribed", IMAP_SOURCE_SUBSCRIBED, false},
    {"subtree", IMAP_SOURCE_SUBTREE, true},     {"subtree-one", IMAP_SOURCE_SUBTREE_ONE, true},
    {"mailboxes", IMAP_SOURCE_MAILBOXES, true},
};

static bool scan_name(struct imap_scan *s, struct imap_esearch_args *a, enum imap_source_kind kind)
{
    if (a->source_count == IMAP_SOURCES_MAX)
        return imap_scan_fail(s, "Too many mailboxes");
    struct imap_source *source = &a->sources[a->source_count++];
    source->kind = kind;
    return imap_scan_mailbox(s, &source->name);
}

/* one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")" */
static bool scan_names(struct imap_scan *s, struct imap_esearch_args *a, enum imap_source_kind kind)
{
    if (!imap_scan_sp(s))
        return false;
    if (!imap_scan_try(s, '('))
        return scan_name(s, a, kind);
    do {
        if (!scan_name(s, a, kind))
            return false;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed list of mailboxes");
}

/* filter-mailboxes = "selected" / "inboxes" / … / ("mailboxes" SP one-or-more-mailbox) */
static bool scan_source(struct imap_scan *s, struct imap_esearch_args *a)
{
    struct slice word = imap_scan_word(s);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!slice_ieq(word, slice_of(kinds[i].name)))
            continue;
        if (kinds[i].names)
            return scan_names(s, a, kinds[i].kind);
        if (a->source_count == IMAP_SOURCES_MAX)
            return imap_scan_fail(s, "Too many sources");
        a->sources[a->source_count++].kind = kinds[i].kind;
        return true;
    }
    return imap_scan_fail(s, "Unknown source of a search");
}

/* esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"; no scope options exist */
static bool scan_sources(struct imap_scan *s, struct imap_esearch_args *a)
{
    a->sources = ARENA_ARRAY(s->arena, struct imap_source, IMAP_SOURCES_MAX);
    if (!imap_scan_sp(s) || !imap_scan_byte(s, '(', "Expected sources"))
        return false;
    do {
        if (!scan_source(s, a))
            return false;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed sources") && imap_scan_sp(s);
}

/* esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program; the answers have
 * UIDs */
bool imap_args_esearch(struct imap_scan *s, struct imap_command *c)
{
    struct imap_search *search = &c->search.search;
    if (!imap_scan_sp(s))
        return false;
    struct imap_scan before = *s;
    if (!slice_ieq(imap_scan_word(s), SLICE("IN")))
        *s = before;
    else if (!scan_sources(s, &c->search.esearch))
        return false;
    if (!imap_scan_search(s, search))
        return false;
    c->uid = true;
    search->extended = true;
    if (!search->returns)
        search->returns = IMAP_RETURN_ALL;
    return true;
}
