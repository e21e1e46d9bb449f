/* imap_append.c: the messages of APPEND and REPLACE as steps. Input: any client. Called by the command parser
 * and, for the pieces behind literals, by the imap role. */
#include "grammar/imap_append.h"
#include "grammar/date.h"
#include "grammar/imap_scan.h"

static bool add_step(struct imap_scan *s, struct imap_append *a, struct imap_append_step step)
{
    if (a->count >= IMAP_APPEND_STEPS_MAX)
        return imap_scan_fail(s, "Too many parts");
    a->steps[a->count++] = step;
    return true;
}

static bool end_message(struct imap_scan *s, struct imap_append *a)
{
    a->message = NULL;
    return add_step(s, a, (struct imap_append_step){.kind = IMAP_APPEND_END});
}

/* "{n}CRLF" and its kin; the octets come with the next piece. */
static bool scan_literal(struct imap_scan *s, struct imap_append *a)
{
    struct imap_append_step step = {.kind = IMAP_APPEND_LITERAL, .binary = imap_scan_peek(s) == '~'};
    if (imap_scan_peek(s) != '{' && imap_scan_peek(s) != '~')
        return imap_scan_fail(s, "Expected the message as a literal");
    return imap_scan_literal_head(s, &step.octets) && add_step(s, a, step);
}

/* utf8-literal = "UTF8" SP "(" literal8 ")" (RFC 6855 section 4) */
static bool scan_utf8(struct imap_scan *s, struct imap_append *a)
{
    if (!imap_scan_sp(s) || !imap_scan_byte(s, '(', "Expected the message as a literal"))
        return false;
    a->message->utf8 = a->paren = true;
    return scan_literal(s, a);
}

/* cat-part = "TEXT" SP literal / "URL" SP astring, RFC 4469 section 5; RFC 6855 adds utf8-literal */
static bool scan_part(struct imap_scan *s, struct imap_append *a)
{
    struct slice word = imap_scan_word(s);
    struct imap_append_step step = {.kind = IMAP_APPEND_URL};
    if (slice_ieq(word, SLICE("UTF8")))
        return scan_utf8(s, a);
    if (slice_ieq(word, SLICE("TEXT")))
        return imap_scan_sp(s) && scan_literal(s, a);
    if (!slice_ieq(word, SLICE("URL")))
        return imap_scan_fail(s, "Expected TEXT or URL");
    return imap_scan_sp(s) && imap_scan_astring(s, &step.url) && add_step(s, a, step);
}

static bool is_cut(const struct imap_append *a)
{
    return a->count > 0 && a->steps[a->count - 1].kind == IMAP_APPEND_LITERAL;
}

/* "(" cat-part *(SP cat-part) ")" from a part on, as far as the next literal */
static bool scan_parts(struct imap_scan *s, struct imap_append *a)
{
    do {
        if (!scan_part(s, a))
            return false;
        if (is_cut(a))
            return true;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed CATENATE") && end_message(s, a);
}

static bool scan_date(struct imap_scan *s, struct imap_append_args *m)
{
    struct slice text;
    struct date_time date;
    if (!imap_scan_string(s, &text) || !imap_scan_sp(s))
        return false;
    if (!date_parse_imap(text, &date))
        return imap_scan_fail(s, "Invalid date-time");
    m->has_date = true;
    m->date = date.seconds;
    m->zone_minutes = date.zone;
    return true;
}

/* append-data = literal / literal8 / utf8-literal / "CATENATE" SP "(" cat-part *(SP cat-part) ")" */
static bool scan_data(struct imap_scan *s, struct imap_append *a)
{
    struct slice word = imap_scan_word(s);
    if (word.len == 0)
        return scan_literal(s, a);
    if (slice_ieq(word, SLICE("UTF8")))
        return scan_utf8(s, a);
    if (!slice_ieq(word, SLICE("CATENATE")))
        return imap_scan_fail(s, "Expected the message as a literal");
    a->message->catenate = true;
    return imap_scan_sp(s) && imap_scan_byte(s, '(', "Expected the parts of the message") && scan_parts(s, a);
}

/* append-message = [SP flag-list] [SP date-time] SP append-data, behind the first SP */
static bool scan_message(struct imap_scan *s, struct imap_append *a)
{
    a->message = ARENA_NEW(s->arena, struct imap_append_args);
    *a->message = (struct imap_append_args){0};
    if (!add_step(s, a, (struct imap_append_step){.kind = IMAP_APPEND_MESSAGE, .message = a->message}))
        return false;
    if (imap_scan_peek(s) == '(' && (!imap_scan_flags(s, &a->message->flags) || !imap_scan_sp(s)))
        return false;
    if (imap_scan_peek(s) == '"' && !scan_date(s, a->message))
        return false;
    return scan_data(s, a);
}

/* What may follow a message: another one, or the end of the command. */
static bool scan_further(struct imap_scan *s, struct imap_append *a)
{
    while (!is_cut(a) && imap_scan_try(s, ' '))
        if (!scan_message(s, a))
            return false;
    a->last = !is_cut(a);
    return is_cut(a) || imap_scan_end(s);
}

static void begin_piece(struct imap_scan *s, struct imap_append *a)
{
    a->steps = ARENA_ARRAY(s->arena, struct imap_append_step, IMAP_APPEND_STEPS_MAX);
    a->count = 0;
    a->last = false;
}

/* append = "APPEND" SP mailbox 1*append-message */
bool imap_args_append(struct imap_scan *s, struct imap_command *c)
{
    begin_piece(s, &c->append.pieces);
    return imap_scan_sp(s) && imap_scan_mailbox(s, &c->append.mailbox) && imap_scan_sp(s) &&
           scan_message(s, &c->append.pieces) && scan_further(s, &c->append.pieces);
}

/* replace = "REPLACE" SP seq-number SP mailbox append-message, RFC 8508 section 5; a second message is the
 * command's to refuse */
bool imap_args_replace(struct imap_scan *s, struct imap_command *c)
{
    const struct imap_set *set = &c->append.replaces;
    if (!imap_scan_sp(s) || !imap_scan_set(s, &c->append.replaces))
        return false;
    if (set->saved || set->count != 1 || set->ranges[0].lo != set->ranges[0].hi)
        return imap_scan_fail(s, "Expected the number of one message");
    return imap_args_append(s, c);
}

/* Behind the octets of a literal: the ")" of its message's parts, or the message is whole. */
static bool scan_after_literal(struct imap_scan *s, struct imap_append *a)
{
    if (a->paren && !imap_scan_byte(s, ')', "Malformed UTF8 literal"))
        return false;
    a->paren = false;
    if (!a->message->catenate)
        return end_message(s, a);
    if (imap_scan_try(s, ' '))
        return scan_parts(s, a);
    return imap_scan_byte(s, ')', "Malformed CATENATE") && end_message(s, a);
}

enum err imap_append_next_in(struct arena *arena, struct slice input, struct imap_append *append,
                             struct why *why)
{
    struct imap_scan s = imap_scan_new(arena, input, false);
    begin_piece(&s, append);
    if ((append->message && !scan_after_literal(&s, append)) || !scan_further(&s, append))
        return imap_scan_result(&s, why);
    return ERR_OK;
}
