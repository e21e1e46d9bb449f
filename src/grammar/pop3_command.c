/* pop3_command.c: the commands of POP3 and their arguments. Reads what any client sends; trusts nothing.
 * Called by the imap role. */
#include "grammar/pop3_command.h"

/* Blanks at the end are no argument: some clients send them. */
static struct slice trim_end(struct slice s)
{
    while (s.len && s.ptr[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* 1*DIGIT; a number nobody has messages for is still a number. */
static bool parse_number(struct slice digits, uint32_t *number)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (!ascii_is_digit(digits.ptr[i]))
            return false;
        value = value * 10 + (uint64_t)(digits.ptr[i] - '0');
        value = value < UINT32_MAX ? value : UINT32_MAX;
    }
    *number = (uint32_t)value;
    return digits.len > 0;
}

/* CAPA, NOOP, QUIT, RSET, STAT, STLS, UTF8: nothing may follow. */
static const char *parse_nothing(struct slice rest, struct pop3_command *command)
{
    (void)command;
    return trim_end(rest).len ? "Command takes no argument" : NULL;
}

/* RETR, DELE: SP msg */
static const char *parse_message(struct slice rest, struct pop3_command *command)
{
    command->has_number = true;
    if (!parse_number(trim_end(rest), &command->number) || command->number == 0)
        return "Command needs the number of a message";
    return NULL;
}

/* LIST, UIDL: [SP msg] */
static const char *parse_optional(struct slice rest, struct pop3_command *command)
{
    return trim_end(rest).len ? parse_message(rest, command) : NULL;
}

/* TOP SP msg SP n */
static const char *parse_top(struct slice rest, struct pop3_command *command)
{
    struct slice number = SLICE_EMPTY, lines = trim_end(rest);
    if (!slice_token(&lines, ' ', &number) || parse_message(number, command) ||
        !parse_number(lines, &command->lines))
        return "Syntax: TOP message lines";
    return NULL;
}

/* USER SP name, PASS SP string: every octet behind the first blank belongs to it (RFC 1939 section 7), in
 * UTF-8 (RFC 6856 section 2.2). */
static const char *parse_text(struct slice rest, struct pop3_command *command)
{
    if (!slice_is_utf8(rest))
        return "Argument is not UTF-8";
    command->text = rest;
    return rest.len ? NULL : "Command needs an argument";
}

/* AUTH [SP mechanism [SP initial-response]] (RFC 5034 section 4) */
static const char *parse_auth(struct slice rest, struct pop3_command *command)
{
    struct slice initial = trim_end(rest);
    (void)!slice_token(&initial, ' ', &command->text);
    command->has_initial = initial.len > 0;
    if (!slice_eq(initial, SLICE("=")))
        command->initial = initial;
    return NULL;
}

static const struct {
    const char *name;
    const char *(*parse)(struct slice rest, struct pop3_command *command);
} verbs[POP3_VERB_COUNT] = {
    [POP3_UNKNOWN] = {"?", NULL},           [POP3_AUTH] = {"AUTH", parse_auth},
    [POP3_CAPA] = {"CAPA", parse_nothing},  [POP3_DELE] = {"DELE", parse_message},
    [POP3_LIST] = {"LIST", parse_optional}, [POP3_NOOP] = {"NOOP", parse_nothing},
    [POP3_PASS] = {"PASS", parse_text},     [POP3_QUIT] = {"QUIT", parse_nothing},
    [POP3_RETR] = {"RETR", parse_message},  [POP3_RSET] = {"RSET", parse_nothing},
    [POP3_STAT] = {"STAT", parse_nothing},  [POP3_STLS] = {"STLS", parse_nothing},
    [POP3_TOP] = {"TOP", parse_top},        [POP3_UIDL] = {"UIDL", parse_optional},
    [POP3_USER] = {"USER", parse_text},     [POP3_UTF8] = {"UTF8", parse_nothing},
};

const char *pop3_verb_name(enum pop3_verb verb)
{
    return verbs[verb < POP3_VERB_COUNT ? verb : POP3_UNKNOWN].name;
}

/* command = keyword *(SP argument); keywords in any case (RFC 1939 section 3). */
const char *pop3_command_parse(struct slice line, struct pop3_command *command)
{
    ptrdiff_t blank = slice_find(line, ' ');
    struct slice name = slice_sub(line, 0, blank < 0 ? line.len : (size_t)blank);
    struct slice rest = blank < 0 ? SLICE_EMPTY : slice_from(line, (size_t)blank + 1);
    *command = (struct pop3_command){.verb = POP3_UNKNOWN};
    for (unsigned i = POP3_UNKNOWN + 1; i < POP3_VERB_COUNT; i++) {
        if (!slice_ieq(name, slice_of(verbs[i].name)))
            continue;
        command->verb = (enum pop3_verb)i;
        return verbs[i].parse(rest, command);
    }
    return "Command not recognised";
}
