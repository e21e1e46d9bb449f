/* imap_search.c: search keys to a tree. Input: any client. Called by the command parser. */
#include "grammar/date.h"
#include "grammar/imap_flags.h"
#include "grammar/imap_scan.h"

struct search_parse {
    struct imap_scan *s;
    struct imap_search *search;
    unsigned depth, nodes;
    unsigned fuzzy; /* FUZZY keys around this one */
    bool strict;    /* they are to count as if they were not there */
    bool any_fuzzy;
};

enum key_form {
    KEY_PLAIN,    /* no argument */
    KEY_FLAG,     /* no argument, the bit in the row */
    KEY_NOT_FLAG, /* its negation */
    KEY_FIELD,    /* text in the header field of the row's name */
    KEY_TEXT,     /* text */
    KEY_HEADER,   /* field name, text */
    KEY_DATE,
    KEY_NUMBER,
    KEY_INTERVAL, /* seconds, not 0 */
    KEY_KEYWORD,
    KEY_NOT_KEYWORD,
    KEY_ID,
    KEY_UID,
    KEY_NOT,
    KEY_OR,
    KEY_UID_AFTER,
    KEY_UID_BEFORE,
    KEY_MODSEQ,
    KEY_FUZZY,
    KEY_NEW
};

static const struct key_row {
    const char *name;
    enum key_form form;
    enum imap_search_op op;
    uint32_t bit;
    const char *field;
} keys[] = {
    {"ALL", KEY_PLAIN, IMAP_SEARCH_ALL, 0, 0},
    {"ANSWERED", KEY_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_ANSWERED, 0},
    {"DELETED", KEY_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_DELETED, 0},
    {"DRAFT", KEY_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_DRAFT, 0},
    {"FLAGGED", KEY_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_FLAGGED, 0},
    {"RECENT", KEY_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_RECENT, 0},
    {"SEEN", KEY_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_SEEN, 0},
    {"NEW", KEY_NEW, IMAP_SEARCH_AND, 0, 0},
    {"OLD", KEY_NOT_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_RECENT, 0},
    {"UNANSWERED", KEY_NOT_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_ANSWERED, 0},
    {"UNDELETED", KEY_NOT_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_DELETED, 0},
    {"UNDRAFT", KEY_NOT_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_DRAFT, 0},
    {"UNFLAGGED", KEY_NOT_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_FLAGGED, 0},
    {"UNSEEN", KEY_NOT_FLAG, IMAP_SEARCH_FLAG, IMAP_FLAG_SEEN, 0},
    {"KEYWORD", KEY_KEYWORD, IMAP_SEARCH_KEYWORD, 0, 0},
    {"UNKEYWORD", KEY_NOT_KEYWORD, IMAP_SEARCH_KEYWORD, 0, 0},
    {"BCC", KEY_FIELD, IMAP_SEARCH_HEADER, 0, "BCC"},
    {"CC", KEY_FIELD, IMAP_SEARCH_HEADER, 0, "CC"},
    {"FROM", KEY_FIELD, IMAP_SEARCH_HEADER, 0, "FROM"},
    {"SUBJECT", KEY_FIELD, IMAP_SEARCH_HEADER, 0, "SUBJECT"},
    {"TO", KEY_FIELD, IMAP_SEARCH_HEADER, 0, "TO"},
    {"HEADER", KEY_HEADER, IMAP_SEARCH_HEADER, 0, 0},
    {"BODY", KEY_TEXT, IMAP_SEARCH_BODY, 0, 0},
    {"TEXT", KEY_TEXT, IMAP_SEARCH_TEXT, 0, 0},
    {"BEFORE", KEY_DATE, IMAP_SEARCH_BEFORE, 0, 0},
    {"ON", KEY_DATE, IMAP_SEARCH_ON, 0, 0},
    {"SINCE", KEY_DATE, IMAP_SEARCH_SINCE, 0, 0},
    {"SENTBEFORE", KEY_DATE, IMAP_SEARCH_SENTBEFORE, 0, 0},
    {"SENTON", KEY_DATE, IMAP_SEARCH_SENTON, 0, 0},
    {"SENTSINCE", KEY_DATE, IMAP_SEARCH_SENTSINCE, 0, 0},
    {"SAVEDBEFORE", KEY_DATE, IMAP_SEARCH_SAVEDBEFORE, 0, 0},
    {"SAVEDON", KEY_DATE, IMAP_SEARCH_SAVEDON, 0, 0},
    {"SAVEDSINCE", KEY_DATE, IMAP_SEARCH_SAVEDSINCE, 0, 0},
    {"SAVEDATESUPPORTED", KEY_PLAIN, IMAP_SEARCH_ALL, 0, 0},
    {"LARGER", KEY_NUMBER, IMAP_SEARCH_LARGER, 0, 0},
    {"SMALLER", KEY_NUMBER, IMAP_SEARCH_SMALLER, 0, 0},
    {"OLDER", KEY_INTERVAL, IMAP_SEARCH_OLDER, 0, 0},
    {"YOUNGER", KEY_INTERVAL, IMAP_SEARCH_YOUNGER, 0, 0},
    {"MODSEQ", KEY_MODSEQ, IMAP_SEARCH_MODSEQ, 0, 0},
    {"EMAILID", KEY_ID, IMAP_SEARCH_EMAILID, 0, 0},
    {"THREADID", KEY_ID, IMAP_SEARCH_THREADID, 0, 0},
    {"UID", KEY_UID, IMAP_SEARCH_UID, 0, 0},
    {"UIDAFTER", KEY_UID_AFTER, IMAP_SEARCH_UID, 0, 0}, /* RFC 9738 section 3.2 */
    {"UIDBEFORE", KEY_UID_BEFORE, IMAP_SEARCH_UID, 0, 0},
    {"NOT", KEY_NOT, IMAP_SEARCH_NOT, 0, 0},
    {"OR", KEY_OR, IMAP_SEARCH_OR, 0, 0},
    {"FUZZY", KEY_FUZZY, IMAP_SEARCH_ALL, 0, 0}, /* RFC 6203 */
};

