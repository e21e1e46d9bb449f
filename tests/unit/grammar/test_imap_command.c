/* Whole commands: from the RFCs' examples and from what Roundcube, mbsync, mutt and Thunderbird send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "grammar/imap_command.h"

static void dump_set(struct buf *out, const struct imap_set *set)
{
    if (set->saved)
        buf_add_byte(out, '$');
    for (size_t i = 0; i < set->count; i++)
        buf_addf(out, "%s%u:%u", i ? "," : "", set->ranges[i].lo, set->ranges[i].hi);
}

static void dump_search(struct buf *out, const struct imap_search_node *n)
{
    static const char *const names[] = {
        "all",    "none",       "and",    "or",        "not",         "seq",     "uid",
        "flag",   "keyword",    "header", "body",      "text",        "before",  "on",
        "since",  "sentbefore", "senton", "sentsince", "savedbefore", "savedon", "savedsince",
        "larger", "smaller",    "older",  "younger",   "modseq",      "emailid", "threadid"};
    for (; n; n = n->next) {
        buf_addf(out, "(%s", names[n->op]);
        if (n->child) {
            buf_add_byte(out, ' ');
            dump_search(out, n->child);
        }
        if (n->set.count || n->set.saved) {
            buf_add_byte(out, ' ');
            dump_set(out, &n->set);
        }
        if (n->name.len)
            buf_addf(out, " %.*s", SLICE_ARG(n->name));
        if (n->needle.text.ptr)
            buf_addf(out, " '%.*s'", SLICE_ARG(n->needle.text));
        if (n->number)
            buf_addf(out, " %llu", (unsigned long long)n->number);
        buf_add_byte(out, ')');
    }
}

static void dump_fetch(struct buf *out, const struct imap_command *c)
{
    dump_set(out, &c->fetch.set);
    buf_addf(out, " %x", c->fetch.items.simple);
    for (size_t i = 0; i < c->fetch.items.section_count; i++) {
        const struct imap_section *s = &c->fetch.items.sections[i];
        buf_add_byte(out, ' ');
        imap_section_write_name(out, s);
        if (s->partial)
            buf_addf(out, ".%u", s->length);
        if (!s->peek)
            buf_add_byte(out, '!');
    }
    if (c->fetch.items.has_changed_since)
        buf_addf(out, " since%d%s", (int)c->fetch.items.changed_since, c->fetch.items.vanished ? "v" : "");
    if (c->fetch.items.has_partial)
        buf_addf(out, " part%d:%d", (int)c->fetch.items.partial_from, (int)c->fetch.items.partial_to);
}

static void dump_list(struct buf *out, const struct imap_list_args *a)
{
    buf_addf(out, "%d %x %x %x '%.*s'", a->extended, a->select, a->returns, a->status,
             SLICE_ARG(a->reference));
    for (size_t i = 0; i < a->pattern_count; i++)
        buf_addf(out, " '%.*s'", SLICE_ARG(a->patterns[i]));
}

static void dump_select(struct buf *out, const struct imap_select_args *a)
{
    buf_addf(out, "'%.*s'%s", SLICE_ARG(a->mailbox), a->condstore ? " condstore" : "");
    if (!a->qresync)
        return;
    buf_addf(out, " %u %llu", a->uid_validity, (unsigned long long)a->modseq);
    if (a->has_known_uids) {
        buf_add_str(out, " known ");
        dump_set(out, &a->known_uids);
    }
    if (a->has_match) {
        buf_add_str(out, " match ");
        dump_set(out, &a->match_seqs);
        buf_add_byte(out, ' ');
        dump_set(out, &a->match_uids);
    }
}

static void dump_pairs(struct buf *out, const struct imap_command *c)
{
    for (size_t i = 0; i < c->id.count; i++)
        buf_addf(out, "[%.*s=%.*s]", SLICE_ARG(c->id.names[i]), SLICE_ARG(c->id.values[i]));
}

static void dump_sort(struct buf *out, const struct imap_search_args *a)
{
    for (size_t i = 0; i < a->sort.count; i++)
        buf_addf(out, "%s%d ", a->sort.keys[i].reverse ? "-" : "", a->sort.keys[i].key);
}

static void dump_pieces(struct buf *out, const struct imap_append *pieces)
{
    for (size_t i = 0; i < pieces->count; i++) {
        const struct imap_append_step *step = &pieces->steps[i];
        switch (step->kind) {
        case IMAP_APPEND_MESSAGE:
            buf_add_str(out, " (");
            imap_flags_write(out, &step->message->flags);
            buf_addf(out, ") %lld %d%s%s", (long long)step->message->date, step->message->zone_minutes,
                     step->message->utf8 ? " utf8" : "", step->message->catenate ? " catenate" : "");
            break;
        case IMAP_APPEND_URL:
            buf_addf(out, " <%.*s>", SLICE_ARG(step->url));
            break;
        case IMAP_APPEND_LITERAL:
            buf_addf(out, " %s{%d}", step->binary ? "~" : "", (int)step->octets);
            break;
        case IMAP_APPEND_END:
            buf_add_str(out, " end");
            break;
        }
    }
    buf_add_str(out, pieces->last ? " last" : "");
}

static void dump(struct buf *out, const struct imap_command *c)
{
    buf_addf(out, "%s%s ", c->uid ? "UID " : "", imap_verb_name(c->verb));
    switch (c->verb) {
    case IMAP_ID:
        dump_pairs(out, c);
        break;
    case IMAP_AUTHENTICATE:
        buf_addf(out, "%.*s", SLICE_ARG(c->authenticate.mechanism));
        if (c->authenticate.has_initial)
            buf_addf(out, " '%.*s'", SLICE_ARG(c->authenticate.initial));
        break;
    case IMAP_LOGIN:
        buf_addf(out, "'%.*s' '%.*s'", SLICE_ARG(c->login.user), SLICE_ARG(c->login.password));
        break;
    case IMAP_ENABLE:
        for (size_t i = 0; i < c->enable.count; i++)
            buf_addf(out, "[%.*s]", SLICE_ARG(c->enable.names[i]));
        break;
    case IMAP_SELECT:
    case IMAP_EXAMINE:
        dump_select(out, &c->select);
        break;
    case IMAP_CREATE:
        buf_addf(out, "'%.*s' %x %d", SLICE_ARG(c->create.mailbox), c->create.use, c->create.unknown_use);
        break;
    case IMAP_DELETE:
    case IMAP_SUBSCRIBE:
    case IMAP_UNSUBSCRIBE:
    case IMAP_GETQUOTAROOT:
        buf_addf(out, "'%.*s'", SLICE_ARG(c->mailbox.mailbox));
        break;
    case IMAP_RENAME:
        buf_addf(out, "'%.*s' '%.*s'", SLICE_ARG(c->rename.from), SLICE_ARG(c->rename.to));
        break;
    case IMAP_LIST:
    case IMAP_LSUB:
        dump_list(out, &c->list);
        break;
    case IMAP_STATUS:
        buf_addf(out, "'%.*s' %x", SLICE_ARG(c->status.mailbox), c->status.items);
        break;
    case IMAP_GENURLAUTH:
    case IMAP_RESETKEY:
    case IMAP_URLFETCH:
        buf_addf(out, "'%.*s'", SLICE_ARG(c->urls.mailbox));
        for (size_t i = 0; i < c->urls.count; i++)
            buf_addf(out, " <%.*s> %.*s", SLICE_ARG(c->urls.urls[i]), SLICE_ARG(c->urls.mechanisms[i]));
        break;
    case IMAP_REPLACE:
        buf_addf(out, "%u ", c->append.replaces.ranges[0].lo);
        /* fall through */
    case IMAP_APPEND:
        buf_addf(out, "'%.*s'", SLICE_ARG(c->append.mailbox));
        dump_pieces(out, &c->append.pieces);
        break;
    case IMAP_GETQUOTA:
    case IMAP_SETQUOTA:
        buf_addf(out, "'%.*s'", SLICE_ARG(c->quota.root));
        for (size_t i = 0; i < c->quota.count; i++)
            buf_addf(out, " %.*s=%d", SLICE_ARG(c->quota.limits[i].resource), (int)c->quota.limits[i].limit);
        break;
    case IMAP_EXPUNGE:
        dump_set(out, &c->expunge.set);
        break;
    case IMAP_SEARCH:
    case IMAP_SORT:
    case IMAP_THREAD:
        dump_sort(out, &c->search);
        if (c->verb == IMAP_THREAD)
            buf_addf(out, "%d ", c->search.algorithm);
        buf_addf(out, "%d %x%s ", c->search.search.extended, c->search.search.returns,
                 c->search.search.charset_unknown ? " badcharset" : "");
        dump_search(out, c->search.search.root);
        break;
    case IMAP_FETCH:
        dump_fetch(out, c);
        break;
    case IMAP_STORE:
        dump_set(out, &c->store.set);
        buf_addf(out, " %d%s (", c->store.mode, c->store.silent ? "s" : "");
        imap_flags_write(out, &c->store.flags);
        buf_add_byte(out, ')');
        if (c->store.has_unchanged_since)
            buf_addf(out, " %d", (int)c->store.unchanged_since);
        break;
    case IMAP_COPY:
    case IMAP_MOVE:
        dump_set(out, &c->copy.set);
        buf_addf(out, " '%.*s'", SLICE_ARG(c->copy.mailbox));
        break;
    default:
        break;
    }
}

