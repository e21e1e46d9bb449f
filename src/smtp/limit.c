/* limit.c: how much one client, one account and one sender domain may do: sessions at once, messages,
 * recipients, bytes in a minute, the time of a session. A stranger on the MX has the limits of its address;
 * own clients and monitors (trusted_networks, loopback, a load balancer, a gateway) have none, and who has
 * logged in has those of the account, wherever it is. Called by session.c and the commands. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/gateway.h"
#include "smtp/session.h"

#define RESERVE            8u     /* strangers nobody knows get all but one in so many places … */
#define RESERVE_FROM       64u    /* … where there are as many as this */
#define CROWDED_COMMAND_MS 15000u /* for a stranger's next command when the role is three quarters full */

struct smtp_address {
    struct limit_key key;
    uint64_t sessions, on_mx;
};

static bool is_exempt(const struct smtp_session *s)
{
    const struct netaddr *client = stream_client(s->stream);
    return s->trusted || s->probe || s->from_proxy || netaddr_is_loopback(client) ||
           smtp_gateway_is(s->smtp, client);
}

static bool has_account(const struct smtp_session *s)
{
    return !grant_is_none(&s->grant);
}

static bool is_stranger(const struct smtp_session *s)
{
    return !has_account(s) && !is_exempt(s);
}

static bool is_stranger_on_mx(const struct smtp_session *s)
{
    return s->port->settings.service == SETTINGS_MX && is_stranger(s);
}

static void report(const struct smtp_session *s, enum offence kind, struct slice detail)
{
    const struct security_event event = {.kind = kind,
                                         .listener = s->port->index,
                                         .client = stream_client(s->stream),
                                         .session = slice_make(s->id, SMTP_ID_LEN),
                                         .detail = detail};
    if (!s->probe)
        security_report(s->smtp->service.security, &event);
}

/* ---- at once ---- */

static bool is_on_mx(const struct smtp_session *s)
{
    return s->port->settings.service == SETTINGS_MX;
}

/* The name of the limit that leaves no room for one more; NULL: there is. */
static const char *full_of(const struct smtp_session *s, const struct smtp_address *address)
{
    const struct settings *settings = s->smtp->settings;
    uint64_t mx = settings->limits.mx.connections;
    if (address && is_on_mx(s) && mx > 0 && address->on_mx >= mx)
        return "mx.connections";
    return address && address->sessions >= settings->limits.sessions_per_address ? "sessions_per_address"
                                                                                 : NULL;
}

/* NULL, or the limit that the client has reached. */
static const char *enter(struct smtp_session *s)
{
    struct smtp *smtp = s->smtp;
    const struct limit_key key = limit_key_address(smtp->settings, SETTINGS_MX, stream_client(s->stream));
    struct smtp_address *address = map_get(smtp->addresses, slice_make(key.bytes, sizeof key.bytes));
    const char *full = full_of(s, address);
    if (full)
        return full;
    if (!address) {
        address = mem_zero(1, sizeof *address);
        address->key = key;
        if (!map_put(smtp->addresses, slice_make(address->key.bytes, sizeof address->key.bytes), address)) {
            free(address);
            return "sessions_per_address";
        }
    }
    address->sessions++;
    address->on_mx += is_on_mx(s);
    s->address = address;
    return NULL;
}

static const struct smtp_reply_text *refuse(enum metric_refusal reason, const struct smtp_reply_text *text)
{
    metric_add(METRIC_CONNECTIONS_REFUSED, reason, 1);
    return text;
}

/* A flood of strangers from everywhere must leave room for users and for servers that were here before. */
static bool is_full(const struct smtp_session *s)
{
    uint64_t most = s->smtp->settings->limits.smtp_sessions;
    if (s->probe)
        return false;
    if (most >= RESERVE_FROM && is_stranger_on_mx(s) && !smtp_greet_is_known(s))
        most -= most / RESERVE;
    return s->smtp->service.session_count > most;
}

const struct smtp_reply_text *smtp_limit_arrival(struct smtp_session *s)
{
    static const struct smtp_reply_text drains = {421, "4.3.2", "Going down, come back soon"};
    static const struct smtp_reply_text full = {421, "4.3.2", "Too many connections (smtp_sessions)"};
    static const struct smtp_reply_text address = {
        421, "4.7.0", "Too many connections from your address at once (sessions_per_address)"};
    static const struct smtp_reply_text mx = {
        421, "4.7.0", "Too many connections from your address at once (mx.connections)"};
    const struct smtp *smtp = s->smtp;
    if (smtp->service.draining || (s->probe && smtp->service.leaving))
        return refuse(METRIC_REFUSED_DRAINING, &drains);
    if (is_full(s))
        return refuse(METRIC_REFUSED_FULL, &full);
    const char *limit = is_exempt(s) ? NULL : enter(s);
    if (!limit)
        return NULL;
    report(s, OFFENCE_LIMIT, slice_of(limit));
    return refuse(METRIC_REFUSED_ADDRESS, strcmp(limit, "mx.connections") == 0 ? &mx : &address);
}

