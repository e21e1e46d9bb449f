/* compat.h: the lines that tools written for Postfix and Dovecot (CrowdSec, fail2ban) look for, with the
 * formats their parsers need. Passed to an event with LOG_COMPAT(line.program, compat_text(&line)).
 *
 * Whatever a client can choose goes through log_compat_sanitize(): these parsers are unanchored, a client's
 * text in such a line could name another address as the culprit. Never written for health checks of a load
 * balancer, for trusted networks, greylisting or deferrals of our own policy: the caller decides, with these
 * rules in mind.
 */
#ifndef SETTINGS_COMPAT_H
#define SETTINGS_COMPAT_H

#include "base/log.h"
#include "settings/settings.h"

#define COMPAT_LINE_MAX 900

struct compat_line {
    const char *program;
    size_t len;
    char text[COMPAT_LINE_MAX];
};
#define LOG_COMPAT_LINE(line) LOG_COMPAT((line)->program, slice_make((line)->text, (line)->len))

/* Is this the address of somebody whom a tool that reads such lines may ban? Not this machine, own networks,
 * load balancers and listed monitors: without this no line is written. The caller adds what only he knows:
 * health checks, gateways that hide their clients. */
bool compat_may_ban(const struct settings *settings, const struct netaddr *client);

/* Which of Postfix's daemons the listener would be: "postfix/smtpd", "postfix/submission/smtpd",
 * "postfix/smtps/smtpd". */
const char *compat_smtp_program(const struct settings_listener *listener);

/* `ip`: the client's address as text without port (IPv4 plain, never mapped). `name`: its verified PTR or
 * empty. A failed login: "warning: unknown[192.0.2.1]: SASL PLAIN authentication failed: REASON". `reason` is
 * our own text. */
void compat_sasl_failed(struct compat_line *line, const struct settings_listener *listener, struct slice ip,
                        struct slice name, struct slice mechanism, const char *reason);
/* A refused recipient or sender with a 5xx of ours (never a 4xx): "NOQUEUE: reject: RCPT from …". `reply` is
 * our text. */
struct compat_reject {
    const char *stage;  /* "CONNECT", "MAIL", "RCPT", "DATA" */
    struct slice reply; /* "550 5.1.1 …": may quote the client's address; made safe again here */
    struct slice from, to, helo;
    bool esmtp;
};
void compat_rejected(struct compat_line *line, const struct settings_listener *listener, struct slice ip,
                     struct slice name, const struct compat_reject *reject);
/* The client went away in the middle: "lost connection after RCPT from unknown[192.0.2.1]". `stage` is a verb
 * of ours. */
void compat_lost(struct compat_line *line, const struct settings_listener *listener, struct slice ip,
                 struct slice name, const char *stage);
/* An early talker (RFC 5321 section 4.3.1): postscreen's PREGREET line. `bytes` are what it sent. */
void compat_pregreet(struct compat_line *line, struct slice ip, uint16_t port, uint64_t after_ms,
                     struct slice bytes);
/* A failed IMAP or POP3 login in the words of dovecot's imap-login and pop3-login. */
struct compat_login {
    enum settings_service service;
    struct slice ip, server_ip; /* the client's and our own end of the connection */
    struct slice user, mechanism;
    unsigned attempts, seconds;
    bool tls;
};
void compat_login_failed(struct compat_line *line, const struct compat_login *login);

#endif