static void parse(const char *text, struct imap_parse_options options, struct buf *out)
{
    struct arena *arena AUTO_ARENA = arena_new(IMAP_COMMAND_ARENA);
    struct imap_command c;
    struct why why;
    AUTO_BUF struct buf line = buf_new(100000);
    buf_add_str(&line, "t1 ");
    buf_add_str(&line, text);
    buf_add_str(&line, "\r\n");
    enum err err = imap_command_parse_in(arena, buf_slice(&line), options, &c, &why);
    if (err == ERR_OK)
        dump(out, &c);
    else
        buf_addf(out, "%s: %s", err == ERR_REFUSED ? "NO" : "BAD", why.text);
    assert_true(slice_eq(c.tag, SLICE("t1")));
    buf_add_byte(out, 0);
}

static const struct {
    const char *text, *dumped;
} good[] = {
    {"noop", "NOOP "},
    {"CAPABILITY", "CAPABILITY "},
    {"UID EXPUNGE 3000:3002", "UID EXPUNGE 3000:3002"},
    {"EXPUNGE", "EXPUNGE "},
    {"ID NIL", "ID "},
    {"ID ()", "ID "},
    {"ID (\"name\" \"Roundcube\" \"version\" NIL)", "ID [name=Roundcube][version=]"},
    {"AUTHENTICATE PLAIN AHUAcA==", "AUTHENTICATE PLAIN 'AHUAcA=='"},
    {"authenticate PLAIN", "AUTHENTICATE PLAIN"},
    {"AUTHENTICATE EXTERNAL =", "AUTHENTICATE EXTERNAL ''"},
    {"LOGIN smith \"se same\"", "LOGIN 'smith' 'se same'"},
    {"LOGIN {3+}\r\nbob \"a\\\"b\\\\c\"", "LOGIN 'bob' 'a\"b\\c'"},
    {"LOGIN bob@example.org \"p\xc3\xa4ss\"", "LOGIN 'bob@example.org' 'p\xc3\xa4ss'"},
    {"ENABLE UTF8=ACCEPT QRESYNC", "ENABLE [UTF8=ACCEPT][QRESYNC]"},
    {"select inbox", "SELECT 'INBOX'"},
    {"EXAMINE \"Projets &AOk-t&AOk- &- co\"", "EXAMINE 'Projets \xc3\xa9t\xc3\xa9 & co'"},
    {"SELECT \"INBOX\" (CONDSTORE)", "SELECT 'INBOX' condstore"},
    {"SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))",
     "SELECT 'INBOX' 67890007 20050715194045000 known 41:41,43:211,214:541"},
    {"SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1:*,2 3:9,4)))",
     "SELECT 'INBOX' 67890007 90060115194045000 known 41:211,214:541 match 1:0,2:2 3:9,4:4"},
    {"SELECT INBOX (QRESYNC (1 2 (1 2)))", "SELECT 'INBOX' 1 2 match 1:1 2:2"},
    {"CREATE Junk/sub", "CREATE 'Junk/sub' 0 0"},
    {"CREATE MySpecial (USE (\\Drafts \\Sent))", "CREATE 'MySpecial' 24 0"},
    {"CREATE x (USE (\\Nope))", "CREATE 'x' 0 1"},
    {"RENAME blurdybloop sarasoop", "RENAME 'blurdybloop' 'sarasoop'"},
    {"LIST \"\" \"*\"", "LIST 0 0 0 0 '' '*'"},
    {"LIST \"\" \"\"", "LIST 0 0 0 0 '' ''"},
    {"LIST (SPECIAL-USE) \"\" \"*\" RETURN (SUBSCRIBED)", "LIST 1 8 1 0 '' '*'"},
    {"list (subscribed) \"\" \"*\" return (special-use)", "LIST 1 1 4 0 '' '*'"},
    {"LIST \"\" \"%\" RETURN (CHILDREN)", "LIST 1 0 2 0 '' '%'"},
    {"LIST \"\" % RETURN (STATUS (MESSAGES UNSEEN) SUBSCRIBED)", "LIST 1 0 9 11 '' '%'"},
    {"LIST () \"\" (INBOX \"Drafts\" Sent/%) RETURN ()", "LIST 1 0 0 0 '' 'INBOX' 'Drafts' 'Sent/%'"},
    {"LIST (SUBSCRIBED RECURSIVEMATCH) \"\" *", "LIST 1 5 0 0 '' '*'"},
    {"LIST Junk/sub/ \"*\"", "LIST 0 0 0 0 'Junk/sub/' '*'"},
    {"LSUB \"\" Sent", "LSUB 0 0 0 0 '' 'Sent'"},
    {"STATUS \"x\" (UIDNEXT UIDVALIDITY UNSEEN RECENT)", "STATUS 'x' 1e"},
    {"STATUS Junk (SIZE MESSAGES UNSEEN)", "STATUS 'Junk' 51"},
    {"GETQUOTAROOT \"INBOX\"", "GETQUOTAROOT 'INBOX'"},
    {"GETQUOTA \"\"", "GETQUOTA ''"},
    {"SETQUOTA \"\" (STORAGE 512)", "SETQUOTA '' STORAGE=512"},
    {"UID FETCH 1:4 (UID FLAGS)", "UID FETCH 1:4 3"},
    {"UID FETCH 1 BODY.PEEK[]", "UID FETCH 1:1 1 BODY[]"},
    {"FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])", "FETCH 2:4 2 BODY[HEADER.FIELDS (DATE FROM)]!"},
    {"FETCH 1:* ALL", "FETCH 1:0 1e"},
    {"FETCH 1:* full", "FETCH 1:0 3e"},
    {"FETCH 1 (BODY BODYSTRUCTURE ENVELOPE)", "FETCH 1:1 70"},
    {"FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)",
     "FETCH 1:1 8 RFC822! RFC822.HEADER RFC822.TEXT!"},
    {"FETCH 1 BODY[1.2.3.MIME]<0.2048>", "FETCH 1:1 0 BODY[1.2.3.MIME]<0>.2048!"},
    {"FETCH 1 BODY.PEEK[4.1.HEADER.FIELDS.NOT (\"X y\" Subject)]",
     "FETCH 1:1 0 BODY[4.1.HEADER.FIELDS.NOT (\"X y\" Subject)]"},
    {"UID fetch 1,2 (UID RFC822.SIZE BODY.PEEK[TEXT]<0.2048>)", "UID FETCH 1:1,2:2 9 BODY[TEXT]<0>.2048"},
    /* RFC 4467 section 5 */
    {"GENURLAUTH \"imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred\" INTERNAL x y",
     "GENURLAUTH '' <imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred> INTERNAL <x> y"},
    {"RESETKEY", "RESETKEY ''"},
    {"RESETKEY inbox INTERNAL XSAMPLE", "RESETKEY 'INBOX' <> INTERNAL <> XSAMPLE"},
    {"URLFETCH a {3}\r\nb c", "URLFETCH '' <a>  <b c> "},
    {"FETCH 5 (BINARY.PEEK[1.1]<3.4> BINARY.SIZE[2] BINARY[])",
     "FETCH 5:5 0 BINARY[1.1]<3>.4 BINARY.SIZE[2] BINARY[]!"},
    {"UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)", "UID FETCH 300:500 83 since12345v"},
    {"UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-3)", "UID FETCH 25900:26600 3 part-1:-3"},
    {"UID FETCH 1:* (UID FLAGS) (partial 500:400 CHANGEDSINCE 98305)",
     "UID FETCH 1:0 83 since98305 part500:400"},
    {"UNAUTHENTICATE", "UNAUTHENTICATE "},
    {"COMPRESS DEFLATE", "COMPRESS "},
    {"FETCH $ (PREVIEW (LAZY) EMAILID)", "FETCH $ 900"},
    {"FETCH 1 PREVIEW", "FETCH 1:1 800"},
    {"STORE 2:4 +FLAGS (\\Deleted)", "STORE 2:4 1 (\\Deleted)"},
    {"UID STORE 8 +FLAGS.SILENT ($Forwarded)", "UID STORE 8:8 1s ($Forwarded)"},
    {"uid store 1 -Flags (\\Seen)", "UID STORE 1:1 2 (\\Seen)"},
    {"STORE 1 FLAGS \\Seen Old", "STORE 1:1 0 (\\Seen Old)"},
    {"STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)",
     "STORE 7:7,5:5,9:9 1s (\\Deleted) 320162338"},
    {"UID MOVE 3 Junk", "UID MOVE 3:3 'Junk'"},
    {"COPY 2:4 MEETING", "COPY 2:4 'MEETING'"},
    {"UID SEARCH 6", "UID SEARCH 0 0 (seq 6:6)"},
    {"UID SEARCH ALL", "UID SEARCH 0 0 (all)"},
    {"SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
     "SEARCH 0 0 (and (flag 4)(since 8797)(not (header FROM 'Smith')))"},
    {"SEARCH CHARSET UTF-8 TEXT {6+}\r\n\xd0\xb6\xd0\xb6\xd0\xb6",
     "SEARCH 0 0 (text '\xd0\xb6\xd0\xb6\xd0\xb6')"},
    {"SEARCH CHARSET KOI8-R TEXT x", "SEARCH 0 0 badcharset (text 'x')"},
    {"SEARCH RETURN (MIN COUNT) FLAGGED", "SEARCH 1 9 (flag 4)"},
    {"UID SEARCH RETURN (ALL) OR HEADER SUBJECT \"x y\" HEADER FROM \"x y\"",
     "UID SEARCH 1 4 (or (header SUBJECT 'x y')(header FROM 'x y'))"},
    {"SEARCH RETURN () UNSEEN SINCE 14-Nov-2026 HEADER SUBJECT test",
     "SEARCH 1 4 (and (not (flag 1))(since 20771)(header SUBJECT 'test'))"},
    {"uid SEARCH UNDELETED BODY \"marker\"", "UID SEARCH 0 0 (and (not (flag 8))(body 'marker'))"},
    {"SEARCH (UID 1:5,9 (OR NEW OLD)) LARGER 100 KEYWORD Junk UNKEYWORD NonJunk",
     "SEARCH 0 0 (and (and (uid 1:5,9:9)(or (and (flag 32)(not (flag 1)))(not (flag 32))))(larger 100)"
     "(keyword 'Junk')(not (keyword 'NonJunk')))"},
    {"SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338", "SEARCH 0 0 (modseq 620162338)"},
    {"SEARCH MODSEQ 620162338 OLDER 60 YOUNGER 3600",
     "SEARCH 0 0 (and (modseq 620162338)(older 60)(younger 3600))"},
    {"SEARCH SENTON \"3-Jan-2020\" HEADER Message-ID \"\"",
     "SEARCH 0 0 (and (senton 18264)(header Message-ID ''))"},
    {"SEARCH RETURN (PARTIAL -1:-100) ALL", "SEARCH 1 20 (all)"},
    {"SEARCH RETURN (SAVE) $", "SEARCH 1 10 (seq $)"},
    {"UID SORT (SIZE REVERSE ARRIVAL DISPLAYFROM) US-ASCII ALL", "UID SORT 4 -0 7 0 0 (all)"},
    {"SORT RETURN (COUNT) (SUBJECT) UTF-8 UNSEEN", "SORT 5 1 8 (not (flag 1))"},
    {"SORT (SUBJECT) UTF-8 RETURN (COUNT) UNSEEN", "SORT 5 1 8 (not (flag 1))"},
    {"UID THREAD REFS US-ASCII ALL", "UID THREAD 2 0 0 (all)"},
};

