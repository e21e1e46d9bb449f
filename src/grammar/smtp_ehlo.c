/* smtp_ehlo.c: the keywords of an EHLO reply, which a remote server chose. Called by relay's client. */
#include "grammar/smtp_ehlo.h"

#include "grammar/domain.h"

/* ehlo-ok-rsp  = ( "250-" Domain [ SP ehlo-greet ] CRLF *( "250-" ehlo-line CRLF ) "250" SP ehlo-line CRLF )
 * ehlo-line    = ehlo-keyword *( SP ehlo-param )
 * ehlo-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
 *
 * Compared without case; a malformed parameter leaves the keyword without it. */

struct mechanism {
    struct slice name;
    unsigned bit;
};

static const struct mechanism mechanisms[] = {
    {{(const uint8_t *)"PLAIN", 5}, SMTP_SASL_PLAIN},
    {{(const uint8_t *)"LOGIN", 5}, SMTP_SASL_LOGIN},
    {{(const uint8_t *)"SCRAM-SHA-256", 13}, SMTP_SASL_SCRAM_SHA_256},
    {{(const uint8_t *)"XOAUTH2", 7}, SMTP_SASL_XOAUTH2},
};

static bool take_word(struct slice *rest, struct slice *word)
{
    do {
        if (!slice_token(rest, ' ', word))
            return false;
    } while (word->len == 0);
    return true;
}

static void take_mechanisms(struct smtp_ehlo *ehlo, struct slice rest)
{
    for (struct slice word; take_word(&rest, &word);) {
        unsigned bit = SMTP_SASL_OTHER;
        for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
            if (slice_ieq(word, mechanisms[i].name))
                bit = mechanisms[i].bit;
        ehlo->mechanisms |= bit;
    }
    if (ehlo->mechanisms)
        ehlo->extensions |= SMTP_EHLO_AUTH;
}

/* size-value = 1*20DIGIT; 0 is "no fixed maximum" (RFC 1870 section 4). */
static void take_size(struct smtp_ehlo *ehlo, struct slice rest)
{
    struct slice word;
    uint64_t size;
    if (take_word(&rest, &word) && slice_u64(word, UINT64_MAX, &size))
        ehlo->size = size;
}

/* limit = name "=" value, for instance "RCPTMAX=100" (RFC 9422 section 3). */
static void take_limits(struct smtp_ehlo *ehlo, struct slice rest)
{
    for (struct slice word; take_word(&rest, &word);) {
        struct slice name;
        uint64_t value;
        if (!slice_token(&word, '=', &name) || !slice_u64(word, UINT32_MAX, &value))
            continue;
        if (slice_ieq(name, SLICE("RCPTMAX")))
            ehlo->rcptmax = value;
        else if (slice_ieq(name, SLICE("MAILMAX")))
            ehlo->mailmax = value;
    }
}

struct keyword {
    struct slice name;
    unsigned bit;
    void (*take)(struct smtp_ehlo *ehlo, struct slice rest); /* NULL: parameters do not matter */
};

#define KEYWORD(text)                                                                                        \
    {                                                                                                        \
        (const uint8_t *)(text), sizeof(text) - 1                                                            \
    }

static const struct keyword keywords[] = {
    {KEYWORD("PIPELINING"), SMTP_EHLO_PIPELINING, NULL},
    {KEYWORD("SIZE"), SMTP_EHLO_SIZE, take_size},
    {KEYWORD("8BITMIME"), SMTP_EHLO_8BITMIME, NULL},
    {KEYWORD("SMTPUTF8"), SMTP_EHLO_SMTPUTF8, NULL},
    {KEYWORD("CHUNKING"), SMTP_EHLO_CHUNKING, NULL},
    {KEYWORD("BINARYMIME"), SMTP_EHLO_BINARYMIME, NULL},
    {KEYWORD("DSN"), SMTP_EHLO_DSN, NULL},
    {KEYWORD("STARTTLS"), SMTP_EHLO_STARTTLS, NULL},
    {KEYWORD("AUTH"), 0, take_mechanisms},
    {KEYWORD("REQUIRETLS"), SMTP_EHLO_REQUIRETLS, NULL},
    {KEYWORD("ENHANCEDSTATUSCODES"), SMTP_EHLO_STATUSCODES, NULL},
    {KEYWORD("LIMITS"), SMTP_EHLO_LIMITS, take_limits},
};

static void take_keyword(struct smtp_ehlo *ehlo, struct slice line)
{
    /* "AUTH=LOGIN PLAIN": from before RFC 2554; some servers say only that. */
    if (slice_istarts(line, SLICE("AUTH="))) {
        take_mechanisms(ehlo, slice_from(line, 5));
        return;
    }
    struct slice word;
    if (!take_word(&line, &word))
        return;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        if (!slice_ieq(word, keywords[i].name))
            continue;
        ehlo->extensions |= keywords[i].bit;
        if (keywords[i].take)
            keywords[i].take(ehlo, line);
        return;
    }
}

void smtp_ehlo_parse(const struct smtp_reply *reply, struct smtp_ehlo *ehlo)
{
    struct slice rest = reply->raw, line;
    *ehlo = (struct smtp_ehlo){0};
    (void)smtp_reply_line(&rest, &line); /* the server's name */
    while (smtp_reply_line(&rest, &line))
        take_keyword(ehlo, slice_trim(line));
}

struct slice smtp_ehlo_host(const struct smtp_reply *reply)
{
    struct slice rest = reply->raw, line, word;
    if (!smtp_reply_line(&rest, &line) || !take_word(&line, &word) || word.len > DOMAIN_MAX)
        return SLICE_EMPTY;
    return domain_is_host(word) || domain_is_ip_literal(word, NULL) ? word : SLICE_EMPTY;
}
