/* Fuzzes the lines for tools that ban: whatever a client writes into its names, addresses and commands, the
 * only address in a line is its own, where the parsers look for it. The input is cut at NUL into what a
 * client can choose. */
#include <stdlib.h>
#include <string.h>

#include "settings/compat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define IP "203.0.113.1"

static size_t count_of(struct slice line, struct slice what)
{
    size_t count = 0;
    for (ptrdiff_t at; (at = slice_search(line, what)) >= 0; count++)
        line = slice_from(line, (size_t)at + what.len);
    return count;
}

static void check_line(const struct compat_line *line)
{
    static const struct log_head head = {.role = "smtp", .hostname = "mail", .pid = 1, .unix_ms = 1};
    const struct log_field fields[] = {LOG_COMPAT_LINE(line), {.kind = LOG_KIND_END}};
    char whole[LOG_LINE_MAX];
    size_t len = log_format_line(LOG_FORMAT_POSTFIX, &head, LOG_LEVEL_INFO, "smtp.rejected", fields, whole);
    struct slice text = slice_make(whole, len);
    if (len == 0 || line->len > COMPAT_LINE_MAX || slice_find(text, '\n') != (ptrdiff_t)len - 1)
        abort();
    for (size_t i = 0; i + 1 < len; i++)
        if (!ascii_is_print(text.ptr[i]))
            abort();
}

/* Postfix's: the address stands in the only pair of brackets of the message. */
static void check_postfix(const struct compat_line *line)
{
    struct slice text = slice_make(line->text, line->len);
    check_line(line);
    if (count_of(text, SLICE("[")) != 1 || count_of(text, SLICE("]")) != 1 ||
        count_of(text, SLICE("[" IP "]")) != 1)
        abort();
}

/* Dovecot's: the last pair of rip and lip counts. */
static void check_dovecot(const struct compat_line *line, bool tls)
{
    struct slice text = slice_make(line->text, line->len);
    struct slice end = tls ? SLICE(", rip=" IP ", lip=10.0.0.1, TLS") : SLICE(", rip=" IP ", lip=10.0.0.1");
    check_line(line);
    if (count_of(text, SLICE("rip=")) != 1 || count_of(text, SLICE("user=<")) != 1 || !slice_ends(text, end))
        abort();
}

static void check_smtp(const struct settings_listener *l, struct slice name, struct slice text,
                       const struct compat_reject *reject)
{
    struct compat_line line;
    struct slice ip = SLICE(IP);
    compat_sasl_failed(&line, l, ip, name, text, "wrong name or password");
    check_postfix(&line);
    compat_rejected(&line, l, ip, name, reject);
    check_postfix(&line);
    compat_lost(&line, l, ip, name, "RCPT");
    check_postfix(&line);
    compat_pregreet(&line, ip, 40000, text.len * 7, text);
    check_postfix(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice rest = slice_from(slice_make(data, len), 1), word[6] = {0};
    if (len == 0)
        return 0;
    const struct settings_listener listener = {.service = data[0] & 1 ? SETTINGS_SUBMISSION : SETTINGS_MX,
                                               .tls = data[0] & 2 ? SETTINGS_TLS_IMPLICIT
                                                                  : SETTINGS_TLS_STARTTLS};
    bool tls = data[0] & 4;
    for (size_t i = 0; i < 6 && slice_token(&rest, 0, &word[i]); i++)
        ;
    const struct compat_reject reject = {.stage = "RCPT",
                                         .reply = word[0],
                                         .from = word[1],
                                         .to = word[2],
                                         .helo = word[3],
                                         .esmtp = data[0] & 8};
    check_smtp(&listener, word[4], word[5], &reject);
    struct compat_line line;
    const struct compat_login login = {.service = data[0] & 1 ? SETTINGS_POP3 : SETTINGS_IMAP,
                                       .ip = SLICE(IP),
                                       .server_ip = SLICE("10.0.0.1"),
                                       .user = word[1],
                                       .mechanism = word[5],
                                       .attempts = data[0],
                                       .seconds = data[0],
                                       .tls = tls};
    compat_login_failed(&line, &login);
    check_dovecot(&line, tls);
    return 0;
}
