/* mta_sts.c: MTA-STS record and policy. Reads a stranger's zone data and web server's answer; called by
 * relay/sts.c and relay/resolve.c. */
#include "policy/mta_sts.h"

#include <string.h>

#include "base/coll.h"
#include "grammar/domain.h"

const char *const sts_mode_names[] = {"none", "testing", "enforce", NULL};

static bool is_wsp(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim_wsp(struct slice s)
{
    while (s.len && is_wsp(s.ptr[0]))
        s = slice_from(s, 1);
    while (s.len && is_wsp(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* sts-ext-name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".") */
static bool is_name(struct slice s)
{
    if (s.len == 0 || s.len > 32 || !ascii_is_alnum(s.ptr[0]))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!ascii_is_alnum(s.ptr[i]) && slice_find(SLICE("_-."), s.ptr[i]) < 0)
            return false;
    return true;
}

/* ---- the TXT record ---- */

/* sts-ext-value = 1*(%x21-3A / %x3C / %x3E-7E) */
static bool is_record_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7e || s.ptr[i] == ';' || s.ptr[i] == '=')
            return false;
    return s.len > 0;
}

/* sts-id = %s"id=" 1*32(ALPHA / DIGIT) */
static bool is_id(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_alnum(s.ptr[i]))
            return false;
    return s.len > 0 && s.len <= STS_ID_MAX;
}

/* sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
 * sts-field       = sts-id / sts-extension
 * sts-field-delim = *WSP ";" *WSP
 * sts-version     = %s"v=STSv1"                          (RFC 8461 section 3.1)
 * Of several ids the first counts, as for the fields of the policy. */
static bool parse_record(struct slice record, struct sts_id *id)
{
    struct slice field;
    bool found = false;
    record = trim_wsp(record);
    if (slice_ends(record, SLICE(";")))
        record.len--;
    if (record.len > STS_RECORD_MAX || slice_ends(trim_wsp(record), SLICE(";")) ||
        !slice_token(&record, ';', &field) || !slice_eq(trim_wsp(field), SLICE("v=STSv1")))
        return false;
    while (slice_token(&record, ';', &field)) {
        field = trim_wsp(field);
        ptrdiff_t equals = slice_find(field, '=');
        if (equals < 0)
            return false;
        struct slice name = slice_sub(field, 0, (size_t)equals),
                     value = slice_from(field, (size_t)equals + 1);
        if (!is_name(name) || !is_record_value(value))
            return false;
        if (!slice_eq(name, SLICE("id")) || found)
            continue;
        if (!is_id(value))
            return false;
        found = true;
        id->len = value.len;
        memcpy(id->text, value.ptr, value.len);
    }
    return found;
}

bool sts_record_read(const struct slice *records, size_t count, struct sts_id *id)
{
    const struct slice *only = NULL;
    for (size_t i = 0; i < count && i < STS_ANSWERS_MAX; i++) {
        if (!slice_starts(records[i], SLICE("v=STSv1")))
            continue;
        struct slice rest = trim_wsp(slice_from(records[i], 7));
        if (rest.len == 0 || rest.ptr[0] != ';')
            continue; /* "v=STSv10" is another's */
        if (only)
            return false;
        only = &records[i];
    }
    struct sts_id found = {0};
    if (!only || !parse_record(*only, &found))
        return false;
    *id = found;
    return true;
}

/* ---- the policy ---- */

struct reading {
    struct arena *arena;
    struct sts_policy policy;
    unsigned seen; /* a bit for each row of `fields` */
};

static bool read_version(struct reading *r, struct slice value)
{
    (void)r;
    return slice_eq(value, SLICE("STSv1"));
}

static bool read_mode(struct reading *r, struct slice value)
{
    for (unsigned i = 0; sts_mode_names[i]; i++)
        if (slice_eq(value, slice_of(sts_mode_names[i]))) {
            r->policy.mode = (enum sts_mode)i;
            return true;
        }
    return false;
}

/* sts-policy-max-age-value = 1*10(DIGIT); more than a year is a year. */
static bool read_max_age(struct reading *r, struct slice value)
{
    uint64_t seconds;
    if (value.len > 10 || !slice_u64(value, UINT64_C(9999999999), &seconds))
        return false;
    r->policy.max_age = (uint32_t)(seconds < STS_AGE_MAX ? seconds : STS_AGE_MAX);
    return true;
}

