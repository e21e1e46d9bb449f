/* dsn_text.c: the part of a notification that is written for people: what happened to which address, why, and
 * what the reader can do. Plain words, one paragraph for each recipient. Pure; called by dsn.c. */
#include "base/coll.h"
#include "grammar/date.h"
#include "policy/dsn_inside.h"

#define INDENT   4
#define WORD_MAX 300 /* longer ones are cut: a line has an end (RFC 5322 section 2.1.1) */

/* ---- what is said of each reason ---- */

static const struct {
    const char *name;
    const char *failed;  /* why, and what to do */
    const char *delayed; /* why it waits */
} reasons[DSN_REASON_COUNT] = {
    [DSN_REASON_NONE] = {"none", "", ""},
    [DSN_REASON_ADDRESS] =
        {"address",
         "There is no such mailbox. Check the spelling of the address; if it is right, ask the "
         "recipient in another way which address is theirs now.",
         "The other side does not know this address at the moment."},
    [DSN_REASON_DOMAIN] =
        {"domain",
         "The part behind the @ is no domain that takes mail. Check its spelling; if it is right, "
         "ask the recipient in another way which address is theirs now.",
         "The domain of this address cannot be looked up at the moment."},
    [DSN_REASON_CLOSED] =
        {"closed", "The mailbox is closed or takes no mail from you. Ask the recipient in another way.",
         "The mailbox takes no mail at the moment."},
    [DSN_REASON_FULL] =
        {"full",
         "The recipient's mailbox is full. Tell the recipient in another way; when there is room "
         "again, send your message again.",
         "The recipient's mailbox is full."},
    [DSN_REASON_SIZE] = {"size",
                         "The message is larger than the other side accepts. Send it again without its large "
                         "attachments, or put those where the recipient can fetch them.",
                         "The other side has no room for a message of this size at the moment."},
    [DSN_REASON_SPAM] =
        {"spam",
         "The other side refused the message as unwanted, or because of its rules. Its answer below "
         "may say more. Sending the same message again will hardly help; if your message was "
         "harmless, ask the recipient in another way, and show this report to your postmaster.",
         "The other side does not want to take the message yet; many servers do that with senders "
         "they see for the first time."},
    [DSN_REASON_SENDER] =
        {"sender",
         "The other side does not accept mail from your address. Ask the recipient in another way, "
         "and show this report to your postmaster.",
         "The other side does not accept mail from your address at the moment."},
    [DSN_REASON_UNREACHABLE] =
        {"unreachable",
         "No server of the recipient could be reached, or each asked us to try again later. "
         "We have given up now. Check the part of the address behind the @; if it is right, "
         "ask the recipient in another way.",
         "No server of the recipient can be reached, or it asks us to try again later."},
    [DSN_REASON_TLS] =
        {"tls",
         "The message had to travel encrypted, and no connection as safe as required could be made to "
         "the other side. It was not sent in the clear. Show this report to your postmaster, or tell "
         "the recipient in another way.",
         "The message has to travel encrypted, and no connection as safe as required can be made to "
         "the other side at the moment."},
    [DSN_REASON_CONVERSION] =
        {"conversion",
         "The recipient's server takes only messages of plain 7-bit text, and this one could not "
         "be converted without breaking its signature. Send it again without attachments and "
         "without letters beyond a to z, or use another address of the recipient.",
         "The recipient's server does not take the letters this message is written in."},
    [DSN_REASON_UTF8] =
        {"utf8",
         "An address of this message, or its header, is written with letters beyond a to z, and the "
         "recipient's server does not understand such addresses. Use addresses in plain letters for "
         "all who are named in the message.",
         "The recipient's server does not understand addresses with letters beyond a to z."},
    [DSN_REASON_QUOTA] =
        {"quota",
         "Our own limit of messages for a day was reached for so long that we have given up. Send the "
         "message again later, and tell your postmaster.",
         "Our own limit of messages for a day is reached; the message is sent when the next day "
         "begins."},
    [DSN_REASON_RELAY] =
        {"relay",
         "The service we send mail through did not let us in for so long that we have given up. This "
         "is for your postmaster to mend; send the message again afterwards.",
         "The service we send mail through does not let us in. Your postmaster has been alarmed."},
    [DSN_REASON_HELD] = {"held", "The message was stopped by the postmaster of this system.",
                         "The message is held by the postmaster of this system, or by a rule of theirs."},
    [DSN_REASON_LOOP] =
        {"loop",
         "The message was going round in a circle: servers or addresses forward to each other. Only "
         "the recipient, or who runs those servers, can mend that.",
         "The message is going round in a circle."},
    [DSN_REASON_OPERATOR] =
        {"operator",
         "The postmaster of this system has given up sending it. Ask there before you send it "
         "again.",
         "The postmaster of this system has stopped it for now."},
    [DSN_REASON_OTHER] =
        {"other", "The message was refused for good. The answer below says why, as far as we were told.",
         "It could not be handed over yet."},
};

