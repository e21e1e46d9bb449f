/* door_messages.h: what strangers did, bans, decisions, and what is kept of them: auth and the network roles.
 * Part of wire.h, which includes it. */
#ifndef WIRE_DOOR_MESSAGES_H
#define WIRE_DOOR_MESSAGES_H

#include "wire/grant.h"

/* ---- the door ---- */

/* What a stranger did. Each is a line in the log (net/security.h: its name there and what it is worth) and,
 * where auth scores it, points towards a ban. */
enum offence {
    OFFENCE_FAILED_LOGIN,      /* found by auth itself; never sent */
    OFFENCE_EARLY_TALKER,      /* spoke before the greeting */
    OFFENCE_UNKNOWN_RECIPIENT, /* 550 5.1.1 */
    OFFENCE_RELAY_ATTEMPT,     /* a recipient elsewhere, without a login */
    OFFENCE_SPAM_TRAP,
    OFFENCE_PROTOCOL_ABUSE, /* not SMTP or IMAP at all, bare line ends, HTTP, hopeless errors */
    OFFENCE_LIMIT,          /* one of settings->limits was hit */
    OFFENCE_LISTED,         /* on DNS lists past reject_score */
    OFFENCE_BANNED,         /* knocked while banned; logged and counted, never scored */
    OFFENCE_COUNT
};

/* A notice. `count`: so many of the same kind from this address; the sender may gather them for a second. */
struct wire_offence {
    uint32_t kind; /* enum offence */
    uint32_t count;
    uint32_t listener;   /* index in settings */
    struct slice client; /* netaddr: 4 or 16 bytes */
    struct slice detail; /* what it was, for `rockdove ban explain`: an address, a limit's name; any bytes */
    struct slice session;
};

/* Descriptor 0: the sealed memfd of all bans (net/ban_list.h), which replaces the one before. Sent when a
 * link comes up, and when something changed, a few times a second at most. */
struct wire_ban_list {
    uint32_t count;
};

/* The clients smtp has come to know (smtp/known.h), in pieces: auth keeps them in a file, and gives them back
 * when smtp starts. Losing them costs nothing. */
enum { DOOR_FIRST = 1, DOOR_LAST = 2 };
struct wire_door_save {
    uint32_t flags;
    struct slice data;
};

/* Notice: behind this private address stand many different clients: a tunnel or gateway that hides them. */
struct wire_gateway_seen {
    uint32_t names;      /* different HELO domains seen */
    uint32_t listener;   /* index in settings */
    struct slice client; /* 4 or 16 bytes */
};

/* Decisions of CrowdSec. DECISIONS_FIRST: those known before are forgotten when DECISIONS_LAST comes (a full
 * answer); without it they are changes. Requests, answered with WIRE_RESULT: one at a time. `entries`:
 * wire_strings,
 * "+" or "-", the LAPI's id, address or network, seconds from now, type, origin and scenario, with blanks
 * between; relay has checked that none of them holds a blank. */
enum { DECISIONS_FIRST = 1, DECISIONS_LAST = 2 };
struct wire_decisions {
    uint32_t flags;
    struct slice entries;
};

/* For the LAPI: an address we banned (bans: local) or would have banned (observe). A notice. */
struct wire_ban_report {
    uint32_t simulated;
    uint32_t events;
    uint64_t begun, ended; /* of the evidence: seconds of Unix time */
    uint64_t seconds;      /* length of the ban */
    struct slice address;  /* text: address or network */
    struct slice scenario; /* "rockdove/failed-login" */
    struct slice message;
};

#endif
