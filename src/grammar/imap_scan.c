/* imap_scan.c: tokens of IMAP commands. Input: one framed command of any client. Called by the parsers of
 * this folder. */
#include "grammar/imap_scan.h"
#include "grammar/mutf7.h"

struct imap_scan imap_scan_new(struct arena *arena, struct slice input, bool utf8)
{
    return (struct imap_scan){.at = input.ptr, .end = input.ptr + input.len, .arena = arena, .utf8 = utf8};
}

bool imap_scan_refuse(struct imap_scan *s, enum err code, const char *text)
{
    if (s->code == ERR_OK) {
        s->code = code;
        s->error = text;
    }
    return false;
}

bool imap_scan_fail(struct imap_scan *s, const char *text)
{
    return imap_scan_refuse(s, ERR_BAD, text);
}

enum err imap_scan_result(const struct imap_scan *s, struct why *why)
{
    return s->code == ERR_OK ? ERR_OK : err_set(why, s->code, "%s", s->error);
}

int imap_scan_peek(const struct imap_scan *s)
{
    return s->at < s->end ? *s->at : -1;
}

bool imap_scan_try(struct imap_scan *s, uint8_t byte)
{
    if (imap_scan_peek(s) != byte)
        return false;
    s->at++;
    return true;
}

bool imap_scan_byte(struct imap_scan *s, uint8_t byte, const char *otherwise)
{
    return imap_scan_try(s, byte) || imap_scan_fail(s, otherwise);
}

bool imap_scan_sp(struct imap_scan *s)
{
    return imap_scan_byte(s, ' ', imap_scan_peek(s) == '\r' ? "Missing argument" : "Expected a space");
}

bool imap_scan_end(struct imap_scan *s)
{
    if (imap_scan_try(s, '\r') && imap_scan_try(s, '\n') && s->at == s->end)
        return true;
    return imap_scan_fail(s, "Unexpected text behind the arguments");
}

/* ATOM-CHAR = <any CHAR except atom-specials>; atom-specials = "(" / ")" / "{" / SP / CTL / "%" / "*" /
 * DQUOTE /
 * "\" / "]" */
bool imap_is_atom_char(uint8_t c)
{
    if (!ascii_is_print(c))
        return false;
    switch (c) {
    case '(':
    case ')':
    case '{':
    case ' ':
    case '%':
    case '*':
    case '"':
    case '\\':
    case ']':
        return false;
    default:
        return true;
    }
}

static bool is_astring_char(uint8_t c)
{
    return imap_is_atom_char(c) || c == ']';
}

/* list-char = ATOM-CHAR / list-wildcards / resp-specials */
static bool is_list_char(uint8_t c)
{
    return is_astring_char(c) || c == '*' || c == '%';
}

static bool is_word_char(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '.';
}

static struct slice take_while(struct imap_scan *s, bool (*accept)(uint8_t c))
{
    const uint8_t *start = s->at;
    while (s->at < s->end && accept(*s->at))
        s->at++;
    return slice_make(start, (size_t)(s->at - start));
}

static bool take_some(struct imap_scan *s, bool (*accept)(uint8_t c), const char *otherwise,
                      struct slice *text)
{
    struct slice got = take_while(s, accept);
    if (got.len == 0)
        return imap_scan_fail(s, otherwise);
    *text = got;
    return true;
}

bool imap_scan_atom(struct imap_scan *s, struct slice *atom)
{
    return take_some(s, imap_is_atom_char, "Expected an atom", atom);
}

struct slice imap_scan_word(struct imap_scan *s)
{
    return take_while(s, is_word_char);
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE; octets above 0x7f are taken as they are, as many clients send them. */
static bool scan_quoted(struct imap_scan *s, struct slice *text)
{
    const uint8_t *start = ++s->at;
    size_t escapes = 0;
    while (s->at < s->end && *s->at != '"') {
        if (*s->at == '\\') {
            escapes++;
            s->at++;
            if (s->at == s->end || (*s->at != '"' && *s->at != '\\'))
                return imap_scan_fail(s, "Only \\\" and \\\\ are escapes in a quoted string");
        }
        if (*s->at == '\r' || *s->at == '\n' || *s->at == 0)
            break;
        s->at++;
    }
    struct slice raw = slice_make(start, (size_t)(s->at - start));
    if (!imap_scan_byte(s, '"', "Unfinished quoted string"))
        return false;
    if (s->utf8 && !slice_is_utf8(raw))
        return imap_scan_fail(s, "A quoted string must be UTF-8"); /* RFC 9755 section 3 */
    *text = raw;
    if (escapes == 0)
        return true;
    uint8_t *plain = ARENA_ARRAY(s->arena, uint8_t, raw.len);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\')
            i++;
        plain[n++] = raw.ptr[i];
    }
    *text = slice_make(plain, n);
    return true;
}

bool imap_scan_literal_head(struct imap_scan *s, uint64_t *octets)
{
    imap_scan_try(s, '~');
    if (!imap_scan_byte(s, '{', "Expected a literal") || !imap_scan_number(s, INT64_MAX, octets))
        return false;
    imap_scan_try(s, '+');
    return imap_scan_byte(s, '}', "Malformed literal") && imap_scan_byte(s, '\r', "Malformed literal") &&
           imap_scan_byte(s, '\n', "Malformed literal");
}