const char *dsn_reason_name(enum dsn_reason reason)
{
    return reasons[(unsigned)reason < DSN_REASON_COUNT ? reason : DSN_REASON_OTHER].name;
}

static enum dsn_reason reason_of(const struct dsn_recipient *r)
{
    if (r->reason == DSN_REASON_NONE || (unsigned)r->reason >= DSN_REASON_COUNT)
        return dsn_reason_of(r->status);
    return r->reason;
}

/* ---- lines ---- */

/* The next word, or a piece of one that is too long; never a piece of a character. */
static bool take_word(struct slice *text, struct slice *word)
{
    while (slice_starts(*text, SLICE(" ")))
        *text = slice_from(*text, 1);
    ptrdiff_t blank = slice_find(*text, ' ');
    *word = slice_sub(*text, 0, blank < 0 ? text->len : (size_t)blank);
    if (word->len > WORD_MAX)
        for (word->len = WORD_MAX; (word->ptr[word->len] & 0xc0) == 0x80 && word->len > 1;)
            word->len--;
    *text = slice_from(*text, word->len);
    return word->len > 0;
}

/* Words of `text`, wrapped, each line behind `indent` blanks. A word longer than a line has one of its own.
 */
static void add_wrapped(struct buf *out, size_t indent, struct slice text)
{
    struct slice word;
    size_t column = 0;
    while (take_word(&text, &word)) {
        if (column && column + 1 + word.len > DSN_COLUMNS - 2) {
            buf_add_str(out, "\r\n");
            column = 0;
        }
        if (column)
            buf_add_byte(out, ' ');
        else
            buf_addf(out, "%*s", (int)indent, "");
        column += column ? 1 + word.len : indent + word.len;
        buf_add(out, word);
    }
    buf_add_str(out, "\r\n");
}

static void add_text(struct buf *out, size_t indent, const char *text)
{
    add_wrapped(out, indent, slice_of(text));
}

/* "5 days", "4 hours", "1 minute". */
static void add_span(struct buf *out, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}};
    size_t at = 0;
    while (at + 1 < ARRAY_LEN(units) && seconds < 2 * units[at].seconds)
        at++;
    int64_t number = (seconds + units[at].seconds / 2) / units[at].seconds;
    number = number < 1 ? 1 : number;
    buf_addf(out, "%lld %s%s", (long long)number, units[at].name, number == 1 ? "" : "s");
}

/* ---- the beginning ---- */

static const char *const done_to[DSN_ACTION_COUNT] = {
    [DSN_FAILED] = "could not be delivered to",     [DSN_DELAYED] = "has not been delivered yet to",
    [DSN_DELIVERED] = "was delivered to",           [DSN_RELAYED] = "was passed on to the server of",
    [DSN_EXPANDED] = "was given to the members of",
};

enum dsn_action dsn_main_action(const struct dsn *dsn, size_t *count)
{
    enum dsn_action main = DSN_EXPANDED;
    *count = 0;
    for (size_t i = 0; i < dsn->count; i++)
        main = dsn->recipients[i].action < main ? dsn->recipients[i].action : main;
    for (size_t i = 0; i < dsn->count; i++)
        *count += dsn->recipients[i].action == main;
    return main;
}

static void add_opening(const struct dsn *dsn, struct buf *out)
{
    AUTO_BUF struct buf line = buf_new(4 * DSN_TEXT_MAX);
    buf_add_str(&line, "This is the mail system of ");
    dsn_add_clean(&line, dsn->hostname, DSN_TEXT_MAX, true);
    buf_add_str(&line, ".");
    add_wrapped(out, 0, buf_slice(&line));
    if (dsn->double_bounce) {
        buf_add_str(out, "\r\n");
        add_text(out, 0,
                 "The notification below was meant for the sender of a message, and could not be delivered "
                 "to them "
                 "either. You get it as postmaster. Nothing else is tried. When the sender's address was "
                 "made up, as "
                 "spammers do, there is nothing to do.");
    }
    buf_add_str(out, "\r\n");
}

static void add_original(const struct dsn *dsn, struct buf *out)
{
    bool plain =
        dsn->subject.len && slice_is_utf8(dsn->subject) && slice_search(dsn->subject, SLICE("=?")) < 0;
    if (plain) {
        buf_add_str(out, "    Subject: ");
        dsn_add_clean(out, slice_trim(dsn->subject), DSN_TEXT_MAX, true);
        buf_add_str(out, "\r\n");
    }
    if (dsn->arrival > 0)
        buf_addf(out, "    Received from you: %s\r\n", date_format_rfc5322(dsn->arrival, 0).text);
    if (plain || dsn->arrival > 0)
        buf_add_str(out, "\r\n");
}