static const struct {
    const char *text, *reply;
} bad[] = {
    {"", "BAD: Unknown command"},
    {"FROB", "BAD: Unknown command"},
    {"UID NOOP", "BAD: Unknown command"},
    {"UID", "BAD: Missing argument"},
    {"NOOP x", "BAD: Unexpected text behind the arguments"},
    {"LOGIN bob", "BAD: Missing argument"},
    {"LOGIN bob \"pw", "BAD: Unfinished quoted string"},
    {"LOGIN bob \"p\\w\"", "BAD: Only \\\" and \\\\ are escapes in a quoted string"},
    {"UID FETCH INVALID (FLAGS)", "BAD: Expected a message set"},
    {"FETCH 0 FLAGS", "BAD: Invalid message set"},
    {"FETCH 1 (FLAGS", "BAD: Malformed list of FETCH items"},
    {"FETCH 1 NOPE", "BAD: Unknown FETCH item"},
    {"FETCH 1 (ALL)", "BAD: Unknown FETCH item"},
    {"FETCH 1 BODY[MIME]", "BAD: MIME needs a part number"},
    {"FETCH 1 BODY[0]", "BAD: Part numbers begin with 1"},
    {"FETCH 1 BODY[1.]", "BAD: Malformed part number"},
    {"FETCH 1 BODY[HEADER.FIELDS ()]", "BAD: Missing argument"},
    {"FETCH 1 BODY[]<0.0>", "BAD: Partial of no octets"},
    {"FETCH 1 BODY[1", "BAD: Malformed section"},
    {"UID FETCH 1 (FLAGS) (PARTIAL 1:-2)", "BAD: Expected a number"},
    {"UID FETCH 1 (FLAGS) (PARTIAL -1:2)", "BAD: Malformed PARTIAL"},
    {"UID FETCH 1 (FLAGS) (PARTIAL 0:2)", "BAD: Malformed PARTIAL"},
    {"UID FETCH 1 (FLAGS) (PARTIAL 1:2 PARTIAL 1:2)", "BAD: Unknown FETCH modifier"},
    {"SEARCH RETURN (PARTIAL 1:2 COUNT PARTIAL 4:5) ALL", "BAD: PARTIAL may be asked for once"},
    {"FETCH 1 (FLAGS) (VANISHED)", "BAD: VANISHED needs CHANGEDSINCE"},
    {"FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)", "BAD: VANISHED needs UID FETCH"},
    {"STORE 1 +FLAGS (\\Nope)", "BAD: Invalid flag"},
    {"STORE 1 FROB (\\Seen)", "BAD: Unknown STORE item"},
    {"STORE 1 +FLAGS", "BAD: Missing argument"},
    {"SELECT", "BAD: Missing argument"},
    {"SELECT \"a&b\"", "NO: Mailbox name is not modified UTF-7"},
    {"SELECT \"\xc3\xa9\"", "NO: Mailbox name is not modified UTF-7"},
    {"SELECT INBOX (NOPE)", "BAD: Unknown SELECT parameter"},
    {"SELECT INBOX (QRESYNC (0 1))", "BAD: QRESYNC numbers must not be 0"},
    {"LIST (RECURSIVEMATCH) \"\" *", "BAD: RECURSIVEMATCH needs SUBSCRIBED"},
    {"LIST \"\" * RETURN (NOPE)", "BAD: Unknown LIST return option"},
    {"STATUS INBOX ()", "BAD: No STATUS item"},
    {"STATUS INBOX (NOPE)", "BAD: Unknown STATUS item"},
    {"GENURLAUTH x", "BAD: Missing argument"},
    {"URLFETCH", "BAD: Missing argument"},
    {"RESETKEY ", "BAD: Missing argument"},
    {"APPEND INBOX", "BAD: Missing argument"},
    {"APPEND INBOX hello", "BAD: Expected the message as a literal"},
    {"SEARCH", "BAD: Missing argument"},
    {"SEARCH (ALL", "BAD: Unbalanced parentheses in the search"},
    {"SEARCH NOPE", "BAD: Unknown search key"},
    {"SEARCH SINCE 32-Jan-2020", "BAD: Invalid date"},
    {"SEARCH OLDER 0", "BAD: An interval must not be 0"},
    {"SEARCH RETURN (NOPE) ALL", "BAD: Unknown RETURN option"},
    {"SEARCH NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT "
     "NOT NOT"
     " NOT NOT NOT NOT NOT NOT ALL",
     "BAD: Search nested too deeply"},
    {"THREAD FROB US-ASCII ALL", "BAD: Unknown threading algorithm"},
    {"SORT (FROB) US-ASCII ALL", "BAD: Unknown sort key"},
    {"SORT RETURN (MIN) (SUBJECT) UTF-8 RETURN (COUNT) ALL", "BAD: Unknown search key"},
    {"ENABLE", "BAD: Missing argument"},
    {"NOOP\t", "BAD: Unexpected text behind the arguments"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        AUTO_BUF struct buf out = buf_new(100000);
        parse(good[i].text, (struct imap_parse_options){0}, &out);
        assert_string_equal((const char *)out.data, good[i].dumped);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AUTO_BUF struct buf out = buf_new(100000);
        parse(bad[i].text, (struct imap_parse_options){0}, &out);
        assert_string_equal((const char *)out.data, bad[i].reply);
    }
}

