/* smtp_param.c: the parameters of MAIL and RCPT, one table for each. Reads what any client sends; trusts
 * nothing. */
#include "grammar/smtp_param.h"

#include "grammar/xtext.h"

/* RFC 1870 section 4: size-value = 1*20DIGIT. */
#define SIZE_DIGITS 20

static const struct smtp_reply_text not_offered = {555, "5.5.4", "Parameter not known or not offered"};
static const struct smtp_reply_text malformed = {501, "5.5.4", "Parameter is malformed"};
static const struct smtp_reply_text twice = {501, "5.5.4", "Parameter given twice"};
static const struct smtp_reply_text too_many = {501, "5.5.4", "Too many parameters"};

/* False: malformed. `has_value` says whether there was a "=". */
typedef bool param_fn(struct smtp_parse *p, struct slice value, bool has_value);

struct param {
    const char *name;
    unsigned offer;
    param_fn *take;
};

static bool is_plain_text(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

static bool take_size(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)has_value;
    if (value.len == 0 || value.len > SIZE_DIGITS)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_digit(value.ptr[i]))
            return false;
    if (!slice_u64(value, UINT64_MAX, &p->command.mail.size))
        p->command.mail.size = UINT64_MAX;
    p->command.mail.has_size = true;
    return true;
}

/* body-value = "7BIT" / "8BITMIME" / "BINARYMIME"  (RFC 6152, RFC 3030) */
static bool take_body(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)has_value;
    if (slice_ieq(value, SLICE("7BIT")))
        p->command.mail.body = SMTP_BODY_7BIT;
    else if (slice_ieq(value, SLICE("8BITMIME")))
        p->command.mail.body = SMTP_BODY_8BITMIME;
    else if (slice_ieq(value, SLICE("BINARYMIME")) && (p->offered & SMTP_OFFER_BINARYMIME))
        p->command.mail.body = SMTP_BODY_BINARYMIME;
    else
        return false;
    return true;
}

static bool take_smtputf8(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)value;
    p->command.mail.smtputf8 = true;
    return !has_value;
}

static bool take_requiretls(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)value;
    p->command.mail.requiretls = true;
    return !has_value;
}

static bool take_ret(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)has_value;
    if (slice_ieq(value, SLICE("FULL")))
        p->command.mail.ret = SMTP_RET_FULL;
    else if (slice_ieq(value, SLICE("HDRS")))
        p->command.mail.ret = SMTP_RET_HDRS;
    return p->command.mail.ret != SMTP_RET_NONE;
}

/* envid-parameter = "ENVID=" xtext  (RFC 3461 section 4.4) */
static bool take_envid(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)has_value;
    struct slice *envid = &p->command.mail.envid;
    return value.len && value.len <= SMTP_ENVID_MAX && xtext_decode_in(p->arena, value, envid) &&
           is_plain_text(*envid);
}

/* "AUTH=" ( xtext of a mailbox / "<>" ). What is no mailbox counts as "<>" (RFC 4954 section 5). */
static bool take_auth(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)has_value;
    struct address addr;
    struct slice decoded;
    if (value.len == 0 || !xtext_decode_in(p->arena, value, &decoded))
        return false;
    bool mailbox = address_parse_in(p->arena, decoded, ADDRESS_ALLOW_UTF8, &addr, NULL) == ERR_OK;
    p->command.mail.auth = mailbox ? addr.text : SLICE("<>");
    p->command.mail.has_auth = true;
    return true;
}

static unsigned notify_bit(struct slice word)
{
    static const char *const names[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_ieq(word, slice_of(names[i])))
            return 1u << i;
    return 0;
}

/* notify-esmtp-value = "NEVER" / 1#("SUCCESS" / "FAILURE" / "DELAY")  (RFC 3461 section 4.1) */
static bool take_notify(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)has_value;
    struct slice word;
    if (slice_ends(value, SLICE(",")))
        return false;
    while (slice_token(&value, ',', &word)) {
        unsigned bit = notify_bit(word);
        if (!bit)
            return false;
        p->command.rcpt.notify |= bit;
    }
    unsigned notify = p->command.rcpt.notify;
    return notify && (!(notify & SMTP_NOTIFY_NEVER) || notify == SMTP_NOTIFY_NEVER);
}

