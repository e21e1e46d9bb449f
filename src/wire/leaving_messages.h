/* leaving_messages.h: signing, rewritten senders, and mail on its way out: queue, auth and relay. Part of
 * wire.h, which includes it. */
#ifndef WIRE_LEAVING_MESSAGES_H
#define WIRE_LEAVING_MESSAGES_H

#include "wire/grant.h"

/* ---- keys and rewritten addresses ---- */

/* All keys that can sign, in several messages while `more`: wire_strings, four for each key: domain,
 * selector, algorithm as in a key record ("rsa", "ed25519"), public key as in p= (bytes, not base64). */
struct wire_dkim_keys {
    uint32_t more;
    struct slice keys;
};

/* Signs with each of `selectors` (wire_strings) of `domain`. `time`: t=, unix seconds. */
struct wire_dkim_sign {
    uint64_t time;
    struct slice domain;
    struct slice selectors;
    struct slice hash, names, fields; /* as in wire_body_facts */
};

/* header: one folded DKIM-Signature field for each selector, CRLF after each line. */
struct wire_dkim_signed {
    uint32_t err;
    struct slice header;
    struct slice text;
};

/* reverse 0: the sender under which a forwarded message leaves; 1: whom a rewritten address stands for. */
struct wire_srs {
    uint32_t reverse;
    struct slice address;
};

/* ERR_ABSENT: no address of ours to rewrite back; ERR_REFUSED: forged or outdated, `text` says which. */
struct wire_srs_address {
    uint32_t err;
    struct slice address;
    struct slice text;
};

/* ---- mail leaves ---- */

enum relay_route {
    RELAY_ROUTE_DIRECT, /* the MXs of the domain `host` */
    RELAY_ROUTE_RELAY,  /* settings_relay_at(relay) */
    RELAY_ROUTE_MAP     /* host and port of a relay map line */
};

/* One transaction: one message, recipients that go the same route. Descriptor 0: the message, read-only;
 * `prefix` is sent before it. Answered with WIRE_RELAY_SENT when every recipient has its result. */
struct wire_relay_send {
    uint32_t route; /* enum relay_route */
    uint32_t relay; /* as in settings_relay_at(); of RELAY_ROUTE_MAP enum settings_map_tls */
    uint32_t port;
    uint32_t no_mx;    /* RELAY_ROUTE_MAP: the host stood in brackets */
    uint32_t smtputf8; /* an address or a header needs it */
    uint32_t eightbit; /* the message needs 8BITMIME */
    uint32_t requiretls;
    uint32_t ret;      /* 0 none, 1 FULL, 2 HDRS */
    uint64_t size;     /* of the message in the descriptor, without prefix */
    struct slice host; /* A-labels */
    struct slice sender;
    struct slice envid;
    struct slice prefix;     /* whole lines */
    struct slice recipients; /* wire/relay.h */
    struct slice queue_id;
    struct slice session;
};

/* What failed decides whom it concerns. */
enum relay_scope {
    RELAY_SCOPE_MESSAGE,    /* this transaction; another may go on at once */
    RELAY_SCOPE_DESTINATION /* no name, connection, greeting, TLS, login: others of this route would fail too
                             */
};

struct wire_relay_sent {
    uint32_t scope;     /* enum relay_scope */
    uint32_t slow_down; /* the other side said 421, 450 or 451 */
    uint32_t dsn;       /* the other side takes DSN parameters: it will tell the sender itself */
    uint32_t reused;    /* on a connection that was there */
    uint32_t lookup_ms, connect_ms, session_ms, data_ms;
    struct slice results;    /* wire/relay.h: one for each recipient */
    struct slice remote;     /* name of the host spoken to */
    struct slice address;    /* its IP address */
    struct slice tls;        /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty */
    struct slice policy;     /* "dane", "sts", "relay", "opportunistic", "none": what TLS had to be */
    struct slice tls_result; /* RFC 8460 section 4.3: "success", "starttls-not-supported", … */
};

/* Forget what is known of a destination's names and idle connections (an operator's retry); empty: of all. */
struct wire_relay_forget {
    struct slice host;
};

/* The secret of this relay (settings_relay_at, or UINT32_MAX: a relay map's) is another than before. */
struct wire_relay_secret_changed {
    uint32_t relay;
};

/* Logs in to settings_relay_at(relay) and says what it sees; with `to`, sends the message in descriptor 0
 * there. Answered with WIRE_CONTROL_OUTPUT packets. */
struct wire_relay_test {
    uint32_t relay;
    uint32_t json;
    uint64_t size;
    struct slice sender, to;
};

/* The key record at selector._domainkey.domain. */
struct wire_dkim_check {
    struct slice domain, selector;
};

/* status: enum dns_status; DNS_NODATA also when what is there is no key record. */
struct wire_dkim_published {
    uint32_t status;
    uint32_t forbids;       /* its h= has no sha256, or its s= no email: no signature of ours is valid */
    struct slice algorithm; /* "rsa", "ed25519" */
    struct slice key;       /* p=, decoded; empty: revoked */
};

#endif
