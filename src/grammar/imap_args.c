/* imap_args.c: the arguments of each command, one function per row of the table in imap_command.c. Input: any
 * client. */
#include "grammar/imap_scan.h"

bool imap_args_none(struct imap_scan *s, struct imap_command *c)
{
    (void)s;
    (void)c;
    return true; /* the caller expects the end now */
}

/* id = "ID" SP ("(" #(string SP nstring) ")" / nil), RFC 2971 */
bool imap_args_id(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s))
        return false;
    struct slice nothing;
    if (!imap_scan_try(s, '('))
        return imap_scan_nstring(s, &nothing);
    if (imap_scan_try(s, ')'))
        return true;
    do {
        size_t n = c->id.count;
        if (n >= IMAP_ID_PAIRS_MAX)
            return imap_scan_fail(s, "Too many ID fields");
        if (!imap_scan_string(s, &c->id.names[n]) || !imap_scan_sp(s) ||
            !imap_scan_nstring(s, &c->id.values[n]))
            return false;
        c->id.count++;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed ID list");
}

/* authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")], RFC 4959 */
bool imap_args_authenticate(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s) || !imap_scan_atom(s, &c->authenticate.mechanism))
        return false;
    if (!imap_scan_try(s, ' '))
        return true;
    if (!imap_scan_atom(s, &c->authenticate.initial))
        return false;
    c->authenticate.has_initial = true;
    if (slice_eq(c->authenticate.initial, SLICE("=")))
        c->authenticate.initial = slice_make(s->at, 0);
    return true;
}

/* login = "LOGIN" SP userid SP password */
bool imap_args_login(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_astring(s, &c->login.user) && imap_scan_sp(s) &&
           imap_scan_astring(s, &c->login.password);
}

/* enable = "ENABLE" 1*(SP capability) */
bool imap_args_enable(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s))
        return false;
    do {
        if (c->enable.count >= IMAP_ENABLE_MAX)
            return imap_scan_fail(s, "Too many capabilities");
        if (!imap_scan_atom(s, &c->enable.names[c->enable.count]))
            return false;
        c->enable.count++;
    } while (imap_scan_try(s, ' '));
    return true;
}

/* compress = "COMPRESS" SP algorithm, RFC 4978 section 5 */
bool imap_args_compress(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_atom(s, &c->compress.algorithm);
}

static bool scan_uid_set(struct imap_scan *s, struct imap_set *set)
{
    if (!imap_scan_set(s, set))
        return false;
    return !set->saved || imap_scan_fail(s, "A saved result is not allowed here");
}

/* seq-match-data = "(" known-sequence-set SP known-uid-set ")" */
static bool scan_match_data(struct imap_scan *s, struct imap_select_args *a)
{
    if (!imap_scan_byte(s, '(', "Malformed QRESYNC") || !scan_uid_set(s, &a->match_seqs) ||
        !imap_scan_sp(s) || !scan_uid_set(s, &a->match_uids))
        return false;
    a->has_match = true;
    return imap_scan_byte(s, ')', "Malformed QRESYNC");
}

/* "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")", RFC 7162
 * section 7 */
static bool scan_qresync(struct imap_scan *s, struct imap_select_args *a)
{
    uint64_t validity;
    if (!imap_scan_sp(s) || !imap_scan_byte(s, '(', "Malformed QRESYNC") ||
        !imap_scan_number(s, UINT32_MAX, &validity) || !imap_scan_sp(s) ||
        !imap_scan_number(s, INT64_MAX, &a->modseq))
        return false;
    if (validity == 0 || a->modseq == 0)
        return imap_scan_fail(s, "QRESYNC numbers must not be 0");
    a->qresync = true;
    a->uid_validity = (uint32_t)validity;
    bool more = imap_scan_try(s, ' ');
    if (more && imap_scan_peek(s) != '(') {
        if (!scan_uid_set(s, &a->known_uids))
            return false;
        a->has_known_uids = true;
        more = imap_scan_try(s, ' ');
    }
    if (more && !scan_match_data(s, a))
        return false;
    return imap_scan_byte(s, ')', "Malformed QRESYNC");
}

