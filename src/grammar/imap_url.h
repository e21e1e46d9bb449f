/* imap_url.h: IMAP URLs of one message or a part of it (RFC 5092), as CATENATE and URLAUTH (RFC 4467) use
 * them. Pure; trusts nothing. */
#ifndef GRAMMAR_IMAP_URL_H
#define GRAMMAR_IMAP_URL_H

#include "base/err.h"
#include "grammar/imap_fetch.h"

#define IMAP_URL_MAX 4096 /* octets of one URL */

enum imap_url_access { /* who may use an authorised URL (RFC 4467 section 3) */
                       IMAP_URL_NOT_AUTHORISED,
                       IMAP_URL_SUBMIT,   /* a submission server on behalf of `access_user` */
                       IMAP_URL_USER,     /* `access_user` */
                       IMAP_URL_AUTHUSER, /* whoever has logged in, but anonymously */
                       IMAP_URL_ANONYMOUS
};

struct imap_url {
    bool absolute;        /* "imap://…"; otherwise relative to the session */
    struct slice user;    /* decoded; empty: not given */
    struct slice host;    /* with the port cut off */
    struct slice mailbox; /* UTF-8, INBOX canonical; empty: that of the session (only when relative) */
    uint32_t uidvalidity; /* 0: not given */
    uint32_t uid;
    struct imap_section section; /* form BODY; the partial is in it */
    bool expires;
    int64_t expire; /* unix seconds */
    enum imap_url_access access;
    struct slice access_user;
    struct slice rump;      /* the text up to and with the access: what the token signs */
    struct slice mechanism; /* empty: no token */
    struct slice token;     /* hexadecimal digits as written */
};

/* The whole of `text`. Slices point into it or the arena. ERR_BAD: no URL of a message. */
enum err imap_url_parse_in(struct arena *arena, struct slice text, struct imap_url *url,
                           struct why *why) MUST_CHECK;
/* Whether URL and session mean the same account, an address: the user as a whole address, or its local part
 * with the URL's host as its domain (some clients split it so). */
bool imap_url_is_of(const struct imap_url *url, struct slice account);
/* The URL's host is this server: its own name, or the domain of the account. */
bool imap_url_is_here(const struct imap_url *url, struct slice hostname, struct slice account);
/* The access user means this account: the same rule with the account's own domain. */
bool imap_url_is_for(const struct imap_url *url, struct slice account);

#endif
