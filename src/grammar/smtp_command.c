/* smtp_command.c: the commands and their arguments (RFC 5321 section 4.1.1). Reads what any client sends;
 * trusts nothing. The parameters of MAIL and RCPT are in smtp_param.c. */
#include "grammar/smtp_command.h"

#include "grammar/domain.h"
#include "grammar/smtp_param.h"

/* RFC 4422 section 3.1: sasl-mech = 1*20mech-char. */
#define MECHANISM_MAX 20
/* A name of a command for the log. */
#define VERB_NAME_MAX 20
/* What EHLO says is kept for logs and Received (RFC 5321 section 4.5.3.1.2). */
#define GREETING_MAX 255

static const struct smtp_reply_text unknown = {500, "5.5.1", "Command not recognised"};
static const struct smtp_reply_text http = {500, "5.5.1", "This is a mail server"};
static const struct smtp_reply_text not_text = {500, "5.5.2",
                                                "Command holds control characters or is not UTF-8"};
static const struct smtp_reply_text no_argument = {501, "5.5.4", "Command takes no argument"};
static const struct smtp_reply_text needs_text = {501, "5.5.4", "Command needs an argument"};
static const struct smtp_reply_text needs_name = {501, "5.5.4",
                                                  "Say who you are: a host name or an address literal"};
static const struct smtp_reply_text mail_syntax = {501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]"};
static const struct smtp_reply_text rcpt_syntax = {501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]"};
static const struct smtp_reply_text bad_sender = {501, "5.1.7", "Sender address is malformed"};
static const struct smtp_reply_text bad_recipient = {501, "5.1.3", "Recipient address is malformed"};
static const struct smtp_reply_text needs_utf8 = {553, "5.6.7",
                                                  "Address is not ASCII and SMTPUTF8 was not given"};
static const struct smtp_reply_text bdat_syntax = {501, "5.5.4", "Syntax: BDAT size [LAST]"};
static const struct smtp_reply_text auth_syntax = {501, "5.5.4", "Syntax: AUTH mechanism [initial-response]"};

static struct slice skip_blanks(struct slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = slice_from(s, 1);
    return s;
}

/* DATA, RSET, QUIT, STARTTLS: nothing may follow. */
static const struct smtp_reply_text *parse_nothing(struct smtp_parse *p)
{
    return p->rest.len ? &no_argument : NULL;
}

/* NOOP, HELP: [ SP String ] */
static const struct smtp_reply_text *parse_any(struct smtp_parse *p)
{
    p->command.argument = p->rest;
    return NULL;
}

/* VRFY, EXPN, ETRN: SP String */
static const struct smtp_reply_text *parse_text(struct smtp_parse *p)
{
    p->command.argument = p->rest;
    return p->rest.len ? NULL : &needs_text;
}

/* "EHLO" SP ( Domain / address-literal ). Clients write nearly anything here; the first word counts, as long
 * as it can be logged. */
static const struct smtp_reply_text *parse_greeting(struct smtp_parse *p)
{
    struct slice name = SLICE_EMPTY;
    (void)slice_token(&p->rest, ' ', &name);
    if (name.len == 0 || name.len > GREETING_MAX)
        return &needs_name;
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_print(name.ptr[i]))
            return &needs_name;
    p->command.argument = name;
    p->command.argument_literal = domain_is_ip_literal(name, NULL);
    return NULL;
}

/* keyword ":" Path *( SP Parameter ). Blanks behind the colon are wrong but common. */
static const struct smtp_reply_text *parse_path(struct smtp_parse *p, struct slice keyword, unsigned flags,
                                                struct address *addr, const struct smtp_reply_text *syntax,
                                                const struct smtp_reply_text *bad)
{
    if (!slice_istarts(p->rest, keyword))
        return syntax;
    p->rest = skip_blanks(slice_from(p->rest, keyword.len));
    struct slice before = p->rest;
    if (p->rest.len == 0)
        return syntax;
    if (address_path_take_in(p->arena, &p->rest, flags | ADDRESS_ALLOW_UTF8, addr, NULL))
        return bad;
    p->path_is_ascii = slice_is_ascii(slice_sub(before, 0, before.len - p->rest.len));
    return p->rest.len && p->rest.ptr[0] != ' ' && p->rest.ptr[0] != '\t' ? syntax : NULL;
}

/* "MAIL FROM:" Reverse-path [SP Mail-parameters] */
static const struct smtp_reply_text *parse_mail(struct smtp_parse *p)
{
    struct smtp_mail *mail = &p->command.mail;
    const struct smtp_reply_text *wrong =
        parse_path(p, SLICE("FROM:"), ADDRESS_ALLOW_NULL, &mail->from, &mail_syntax, &bad_sender);
    if (!wrong)
        wrong = smtp_param_parse_mail(p);
    return wrong || p->path_is_ascii || mail->smtputf8 ? wrong : &needs_utf8;
}

/* "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] */
static const struct smtp_reply_text *parse_rcpt(struct smtp_parse *p)
{
    const struct smtp_reply_text *wrong = parse_path(p, SLICE("TO:"), ADDRESS_ALLOW_POSTMASTER,
                                                     &p->command.rcpt.to, &rcpt_syntax, &bad_recipient);
    if (!wrong && !p->path_is_ascii && !(p->offered & SMTP_IN_UTF8))
        return &needs_utf8;
    return wrong ? wrong : smtp_param_parse_rcpt(p);
}

