/* compat.c: log lines in the words of Postfix and Dovecot, for tools that parse those. Client bytes are
 * sanitised here; the parsers on the other side search anywhere in the line. Called by smtp, imap and auth
 * when they log. */
#include "settings/compat.h"

#include <stdio.h>
#include <string.h>

#include "grammar/domain.h"

#define COMPAT_WORD_MAX  128 /* of one client-chosen value */
#define COMPAT_REPLY_MAX 200

static void put(struct compat_line *line, const char *text)
{
    size_t len = strlen(text), room = sizeof line->text - line->len;
    len = len < room ? len : room;
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

/* A value a client can choose. */
static void put_word(struct compat_line *line, struct slice raw)
{
    size_t room = sizeof line->text - line->len;
    line->len +=
        log_compat_sanitize(raw, line->text + line->len, room < COMPAT_WORD_MAX ? room : COMPAT_WORD_MAX);
}

static void put_number(struct compat_line *line, uint64_t number)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    put(line, digits);
}

/* Our own words, which may quote an address: spaces stay, brackets and the like do not. */
static void put_reply(struct compat_line *line, struct slice reply)
{
    struct slice rest = slice_sub(reply, 0, COMPAT_REPLY_MAX), word;
    for (bool first = true; slice_token(&rest, ' ', &word); first = false) {
        if (!first)
            put(line, " ");
        put_word(line, word);
    }
}

/* The parsers know host names of labels of letters, digits and hyphens; any other, or one that is cut, makes
 * the line useless, so: unknown. */
static bool is_plain_name(struct slice name)
{
    return name.len <= COMPAT_WORD_MAX && domain_is_ldh(name);
}

/* name[ip] */
static void put_client(struct compat_line *line, struct slice ip, struct slice name)
{
    if (is_plain_name(name))
        put_word(line, name);
    else
        put(line, "unknown");
    put(line, "[");
    put_word(line, ip);
    put(line, "]");
}

bool compat_may_ban(const struct settings *settings, const struct netaddr *client)
{
    return (client->family == NETADDR_V4 || client->family == NETADDR_V6) && !netaddr_is_loopback(client) &&
           !settings_is_trusted(settings, client) && !settings_is_proxy(settings, client) &&
           !settings_networks_have(settings->ban_policy.except.items, settings->ban_policy.except.count,
                                   client);
}

const char *compat_smtp_program(const struct settings_listener *listener)
{
    if (listener->service != SETTINGS_SUBMISSION)
        return "postfix/smtpd";
    return listener->tls == SETTINGS_TLS_IMPLICIT ? "postfix/smtps/smtpd" : "postfix/submission/smtpd";
}

/* The parsers know four SASL mechanisms; a failure of another is told under PLAIN, so that it counts. */
static const char *known_mechanism(struct slice mechanism)
{
    static const char *const known[] = {"LOGIN", "PLAIN", "CRAM-MD5", "DIGEST-MD5"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_ieq(mechanism, slice_of(known[i])))
            return known[i];
    return "PLAIN";
}

void compat_sasl_failed(struct compat_line *line, const struct settings_listener *listener, struct slice ip,
                        struct slice name, struct slice mechanism, const char *reason)
{
    line->program = compat_smtp_program(listener);
    line->len = 0;
    put(line, "warning: ");
    put_client(line, ip, name);
    put(line, ": SASL ");
    put(line, known_mechanism(mechanism));
    put(line, " authentication failed: ");
    put(line, reason);
}

void compat_rejected(struct compat_line *line, const struct settings_listener *listener, struct slice ip,
                     struct slice name, const struct compat_reject *reject)
{
    line->program = compat_smtp_program(listener);
    line->len = 0;
    put(line, "NOQUEUE: reject: ");
    put(line, reject->stage);
    put(line, " from ");
    put_client(line, ip, name);
    put(line, ": ");
    put_reply(line, reject->reply);
    put(line, "; from=<");
    put_word(line, reject->from);
    put(line, "> to=<");
    put_word(line, reject->to);
    put(line, reject->esmtp ? "> proto=ESMTP helo=<" : "> proto=SMTP helo=<");
    put_word(line, reject->helo);
    put(line, ">");
}

void compat_lost(struct compat_line *line, const struct settings_listener *listener, struct slice ip,
                 struct slice name, const char *stage)
{
    line->program = compat_smtp_program(listener);
    line->len = 0;
    put(line, "lost connection after ");
    put(line, stage);
    put(line, " from ");
    put_client(line, ip, name);
}

void compat_pregreet(struct compat_line *line, struct slice ip, uint16_t port, uint64_t after_ms,
                     struct slice bytes)
{
    char seconds[32];
    line->program = "postfix/postscreen";
    line->len = 0;
    put(line, "PREGREET ");
    put_number(line, bytes.len);
    (void)snprintf(seconds, sizeof seconds, "%llu.%02llu", (unsigned long long)(after_ms / 1000),
                   (unsigned long long)(after_ms % 1000 / 10)); /* the parser wants the decimal point */
    put(line, " after ");
    put(line, seconds);
    put(line, " from [");
    put_word(line, ip);
    put(line, "]:");
    put_number(line, port);
    put(line, ": ");
    put_word(line, bytes);
}

void compat_login_failed(struct compat_line *line, const struct compat_login *login)
{
    line->program = "dovecot";
    line->len = 0;
    put(line, login->service == SETTINGS_POP3 ? "pop3" : "imap");
    put(line, "-login: Disconnected (auth failed, ");
    put_number(line, login->attempts);
    put(line, " attempts in ");
    put_number(line, login->seconds);
    put(line, " secs): user=<");
    put_word(line, login->user);
    put(line, ">, method=");
    put(line, known_mechanism(login->mechanism));
    put(line, ", rip=");
    put_word(line, login->ip);
    put(line, ", lip=");
    put_word(line, login->server_ip);
    if (login->tls)
        put(line, ", TLS");
}
