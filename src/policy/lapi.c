/* lapi.c: decisions of CrowdSec's local API. Its answers come over the network and may be of any length, cut
 * off, or made by somebody else: they are read in pieces and in bounded memory. Called by relay. */
#include "policy/lapi.h"

#include <string.h>

#define NS UINT64_C(1000000000)

enum section { SECTION_NONE, SECTION_NEW, SECTION_DELETED };
enum field {
    FIELD_SCOPE, /* the first five are positions in lapi_reader.names */
    FIELD_TYPE,
    FIELD_VALUE,
    FIELD_ORIGIN,
    FIELD_SCENARIO,
    FIELD_ID,
    FIELD_DURATION,
    FIELD_SIMULATED,
    FIELD_NONE
};

/* ---- durations ---- */

/* Six digits behind the point count; more would not fit beside the longest unit. */
#define FRACTION_SCALE_MAX 1000000u

struct unit {
    const char *name;
    uint64_t ns;
};
/* The longer names first where one begins another. */
static const struct unit units[] = {
    {"ns", 1},           {"us", 1000}, {"\xc2\xb5s", 1000}, /* the micro sign */
    {"\xce\xbcs", 1000},                                    /* the Greek letter */
    {"ms", 1000000},     {"s", NS},    {"m", 60 * NS},      {"h", 3600 * NS},
};