/* bdat-cmd = "BDAT" SP chunk-size [ SP "LAST" ]  (RFC 3030 section 2) */
static const struct smtp_reply_text *parse_bdat(struct smtp_parse *p)
{
    struct slice size;
    if (!slice_token(&p->rest, ' ', &size) || !slice_u64(size, UINT64_MAX, &p->command.bdat_size))
        return &bdat_syntax;
    p->rest = skip_blanks(p->rest);
    p->command.bdat_last = p->rest.len > 0;
    return p->rest.len && !slice_ieq(p->rest, SLICE("LAST")) ? &bdat_syntax : NULL;
}

/* "AUTH" SP sasl-mech [SP (initial-response / "=")]  (RFC 4954 section 8) */
static const struct smtp_reply_text *parse_auth(struct smtp_parse *p)
{
    struct slice mechanism = SLICE_EMPTY;
    (void)slice_token(&p->rest, ' ', &mechanism);
    if (mechanism.len == 0 || mechanism.len > MECHANISM_MAX)
        return &auth_syntax;
    for (size_t i = 0; i < mechanism.len; i++)
        if (!ascii_is_alnum(mechanism.ptr[i]) && mechanism.ptr[i] != '-' && mechanism.ptr[i] != '_')
            return &auth_syntax;
    p->command.argument = mechanism;
    p->command.initial = skip_blanks(p->rest);
    p->command.has_initial = p->command.initial.len > 0;
    if (slice_find(p->command.initial, ' ') >= 0)
        return &auth_syntax;
    if (slice_eq(p->command.initial, SLICE("=")))
        p->command.initial = SLICE_EMPTY;
    return NULL;
}

static const struct {
    const char *name;
    const struct smtp_reply_text *(*parse)(struct smtp_parse *p);
} commands[SMTP_VERB_COUNT] = {
    [SMTP_EHLO] = {"EHLO", parse_greeting}, [SMTP_HELO] = {"HELO", parse_greeting},
    [SMTP_LHLO] = {"LHLO", parse_greeting}, [SMTP_MAIL] = {"MAIL", parse_mail},
    [SMTP_RCPT] = {"RCPT", parse_rcpt},     [SMTP_DATA] = {"DATA", parse_nothing},
    [SMTP_BDAT] = {"BDAT", parse_bdat},     [SMTP_RSET] = {"RSET", parse_nothing},
    [SMTP_NOOP] = {"NOOP", parse_any},      [SMTP_VRFY] = {"VRFY", parse_text},
    [SMTP_EXPN] = {"EXPN", parse_text},     [SMTP_HELP] = {"HELP", parse_any},
    [SMTP_QUIT] = {"QUIT", parse_nothing},  [SMTP_STARTTLS] = {"STARTTLS", parse_nothing},
    [SMTP_AUTH] = {"AUTH", parse_auth},     [SMTP_ETRN] = {"ETRN", parse_text},
    [SMTP_TURN] = {"TURN", parse_nothing},
};

const char *smtp_verb_name(enum smtp_verb verb)
{
    if (verb == SMTP_HTTP)
        return "HTTP";
    return verb < SMTP_VERB_COUNT && commands[verb].name ? commands[verb].name : "?";
}

static enum smtp_verb find_verb(struct slice name)
{
    static const char *const web[] = {"GET",     "POST",    "HEAD",  "PUT",   "DELETE",
                                      "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"};
    for (unsigned verb = 0; verb < SMTP_VERB_COUNT; verb++)
        if (commands[verb].name && slice_ieq(name, slice_of(commands[verb].name)))
            return (enum smtp_verb)verb;
    for (size_t i = 0; i < sizeof web / sizeof *web; i++)
        if (slice_ieq(name, slice_of(web[i])))
            return SMTP_HTTP;
    return SMTP_UNKNOWN;
}

/* UTF-8 without control characters but HTAB. */
static bool is_text(struct slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if ((line.ptr[i] < ' ' && line.ptr[i] != '\t') || line.ptr[i] == 0x7f)
            return false;
    return slice_is_utf8(line);
}

static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_print(s.ptr[i]))
            return false;
    return true;
}

static const struct smtp_reply_text *parse_line(struct smtp_parse *p, struct slice line)
{
    struct slice name = SLICE_EMPTY;
    p->rest = slice_trim(line);
    (void)slice_token(&p->rest, ' ', &name);
    p->rest = skip_blanks(p->rest);
    if (is_printable(name))
        p->command.name = slice_sub(name, 0, VERB_NAME_MAX);
    p->command.verb = line.len && line.ptr[0] == ' ' ? SMTP_UNKNOWN : find_verb(name);
    if (p->command.verb == SMTP_HTTP)
        return &http;
    if (!is_text(line))
        return &not_text;
    return p->command.verb == SMTP_UNKNOWN ? &unknown : commands[p->command.verb].parse(p);
}

enum err smtp_command_parse_in(struct arena *arena, struct slice line, unsigned offered,
                               struct smtp_command *command, struct smtp_reply_text *reply)
{
    struct smtp_parse p = {.arena = arena, .offered = offered};
    const struct smtp_reply_text *wrong = parse_line(&p, line);
    if (wrong) {
        command->verb = p.command.verb;
        command->name = p.command.name;
        *reply = *wrong;
        return ERR_BAD;
    }
    *command = p.command;
    return ERR_OK;
}