/* ---- one recipient ---- */

static void add_until(const struct dsn *dsn, const struct dsn_recipient *r, struct buf *line)
{
    int64_t waited = dsn->arrival > 0 && dsn->now > dsn->arrival ? dsn->now - dsn->arrival : 0;
    if (r->action == DSN_DELAYED) {
        if (waited >= 60) {
            buf_add_str(line, " It has been waiting for ");
            add_span(line, waited);
            buf_add_str(line, ".");
        }
        buf_add_str(line, " You need not do anything: we go on trying");
        if (r->retry_until > 0)
            buf_addf(line, " until %s", date_format_rfc5322(r->retry_until, 0).text);
        buf_add_str(line, ", and tell you if that fails.");
    } else if (r->action == DSN_FAILED && reason_of(r) == DSN_REASON_UNREACHABLE && waited >= 3600) {
        buf_add_str(line, " We tried for ");
        add_span(line, waited);
        buf_add_str(line, ".");
    }
}

static void add_why(const struct dsn *dsn, const struct dsn_recipient *r, struct buf *out)
{
    AUTO_BUF struct buf line = buf_new(4096);
    switch (r->action) {
    case DSN_FAILED:
        buf_add_str(&line, reasons[reason_of(r)].failed);
        break;
    case DSN_DELAYED:
        buf_add_str(&line, reasons[reason_of(r)].delayed);
        break;
    case DSN_RELAYED:
        buf_add_str(&line, "That server sends no confirmations, so this is the last you hear of it from us.");
        break;
    case DSN_EXPANDED:
        buf_add_str(&line, "No further confirmation follows for its members.");
        break;
    case DSN_DELIVERED:
    case DSN_ACTION_COUNT:
        break;
    }
    add_until(dsn, r, &line);
    if (line.len)
        add_wrapped(out, INDENT, buf_slice(&line));
}

static void add_answer(const struct dsn_recipient *r, struct buf *out)
{
    if (r->diagnostic.len == 0)
        return;
    AUTO_BUF struct buf line = buf_new(4 * DSN_DIAGNOSTIC_MAX);
    if (r->remote.len) {
        dsn_add_clean(&line, r->remote, DSN_TEXT_MAX, true);
        buf_add_str(&line, r->is_reply ? " answered: " : ": ");
    } else {
        buf_add_str(&line, "Details: ");
    }
    dsn_add_diagnostic(&line, r, true);
    add_wrapped(out, INDENT, buf_slice(&line));
}

static void add_recipient(const struct dsn *dsn, const struct dsn_recipient *r, struct buf *out)
{
    buf_add_str(out, "  ");
    dsn_add_clean(out, r->address, DSN_TEXT_MAX, true);
    buf_add_str(out, "\r\n");
    add_why(dsn, r, out);
    add_answer(r, out);
    buf_add_str(out, "\r\n");
}

static void add_action(const struct dsn *dsn, enum dsn_action action, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < dsn->count; i++) {
        if (dsn->recipients[i].action != action)
            continue;
        if (!any) {
            buf_addf(out, "%s %s:\r\n\r\n", dsn->double_bounce ? "It" : "Your message", done_to[action]);
            if (action == DSN_FAILED)
                add_original(dsn, out);
        }
        any = true;
        add_recipient(dsn, &dsn->recipients[i], out);
    }
}

/* ---- the end ---- */

static void add_closing(const struct dsn *dsn, struct buf *out)
{
    size_t count;
    AUTO_BUF struct buf line = buf_new(4 * DSN_TEXT_MAX);
    if (dsn->full)
        buf_add_str(&line, "Your whole message is attached.");
    else if (dsn->header.len)
        buf_add_str(&line, "The header of the message is attached.");
    if (dsn->postmaster.len && !dsn->double_bounce && dsn_main_action(dsn, &count) <= DSN_DELAYED) {
        buf_add_str(&line, " For help write to ");
        dsn_add_clean(&line, dsn->postmaster, DSN_TEXT_MAX, true);
        buf_add_str(&line, " and attach this report.");
    }
    if (line.len)
        add_wrapped(out, 0, buf_slice(&line));
}

void dsn_text_write(const struct dsn *dsn, struct buf *out)
{
    add_opening(dsn, out);
    for (int action = 0; action < DSN_ACTION_COUNT; action++)
        add_action(dsn, (enum dsn_action)action, out);
    add_closing(dsn, out);
}
