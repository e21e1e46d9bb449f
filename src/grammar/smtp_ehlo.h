/* smtp_ehlo.h: what a server offers in its answer to EHLO (RFC 5321 section 4.1.1.1). Pure; the bytes are a
 * stranger's. */
#ifndef GRAMMAR_SMTP_EHLO_H
#define GRAMMAR_SMTP_EHLO_H

#include "grammar/smtp_reply_parse.h"

enum {
    SMTP_EHLO_PIPELINING = 1,     /* RFC 2920 */
    SMTP_EHLO_SIZE = 2,           /* RFC 1870 */
    SMTP_EHLO_8BITMIME = 4,       /* RFC 6152 */
    SMTP_EHLO_SMTPUTF8 = 8,       /* RFC 6531 */
    SMTP_EHLO_CHUNKING = 16,      /* RFC 3030 */
    SMTP_EHLO_BINARYMIME = 32,    /* RFC 3030 */
    SMTP_EHLO_DSN = 64,           /* RFC 3461 */
    SMTP_EHLO_STARTTLS = 128,     /* RFC 3207 */
    SMTP_EHLO_AUTH = 256,         /* RFC 4954 */
    SMTP_EHLO_REQUIRETLS = 512,   /* RFC 8689 */
    SMTP_EHLO_STATUSCODES = 1024, /* RFC 2034 */
    SMTP_EHLO_LIMITS = 2048       /* RFC 9422 */
};

enum {
    SMTP_SASL_PLAIN = 1,
    SMTP_SASL_LOGIN = 2,
    SMTP_SASL_SCRAM_SHA_256 = 4,
    SMTP_SASL_XOAUTH2 = 8,
    SMTP_SASL_OTHER = 16 /* something we do not know */
};

struct smtp_ehlo {
    unsigned extensions;       /* set of SMTP_EHLO_… */
    unsigned mechanisms;       /* set of SMTP_SASL_… */
    uint64_t size;             /* 0: no limit was told */
    uint64_t rcptmax, mailmax; /* 0: none was told */
};

/* The reply to EHLO; unknown and malformed keywords are passed over. */
void smtp_ehlo_parse(const struct smtp_reply *reply, struct smtp_ehlo *ehlo);
/* The name the server gives itself in the first line of a greeting or EHLO reply: its first word when that
 * can be a host name or address literal, otherwise empty. Points into the reply. */
struct slice smtp_ehlo_host(const struct smtp_reply *reply);

#endif