static void test_utf8_names(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = buf_new(1000);
    parse("SELECT \"\xc3\xa9&t\xc3\xa9\"", (struct imap_parse_options){.utf8 = true}, &out);
    assert_string_equal((const char *)out.data, "SELECT '\xc3\xa9&t\xc3\xa9'");
}

/* Pieces of one APPEND, separated by "|": behind each stand the octets of a literal. */
static void test_append(void **state)
{
    (void)state;
    static const struct {
        const char *text, *dumped;
    } rows[] = {
        {"t1 APPEND saved-messages (\\Seen) {326}\r\n|\r\n",
         "APPEND 'saved-messages' (\\Seen) 0 0 {326} | end last"},
        {"t1 APPEND \"Sent\" (\\Seen) \"21-Nov-2026 03:42:49 +0100\" {243}\r\n",
         "APPEND 'Sent' (\\Seen) 1795228969 60 {243}"},
        {"t1 APPEND {5}\r\nINBOX {119+}\r\n", "APPEND 'INBOX' () 0 0 {119}"},
        {"t1 APPEND x \" 1-Feb-1994 21:52:25 -0800\" ~{3}\r\n", "APPEND 'x' () 760168345 -480 ~{3}"},
        /* RFC 3502 section 6.3.11 */
        {"A003 APPEND saved-messages (\\Seen) {329}\r\n| (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" "
         "{295}\r\n|\r\n",
         "APPEND 'saved-messages' (\\Seen) 0 0 {329} | end (\\Seen) 760689784 -480 {295} | end last"},
        {"a APPEND x {1}\r\n| {2}\r\n| {0}\r\n|\r\n",
         "APPEND 'x' () 0 0 {1} | end () 0 0 {2} | end () 0 0 {0} | end last"},
        /* RFC 6855 section 4 */
        {"a APPEND x UTF8 (~{5}\r\n|)\r\n", "APPEND 'x' () 0 0 utf8 ~{5} | end last"},
        {"a APPEND x UTF8 (~{5}\r\n|\r\n", "APPEND 'x' () 0 0 utf8 ~{5} | BAD Malformed UTF8 literal"},
        /* RFC 4469 section 3 */
        {"A003 APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE (URL "
         "\"/Drafts;UIDVALIDITY=385759045/;UID=20/;"
         "section=HEADER\" TEXT {42}\r\n| URL \"/Drafts;UID=30\" URL x TEXT {44}\r\n|)\r\n",
         "APPEND 'Drafts' (\\Seen \\Draft $MDNSent) 0 0 catenate </Drafts;UIDVALIDITY=385759045/;UID=20/;"
         "section=HEADER> {42} | </Drafts;UID=30> <x> {44} | end last"},
        {"a APPEND x CATENATE (URL y)\r\n", "APPEND 'x' () 0 0 catenate <y> end last"},
        {"a APPEND x CATENATE (URL {3}\r\na/b) (\\Seen) CATENATE (TEXT {3}\r\n|) {4}\r\n|\r\n",
         "APPEND 'x' () 0 0 catenate <a/b> end (\\Seen) 0 0 catenate {3} | end () 0 0 {4} | end last"},
        {"a APPEND x CATENATE (TEXT {3}\r\n| TEXT ~{0}\r\n| UTF8 (~{9}\r\n|))\r\n",
         "APPEND 'x' () 0 0 catenate {3} | ~{0} | ~{9} | end last"},
        /* RFC 8508 section 3 */
        {"A003 REPLACE 4 Drafts (\\Seen \\Draft) {312}\r\n|\r\n",
         "REPLACE 4 'Drafts' (\\Seen \\Draft) 0 0 {312} | end last"},
        {"A003 UID REPLACE 2000 Drafts {350+}\r\n", "UID REPLACE 2000 'Drafts' () 0 0 {350}"},
        {"a REPLACE * {6}\r\nDrafts CATENATE (URL x)\r\n", "REPLACE 0 'Drafts' () 0 0 catenate <x> end last"},
        {"a REPLACE 4:5 Drafts {3}\r\n", "BAD Expected the number of one message"},
        {"a REPLACE 4,5 Drafts {3}\r\n", "BAD Expected the number of one message"},
        {"a REPLACE $ Drafts {3}\r\n", "BAD Expected the number of one message"},
        {"a REPLACE Drafts {3}\r\n", "BAD Expected a message set"},
        {"a UID APPEND Drafts {3}\r\n", "BAD Unknown command"},
        {"a APPEND x CATENATE ()\r\n", "BAD Expected TEXT or URL"},
        {"a APPEND x CATENATE (URL y\r\n", "BAD Malformed CATENATE"},
        {"a APPEND x CATENATE (TEXT y)\r\n", "BAD Expected the message as a literal"},
        {"a APPEND x CATENATE URL y\r\n", "BAD Expected the parts of the message"},
        {"t1 APPEND x \"1994\" {3}\r\n", "BAD Invalid date-time"},
        {"t1 APPEND x (\\Seen){3}\r\n", "BAD Expected a space"},
        {"a APPEND x {1}\r\n|x\r\n", "APPEND 'x' () 0 0 {1} | BAD Unexpected text behind the arguments"},
        {"a APPEND x {1}\r\n| \r\n", "APPEND 'x' () 0 0 {1} | BAD Expected the message as a literal"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(IMAP_COMMAND_ARENA);
        AUTO_BUF struct buf out = buf_new(2000);
        struct imap_command c;
        struct why why;
        struct slice rest = slice_of(rows[i].text), piece;
        (void)slice_token(&rest, '|', &piece);
        enum err err = imap_command_parse_in(arena, piece, (struct imap_parse_options){0}, &c, &why);
        if (!err)
            dump(&out, &c);
        while (!err && slice_token(&rest, '|', &piece)) {
            buf_add_str(&out, " |");
            err = imap_append_next_in(arena, piece, &c.append.pieces, &why);
            if (!err)
                dump_pieces(&out, &c.append.pieces);
        }
        if (err)
            buf_addf(&out, "%sBAD %s", out.len ? " " : "", why.text);
        buf_add_byte(&out, 0);
        assert_string_equal((const char *)out.data, rows[i].dumped);
    }
}

static void test_tags(void **state)
{
    (void)state;
    static const struct {
        const char *text, *tag;
    } rows[] = {
        {"a.1 FROB\r\n", "a.1"}, {"* FROB\r\n", ""}, {"FROB\r\n", ""},
        {"a+ FROB\r\n", ""},     {"\r\n", ""},       {"a]! X\r\n", "a]!"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(IMAP_COMMAND_ARENA);
        struct imap_command c;
        struct why why;
        assert_true(imap_command_parse_in(arena, slice_of(rows[i].text), (struct imap_parse_options){0}, &c,
                                          &why) != ERR_OK);
        assert_true(slice_eq(c.tag, slice_of(rows[i].tag)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),  cmocka_unit_test(test_utf8_names),
        cmocka_unit_test(test_append), cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