/* original-recipient-address = addr-type ";" xtext  (RFC 3461 section 4.2; utf-8 in RFC 6533 section 3).
 * Only utf-8 has other characters than ASCII. */
static bool take_orcpt(struct smtp_parse *p, struct slice value, bool has_value)
{
    (void)has_value;
    struct smtp_rcpt *rcpt = &p->command.rcpt;
    ptrdiff_t semicolon = slice_find(value, ';');
    if (semicolon < 1 || value.len > SMTP_ORCPT_MAX)
        return false;
    struct slice type = slice_sub(value, 0, (size_t)semicolon),
                 text = slice_from(value, (size_t)semicolon + 1);
    for (size_t i = 0; i < type.len; i++)
        if (!ascii_is_alnum(type.ptr[i]) && type.ptr[i] != '-')
            return false;
    bool utf8 = slice_ieq(type, SLICE("utf-8"));
    rcpt->orcpt_type = type;
    return (utf8 ? xtext_decode_utf8_in(p->arena, text, &rcpt->orcpt)
                 : xtext_decode_in(p->arena, text, &rcpt->orcpt) && slice_is_ascii(rcpt->orcpt)) &&
           rcpt->orcpt.len && is_plain_text(rcpt->orcpt);
}

static const struct param mail_params[] = {
    {"SIZE", SMTP_OFFER_SIZE, take_size},
    {"BODY", SMTP_OFFER_8BITMIME, take_body},
    {"SMTPUTF8", SMTP_OFFER_SMTPUTF8, take_smtputf8},
    {"RET", SMTP_OFFER_DSN, take_ret},
    {"ENVID", SMTP_OFFER_DSN, take_envid},
    {"AUTH", SMTP_OFFER_AUTH, take_auth},
    {"REQUIRETLS", SMTP_OFFER_REQUIRETLS, take_requiretls},
};
static const struct param rcpt_params[] = {
    {"NOTIFY", SMTP_OFFER_DSN, take_notify},
    {"ORCPT", SMTP_OFFER_DSN, take_orcpt},
};

/* esmtp-param = esmtp-keyword ["=" esmtp-value] */
static const struct smtp_reply_text *take_param(struct smtp_parse *p, const struct param *table, size_t count,
                                                struct slice word, unsigned *seen)
{
    ptrdiff_t equals = slice_find(word, '=');
    struct slice name = equals < 0 ? word : slice_sub(word, 0, (size_t)equals);
    struct slice value = equals < 0 ? SLICE_EMPTY : slice_from(word, (size_t)equals + 1);
    for (unsigned i = 0; i < count; i++) {
        if (!slice_ieq(name, slice_of(table[i].name)) || !(p->offered & table[i].offer))
            continue;
        if (*seen & 1u << i)
            return &twice;
        *seen |= 1u << i;
        return table[i].take(p, value, equals >= 0) ? NULL : &malformed;
    }
    return &not_offered;
}

static const struct smtp_reply_text *take_params(struct smtp_parse *p, const struct param *table,
                                                 size_t count)
{
    const struct smtp_reply_text *wrong = NULL;
    struct slice word;
    unsigned seen = 0, words = 0;
    while (!wrong && slice_token(&p->rest, ' ', &word)) {
        word = slice_trim(word); /* HTAB between parameters */
        if (word.len == 0)
            continue;
        wrong = ++words > SMTP_PARAMS_MAX ? &too_many : take_param(p, table, count, word, &seen);
    }
    return wrong;
}

const struct smtp_reply_text *smtp_param_parse_mail(struct smtp_parse *p)
{
    return take_params(p, mail_params, sizeof mail_params / sizeof *mail_params);
}

const struct smtp_reply_text *smtp_param_parse_rcpt(struct smtp_parse *p)
{
    return take_params(p, rcpt_params, sizeof rcpt_params / sizeof *rcpt_params);
}