/* sts-policy-mx-value = ["*."] Domain */
static bool read_mx(struct reading *r, struct slice value)
{
    bool wild = slice_starts(value, SLICE("*."));
    if (!domain_is_host(wild ? slice_from(value, 2) : value) || r->policy.mx_count == STS_MX_MAX)
        return false;
    uint8_t *copy = arena_must(r->arena, value.len);
    for (size_t i = 0; i < value.len; i++)
        copy[i] = ascii_lower(value.ptr[i]);
    r->policy.mx[r->policy.mx_count++] = slice_make(copy, value.len);
    return true;
}

static const struct field {
    const char *name;
    bool (*read)(struct reading *r, struct slice value);
    bool repeats; /* of the others the first counts */
} fields[] = {
    {"version", read_version, false},
    {"mode", read_mode, false},
    {"max_age", read_max_age, false},
    {"mx", read_mx, true},
};
#define MUST_BE_SEEN 3 /* the first so many fields */

/* sts-policy-ext-value = sts-policy-vchar [*(%x20 / sts-policy-vchar) sts-policy-vchar]
 * sts-policy-vchar     = %x21-7E / UTF8-2 / UTF8-3 / UTF8-4 */
static bool is_extension(struct slice name, struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
            return false;
    return is_name(name) && value.len > 0 && slice_is_utf8(value);
}

/* sts-policy-field = name ":" *WSP value *WSP */
static bool read_line(struct reading *r, struct slice line)
{
    ptrdiff_t colon = slice_find(line, ':');
    if (colon < 0)
        return false;
    struct slice name = slice_sub(line, 0, (size_t)colon),
                 value = trim_wsp(slice_from(line, (size_t)colon + 1));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (!slice_eq(name, slice_of(fields[i].name)))
            continue;
        bool again = r->seen & 1u << i && !fields[i].repeats;
        r->seen |= 1u << i;
        return again || fields[i].read(r, value);
    }
    return is_extension(name, value);
}

/* sts-policy-record = sts-policy-field *WSP *(sts-policy-term sts-policy-field *WSP) [sts-policy-term]
 * sts-policy-term   = LF / CRLF                          (RFC 8461 section 3.2)
 * Empty lines are let pass: policies end in them in the wild, and refusing would only weaken the domain. */
enum err sts_policy_parse_in(struct arena *arena, struct slice text, struct sts_policy *policy,
                             struct why *why)
{
    struct reading r = {.arena = arena};
    struct slice line;
    unsigned number = 0;
    if (text.len > STS_POLICY_MAX)
        return err_set(why, ERR_BAD, "the policy is longer than %u bytes", STS_POLICY_MAX);
    r.policy.mx = ARENA_ARRAY(arena, struct slice, STS_MX_MAX);
    while (slice_token(&text, '\n', &line)) {
        number++;
        if (slice_ends(line, SLICE("\r")))
            line.len--;
        if (trim_wsp(line).len && !read_line(&r, line))
            return err_set(why, ERR_BAD, "line %u of the policy is ill-formed", number);
    }
    for (unsigned i = 0; i < MUST_BE_SEEN; i++)
        if (!(r.seen & 1u << i))
            return err_set(why, ERR_BAD, "the policy has no %s", fields[i].name);
    if (r.policy.mode != STS_MODE_NONE && r.policy.mx_count == 0)
        return err_set(why, ERR_BAD, "the policy names no mail host");
    *policy = r.policy;
    return ERR_OK;
}

/* RFC 6125 section 6.4 as RFC 8461 section 4.1 narrows it: the wildcard is the whole leftmost label. */
static bool pattern_has(struct slice pattern, struct slice host)
{
    if (!slice_starts(pattern, SLICE("*.")))
        return slice_ieq(pattern, host);
    ptrdiff_t dot = slice_find(host, '.');
    return dot > 0 && slice_ieq(slice_from(pattern, 1), slice_from(host, (size_t)dot));
}

bool sts_policy_has(const struct sts_policy *policy, struct slice host)
{
    if (slice_ends(host, SLICE(".")))
        host.len--;
    for (size_t i = 0; i < policy->mx_count; i++)
        if (pattern_has(policy->mx[i], host))
            return true;
    return false;
}

bool sts_type_is_plain(struct slice content_type)
{
    ptrdiff_t parameters = slice_find(content_type, ';');
    if (parameters >= 0)
        content_type.len = (size_t)parameters;
    return slice_ieq(slice_trim(content_type), SLICE("text/plain"));
}
