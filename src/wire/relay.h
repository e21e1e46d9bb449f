/* relay.h: the rows inside WIRE_RELAY_SEND and WIRE_RELAY_SENT. Pure; used by queue and relay. */
#ifndef WIRE_RELAY_H
#define WIRE_RELAY_H

#include "wire/wire.h"

/* Recipients of one transaction: what fits into a message with addresses of any length. */
#define WIRE_RELAY_RECIPIENTS_MAX 1000

struct relay_recipient {
    uint32_t ordinal; /* of queue's row: names the recipient in the result */
    uint32_t notify;  /* RFC 3461 section 4.1, bits as in wire_queue_rcpt */
    struct slice address;
    struct slice orcpt;
};

enum relay_outcome {
    RELAY_OUTCOME_SENT,      /* the other side has answered for it */
    RELAY_OUTCOME_LATER,     /* 4xx, or not reached: try again */
    RELAY_OUTCOME_REFUSED,   /* 5xx, or what can never work */
    RELAY_OUTCOME_SEVEN_BIT, /* not tried: the other side takes no 8-bit messages; send the 7-bit form */
    RELAY_OUTCOME_LOGIN,     /* the relay refused our name and password: the route must stop */
    RELAY_OUTCOME_UNKNOWN,   /* lost after the last byte: maybe accepted; counts as LATER, may come twice */
    RELAY_OUTCOME_COUNT
};

struct relay_result {
    uint32_t ordinal;
    uint32_t outcome;      /* enum relay_outcome */
    uint32_t code;         /* the reply's; 0: no reply */
    struct slice enhanced; /* "5.1.1"; ours where the other side gave none */
    struct slice text;     /* the reply's text on one line, or ours; printable ASCII or UTF-8, bounded */
};

void relay_recipient_add(struct buf *list, const struct relay_recipient *recipient);
/* False: the end, or ill-formed (`list` is not empty then). Slices point into the list. */
bool relay_recipient_take(struct slice *list, struct relay_recipient *recipient) MUST_CHECK;
void relay_result_add(struct buf *list, const struct relay_result *result);
bool relay_result_take(struct slice *list, struct relay_result *result) MUST_CHECK;

#endif