/* select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"] */
bool imap_args_select(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s) || !imap_scan_mailbox(s, &c->select.mailbox))
        return false;
    if (!imap_scan_try(s, ' '))
        return true;
    if (!imap_scan_byte(s, '(', "Expected SELECT parameters"))
        return false;
    do {
        struct slice word = imap_scan_word(s);
        if (slice_ieq(word, SLICE("CONDSTORE")))
            c->select.condstore = true;
        else if (!slice_ieq(word, SLICE("QRESYNC")) || c->select.qresync)
            return imap_scan_fail(s, "Unknown SELECT parameter");
        else if (!scan_qresync(s, &c->select))
            return false;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed SELECT parameters");
}

/* create = "CREATE" SP mailbox [SP "(USE (" use-attr *(SP use-attr) "))"], RFC 6154 section 3 */
bool imap_args_create(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s) || !imap_scan_mailbox(s, &c->create.mailbox))
        return false;
    if (!imap_scan_try(s, ' '))
        return true;
    if (!imap_scan_byte(s, '(', "Expected CREATE parameters"))
        return false;
    if (!slice_ieq(imap_scan_word(s), SLICE("USE")))
        return imap_scan_fail(s, "Unknown CREATE parameter");
    if (!imap_scan_sp(s) || !imap_scan_byte(s, '(', "Malformed USE"))
        return false;
    do {
        const uint8_t *start = s->at;
        struct slice atom;
        if (!imap_scan_byte(s, '\\', "Malformed USE") || !imap_scan_atom(s, &atom))
            return false;
        uint32_t use = imap_special_use_of(slice_make(start, (size_t)(s->at - start)));
        c->create.use |= use;
        c->create.unknown_use = c->create.unknown_use || use == 0;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed USE") && imap_scan_byte(s, ')', "Malformed CREATE parameters");
}

/* DELETE, SUBSCRIBE, UNSUBSCRIBE, GETQUOTAROOT */
bool imap_args_mailbox(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_mailbox(s, &c->mailbox.mailbox);
}

bool imap_args_rename(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_mailbox(s, &c->rename.from) && imap_scan_sp(s) &&
           imap_scan_mailbox(s, &c->rename.to);
}

struct name_bit {
    const char *name;
    uint32_t bit;
};