static const struct unit *take_unit(struct slice *s)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (slice_starts(*s, slice_of(units[i].name))) {
            *s = slice_from(*s, strlen(units[i].name));
            return &units[i];
        }
    return NULL;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t mul_capped(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/*   number = 1*DIGIT [ "." *DIGIT ] / "." 1*DIGIT */
static bool take_number(struct slice *s, uint64_t *whole, uint64_t *fraction, uint64_t *scale)
{
    size_t digits = 0, at = 0;
    *whole = *fraction = 0;
    *scale = 1;
    for (; at < s->len && ascii_is_digit(s->ptr[at]); at++, digits++)
        *whole = add_capped(mul_capped(*whole, 10), s->ptr[at] - (uint64_t)'0');
    if (at < s->len && s->ptr[at] == '.')
        for (at++; at < s->len && ascii_is_digit(s->ptr[at]); at++, digits++)
            if (*scale < FRACTION_SCALE_MAX) {
                *fraction = *fraction * 10 + (s->ptr[at] - (uint64_t)'0');
                *scale *= 10;
            }
    *s = slice_from(*s, at);
    return digits > 0;
}

/*   duration = [ "-" / "+" ] ( "0" / 1*( number unit ) )                    Go: time.ParseDuration */
bool lapi_duration_read(struct slice text, uint64_t *seconds)
{
    bool negative = slice_starts(text, SLICE("-"));
    uint64_t total = 0, whole, fraction, scale;
    if (negative || slice_starts(text, SLICE("+")))
        text = slice_from(text, 1);
    if (text.len == 0)
        return false;
    bool zero = slice_eq(text, SLICE("0"));
    while (!zero && text.len) {
        if (!take_number(&text, &whole, &fraction, &scale))
            return false;
        const struct unit *unit = take_unit(&text);
        if (!unit)
            return false;
        total = add_capped(total, mul_capped(whole, unit->ns));
        total = add_capped(total, fraction * unit->ns / scale);
    }
    total = total / NS + (total % NS ? 1 : 0);
    *seconds = negative ? 0 : total < LAPI_SECONDS_MAX ? total : LAPI_SECONDS_MAX;
    return true;
}

/* ---- one decision ---- */

/* "203.0.113.7", "203.0.113.0/24" (bits behind the prefix do not matter), "2001:db8::/32". */
static bool read_network(struct slice text, struct netaddr_network *network)
{
    ptrdiff_t slash = slice_find(text, '/');
    struct slice host = slash < 0 ? text : slice_sub(text, 0, (size_t)slash);
    uint64_t bits = 0;
    if (!netaddr_parse(host, &network->base))
        return false;
    unsigned most = network->base.family == NETADDR_V4 ? 32 : 128;
    unsigned mapped = most == 32 && slice_find(host, ':') >= 0 ? 96 : 0;
    if (slash >= 0 && !slice_u64(slice_from(text, (size_t)slash + 1), most + mapped, &bits))
        return false;
    if (slash < 0)
        bits = most + mapped;
    if (bits < mapped)
        return false;
    network->bits = (uint8_t)(bits - mapped);
    network->base = netaddr_prefix(&network->base, network->bits);
    return true;
}

static bool is_wide(const struct netaddr_network *network)
{
    return network->bits < (network->base.family == NETADDR_V4 ? LAPI_V4_BITS_MIN : LAPI_V6_BITS_MIN);
}

static struct slice name_of(const struct lapi_reader *r, enum field field)
{
    return slice_make(r->names[field].text, r->names[field].len);
}

static struct slice or_dash(struct slice name)
{
    return name.len ? name : SLICE("-");
}

static void finish_decision(struct lapi_reader *r)
{
    struct lapi_decision d = {.gone = r->section == SECTION_DELETED,
                              .id = r->id,
                              .seconds = r->section == SECTION_DELETED ? 0 : r->seconds,
                              .type = or_dash(name_of(r, FIELD_TYPE)),
                              .origin = or_dash(name_of(r, FIELD_ORIGIN)),
                              .scenario = or_dash(name_of(r, FIELD_SCENARIO))};
    struct slice scope = name_of(r, FIELD_SCOPE), value = name_of(r, FIELD_VALUE);
    bool about_address = slice_ieq(scope, SLICE("Ip")) || slice_ieq(scope, SLICE("Range"));
    if (!r->has_id || !about_address || r->simulated || value.len > LAPI_VALUE_MAX ||
        (!d.gone && !r->has_seconds) || !read_network(value, &d.network)) {
        r->others++;
        return;
    }
    if (is_wide(&d.network)) {
        r->wide++;
        return;
    }
    r->decisions++;
    r->on_decision(r->ctx, &d);
}

static void begin_decision(struct lapi_reader *r)
{
    r->has_id = r->has_seconds = r->simulated = false;
    for (size_t i = 0; i < sizeof r->names / sizeof *r->names; i++)
        r->names[i].len = 0;
    r->field = FIELD_NONE;
}

static void set_name(struct lapi_name *name, struct slice text)
{
    name->len = text.len < sizeof name->text ? text.len : sizeof name->text;
    for (size_t i = 0; i < name->len; i++) {
        uint8_t c = text.ptr[i];
        name->text[i] = c == ' ' ? '_' : ascii_is_print(c) ? (char)c : '?';
    }
}

static void set_field(struct lapi_reader *r, const struct json_event *event)
{
    if (event->kind == JSON_STRING && r->field < FIELD_ID)
        set_name(&r->names[r->field], event->text);
    else if (event->kind == JSON_STRING && r->field == FIELD_DURATION)
        r->has_seconds = lapi_duration_read(event->text, &r->seconds);
    else if (event->kind == JSON_NUMBER && r->field == FIELD_ID)
        r->has_id = slice_u64(event->text, INT64_MAX, &r->id);
    else if (event->kind == JSON_TRUE && r->field == FIELD_SIMULATED)
        r->simulated = true;
}

/* ---- the answer ---- */

static enum field field_named(struct slice key)
{
    static const char *const names[] = {
        [FIELD_SCOPE] = "scope",       [FIELD_TYPE] = "type",          [FIELD_VALUE] = "value",
        [FIELD_ORIGIN] = "origin",     [FIELD_SCENARIO] = "scenario",  [FIELD_ID] = "id",
        [FIELD_DURATION] = "duration", [FIELD_SIMULATED] = "simulated"};
    for (unsigned i = 0; i < FIELD_NONE; i++)
        if (slice_eq(key, slice_of(names[i])))
            return (enum field)i;
    return FIELD_NONE;
}

static enum section section_named(struct slice key)
{
    if (slice_eq(key, SLICE("new")))
        return SECTION_NEW;
    return slice_eq(key, SLICE("deleted")) ? SECTION_DELETED : SECTION_NONE;
}

/* Directly in the answer: the lists, and what else later versions put there. */
static bool in_answer(struct lapi_reader *r, const struct json_event *event)
{
    if (event->kind == JSON_KEY) {
        r->section = (int)section_named(event->text);
        return true;
    }
    return r->section == SECTION_NONE || event->kind == JSON_ARRAY || event->kind == JSON_ARRAY_END ||
           event->kind == JSON_NULL;
}

static bool in_list(struct lapi_reader *r, const struct json_event *event)
{
    if (event->kind == JSON_OBJECT)
        begin_decision(r);
    else if (event->kind == JSON_OBJECT_END)
        finish_decision(r);
    else
        return false;
    return r->decisions + r->others + r->wide <= LAPI_DECISIONS_MAX;
}

static bool on_event(void *ctx, const struct json_event *event)
{
    struct lapi_reader *r = ctx;
    if (event->depth == 0)
        return event->kind == JSON_OBJECT || event->kind == JSON_OBJECT_END;
    if (event->depth == 1)
        return in_answer(r, event);
    if (r->section == SECTION_NONE)
        return true;
    if (event->depth == 2)
        return in_list(r, event);
    if (event->depth == 3 && event->kind == JSON_KEY)
        r->field = (int)field_named(event->text);
    else if (event->depth == 3)
        set_field(r, event);
    return true;
}

void lapi_reader_begin(struct lapi_reader *r, lapi_decision_fn *on_decision, void *ctx)
{
    json_reader_begin(&r->json, on_event, r);
    r->on_decision = on_decision;
    r->ctx = ctx;
    r->section = SECTION_NONE;
    r->decisions = r->others = r->wide = 0;
    begin_decision(r);
}

enum err lapi_reader_feed(struct lapi_reader *r, struct slice bytes)
{
    return json_reader_feed(&r->json, bytes) ? ERR_BAD : ERR_OK;
}

enum err lapi_reader_end(struct lapi_reader *r)
{
    return json_reader_end(&r->json) ? ERR_BAD : ERR_OK;
}
