/* mta_sts.h: MTA-STS (RFC 8461): the TXT record that says there is a policy, the policy file, and whether a
 * mail host is one it names. Pure; both texts are a stranger's.
 */
#ifndef POLICY_MTA_STS_H
#define POLICY_MTA_STS_H

#include "base/arena.h"
#include "base/err.h"

#define STS_RECORD_MAX  1024        /* bytes of the TXT record, joined */
#define STS_ANSWERS_MAX 100         /* TXT records looked at */
#define STS_ID_MAX      32          /* RFC 8461 section 3.1 */
#define STS_POLICY_MAX  (64u << 10) /* bytes of the policy file (section 3.3) */
#define STS_MX_MAX      200         /* patterns kept; more make the policy invalid */
#define STS_AGE_MAX     31557600    /* section 3.2: a year */

struct sts_id {
    size_t len;
    char text[STS_ID_MAX];
};

/* The id in the TXT records of _mta-sts.DOMAIN, each joined from its strings (rdata_txt_in). False when there
 * is no policy: not exactly one record that begins with "v=STSv1", or an ill-formed one. */
bool sts_record_read(const struct slice *records, size_t count, struct sts_id *id) MUST_CHECK;

enum sts_mode { STS_MODE_NONE, STS_MODE_TESTING, STS_MODE_ENFORCE };
extern const char *const sts_mode_names[]; /* "none", "testing", "enforce", NULL */

struct sts_policy {
    enum sts_mode mode;
    uint32_t max_age; /* seconds, at most STS_AGE_MAX */
    struct slice *mx; /* patterns in lower case; in the arena */
    size_t mx_count;  /* not 0 unless the mode is none */
};

/* Section 3.2. ERR_BAD with `why` when there is no valid policy in the text. */
enum err sts_policy_parse_in(struct arena *arena, struct slice text, struct sts_policy *policy,
                             struct why *why) MUST_CHECK;
/* Section 4.1: `host` (A-labels, any case) is one of the patterns; "*." stands for exactly one label. */
bool sts_policy_has(const struct sts_policy *policy, struct slice host);
/* The media type of the policy's HTTP answer is text/plain (section 3.2), whatever its parameters. */
bool sts_type_is_plain(struct slice content_type);

#endif
