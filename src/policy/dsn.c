/* dsn.c: the notification as a message: its header, the machine-readable part, the returned original. Reply
 * texts, addresses and header fields in it are strangers'. Called by queue/. */
#include "base/coll.h"
#include "grammar/base64.h"
#include "grammar/date.h"
#include "grammar/xtext.h"
#include "policy/dsn_inside.h"

#define REFERENCES_MAX 4000 /* bytes of References that are carried on */
#define MSGID_MAX      900
#define ADDR_XTEXT_MAX 900 /* in a line of at most 998 (RFC 5322 section 2.1.1); longer ones are cut */
#define TYPE_MAX       100 /* bytes of an address type */
#define WORD_MAX       60  /* longer runs without a blank in a diagnostic are cut in pieces */

/* ---- what strangers wrote ---- */

/* The character at `at` as a code point, its length in `*len`; 0xFFFFFFFF when it is broken UTF-8. */
static uint32_t code_point(struct slice text, size_t at, size_t *len)
{
    uint8_t c = text.ptr[at];
    *len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    struct slice one = slice_sub(text, at, *len);
    if (one.len < *len || !slice_is_utf8(one)) {
        *len = 1;
        return UINT32_MAX;
    }
    uint32_t code = *len == 1 ? c : c & (0x7fu >> *len);
    for (size_t i = 1; i < *len; i++)
        code = code << 6 | (one.ptr[i] & 0x3fu);
    return code;
}