void smtp_limit_leave(struct smtp_session *s)
{
    struct smtp_address *address = s->address;
    s->address = NULL;
    if (!address)
        return;
    address->on_mx -= is_on_mx(s);
    if (--address->sessions > 0)
        return;
    (void)map_remove(s->smtp->addresses, slice_make(address->key.bytes, sizeof address->key.bytes));
    free(address);
}

uint64_t smtp_limit_time(const struct smtp_session *s, uint64_t ms)
{
    const struct settings *settings = s->smtp->settings;
    uint64_t age = loop_now_ms(s->smtp->loop) - s->started_ms, whole = settings->timeouts.mx_session;
    if (!is_stranger(s))
        return ms;
    if (s->smtp->service.session_count >= settings->limits.smtp_sessions / 4 * 3 && ms > CROWDED_COMMAND_MS)
        ms = CROWDED_COMMAND_MS;
    if (whole == 0 || age + ms <= whole)
        return ms;
    return age < whole ? whole - age : 1;
}

/* ---- per minute ---- */

struct limit {
    uint64_t per_minute;
    const char *name; /* in limits: */
    struct smtp_reply_text reply;
};

#define MX(member, what)                                                                                     \
    {                                                                                                        \
        settings->limits.mx.member, "mx." #member,                                                           \
        {                                                                                                    \
            450, "4.7.1",                                                                                    \
                "Too many " what " in a minute from your address (mx." #member "), try again later"          \
        }                                                                                                    \
    }
#define ACCOUNT(member, what)                                                                                \
    {                                                                                                        \
        settings->limits.submission.member, "submission." #member,                                           \
        {                                                                                                    \
            450, "4.7.1",                                                                                    \
                "Too many " what " in a minute from this account (submission." #member "), try again later"  \
        }                                                                                                    \
    }

/* What holds for this session; 0 a minute where nothing does. */
static struct limit limit_of(const struct smtp_session *s, enum limit_kind kind)
{
    const struct settings *settings = s->smtp->settings;
    const struct limit mx[LIMIT_KIND_COUNT] = {
        [LIMIT_MESSAGES] = MX(messages_per_minute, "messages"),
        [LIMIT_RECIPIENTS] = MX(recipients_per_minute, "recipients"),
        [LIMIT_FAILED_RECIPIENTS] = MX(failed_recipients_per_minute, "recipients that do not exist"),
        [LIMIT_BYTES] = MX(bytes_per_minute, "bytes")};
    const struct limit account[LIMIT_KIND_COUNT] = {
        [LIMIT_MESSAGES] = ACCOUNT(messages_per_minute, "messages"),
        [LIMIT_RECIPIENTS] = ACCOUNT(recipients_per_minute, "recipients"),
        [LIMIT_BYTES] = ACCOUNT(bytes_per_minute, "bytes")};
    if (has_account(s))
        return account[kind];
    return is_stranger_on_mx(s) ? mx[kind] : (struct limit){0};
}

static struct limit_key key_of(const struct smtp_session *s)
{
    if (has_account(s))
        return limit_key_name(s->smtp->service.limits, SETTINGS_SUBMISSION, s->account);
    return limit_key_address(s->smtp->settings, SETTINGS_MX, stream_client(s->stream));
}

/* An account's owner is no stranger: told, not scored. */
static void tell(const struct smtp_session *s, const char *limit)
{
    if (!has_account(s)) {
        report(s, OFFENCE_LIMIT, slice_of(limit));
        return;
    }
    log_info("smtp.limit", LOG_STR("session", slice_make(s->id, SMTP_ID_LEN)),
             LOG_STR("client", slice_of(s->client.text)), LOG_STR("user", s->account),
             LOG_CSTR("limit", limit));
}

/* True when `n` more are fine; `take` counts them. Otherwise `reply` says why not. */
static bool ask(const struct smtp_session *s, enum limit_kind kind, uint64_t n, bool take,
                struct smtp_reply_text *reply)
{
    const struct limit limit = limit_of(s, kind);
    struct limits *limits = s->smtp->service.limits;
    uint64_t now = loop_now_ms(s->smtp->loop);
    if (limit.per_minute == 0)
        return true;
    const struct limit_key key = key_of(s);
    if (take ? limits_take(limits, &key, kind, limit.per_minute, n, now, NULL)
             : limits_would(limits, &key, kind, limit.per_minute, n, now, NULL))
        return true;
    *reply = limit.reply;
    tell(s, limit.name);
    return false;
}

