/* mail_make.c: text, alternatives with HTML, attachments; several charsets and encodings; threads; a header
 * as long as three servers make it. About 18 KB each. */
#include "mail_make.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORDS       4000u
#define WORD_MAX    14
#define DATE_FIRST  1600000000
#define DATE_STEP   1500
#define THREAD_SPAN 40u /* answers refer to one of so many messages before */

static char words[WORDS][WORD_MAX];

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static unsigned below(struct mail *m, unsigned limit)
{
    return (unsigned)(next_random(&m->random) % limit);
}

static void make_words(void)
{
    static const char *const syllables[] = {"ba",  "co",  "den", "fi",  "gor", "hu", "ja",
                                            "kel", "lo",  "mi",  "nus", "or",  "pe", "qua",
                                            "ri",  "sto", "tu",  "ver", "wa",  "zen"};
    uint64_t state = 88172645463325252u;
    for (unsigned i = 0; i < WORDS; i++) {
        unsigned count = 1 + (unsigned)(next_random(&state) % 4);
        for (unsigned k = 0; k < count; k++) {
            size_t len = strlen(words[i]);
            (void)snprintf(words[i] + len, sizeof words[i] - len, "%s", syllables[next_random(&state) % 20]);
        }
    }
}

static void room(struct mail *m, size_t len)
{
    if (m->len + len <= m->cap)
        return;
    m->cap = (m->len + len) * 2;
    m->text = realloc(m->text, m->cap);
    if (!m->text)
        abort();
}

static void put(struct mail *m, const char *text)
{
    size_t len = strlen(text);
    room(m, len);
    memcpy(m->text + m->len, text, len);
    m->len += len;
}

__attribute__((format(printf, 2, 3))) static void putf(struct mail *m, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(m, text);
}

/* Frequent words are frequent: the product of two numbers leans to the front. */
static const char *word(struct mail *m)
{
    return words[below(m, WORDS) * (uint64_t)below(m, WORDS) / WORDS];
}

static void put_words(struct mail *m, unsigned count, const char *between)
{
    for (unsigned i = 0; i < count; i++) {
        put(m, i ? between : "");
        put(m, word(m));
    }
}

/* ---- text ---- */

struct flavour {
    const char *charset, *encoding, *odd; /* `odd`: a word of that charset in that encoding */
};
static const struct flavour flavours[] = {
    {"us-ascii", "7bit", "plain"},
    {"utf-8", "8bit",
     "Gr\xc3\xbc\xc3\x9f"
     "e"},
    {"utf-8", "quoted-printable", "Gr=C3=BC=C3=9Fe"},
    {"iso-8859-1", "quoted-printable", "Gr=FC=DFe"},
    {"windows-1252", "8bit", "caf\xe9"},
    {"koi8-r", "8bit", "\xd0\xd2\xc9\xd7\xc5\xd4"},
};

static void put_text(struct mail *m, const struct flavour *flavour, size_t size, uint32_t number)
{
    size_t end = m->len + size;
    if (number % MAIL_RARE_EVERY == 500)
        put(m, "About the " MAIL_RARE_WORD " of which we spoke:\r\n");
    while (m->len < end) {
        put_words(m, 6 + below(m, 5), " ");
        if (below(m, 4) == 0)
            putf(m, " %s", flavour->odd);
        put(m, below(m, 8) ? "\r\n" : ".\r\n\r\n");
    }
}

static void put_html(struct mail *m, const struct flavour *flavour, size_t size)
{
    size_t end = m->len + size;
    put(m, "<html><head><style>td { font-family: sans-serif; }</style></head><body><table>\r\n");
    while (m->len < end) {
        putf(m, "<tr><td class=3D\"c%u\"><a href=3D\"https://news.example/%u\">", below(m, 9),
             below(m, 100000));
        put_words(m, 3 + below(m, 4), " ");
        putf(m, "</a> %s &amp; </td></tr>\r\n", flavour->odd);
    }
    put(m, "</table></body></html>\r\n");
}

static void put_base64(struct mail *m, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t done = 0; done < size; done += 76) {
        room(m, 78);
        for (unsigned i = 0; i < 76; i += 4) {
            uint64_t bits = next_random(&m->random);
            for (unsigned k = 0; k < 4; k++, bits >>= 6)
                m->text[m->len++] = digits[bits & 63];
        }
        put(m, "\r\n");
    }
}

/* ---- shapes ---- */

static void put_part_head(struct mail *m, const char *type, const struct flavour *flavour)
{
    putf(m, "Content-Type: %s; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n", type, flavour->charset,
         flavour->encoding);
}

static void put_alternative(struct mail *m, const struct flavour *flavour, uint32_t number)
{
    putf(m, "Content-Type: multipart/alternative; boundary=\"alt-%u\"\r\n\r\n--alt-%u\r\n", number, number);
    put_part_head(m, "text/plain", flavour);
    put_text(m, flavour, 1000 + below(m, 4000), number);
    putf(m, "\r\n--alt-%u\r\n", number);
    put_part_head(m, "text/html", &flavours[2 + below(m, 2)]);
    put_html(m, flavour, 4000 + below(m, 14000));
    putf(m, "\r\n--alt-%u--\r\n", number);
}