/* Characters that are invisible, end a line or turn the direction of what follows. */
static bool is_harmful(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x00, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},          {0x61c, 0x61c},
                  {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},      {0xfeff, 0xfeff},
                  {0xfff9, 0xfffb}, {0xe0000, 0xe007f}, {0x110000, UINT32_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

void dsn_add_clean(struct buf *out, struct slice text, size_t max, bool utf8)
{
    size_t written = 0, len;
    bool blank = false;
    for (size_t i = 0; i < text.len; i += len) {
        uint32_t code = code_point(text, i, &len);
        if (code == ' ' || code == '\t' || code == '\r' || code == '\n') {
            blank = written > 0;
            continue;
        }
        bool fine = !is_harmful(code) && (utf8 || code < 0x80);
        size_t more = (fine ? len : 1) + blank;
        if (written + more > max) {
            buf_add_str(out, "...");
            return;
        }
        if (blank)
            buf_add_byte(out, ' ');
        if (fine)
            buf_add(out, slice_sub(text, i, len));
        else
            buf_add_byte(out, '?');
        written += more;
        blank = false;
    }
}

void dsn_add_diagnostic(struct buf *out, const struct dsn_recipient *r, bool utf8)
{
    AUTO_BUF struct buf text = buf_new(4 * DSN_DIAGNOSTIC_MAX);
    struct slice rest = slice_sub(r->diagnostic, 0, 2 * DSN_DIAGNOSTIC_MAX);
    bool hides = r->hidden.len && !slice_ieq(r->hidden, r->address);
    for (ptrdiff_t at; hides && (at = slice_isearch(rest, r->hidden)) >= 0;) {
        buf_add(&text, slice_sub(rest, 0, (size_t)at));
        buf_add_str(&text, "(the recipient)");
        rest = slice_from(rest, (size_t)at + r->hidden.len);
    }
    buf_add(&text, rest);
    dsn_add_clean(out, buf_slice(&text), DSN_DIAGNOSTIC_MAX, utf8);
}

/* ---- fields ---- */

/* One field, folded at blanks; `breaks` also cuts long runs without any. */
static void add_field(struct buf *out, const char *name, struct slice value, bool breaks)
{
    struct slice word;
    size_t column = slice_of(name).len + 1;
    buf_addf(out, "%s:", name);
    while (slice_token(&value, ' ', &word)) {
        do {
            struct slice piece = breaks ? slice_sub(word, 0, WORD_MAX) : word;
            word = slice_from(word, piece.len);
            if (column + 1 + piece.len > DSN_COLUMNS) {
                buf_add_str(out, "\r\n");
                column = 0;
            }
            buf_add_byte(out, ' ');
            buf_add(out, piece);
            column += 1 + piece.len;
        } while (word.len);
    }
    buf_add_str(out, "\r\n");
}

static void add_text_field(struct buf *out, const char *name, const char *type, struct slice text)
{
    AUTO_BUF struct buf value = buf_new(2 * DSN_TEXT_MAX);
    buf_add_str(&value, type);
    dsn_add_clean(&value, text, DSN_TEXT_MAX, false);
    add_field(out, name, buf_slice(&value), false);
}

static void add_date_field(struct buf *out, const char *name, int64_t at)
{
    if (at > 0)
        buf_addf(out, "%s: %s\r\n", name, date_format_rfc5322(at, 0).text);
}

/* generic-address = *text behind address-type ";" (RFC 3464 section 2.3). UTF-8 stands as it is in a
 * message/global-delivery-status and in hexadecimal elsewhere (RFC 6533 section 3). Not folded: a blank may
 * belong to a quoted local part. */
static void add_address_field(struct buf *out, const char *name, struct slice address, bool global)
{
    AUTO_BUF struct buf clean = buf_new(2 * DSN_TEXT_MAX), value = buf_new(ADDR_XTEXT_MAX);
    dsn_add_clean(&clean, address, DSN_TEXT_MAX, true);
    bool ascii = slice_is_ascii(buf_slice(&clean));
    if (ascii || global)
        buf_add(&value, buf_slice(&clean));
    else
        xtext_encode_ascii(&value, buf_slice(&clean));
    buf_addf(out, "%s: %s; ", name, ascii ? "rfc822" : "utf-8");
    buf_add(out, buf_slice(&value));
    buf_add_str(out, "\r\n");
}

/* What the sender's system called the recipient, also when that is no address of ours to read (RFC 3464
 * section 2.3.1). */
static void add_original(struct buf *out, struct slice orcpt, bool global)
{
    struct slice type, address = xtext_orcpt_split(orcpt, &type);
    if (!type.len || slice_ieq(type, SLICE("rfc822")) || slice_ieq(type, SLICE("utf-8"))) {
        add_address_field(out, "Original-Recipient", address, global);
        return;
    }
    buf_addf(out, "Original-Recipient: %.*s; ", SLICE_ARG(slice_sub(type, 0, TYPE_MAX)));
    dsn_add_clean(out, address, DSN_TEXT_MAX, false);
    buf_add_str(out, "\r\n");
}

/* ---- the header ---- */

/* What may stand between the angle brackets of a msg-id: visible ASCII only (RFC 5322 section 3.6.4). */
static bool is_msgid(struct slice id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] <= 0x20 || id.ptr[i] >= 0x7f || id.ptr[i] == '<' || id.ptr[i] == '>')
            return false;
    return id.len <= MSGID_MAX && slice_find(id, '@') > 0;
}

static bool take_msgid(struct slice *rest, struct slice *id)
{
    for (ptrdiff_t at; (at = slice_find(*rest, '<')) >= 0;) {
        *rest = slice_from(*rest, (size_t)at + 1);
        ptrdiff_t end = slice_find(*rest, '>');
        *id = slice_sub(*rest, 0, end < 0 ? 0 : (size_t)end);
        if (is_msgid(*id))
            return true;
    }
    return false;
}

static bool original_msgid(const struct dsn *dsn, struct slice *id)
{
    struct slice rest = dsn->message_id;
    if (take_msgid(&rest, id))
        return true;
    *id = slice_trim(dsn->message_id);
    return is_msgid(*id);
}

static void add_thread(const struct dsn *dsn, struct buf *out)
{
    struct slice id, rest = dsn->references, one;
    if (!original_msgid(dsn, &id))
        return;
    AUTO_BUF struct buf list = buf_new(REFERENCES_MAX + 2 * MSGID_MAX);
    while (dsn->references.len <= REFERENCES_MAX && take_msgid(&rest, &one))
        if (!slice_eq(one, id))
            buf_addf(&list, "<%.*s> ", SLICE_ARG(one));
    buf_addf(&list, "<%.*s>", SLICE_ARG(id));
    buf_addf(out, "In-Reply-To: <%.*s>\r\n", SLICE_ARG(id));
    add_field(out, "References", buf_slice(&list), false);
}