static struct imap_search_node *scan_key(struct search_parse *p);

static struct imap_search_node *fail(struct search_parse *p, const char *text)
{
    (void)imap_scan_fail(p->s, text);
    return NULL;
}

static struct imap_search_node *new_node(struct search_parse *p, enum imap_search_op op)
{
    if (++p->nodes > IMAP_SEARCH_NODES_MAX)
        return fail(p, "Too many search keys");
    struct imap_search_node *node = ARENA_NEW(p->s->arena, struct imap_search_node);
    node->op = op;
    return node;
}

/* NOT around a node; hands on NULL. */
static struct imap_search_node *negate(struct search_parse *p, struct imap_search_node *child)
{
    struct imap_search_node *node = child ? new_node(p, IMAP_SEARCH_NOT) : NULL;
    if (node)
        node->child = child;
    return node;
}

static struct imap_search_node *flag_node(struct search_parse *p, uint32_t bit)
{
    struct imap_search_node *node = new_node(p, IMAP_SEARCH_FLAG);
    if (node)
        node->number = bit;
    return node;
}

/* ("UIDAFTER" / "UIDBEFORE") SP uniqueid: all on one side of it, without it (RFC 9738 section 3.2) */
static struct imap_search_node *key_beside_uid(struct search_parse *p, bool after)
{
    uint64_t uid;
    if (!imap_scan_sp(p->s) || !imap_scan_number(p->s, UINT32_MAX, &uid))
        return NULL;
    if (uid == 0)
        return fail(p, "A UID is not 0");
    bool none = uid == (after ? UINT32_MAX : 1);
    struct imap_search_node *node = new_node(p, none ? IMAP_SEARCH_NONE : IMAP_SEARCH_UID);
    if (!node || none)
        return node;
    node->set = (struct imap_set){.ranges = ARENA_NEW(p->s->arena, struct imap_range), .count = 1};
    node->set.ranges[0] = after ? (struct imap_range){(uint32_t)uid + 1, UINT32_MAX}
                                : (struct imap_range){1, (uint32_t)uid - 1};
    return node;
}

/* NEW = RECENT UNSEEN */
static struct imap_search_node *key_new(struct search_parse *p)
{
    struct imap_search_node *both = new_node(p, IMAP_SEARCH_AND);
    struct imap_search_node *recent = flag_node(p, IMAP_FLAG_RECENT);
    struct imap_search_node *unseen = negate(p, flag_node(p, IMAP_FLAG_SEEN));
    if (!both || !recent || !unseen)
        return NULL;
    both->child = recent;
    recent->next = unseen;
    return both;
}