/* "(" name *(SP name) ")" of a table, as bits; may be empty. */
static bool scan_bits(struct imap_scan *s, const struct name_bit *table, const char *fault, uint32_t *bits)
{
    if (!imap_scan_byte(s, '(', fault))
        return false;
    if (imap_scan_try(s, ')'))
        return true;
    do {
        struct slice word = imap_scan_word(s);
        size_t i = 0;
        while (table[i].name && !slice_ieq(word, slice_of(table[i].name)))
            i++;
        if (!table[i].name)
            return imap_scan_fail(s, fault);
        *bits |= table[i].bit;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', fault);
}

static const struct name_bit status_items[] = {
    {"MESSAGES", IMAP_STATUS_MESSAGES},
    {"RECENT", IMAP_STATUS_RECENT},
    {"UIDNEXT", IMAP_STATUS_UIDNEXT},
    {"UIDVALIDITY", IMAP_STATUS_UIDVALIDITY},
    {"UNSEEN", IMAP_STATUS_UNSEEN},
    {"DELETED", IMAP_STATUS_DELETED},
    {"SIZE", IMAP_STATUS_SIZE},
    {"HIGHESTMODSEQ", IMAP_STATUS_HIGHESTMODSEQ},
    {"APPENDLIMIT", IMAP_STATUS_APPENDLIMIT},
    {"MAILBOXID", IMAP_STATUS_MAILBOXID},
    {"DELETED-STORAGE", IMAP_STATUS_DELETED_STORAGE},
    {0},
};

static bool scan_status_items(struct imap_scan *s, uint32_t *items)
{
    return scan_bits(s, status_items, "Unknown STATUS item", items) &&
           (*items != 0 || imap_scan_fail(s, "No STATUS item"));
}

bool imap_args_status(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_mailbox(s, &c->status.mailbox) && imap_scan_sp(s) &&
           scan_status_items(s, &c->status.items);
}

static const struct name_bit list_selections[] = {
    {"SUBSCRIBED", IMAP_LIST_SUBSCRIBED},
    {"REMOTE", IMAP_LIST_REMOTE},
    {"RECURSIVEMATCH", IMAP_LIST_RECURSIVE},
    {"SPECIAL-USE", IMAP_LIST_SPECIAL_USE},
    {0},
};

/* list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")", RFC 5258, RFC 5819 */
static const struct name_bit list_returns[] = {
    {"SUBSCRIBED", IMAP_LIST_RETURN_SUBSCRIBED},
    {"CHILDREN", IMAP_LIST_RETURN_CHILDREN},
    {"SPECIAL-USE", IMAP_LIST_RETURN_SPECIAL_USE},
    {"STATUS", IMAP_LIST_RETURN_STATUS},
    {"MYRIGHTS", IMAP_LIST_RETURN_MYRIGHTS},
    {"METADATA", IMAP_LIST_RETURN_METADATA},
    {0},
};

static bool scan_list_return(struct imap_scan *s, struct imap_list_args *a)
{
    struct slice word = imap_scan_word(s);
    for (size_t i = 0; list_returns[i].name; i++) {
        if (!slice_ieq(word, slice_of(list_returns[i].name)))
            continue;
        a->returns |= list_returns[i].bit;
        if (list_returns[i].bit == IMAP_LIST_RETURN_STATUS)
            return imap_scan_sp(s) && scan_status_items(s, &a->status);
        if (list_returns[i].bit == IMAP_LIST_RETURN_METADATA) /* RFC 9590 */
            return imap_scan_sp(s) && imap_scan_entries(s, &a->entries, &a->entry_count);
        return true;
    }
    return imap_scan_fail(s, "Unknown LIST return option");
}

static bool scan_list_returns(struct imap_scan *s, struct imap_list_args *a)
{
    if (!imap_scan_try(s, ' '))
        return true;
    if (!slice_ieq(imap_scan_word(s), SLICE("RETURN")))
        return imap_scan_fail(s, "Unexpected text behind the patterns");
    if (!imap_scan_sp(s) || !imap_scan_byte(s, '(', "Expected LIST return options"))
        return false;
    a->extended = true;
    if (imap_scan_try(s, ')'))
        return true;
    do {
        if (!scan_list_return(s, a))
            return false;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed LIST return options");
}

/* patterns = "(" list-mailbox *(SP list-mailbox) ")" */
static bool scan_patterns(struct imap_scan *s, struct imap_list_args *a)
{
    a->patterns = ARENA_ARRAY(s->arena, struct slice, IMAP_PATTERNS_MAX);
    if (!imap_scan_try(s, '(')) {
        a->pattern_count = 1;
        return imap_scan_pattern(s, &a->patterns[0]);
    }
    a->extended = true;
    do {
        if (a->pattern_count >= IMAP_PATTERNS_MAX)
            return imap_scan_fail(s, "Too many patterns");
        if (!imap_scan_pattern(s, &a->patterns[a->pattern_count]))
            return false;
        a->pattern_count++;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed list of patterns");
}

static bool scan_list_selection(struct imap_scan *s, struct imap_list_args *a)
{
    if (imap_scan_peek(s) != '(')
        return true;
    a->extended = true;
    if (!scan_bits(s, list_selections, "Unknown LIST selection option", &a->select) || !imap_scan_sp(s))
        return false;
    if ((a->select & IMAP_LIST_RECURSIVE) && !(a->select & IMAP_LIST_SUBSCRIBED))
        return imap_scan_fail(s, "RECURSIVEMATCH needs SUBSCRIBED"); /* RFC 5258 section 3 */
    return true;
}

/* list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts], RFC 5258 section 6 */
bool imap_args_list(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && scan_list_selection(s, &c->list) && imap_scan_pattern(s, &c->list.reference) &&
           imap_scan_sp(s) && scan_patterns(s, &c->list) && scan_list_returns(s, &c->list);
}

bool imap_args_lsub(struct imap_scan *s, struct imap_command *c)
{
    c->list.patterns = ARENA_NEW(s->arena, struct slice);
    c->list.pattern_count = 1;
    return imap_scan_sp(s) && imap_scan_pattern(s, &c->list.reference) && imap_scan_sp(s) &&
           imap_scan_pattern(s, &c->list.patterns[0]);
}

bool imap_args_getquota(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_astring(s, &c->quota.root);
}

/* setquota = "SETQUOTA" SP quota-root-name SP "(" [setquota-resource *(SP setquota-resource)] ")", RFC 9208
 */
bool imap_args_setquota(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s) || !imap_scan_astring(s, &c->quota.root) || !imap_scan_sp(s) ||
        !imap_scan_byte(s, '(', "Expected a list of resources"))
        return false;
    if (imap_scan_try(s, ')'))
        return true;
    do {
        size_t n = c->quota.count;
        if (n >= IMAP_QUOTA_MAX)
            return imap_scan_fail(s, "Too many resources");
        if (!imap_scan_atom(s, &c->quota.limits[n].resource) || !imap_scan_sp(s) ||
            !imap_scan_number(s, INT64_MAX, &c->quota.limits[n].limit))
            return false;
        c->quota.count++;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed list of resources");
}

/* "EXPUNGE", "UID EXPUNGE" SP sequence-set (RFC 4315) */
bool imap_args_expunge(struct imap_scan *s, struct imap_command *c)
{
    return !c->uid || (imap_scan_sp(s) && imap_scan_set(s, &c->expunge.set));
}

bool imap_args_search(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_search(s, &c->search.search);
}

static const struct {
    const char *name;
    enum imap_sort_key key;
} sort_keys[] = {
    {"ARRIVAL", IMAP_SORT_ARRIVAL},
    {"CC", IMAP_SORT_CC},
    {"DATE", IMAP_SORT_DATE},
    {"FROM", IMAP_SORT_FROM},
    {"SIZE", IMAP_SORT_SIZE},
    {"SUBJECT", IMAP_SORT_SUBJECT},
    {"TO", IMAP_SORT_TO},
    {"DISPLAYFROM", IMAP_SORT_DISPLAYFROM},
    {"DISPLAYTO", IMAP_SORT_DISPLAYTO},
    {"RELEVANCY", IMAP_SORT_RELEVANCY},
};

static bool scan_sort_key(struct imap_scan *s, struct imap_sort *sort)
{
    struct slice word = imap_scan_word(s);
    bool reverse = slice_ieq(word, SLICE("REVERSE"));
    if (reverse) {
        if (!imap_scan_sp(s))
            return false;
        word = imap_scan_word(s);
    }
    if (sort->count >= IMAP_SORT_KEYS_MAX)
        return imap_scan_fail(s, "Too many sort keys");
    for (size_t i = 0; i < sizeof sort_keys / sizeof *sort_keys; i++) {
        if (!slice_ieq(word, slice_of(sort_keys[i].name)))
            continue;
        sort->keys[sort->count].key = sort_keys[i].key;
        sort->keys[sort->count++].reverse = reverse;
        return true;
    }
    return imap_scan_fail(s, "Unknown sort key");
}

/* sort-criteria = "(" sort-criterion *(SP sort-criterion) ")", RFC 5256, RFC 5957 */
static bool scan_sort_keys(struct imap_scan *s, struct imap_sort *sort)
{
    if (!imap_scan_byte(s, '(', "Expected sort keys"))
        return false;
    do {
        if (!scan_sort_key(s, sort))
            return false;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed sort keys");
}

/* sort = "SORT" SP [search-return-opts SP] sort-criteria SP search-charset 1*(SP search-key); the options
 * also behind the charset, where ImapTest's scripts have them: no key begins with RETURN */
bool imap_args_sort(struct imap_scan *s, struct imap_command *c)
{
    struct imap_search *search = &c->search.search;
    return imap_scan_sp(s) && imap_scan_search_return(s, search) && scan_sort_keys(s, &c->search.sort) &&
           imap_scan_sp(s) && imap_scan_charset(s, search) && imap_scan_sp(s) &&
           (search->extended || imap_scan_search_return(s, search)) && imap_scan_search_keys(s, search);
}

/* thread = "THREAD" SP thread-alg SP search-charset 1*(SP search-key), RFC 5256 */
bool imap_args_thread(struct imap_scan *s, struct imap_command *c)
{
    static const char *const names[] = {"ORDEREDSUBJECT", "REFERENCES", "REFS"};
    if (!imap_scan_sp(s))
        return false;
    struct slice word = imap_scan_word(s);
    unsigned algorithm = 0;
    while (algorithm < 3 && !slice_ieq(word, slice_of(names[algorithm])))
        algorithm++;
    if (algorithm == 3)
        return imap_scan_fail(s, "Unknown threading algorithm");
    c->search.algorithm = (enum imap_thread_algorithm)algorithm;
    struct imap_search *search = &c->search.search;
    return imap_scan_sp(s) && imap_scan_charset(s, search) && imap_scan_sp(s) &&
           imap_scan_search_keys(s, search);
}

bool imap_args_fetch(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s) || !imap_scan_set(s, &c->fetch.set) || !imap_scan_sp(s) ||
        !imap_scan_fetch(s, &c->fetch.items))
        return false;
    if (c->fetch.items.vanished && !c->uid)
        return imap_scan_fail(s, "VANISHED needs UID FETCH"); /* RFC 7162 section 3.2.6 */
    c->fetch.items.uid_implied = c->uid && !(c->fetch.items.simple & IMAP_FETCH_UID);
    if (c->uid)
        c->fetch.items.simple |= IMAP_FETCH_UID;
    return true;
}

/* store-modifiers = SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")", RFC 7162 section 3.1.3 */
static bool scan_store_modifiers(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_try(s, '('))
        return true;
    if (!slice_ieq(imap_scan_word(s), SLICE("UNCHANGEDSINCE")))
        return imap_scan_fail(s, "Unknown STORE modifier");
    c->store.has_unchanged_since = true;
    return imap_scan_sp(s) && imap_scan_number(s, INT64_MAX, &c->store.unchanged_since) &&
           imap_scan_byte(s, ')', "Malformed STORE modifier") && imap_scan_sp(s);
}

/* store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag))) */
bool imap_args_store(struct imap_scan *s, struct imap_command *c)
{
    if (!imap_scan_sp(s) || !imap_scan_set(s, &c->store.set) || !imap_scan_sp(s) ||
        !scan_store_modifiers(s, c))
        return false;
    if (imap_scan_try(s, '+'))
        c->store.mode = IMAP_STORE_ADD;
    else if (imap_scan_try(s, '-'))
        c->store.mode = IMAP_STORE_REMOVE;
    struct slice word = imap_scan_word(s);
    c->store.silent = slice_ieq(word, SLICE("FLAGS.SILENT"));
    if (!c->store.silent && !slice_ieq(word, SLICE("FLAGS")))
        return imap_scan_fail(s, "Unknown STORE item");
    return imap_scan_sp(s) && imap_scan_flags(s, &c->store.flags);
}

bool imap_args_copy(struct imap_scan *s, struct imap_command *c)
{
    return imap_scan_sp(s) && imap_scan_set(s, &c->copy.set) && imap_scan_sp(s) &&
           imap_scan_mailbox(s, &c->copy.mailbox);
}
