/* dns_list.h: DNS lists of addresses (RFC 5782): which name to ask, what an answer means, and whether a list
 * can be believed just now. Pure: who asks, and when, is the smtp role's (smtp/dns_list.c).
 *
 * A list that died does harm in two ways: it lists nobody, or (its domain expired, its owner is tired of us)
 * everybody. So no listing counts unless the list passed its test, which is made at start, every hour, and
 * again when something is found on it and the last test is not fresh.
 */
#ifndef POLICY_DNS_LIST_H
#define POLICY_DNS_LIST_H

#include "base/conf.h"
#include "grammar/netaddr.h"

#define DNS_LIST_NAME_MAX    253 /* of a whole name, as text without the last dot (RFC 1035 section 2.3.4) */
#define DNS_LIST_RECORDS_MAX 64  /* of one answer that are looked at */

struct dns_list_name {
    size_t len;
    char text[DNS_LIST_NAME_MAX + 1];
};

/* "7.113.0.203.ZONE" (RFC 5782 section 2.1), 32 nibbles for IPv6 (section 2.4). False for other families and
 * where it would be too long, or the zone is no domain name. */
bool dns_list_name(const struct netaddr *addr, struct slice zone, struct dns_list_name *name) MUST_CHECK;

enum dns_list_finding {
    DNS_LIST_UNKNOWN, /* no answer, or a failure */
    DNS_LIST_CLEAN,   /* not listed, or with answers that do not count */
    DNS_LIST_LISTED,
    DNS_LIST_REFUSED, /* 127.255.255.x: the list does not answer our resolver */
    DNS_LIST_WRONG    /* an answer outside of 127.0.0.0/8: that is no list (any more) */
};

/* What the A records (rdata, 4 bytes each) of an answer say; none: the name does not exist. `answers` are the
 * networks which count; none given: all of 127.0.0.0/8 (RFC 5782 section 2.1). */
enum dns_list_finding dns_list_read(const struct slice *records, size_t count,
                                    const struct conf_network *answers, size_t answer_count);

/* The test points of RFC 5782 section 5: the first must be listed, the second must not be. */
extern const struct netaddr dns_list_point_listed; /* 127.0.0.2 */
extern const struct netaddr dns_list_point_clean;  /* 127.0.0.1 */

enum dns_list_health {
    DNS_LIST_UNTESTED,
    DNS_LIST_WORKS,
    DNS_LIST_SILENT,    /* no answer to a test point */
    DNS_LIST_EMPTY,     /* 127.0.0.2 is not on it */
    DNS_LIST_LISTS_ALL, /* 127.0.0.1 is on it */
    DNS_LIST_REFUSES,
    DNS_LIST_NONSENSE
};
/* Of what was found for both test points, each read with all answers counting. */
enum dns_list_health dns_list_judge(enum dns_list_finding listed, enum dns_list_finding clean);
/* For the log: "lists everybody: 127.0.0.1 is on it". */
const char *dns_list_health_text(enum dns_list_health health);

#define DNS_LIST_TEST_MS    3600000u /* between two tests */
#define DNS_LIST_FRESH_MS   10000u   /* a listing is believed for so long after a test */
#define DNS_LIST_RETRY_MS   5000u    /* after a silent test; doubled up to DNS_LIST_TEST_MS */
#define DNS_LIST_SILENT_MAX 3u       /* so many in a row switch off a list that worked */

/* Whether one list is in use, and when it is to be tested. */
struct dns_list_watch {
    bool on;
    enum dns_list_health health; /* why it is off; DNS_LIST_WORKS while on */
    unsigned silent;             /* tests in a row without an answer */
    uint64_t tested_ms, due_ms;
};

/* Off until its first test, which is due at once. */
void dns_list_watch_begin(struct dns_list_watch *watch, uint64_t now_ms);
/* A test has ended. True when that changed whether it is used, or why not: for one line in the log. */
bool dns_list_watch_tested(struct dns_list_watch *watch, enum dns_list_health health,
                           uint64_t now_ms) MUST_CHECK;
/* Something was found out about a client. True when a test is due now. */
bool dns_list_watch_saw(struct dns_list_watch *watch, enum dns_list_finding finding,
                        uint64_t now_ms) MUST_CHECK;

#endif