static bool scan_needle(struct search_parse *p, struct imap_needle *needle)
{
    struct slice text;
    if (!imap_scan_sp(p->s) || !imap_scan_astring(p->s, &text))
        return false;
    if (text.len > IMAP_SEARCH_TEXT_MAX)
        return imap_scan_fail(p->s, "Search text too long");
    *needle = imap_needle_in(p->s->arena, text);
    return true;
}

/* FUZZY: all words, in any order and anywhere, instead of the text as it stands. */
static struct imap_search_node *loosen(struct search_parse *p, struct imap_search_node *whole)
{
    struct slice rest = whole->needle.text, word;
    struct imap_search_node *all = new_node(p, IMAP_SEARCH_AND), **next = all ? &all->child : NULL;
    while (next && slice_token(&rest, ' ', &word)) {
        if (word.len == 0)
            continue;
        struct imap_search_node *node = new_node(p, whole->op);
        if (!node)
            return NULL;
        node->name = whole->name;
        node->needle = imap_needle_in(p->s->arena, word);
        *next = node;
        next = &node->next;
    }
    return all && all->child ? all : whole;
}

static struct imap_search_node *key_text(struct search_parse *p, const struct key_row *row)
{
    struct imap_search_node *node = new_node(p, row->op);
    if (!node)
        return NULL;
    if (row->form == KEY_FIELD)
        node->name = slice_of(row->field);
    if (row->form == KEY_HEADER && (!imap_scan_sp(p->s) || !imap_scan_astring(p->s, &node->name)))
        return NULL;
    if (row->form == KEY_HEADER && (node->name.len == 0 || node->name.len > IMAP_SEARCH_TEXT_MAX))
        return fail(p, "Invalid header field name");
    if (!scan_needle(p, &node->needle))
        return NULL;
    return p->fuzzy && !p->strict ? loosen(p, node) : node;
}

/* KEYWORD flag-keyword; EMAILID objectid */
static struct imap_search_node *key_atom(struct search_parse *p, const struct key_row *row)
{
    struct imap_search_node *node = new_node(p, row->op);
    struct slice atom;
    if (!node || !imap_scan_sp(p->s) || !imap_scan_atom(p->s, &atom))
        return NULL;
    if (atom.len > IMAP_SEARCH_TEXT_MAX)
        return fail(p, "Search text too long");
    node->needle = imap_needle_in(p->s->arena, atom);
    return row->form == KEY_NOT_KEYWORD ? negate(p, node) : node;
}

/* date = date-text / DQUOTE date-text DQUOTE */
static struct imap_search_node *key_date(struct search_parse *p, const struct key_row *row)
{
    struct imap_search_node *node = new_node(p, row->op);
    struct slice text;
    int64_t day;
    if (!node || !imap_scan_sp(p->s) || !imap_scan_astring(p->s, &text))
        return NULL;
    if (!date_parse_imap_day(text, &day))
        return fail(p, "Invalid date");
    node->number = (uint64_t)day;
    return node;
}

static struct imap_search_node *key_number(struct search_parse *p, const struct key_row *row)
{
    struct imap_search_node *node = new_node(p, row->op);
    uint64_t max = row->form == KEY_INTERVAL ? UINT32_MAX : INT64_MAX;
    if (!node || !imap_scan_sp(p->s) || !imap_scan_number(p->s, max, &node->number))
        return NULL;
    if (row->form == KEY_INTERVAL && node->number == 0)
        return fail(p, "An interval must not be 0"); /* RFC 5032 section 3 */
    return node;
}

/* "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer, RFC 7162 section 3.1.5: the entry is
 * parsed and not used, our change numbers count for the whole message. */
static struct imap_search_node *key_modseq(struct search_parse *p)
{
    struct imap_search_node *node = new_node(p, IMAP_SEARCH_MODSEQ);
    if (!node || !imap_scan_sp(p->s))
        return NULL;
    if (imap_scan_peek(p->s) == '"') {
        struct slice entry;
        if (!imap_scan_string(p->s, &entry) || !imap_scan_sp(p->s))
            return NULL;
        if (!slice_istarts(entry, SLICE("/flags/")))
            return fail(p, "Unknown MODSEQ entry");
        struct slice kind = imap_scan_word(p->s);
        if (!slice_ieq(kind, SLICE("priv")) && !slice_ieq(kind, SLICE("shared")) &&
            !slice_ieq(kind, SLICE("all")))
            return fail(p, "Unknown MODSEQ entry type");
        if (!imap_scan_sp(p->s))
            return NULL;
    }
    p->search->has_modseq = true;
    return imap_scan_number(p->s, INT64_MAX, &node->number) ? node : NULL;
}