static void add_subject(const struct dsn *dsn, struct buf *out)
{
    static const char *const texts[DSN_ACTION_COUNT] = {
        [DSN_FAILED] = "could not be delivered", [DSN_DELAYED] = "is delayed",
        [DSN_DELIVERED] = "was delivered",       [DSN_RELAYED] = "was passed on",
        [DSN_EXPANDED] = "was passed on",
    };
    size_t count;
    enum dsn_action main = dsn_main_action(dsn, &count);
    AUTO_BUF struct buf value = buf_new(4 * DSN_TEXT_MAX);
    buf_add_str(&value, dsn->double_bounce ? "Postmaster: a notification to " : "Your mail to ");
    for (size_t i = 0; count == 1 && i < dsn->count; i++)
        if (dsn->recipients[i].action == main)
            dsn_add_clean(&value, dsn->recipients[i].address, DSN_TEXT_MAX, false);
    if (count > 1)
        buf_addf(&value, "%zu recipients", count);
    buf_addf(&value, " %s", texts[main]);
    add_field(out, "Subject", buf_slice(&value), false);
}

static void add_boundary(const struct dsn *dsn, struct buf *out)
{
    buf_add_str(out, "=_report_");
    for (size_t i = 0; i < dsn->token.len && i < 40; i++)
        buf_add_byte(out, ascii_is_alnum(dsn->token.ptr[i]) ? dsn->token.ptr[i] : '_');
}

static void add_separator(const struct dsn *dsn, struct buf *out, const char *end)
{
    buf_add_str(out, "\r\n--");
    add_boundary(dsn, out);
    buf_add_str(out, end);
    buf_add_str(out, "\r\n");
}