static bool scan_literal(struct imap_scan *s, struct slice *text)
{
    uint64_t octets;
    if (!imap_scan_literal_head(s, &octets))
        return false;
    if (octets > (size_t)(s->end - s->at))
        return imap_scan_fail(s, "Unfinished literal");
    *text = slice_make(s->at, (size_t)octets);
    s->at += octets;
    if (slice_find(*text, 0) >= 0)
        return imap_scan_fail(s, "NUL in a literal");
    return true;
}

bool imap_scan_string(struct imap_scan *s, struct slice *text)
{
    switch (imap_scan_peek(s)) {
    case '"':
        return scan_quoted(s, text);
    case '{':
    case '~':
        return scan_literal(s, text);
    default:
        return imap_scan_fail(s, "Expected a string");
    }
}

bool imap_scan_nstring(struct imap_scan *s, struct slice *text)
{
    if (imap_scan_peek(s) == '"' || imap_scan_peek(s) == '{')
        return imap_scan_string(s, text);
    if (!slice_ieq(take_while(s, imap_is_atom_char), SLICE("NIL")))
        return imap_scan_fail(s, "Expected a string or NIL");
    *text = SLICE_EMPTY;
    return true;
}

static bool scan_text(struct imap_scan *s, bool (*accept)(uint8_t c), struct slice *text)
{
    if (imap_scan_peek(s) == '"' || imap_scan_peek(s) == '{')
        return imap_scan_string(s, text);
    return take_some(s, accept, "Missing argument", text);
}

bool imap_scan_astring(struct imap_scan *s, struct slice *text)
{
    return scan_text(s, is_astring_char, text);
}

/* From the wire's form of a name or pattern to UTF-8. */
static bool decode_name(struct imap_scan *s, struct slice raw, struct slice *name)
{
    if (raw.len > IMAP_MAILBOX_NAME_MAX)
        return imap_scan_refuse(s, ERR_REFUSED, "Mailbox name too long");
    bool ok = s->utf8 ? slice_is_utf8(raw) : mutf7_to_utf8_in(s->arena, raw, &raw);
    if (!ok)
        return imap_scan_refuse(s, ERR_REFUSED,
                                s->utf8 ? "Mailbox name is not UTF-8" : "Mailbox name is not modified UTF-7");
    if (!s->supplied.ptr)
        s->supplied = raw;
    *name = imap_mailbox_canonical_in(s->arena, raw, '/');
    /* Decoded and composed it may have grown. */
    return name->len <= IMAP_MAILBOX_NAME_MAX || imap_scan_refuse(s, ERR_REFUSED, "Mailbox name too long");
}

bool imap_scan_mailbox(struct imap_scan *s, struct slice *name)
{
    struct slice raw;
    return imap_scan_astring(s, &raw) && decode_name(s, raw, name);
}

bool imap_scan_pattern(struct imap_scan *s, struct slice *pattern)
{
    struct slice raw;
    if (!scan_text(s, is_list_char, &raw))
        return false;
    return decode_name(s, raw, pattern);
}

/* number = 1*DIGIT; leading zeros are harmless. */
bool imap_scan_number(struct imap_scan *s, uint64_t max, uint64_t *number)
{
    struct slice digits = take_while(s, ascii_is_digit);
    if (digits.len == 0)
        return imap_scan_fail(s, "Expected a number");
    if (!slice_u64(digits, max, number))
        return imap_scan_fail(s, "Number too large");
    return true;
}

static bool is_set_char(uint8_t c)
{
    return ascii_is_digit(c) || c == ':' || c == ',' || c == '*' || c == '$';
}

bool imap_scan_set(struct imap_scan *s, struct imap_set *set)
{
    struct slice text = take_while(s, is_set_char);
    struct why why;
    if (text.len == 0 || imap_set_parse_in(s->arena, text, set, &why) == ERR_OK)
        return text.len > 0 || imap_scan_fail(s, "Expected a message set");
    size_t commas = 0;
    for (size_t i = 0; i < text.len; i++)
        commas += text.ptr[i] == ',';
    return imap_scan_fail(s, commas >= IMAP_SET_RANGES_MAX ? "Too many ranges in the message set"
                                                           : "Invalid message set");
}

static bool is_flag_char(uint8_t c)
{
    return imap_is_atom_char(c) || c == '\\' || c == ' ';
}

bool imap_scan_flags(struct imap_scan *s, struct imap_flags *flags)
{
    bool list = imap_scan_try(s, '(');
    struct slice text = take_while(s, is_flag_char);
    if (list && !imap_scan_byte(s, ')', "Malformed flag list"))
        return false;
    struct why why;
    if (!list && text.len == 0)
        return imap_scan_fail(s, "Missing flags");
    if (imap_flags_parse_in(s->arena, text, flags, &why) != ERR_OK)
        return imap_scan_fail(s, "Invalid flag");
    return true;
}