static struct imap_search_node *key_set(struct search_parse *p, enum imap_search_op op)
{
    struct imap_search_node *node = new_node(p, op);
    return node && imap_scan_set(p->s, &node->set) ? node : NULL;
}

static struct imap_search_node *key_or(struct search_parse *p)
{
    struct imap_search_node *either = new_node(p, IMAP_SEARCH_OR);
    if (!either || !imap_scan_sp(p->s) || !(either->child = scan_key(p)) || !imap_scan_sp(p->s) ||
        !(either->child->next = scan_key(p)))
        return NULL;
    return either;
}

/* "FUZZY" SP search-key; other keys than those for text stay exact (RFC 6203 section 5). */
static struct imap_search_node *key_fuzzy(struct search_parse *p)
{
    if (!imap_scan_sp(p->s))
        return NULL;
    p->any_fuzzy = true;
    p->fuzzy++;
    struct imap_search_node *node = scan_key(p);
    p->fuzzy--;
    return node;
}

static struct imap_search_node *key_by_row(struct search_parse *p, const struct key_row *row)
{
    switch (row->form) {
    case KEY_PLAIN:
        return new_node(p, row->op);
    case KEY_FLAG:
        return flag_node(p, row->bit);
    case KEY_NOT_FLAG:
        return negate(p, flag_node(p, row->bit));
    case KEY_FIELD:
    case KEY_TEXT:
    case KEY_HEADER:
        return key_text(p, row);
    case KEY_KEYWORD:
    case KEY_NOT_KEYWORD:
    case KEY_ID:
        return key_atom(p, row);
    case KEY_DATE:
        return key_date(p, row);
    case KEY_NUMBER:
    case KEY_INTERVAL:
        return key_number(p, row);
    case KEY_MODSEQ:
        return key_modseq(p);
    case KEY_UID:
        return imap_scan_sp(p->s) ? key_set(p, IMAP_SEARCH_UID) : NULL;
    case KEY_UID_AFTER:
    case KEY_UID_BEFORE:
        return key_beside_uid(p, row->form == KEY_UID_AFTER);
    case KEY_NOT:
        return imap_scan_sp(p->s) ? negate(p, scan_key(p)) : NULL;
    case KEY_OR:
        return key_or(p);
    case KEY_FUZZY:
        return key_fuzzy(p);
    case KEY_NEW:
        return key_new(p);
    }
    return NULL;
}

/* search-key *(SP search-key), all of which must match */
static struct imap_search_node *scan_keys(struct search_parse *p)
{
    struct imap_search_node *first = scan_key(p);
    if (!first || imap_scan_peek(p->s) != ' ')
        return first;
    struct imap_search_node *all = new_node(p, IMAP_SEARCH_AND), *last = first;
    while (all && imap_scan_try(p->s, ' ')) {
        last->next = scan_key(p);
        if (!last->next)
            return NULL;
        last = last->next;
    }
    if (all)
        all->child = first;
    return all;
}

static struct imap_search_node *scan_group(struct search_parse *p)
{
    p->s->at++;
    struct imap_search_node *node = scan_keys(p);
    if (!node || !imap_scan_byte(p->s, ')', "Unbalanced parentheses in the search"))
        return NULL;
    return node;
}

static struct imap_search_node *scan_key_inside(struct search_parse *p)
{
    int c = imap_scan_peek(p->s);
    if (c == '(')
        return scan_group(p);
    if (c == '*' || c == '$' || ascii_is_digit((uint8_t)c))
        return key_set(p, IMAP_SEARCH_SEQ);
    struct slice word = imap_scan_word(p->s);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (slice_ieq(word, slice_of(keys[i].name)))
            return key_by_row(p, &keys[i]);
    return fail(p, "Unknown search key");
}

/* search-key = "ALL" / … / "(" search-key *(SP search-key) ")" */
static struct imap_search_node *scan_key(struct search_parse *p)
{
    if (p->depth >= IMAP_SEARCH_DEPTH_MAX)
        return fail(p, "Search nested too deeply");
    p->depth++;
    struct imap_search_node *node = scan_key_inside(p);
    p->depth--;
    return node;
}

bool imap_scan_search_keys(struct imap_scan *s, struct imap_search *search)
{
    struct imap_scan before = *s;
    struct search_parse p = {.s = s, .search = search};
    search->root = scan_keys(&p);
    if (search->root && p.any_fuzzy) { /* once more, from the same place */
        struct search_parse strict = {.s = &before, .search = search, .strict = true};
        search->strict = scan_keys(&strict);
    }
    return search->root != NULL || imap_scan_fail(s, "Malformed search");
}