static void put_attachment(struct mail *m, const struct flavour *flavour, uint32_t number)
{
    putf(m, "Content-Type: multipart/mixed; boundary=\"mix-%u\"\r\n\r\n--mix-%u\r\n", number, number);
    if (below(m, 2)) {
        put_alternative(m, flavour, number);
    } else {
        put_part_head(m, "text/plain", flavour);
        put_text(m, flavour, 1000 + below(m, 4000), number);
    }
    for (unsigned left = 1 + below(m, 2); left > 0; left--) {
        putf(m, "\r\n--mix-%u\r\nContent-Type: %s; name=\"report-%u.pdf\"\r\n", number,
             below(m, 2) ? "application/pdf" : "image/jpeg", below(m, 1000));
        putf(m, "Content-Disposition: attachment; filename=\"report-%u.pdf\"\r\n", number);
        put(m, "Content-Transfer-Encoding: base64\r\n\r\n");
        put_base64(m, 10000 + below(m, 30000));
    }
    putf(m, "\r\n--mix-%u--\r\n", number);
}

static void put_person(struct mail *m, const char *field, unsigned person)
{
    static const char *const forms[] = {"%s: Person%c%u Tester <person%c%u@people.example>\r\n",
                                        "%s: \"Tester, Person%c%u\" <person%c%u@people.example>\r\n",
                                        "%s: =?UTF-8?Q?Persn=C3=B6?= %c%u <person%c%u@people.example>\r\n"};
    char letter = (char)('A' + person % 26), small = (char)('a' + person % 26);
    char line[200];
    /* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): one of the three above */
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"")
        snprintf(line, sizeof line, forms[person % 3], field, letter, person, small, person);
    _Pragma("GCC diagnostic pop") put(m, line);
}

static void date_rfc5322(int64_t date, char *to)
{
    struct tm tm;
    time_t seconds = (time_t)date;
    gmtime_r(&seconds, &tm);
    strftime(to, 40, "%a, %d %b %Y %H:%M:%S +0000", &tm);
}

void mail_date_imap(int64_t date, char *to)
{
    struct tm tm;
    time_t seconds = (time_t)date;
    gmtime_r(&seconds, &tm);
    strftime(to, 32, "%d-%b-%Y %H:%M:%S +0000", &tm);
}

static void put_trace(struct mail *m, uint32_t number, const char *date)
{
    for (unsigned hop = 0; hop < 3; hop++)
        putf(m,
             "Received: from host%u.relay.example (host%u.relay.example [192.0.2.%u])\r\n"
             "\tby mx%u.example.net (Postfix) with ESMTPS id 4%08X%u\r\n"
             "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n"
             "\tfor <user@bench.test>; %s\r\n",
             below(m, 900), below(m, 900), below(m, 250), hop, number, hop, date);
    put(m, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=people.example; s=mail;\r\n"
           "\th=from:to:subject:date:message-id; bh=");
    for (unsigned i = 0; i < 40; i++)
        putf(m, "%c", 'a' + (char)below(m, 26));
    put(m, "=;\r\n\tb=");
    for (unsigned i = 0; i < 340; i++)
        putf(m, i % 70 == 69 ? "%c\r\n\t " : "%c", 'A' + (char)below(m, 26));
    put(m, "\r\nX-Mailer: Bench 1.0\r\nX-Spam-Status: No, score=-1.9\r\n");
}

static void put_threading(struct mail *m, uint32_t number)
{
    bool answer = number > 0 && below(m, 2);
    uint32_t back = number < THREAD_SPAN ? number : THREAD_SPAN;
    uint32_t parent = answer ? number - 1 - below(m, back) : 0;
    if (below(m, 6) == 0 && !answer)
        putf(m, "Subject: =?ISO-8859-1?Q?Gr=FC=DFe_%s?= %s\r\n", word(m), word(m));
    else {
        put(m, answer ? "Subject: Re: " : "Subject: ");
        put_words(m, 3 + below(m, 5), " ");
        put(m, "\r\n");
    }
    putf(m, "Message-ID: <%08u.%u@people.example>\r\n", number, number % 977);
    if (answer)
        putf(m, "In-Reply-To: <%08u.%u@people.example>\r\nReferences: <%08u.%u@people.example>\r\n", parent,
             parent % 977, parent, parent % 977);
}

void mail_make(struct mail *m, uint32_t number)
{
    char date[40];
    if (!words[0][0])
        make_words();
    m->len = 0;
    m->random = number * 0x9e3779b97f4a7c15u + 0x1234567;
    for (unsigned i = 0; i < 4; i++)
        next_random(&m->random);
    m->date = DATE_FIRST + (int64_t)number * DATE_STEP;
    date_rfc5322(m->date, date);
    put_trace(m, number, date);
    put_person(m, "From", below(m, MAIL_PEOPLE));
    put_person(m, "To", below(m, MAIL_PEOPLE));
    if (below(m, 3) == 0)
        put_person(m, "Cc", below(m, MAIL_PEOPLE));
    put_threading(m, number);
    putf(m, "Date: %s\r\nMIME-Version: 1.0\r\n", date);
    const struct flavour *flavour = &flavours[below(m, 6)];
    unsigned shape = below(m, 10);
    if (shape < 4) {
        put_part_head(m, "text/plain", flavour);
        put_text(m, flavour, 2000 + below(m, 8000), number);
    } else if (shape < 8) {
        put_alternative(m, flavour, number);
    } else {
        put_attachment(m, flavour, number);
    }
}

void mail_free(struct mail *m)
{
    free(m->text);
    *m = (struct mail){0};
}