static void add_header(const struct dsn *dsn, bool global, struct buf *out)
{
    add_date_field(out, "Date", dsn->now);
    buf_add_str(out, "From: Mail Delivery System <MAILER-DAEMON@");
    dsn_add_clean(out, dsn->hostname, DSN_TEXT_MAX, false);
    buf_add_str(out, ">\r\nTo: <");
    dsn_add_clean(out, dsn->to, DSN_TEXT_MAX, true);
    buf_add_str(out, ">\r\n");
    add_subject(dsn, out);
    buf_add_str(out, "Message-ID: <");
    dsn_add_clean(out, dsn->id, DSN_TEXT_MAX, false);
    buf_add_str(out, ".report@");
    dsn_add_clean(out, dsn->hostname, DSN_TEXT_MAX, false);
    buf_add_str(out, ">\r\n");
    add_thread(dsn, out);
    buf_add_str(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    /* RFC 6522 section 3: report-type is the subtype of the second part. */
    buf_addf(out, "Content-Type: multipart/report; report-type=%sdelivery-status;\r\n boundary=\"",
             global ? "global-" : "");
    add_boundary(dsn, out);
    buf_add_str(out, "\"\r\n");
}

/* ---- the parts ---- */

static void add_text_part(const struct dsn *dsn, struct buf *out)
{
    AUTO_BUF struct buf text = buf_new(DSN_MAX);
    dsn_text_write(dsn, &text);
    bool ascii = slice_is_ascii(buf_slice(&text));
    buf_addf(out,
             "Content-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n"
             "Content-Description: Notification\r\n\r\n",
             ascii ? "us-ascii" : "utf-8", ascii ? "7bit" : "quoted-printable");
    if (ascii)
        buf_add(out, buf_slice(&text));
    else
        qp_encode(out, buf_slice(&text));
}

/* status-code = DIGIT "." 1*3DIGIT "." 1*3DIGIT (RFC 3464 section 2.3.4); its class must fit the action. */
static bool status_fits(struct slice status, char class)
{
    struct slice rest = status, part;
    uint64_t number;
    for (int i = 0; i < 3; i++)
        if (!slice_token(&rest, '.', &part) || part.len > 3 || !slice_u64(part, 999, &number))
            return false;
    return rest.len == 0 && status.ptr[1] == '.' && status.ptr[status.len - 1] != '.' &&
           status.ptr[0] == (uint8_t) class;
}

static void add_status(const struct dsn_recipient *r, struct buf *out)
{
    char class = r->action == DSN_FAILED ? '5' : r->action == DSN_DELAYED ? '4' : '2';
    struct slice status = r->status;
    /* What waited too long failed, with the reason it waited for (RFC 3464 section 2.3.4 leaves the class to
     * us; 4.x.x in a failure would invite the sender's program to wait). */
    if (r->action == DSN_FAILED && status_fits(status, '4'))
        buf_addf(out, "Status: 5.%.*s\r\n", SLICE_ARG(slice_from(status, 2)));
    else if (status_fits(status, class))
        buf_addf(out, "Status: %.*s\r\n", SLICE_ARG(status));
    else
        buf_addf(out, "Status: %c.0.0\r\n", class);
}

static void add_diagnostic(const struct dsn_recipient *r, struct buf *out)
{
    if (r->diagnostic.len == 0)
        return;
    AUTO_BUF struct buf value = buf_new(4 * DSN_DIAGNOSTIC_MAX);
    buf_add_str(&value, r->is_reply ? "smtp; " : "x-rockdove; ");
    dsn_add_diagnostic(&value, r, false);
    add_field(out, "Diagnostic-Code", buf_slice(&value), true);
}

static void add_recipient(const struct dsn_recipient *r, bool global, struct buf *out)
{
    buf_add_str(out, "\r\n");
    if (r->orcpt.len)
        add_original(out, r->orcpt, global);
    add_address_field(out, "Final-Recipient", r->address, global);
    buf_addf(out, "Action: %s\r\n", dsn_action_name(r->action));
    add_status(r, out);
    if (r->remote.len)
        add_text_field(out, "Remote-MTA", "dns; ", r->remote);
    add_diagnostic(r, out);
    add_date_field(out, "Last-Attempt-Date", r->last_attempt);
    if (r->action == DSN_DELAYED)
        add_date_field(out, "Will-Retry-Until", r->retry_until);
}

static void add_status_part(const struct dsn *dsn, bool global, struct buf *out)
{
    buf_addf(out, "Content-Type: message/%sdelivery-status\r\n", global ? "global-" : "");
    if (global)
        buf_add_str(out, "Content-Transfer-Encoding: 8bit\r\n");
    buf_add_str(out, "Content-Description: Delivery report\r\n\r\n");
    if (dsn->envid.len)
        add_text_field(out, "Original-Envelope-Id", "", dsn->envid);
    add_text_field(out, "Reporting-MTA", "dns; ", dsn->hostname);
    add_date_field(out, "Arrival-Date", dsn->arrival);
    if (dsn->original_id.len)
        add_text_field(out, "X-Rockdove-Queue-ID", "", dsn->original_id);
    for (size_t i = 0; i < dsn->count; i++)
        add_recipient(&dsn->recipients[i], global, out);
}

/* The header up to the last whole line within the bound. */
static struct slice header_cut(struct slice header)
{
    if (header.len <= DSN_HEADER_MAX)
        return header;
    struct slice kept = slice_sub(header, 0, DSN_HEADER_MAX);
    return slice_sub(kept, 0, (size_t)(slice_rfind(kept, '\n') + 1));
}

static void add_original_part(const struct dsn *dsn, bool global, bool eightbit, struct buf *out)
{
    const char *type = dsn->full ? (global ? "message/global" : "message/rfc822")
                                 : (global ? "message/global-headers" : "text/rfc822-headers");
    buf_addf(out, "Content-Type: %s\r\n", type);
    if (eightbit)
        buf_add_str(out, "Content-Transfer-Encoding: 8bit\r\n");
    buf_addf(out, "Content-Description: %s\r\n\r\n",
             dsn->full ? "Undelivered message" : "Header of the undelivered message");
    if (!dsn->full)
        buf_add(out, header_cut(dsn->header));
}

struct dsn_needs dsn_write(const struct dsn *dsn, struct buf *head, struct buf *tail)
{
    bool unicode = !slice_is_ascii(dsn->to), addresses = false;
    for (size_t i = 0; i < dsn->count; i++)
        addresses |= !slice_is_ascii(dsn->recipients[i].address) || !slice_is_ascii(dsn->recipients[i].orcpt);
    bool speaks = unicode || dsn->smtputf8, original = dsn->full || dsn->header.len;
    bool global = speaks && addresses;
    bool eightbit = original && (dsn->full ? dsn->eightbit : !slice_is_ascii(header_cut(dsn->header)));
    bool global_original = speaks && eightbit;

    add_header(dsn, global, head);
    add_separator(dsn, head, "");
    add_text_part(dsn, head);
    add_separator(dsn, head, "");
    add_status_part(dsn, global, head);
    if (original) {
        add_separator(dsn, head, "");
        add_original_part(dsn, global_original, eightbit, head);
    }
    add_separator(dsn, tail, "--");
    return (struct dsn_needs){.eightbit = eightbit || global || unicode,
                              .smtputf8 = unicode || global || global_original};
}

/* ---- decisions ---- */

bool dsn_wanted(uint32_t notify, enum dsn_action action)
{
    enum { NEVER = 1, SUCCESS = 2, FAILURE = 4, DELAY = 8 };
    if (notify == 0)
        notify = FAILURE | DELAY;
    if (notify & NEVER)
        return false;
    return notify & (action == DSN_FAILED ? FAILURE : action == DSN_DELAYED ? DELAY : SUCCESS);
}

const char *dsn_action_name(enum dsn_action action)
{
    static const char *const names[DSN_ACTION_COUNT] = {"failed", "delayed", "delivered", "relayed",
                                                        "expanded"};
    return names[(unsigned)action < DSN_ACTION_COUNT ? action : DSN_FAILED];
}

/* RFC 3463 section 3, and the IANA registry of enhanced status codes. 999: any detail. */
static const struct {
    uint16_t subject, detail;
    enum dsn_reason reason;
} statuses[] = {
    {1, 2, DSN_REASON_DOMAIN},       {1, 10, DSN_REASON_DOMAIN},   {1, 7, DSN_REASON_SENDER},
    {1, 8, DSN_REASON_SENDER},       {1, 999, DSN_REASON_ADDRESS}, {2, 1, DSN_REASON_CLOSED},
    {2, 2, DSN_REASON_FULL},         {2, 3, DSN_REASON_SIZE},      {3, 1, DSN_REASON_FULL},
    {3, 4, DSN_REASON_SIZE},         {4, 6, DSN_REASON_LOOP},      {4, 999, DSN_REASON_UNREACHABLE},
    {6, 7, DSN_REASON_UTF8},         {6, 9, DSN_REASON_UTF8},      {6, 10, DSN_REASON_UTF8},
    {6, 999, DSN_REASON_CONVERSION}, {7, 4, DSN_REASON_TLS},       {7, 5, DSN_REASON_TLS},
    {7, 10, DSN_REASON_TLS},         {7, 30, DSN_REASON_TLS},      {7, 27, DSN_REASON_SENDER},
    {7, 999, DSN_REASON_SPAM},
};

enum dsn_reason dsn_reason_of(struct slice status)
{
    struct slice part;
    uint64_t number[3];
    for (int i = 0; i < 3; i++)
        if (!slice_token(&status, '.', &part) || !slice_u64(part, 999, &number[i]))
            return DSN_REASON_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].subject == number[1] &&
            (statuses[i].detail == 999 || statuses[i].detail == number[2]))
            return statuses[i].reason;
    return DSN_REASON_OTHER;
}