/* "CHARSET" SP charset, or the charset alone in SORT and THREAD. Text is compared as UTF-8; US-ASCII is part
 * of it. */
bool imap_scan_charset(struct imap_scan *s, struct imap_search *search)
{
    if (!imap_scan_astring(s, &search->charset))
        return false;
    search->charset_unknown =
        !slice_ieq(search->charset, SLICE("UTF-8")) && !slice_ieq(search->charset, SLICE("US-ASCII"));
    return true;
}

/* partial-range = number ":" number, both of the same sign (RFC 9394 section 4) */
bool imap_scan_partial(struct imap_scan *s, int64_t *first, int64_t *last)
{
    uint64_t from, to;
    if (!imap_scan_sp(s))
        return false;
    bool negative = imap_scan_try(s, '-');
    if (!imap_scan_number(s, UINT32_MAX, &from) || !imap_scan_byte(s, ':', "Malformed PARTIAL"))
        return false;
    if (negative && !imap_scan_byte(s, '-', "Malformed PARTIAL"))
        return false;
    if (!imap_scan_number(s, UINT32_MAX, &to))
        return false;
    if (from == 0 || to == 0)
        return imap_scan_fail(s, "Malformed PARTIAL");
    *first = negative ? -(int64_t)from : (int64_t)from;
    *last = negative ? -(int64_t)to : (int64_t)to;
    return true;
}

static const struct {
    const char *name;
    uint32_t bit;
} return_options[] = {
    {"MIN", IMAP_RETURN_MIN},
    {"MAX", IMAP_RETURN_MAX},
    {"ALL", IMAP_RETURN_ALL},
    {"COUNT", IMAP_RETURN_COUNT},
    {"SAVE", IMAP_RETURN_SAVE},
    {"PARTIAL", IMAP_RETURN_PARTIAL},
    {"RELEVANCY", IMAP_RETURN_RELEVANCY},
    {"UPDATE", IMAP_RETURN_UPDATE},
    {"CONTEXT", IMAP_RETURN_CONTEXT},
};

static bool scan_return_option(struct imap_scan *s, struct imap_search *search)
{
    struct slice word = imap_scan_word(s);
    for (size_t i = 0; i < sizeof return_options / sizeof *return_options; i++) {
        if (!slice_ieq(word, slice_of(return_options[i].name)))
            continue;
        bool partial = return_options[i].bit == IMAP_RETURN_PARTIAL;
        if (partial && search->returns & IMAP_RETURN_PARTIAL)
            return imap_scan_fail(s, "PARTIAL may be asked for once"); /* RFC 9394 section 3.1 */
        search->returns |= return_options[i].bit;
        return !partial || imap_scan_partial(s, &search->partial_from, &search->partial_to);
    }
    return imap_scan_fail(s, "Unknown RETURN option");
}

/* search-return-opts = "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")", RFC 4731, RFC 4466 */
bool imap_scan_search_return(struct imap_scan *s, struct imap_search *search)
{
    struct imap_scan before = *s;
    if (!slice_ieq(imap_scan_word(s), SLICE("RETURN"))) {
        *s = before;
        return true;
    }
    search->extended = true;
    if (!imap_scan_sp(s) || !imap_scan_byte(s, '(', "Expected RETURN options"))
        return false;
    if (!imap_scan_try(s, ')')) {
        do {
            if (!scan_return_option(s, search))
                return false;
        } while (imap_scan_try(s, ' '));
        if (!imap_scan_byte(s, ')', "Malformed RETURN options"))
            return false;
    }
    if (search->returns == 0)
        search->returns = IMAP_RETURN_ALL;
    return imap_scan_sp(s);
}

/* search = "SEARCH" [SP search-return-opts] SP ["CHARSET" SP charset SP] search-key *(SP search-key) */
bool imap_scan_search(struct imap_scan *s, struct imap_search *search)
{
    if (!imap_scan_search_return(s, search))
        return false;
    struct imap_scan before = *s;
    if (slice_ieq(imap_scan_word(s), SLICE("CHARSET"))) {
        if (!imap_scan_sp(s) || !imap_scan_charset(s, search) || !imap_scan_sp(s))
            return false;
    } else {
        *s = before;
    }
    return imap_scan_search_keys(s, search);
}