static void charge(const struct smtp_session *s, enum limit_kind kind, uint64_t n)
{
    const struct limit limit = limit_of(s, kind);
    if (limit.per_minute == 0)
        return;
    const struct limit_key key = key_of(s);
    limits_charge(s->smtp->service.limits, &key, kind, limit.per_minute, n, loop_now_ms(s->smtp->loop));
}

/* Counted when a message was accepted: whoever only forges the name does not use up its owner's share. */
static struct limit_key domain_key(const struct smtp_session *s, struct slice sender)
{
    return limit_key_name(s->smtp->service.limits, SETTINGS_MX, address_domain_of(sender));
}

static bool domain_may(const struct smtp_session *s, struct slice sender, struct smtp_reply_text *reply)
{
    static const struct smtp_reply_text full = {
        450, "4.7.1",
        "Too many messages in a minute from this sender's domain (mx.domain_messages_per_minute), try again "
        "later"};
    uint64_t per_minute = s->smtp->settings->limits.mx.domain_messages_per_minute;
    if (per_minute == 0 || sender.len == 0 || !is_stranger_on_mx(s))
        return true;
    const struct limit_key key = domain_key(s, sender);
    if (limits_would(s->smtp->service.limits, &key, LIMIT_MESSAGES, per_minute, 1, loop_now_ms(s->smtp->loop),
                     NULL))
        return true;
    log_info("smtp.limit", LOG_STR("session", slice_make(s->id, SMTP_ID_LEN)),
             LOG_STR("client", slice_of(s->client.text)), LOG_STR("from", sender),
             LOG_CSTR("limit", "mx.domain_messages_per_minute"));
    *reply = full;
    return false;
}

bool smtp_limit_mail(const struct smtp_session *s, const struct smtp_mail *mail,
                     struct smtp_reply_text *reply)
{
    uint64_t size = mail->has_size && mail->size > 0 ? mail->size : 1;
    return domain_may(s, mail->from.text, reply) && ask(s, LIMIT_BYTES, size, false, reply) &&
           ask(s, LIMIT_MESSAGES, 1, true, reply);
}

bool smtp_limit_rcpt(const struct smtp_session *s, struct smtp_reply_text *reply)
{
    return ask(s, LIMIT_FAILED_RECIPIENTS, 1, false, reply) && ask(s, LIMIT_RECIPIENTS, 1, true, reply);
}

void smtp_limit_text(const struct smtp_session *s, uint64_t bytes)
{
    if (bytes > 0 && s->smtp->service.limits) /* gone when the role ends */
        charge(s, LIMIT_BYTES, bytes);
}

void smtp_limit_accepted(const struct smtp_session *s)
{
    uint64_t per_minute = s->smtp->settings->limits.mx.domain_messages_per_minute;
    if (per_minute == 0 || s->txn.sender.len == 0 || !is_stranger_on_mx(s))
        return;
    const struct limit_key key = domain_key(s, s->txn.sender);
    limits_charge(s->smtp->service.limits, &key, LIMIT_MESSAGES, per_minute, 1, loop_now_ms(s->smtp->loop));
}

/* ---- recipients that are none ---- */

bool smtp_limit_is_trap(const struct smtp_session *s, struct slice address)
{
    const struct settings *settings = s->smtp->settings;
    if (!is_stranger_on_mx(s))
        return false;
    for (size_t i = 0; i < settings->ban_policy.spam_traps.count; i++)
        if (slice_ieq(settings->ban_policy.spam_traps.items[i], address))
            return true;
    return false;
}

void smtp_limit_hopeless(const struct smtp_session *s)
{
    if (has_account(s) || is_exempt(s))
        return; /* broken, but one of us */
    if (s->errors >= SMTP_ERRORS_MAX)
        report(s, OFFENCE_PROTOCOL_ABUSE, SLICE("too many errors"));
    else if (s->skipped > SMTP_SKIP_MAX)
        report(s, OFFENCE_PROTOCOL_ABUSE, SLICE("a line without an end"));
}

void smtp_limit_refused(const struct smtp_session *s, struct slice address, const struct wire_smtp_reply *r)
{
    if (r->code / 100 != 5 || !is_stranger_on_mx(s))
        return;
    charge(s, LIMIT_FAILED_RECIPIENTS, 1);
    if (smtp_limit_is_trap(s, address))
        report(s, OFFENCE_SPAM_TRAP, address);
    else if (slice_eq(r->enhanced, SLICE("5.1.1")))
        report(s, OFFENCE_UNKNOWN_RECIPIENT, address);
    else if (slice_eq(r->enhanced, SLICE("5.7.1")))
        report(s, OFFENCE_RELAY_ATTEMPT, address);
}
