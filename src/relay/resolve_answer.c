/* resolve_answer.c: from what is known of a domain to the hosts for one message: order drawn, our own hosts
 * and impossible addresses left out, and for each host what TLS must be. Pure but for the draw. Called by
 * resolve.c. */
#include <string.h>

#include "base/random.h"
#include "grammar/domain.h"
#include "relay/resolve_int.h"

/* ---- questions ---- */

struct resolve_question resolve_question_direct(const struct settings *settings, struct slice domain,
                                                bool requiretls)
{
    return (struct resolve_question){.name = domain,
                                     .port = (uint16_t)settings->direct.port,
                                     .mx = true,
                                     .direct = true,
                                     .requiretls = requiretls,
                                     .tls = settings->direct.tls};
}

/* "[host]" and "[address]": without MX. */
static bool take_brackets(struct slice *host)
{
    struct netaddr addr;
    if (!slice_starts(*host, SLICE("[")) || !slice_ends(*host, SLICE("]")))
        return false;
    if (!domain_is_ip_literal(*host, &addr))
        *host = slice_sub(*host, 1, host->len - 2);
    return true;
}

struct resolve_question resolve_question_relay(const struct settings_relay *relay)
{
    struct slice host = relay->host;
    bool bare = !take_brackets(&host);
    return (struct resolve_question){
        .name = host, .port = (uint16_t)relay->port, .mx = bare && relay->port == 25, .tls = relay->tls};
}

struct resolve_question resolve_question_map(struct slice host, uint16_t port, bool no_mx,
                                             enum settings_relay_tls tls)
{
    bool bare = !take_brackets(&host);
    return (struct resolve_question){.name = host, .port = port, .mx = bare && !no_mx, .tls = tls};
}

/* ---- refusals ---- */

static struct resolve_answer *refuse(struct arena *arena, enum resolve_outcome outcome, const char *enhanced,
                                     struct slice text)
{
    struct resolve_answer *answer = ARENA_NEW(arena, struct resolve_answer);
    *answer = (struct resolve_answer){
        .outcome = outcome, .enhanced = enhanced, .text = text, .policy = "none", .tls_result = ""};
    return answer;
}

static struct slice shown(const struct resolve_call *call)
{
    struct slice name = call->question.name;
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_print(name.ptr[i]))
            return SLICE("(unprintable)");
    return slice_sub(name, 0, DOMAIN_MAX);
}

/* Strangers' domains may be wrong for good; a relay was configured, so its mail waits until that is put
 * right. */
static struct resolve_answer *refuse_by(const struct resolve_call *call, const struct mx_result *r)
{
    if (call->question.direct)
        return refuse(call->arena, r->choice == MX_PERMANENT ? RESOLVE_PERMANENT : RESOLVE_TEMPORARY,
                      r->enhanced, r->text);
    return refuse(call->arena, RESOLVE_TEMPORARY, "4.4.4",
                  arena_printf(call->arena, "the relay %.*s cannot be found in DNS", SLICE_ARG(shown(call))));
}

/* ---- who we are ---- */

static bool is_allowed(const void *ctx, const struct netaddr *addr)
{
    const struct settings *s = ctx;
    return settings_networks_have(s->direct.allow_networks.items, s->direct.allow_networks.count, addr);
}

static struct mx_self self_in(struct arena *arena, const struct resolve *resolve)
{
    const struct settings *s = resolve->settings;
    struct slice *names = ARENA_ARRAY(arena, struct slice, 2);
    names[0] = s->hostname;
    names[1] = s->direct.ehlo;
    struct mx_self self = {
        .names = names, .name_count = s->direct.ehlo.len ? 2 : 1, .is_allowed = is_allowed, .ctx = s};
    if (resolve->identity)
        self.addresses = identity_addresses(resolve->identity, &self.address_count);
    return self;
}

/* ---- TLS ---- */

/* What becomes of a host when TLS is looked at. */
enum fate { FATE_GOOD, FATE_LATER, FATE_NOT_NAMED, FATE_UNVERIFIABLE };

static void set_names(struct arena *arena, struct resolve_host *host, const struct slice *names, size_t count)
{
    struct slice *copy = ARENA_ARRAY(arena, struct slice, count + 1);
    host->peer.names = copy;
    host->peer.name_count = 0;
    for (size_t i = 0; i < count; i++)
        /* An address in brackets is in names[0] without them. */
        if (names[i].len && names[i].ptr[0] != '[' && (i == 0 || !slice_eq(names[i], names[0])))
            copy[host->peer.name_count++] = names[i];
}

static void check_name(struct arena *arena, struct resolve_host *host, const struct slice *names,
                       size_t count)
{
    host->level = CLIENT_TLS_VERIFY;
    host->peer.check = TLS_CHECK_NAME;
    set_names(arena, host, names, count);
}

static void set_base(const struct resolve_call *call, const struct known_host *found,
                     struct resolve_host *host)
{
    static const enum client_tls levels[] = {
        [SETTINGS_RELAY_NONE] = CLIENT_TLS_NONE,
        [SETTINGS_RELAY_OPPORTUNISTIC] = CLIENT_TLS_OPPORTUNISTIC,
        [SETTINGS_RELAY_REQUIRED] = CLIENT_TLS_REQUIRED,
        [SETTINGS_RELAY_VERIFY] = CLIENT_TLS_VERIFY,
    };
    static const char *const policies[] = {
        [SETTINGS_RELAY_NONE] = "none",
        [SETTINGS_RELAY_OPPORTUNISTIC] = "opportunistic",
        [SETTINGS_RELAY_REQUIRED] = "required",
        [SETTINGS_RELAY_VERIFY] = "verify",
    };
    const struct resolve_question *q = &call->question;
    host->level = levels[q->tls];
    host->policy = q->direct ? policies[q->tls] : "relay";
    host->peer.check = TLS_CHECK_NOTHING;
    if (found)
        host->peer.server_name = host->name;
    if (q->tls != SETTINGS_RELAY_VERIFY)
        return;
    /* The name the administrator wrote; that of an MX only when nobody could have forged it. */
    bool trusted = q->direct || !q->mx || (found && found->known->mx_secure);
    const struct slice names[] = {trusted ? host->name : SLICE_EMPTY, q->direct ? SLICE_EMPTY : q->name};
    check_name(call->arena, host, names, 2);
}

static void copy_tlsa(struct arena *arena, const struct tlsa_set *set, struct tls_peer *peer)
{
    struct tls_tlsa *records = ARENA_ARRAY(arena, struct tls_tlsa, set->count);
    for (size_t i = 0; i < set->count && i < TLS_PEER_TLSA_MAX; i++)
        records[peer->tlsa_count++] = (struct tls_tlsa){.usage = set->records[i].usage,
                                                        .selector = set->records[i].selector,
                                                        .matching = set->records[i].matching,
                                                        .data = arena_dup(arena, set->records[i].data)};
    peer->tlsa = records;
}

/* RFC 7672 section 2.2 and 3. */
static void set_dane(const struct resolve_call *call, const struct known_host *found,
                     struct resolve_host *host)
{
    host->policy = "dane";
    if (found->tlsa.level == TLSA_ENCRYPT) {
        if (host->level < CLIENT_TLS_REQUIRED)
            host->level = CLIENT_TLS_REQUIRED;
        return;
    }
    struct slice base = arena_dup(call->arena, found->tlsa_base);
    const struct slice names[] = {base, host->name, call->question.name}; /* section 3.2.2 */
    host->peer = (struct tls_peer){.server_name = base};
    check_name(call->arena, host, names, 3);
    host->peer.check = TLS_CHECK_DANE;
    copy_tlsa(call->arena, &found->tlsa, &host->peer);
}

/* RFC 8461 section 4 and 5: enforce binds; testing only has its result reported: the certificate is judged as
 * if, and nothing follows from it. */
static enum fate set_sts(const struct resolve_call *call, struct resolve_host *host)
{
    bool named = sts_policy_has(&call->policy, host->name);
    host->policy = "sts";
    if (call->policy.mode != STS_MODE_ENFORCE) {
        host->sts_testing = true;
        host->sts_unnamed = !named;
        if (host->peer.check == TLS_CHECK_NOTHING)
            set_names(call->arena, host, &host->name, 1);
        return FATE_GOOD;
    }
    if (!named)
        return FATE_NOT_NAMED;
    check_name(call->arena, host, &host->name, 1);
    return FATE_GOOD;
}

/* RFC 8689 section 4.2.1: a verified certificate, for a host whose name nobody could have forged. */
static enum fate set_requiretls(const struct resolve_call *call, const struct known_host *found,
                                struct resolve_host *host)
{
    const struct resolve_question *q = &call->question;
    bool by_policy = call->policy.mode != STS_MODE_NONE && sts_policy_has(&call->policy, host->name);
    bool by_dane = host->peer.check == TLS_CHECK_DANE;
    bool trusted = !q->direct || by_dane || by_policy || found->known->mx_secure;
    if (!trusted || q->tls == SETTINGS_RELAY_NONE)
        return FATE_UNVERIFIABLE;
    if (host->level == CLIENT_TLS_VERIFY)
        return FATE_GOOD;
    check_name(call->arena, host, q->direct ? &host->name : &q->name, 1);
    return FATE_GOOD;
}

static enum fate set_tls(const struct resolve_call *call, const struct known_host *found,
                         struct resolve_host *host)
{
    const struct resolve_question *q = &call->question;
    enum fate fate = FATE_GOOD;
    set_base(call, found, host);
    if (q->direct && found && q->tls != SETTINGS_RELAY_NONE) {
        if (found->tlsa_failed)
            return FATE_LATER;
        if (found->tlsa.level != TLSA_ABSENT)
            set_dane(call, found, host);
        /* Records nobody can use prove nothing; a policy in force still does. */
        bool unproven = found->tlsa.level == TLSA_ENCRYPT && call->policy.mode == STS_MODE_ENFORCE;
        if (unproven || (found->tlsa.level == TLSA_ABSENT && call->policy.mode != STS_MODE_NONE))
            fate = set_sts(call, host);
    }
    if (fate == FATE_GOOD && q->requiretls)
        fate = found                              ? set_requiretls(call, found, host)
               : host->level == CLIENT_TLS_VERIFY ? FATE_GOOD
                                                  : FATE_UNVERIFIABLE;
    return fate;
}

/* ---- the answer ---- */

static struct resolve_answer *refuse_tls(const struct resolve_call *call, const bool fates[])
{
    struct arena *arena = call->arena;
    struct resolve_answer *answer;
    if (fates[FATE_LATER]) {
        answer =
            refuse(arena, RESOLVE_TEMPORARY, "4.7.5",
                   arena_printf(arena, "DNS gave no answer about the TLSA records of the mail hosts of %.*s",
                                SLICE_ARG(shown(call))));
        answer->policy = "dane";
        answer->tls_result = "dnssec-invalid";
    } else if (fates[FATE_NOT_NAMED]) {
        answer = refuse(arena, RESOLVE_TEMPORARY, "4.7.5",
                        arena_printf(arena, "no mail host of %.*s is named by its MTA-STS policy",
                                     SLICE_ARG(shown(call))));
        answer->policy = "sts";
        answer->tls_result = "validation-failure";
    } else {
        answer = refuse(
            arena, RESOLVE_PERMANENT, "5.7.30", /* RFC 8689 section 8.2 */
            arena_printf(arena,
                         "the message asks for REQUIRETLS, and the mail hosts of %.*s cannot be verified",
                         SLICE_ARG(shown(call))));
    }
    return answer;
}

static const struct known_host *host_of(const struct known *known, const struct mx_found *found)
{
    for (size_t i = 0; known && i < known->host_count; i++)
        if (known->hosts[i].mx.name.ptr == found->host.name.ptr)
            return &known->hosts[i];
    return NULL;
}

static void set_host(const struct resolve_call *call, const struct mx_found *found, struct resolve_host *host)
{
    *host = (struct resolve_host){.name = arena_dup(call->arena, found->host.name),
                                  .addresses = found->addresses,
                                  .address_count = found->count};
    for (size_t i = 0; i < found->count; i++)
        found->addresses[i].port = call->question.port;
}

static struct resolve_answer *answer_with(const struct resolve_call *call, const struct mx_found *found,
                                          size_t count)
{
    struct resolve_host *hosts = ARENA_ARRAY(call->arena, struct resolve_host, count);
    bool fates[FATE_UNVERIFIABLE + 1] = {false};
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        set_host(call, &found[i], &hosts[kept]);
        enum fate fate = set_tls(call, host_of(call->known, &found[i]), &hosts[kept]);
        fates[fate] = true;
        kept += fate == FATE_GOOD;
    }
    if (kept == 0)
        return refuse_tls(call, fates);
    struct resolve_answer *answer = ARENA_NEW(call->arena, struct resolve_answer);
    *answer = (struct resolve_answer){.outcome = RESOLVE_FOUND,
                                      .hosts = hosts,
                                      .host_count = kept,
                                      .text = SLICE_EMPTY,
                                      .enhanced = "",
                                      .policy = hosts[0].policy,
                                      .tls_result = call->sts_failure ? call->sts_failure : ""};
    return answer;
}

/* A relay's hosts: whatever has an address. */
static struct mx_result choose_relay(struct mx_found *found, size_t count)
{
    struct mx_result r = {.choice = MX_TEMPORARY};
    for (size_t i = 0; i < count; i++) {
        found[i].count = mx_addresses_interleave(found[i].addresses, found[i].count);
        if (found[i].count)
            found[r.count++] = found[i];
    }
    if (r.count)
        r.choice = MX_CHOSEN;
    return r;
}

static uint64_t draw(void *ctx, uint64_t bound)
{
    (void)ctx;
    return random_below(bound);
}

/* The known hosts in the order of a new draw, each with its own copy of the addresses. */
static struct mx_found *found_in(struct arena *arena, const struct known *known)
{
    struct mx_found *found = ARENA_ARRAY(arena, struct mx_found, known->host_count);
    struct mx_host order[MX_HOSTS_MAX];
    for (size_t i = 0; i < known->host_count; i++)
        order[i] = known->hosts[i].mx;
    mx_list_shuffle(order, known->host_count, draw, NULL);
    for (size_t i = 0; i < known->host_count; i++) {
        found[i].host = order[i];
        const struct known_host *h = host_of(known, &found[i]);
        found[i].count = h->address_count;
        found[i].addresses = ARENA_ARRAY(arena, struct netaddr, h->address_count);
        if (h->address_count)
            memcpy(found[i].addresses, h->addresses, h->address_count * sizeof *h->addresses);
        found[i].dns = h->address_count ? MX_DNS_OK : h->failed ? MX_DNS_FAILED : MX_DNS_NODATA;
    }
    return found;
}

static const struct resolve_answer *answer_literal(const struct resolve_call *call,
                                                   const struct netaddr *addr)
{
    struct netaddr *copy = ARENA_NEW(call->arena, struct netaddr);
    *copy = *addr;
    struct mx_found found = {.host.name = arena_printf(call->arena, "%s", netaddr_text(addr).text),
                             .dns = MX_DNS_OK,
                             .addresses = copy,
                             .count = 1};
    if (call->question.direct) {
        struct mx_self self = self_in(call->arena, call->resolve);
        struct mx_result r = mx_choose(call->arena, call->question.name, &found, 1, &self);
        if (r.choice != MX_CHOSEN)
            return refuse_by(call, &r);
    }
    return answer_with(call, &found, 1);
}

static const struct resolve_answer *answer_known(const struct resolve_call *call)
{
    const struct known *known = call->known;
    struct arena *arena = call->arena;
    if (known->host_count == 0) {
        struct mx_result r = mx_refuse(arena, call->question.name, known->verdict);
        return refuse_by(call, &r);
    }
    struct mx_found *found = found_in(arena, known);
    struct mx_self self = self_in(arena, call->resolve);
    struct mx_result r = call->question.direct
                             ? mx_choose(arena, call->question.name, found, known->host_count, &self)
                             : choose_relay(found, known->host_count);
    return r.choice == MX_CHOSEN ? answer_with(call, found, r.count) : refuse_by(call, &r);
}

const struct resolve_answer *resolve_answer_make(struct resolve_call *call)
{
    struct netaddr addr;
    struct slice name = call->question.name;
    if (call->refusal)
        return refuse(call->arena, RESOLVE_TEMPORARY, "4.4.3", slice_of(call->refusal));
    if (netaddr_parse(name, &addr) || domain_is_ip_literal(name, &addr))
        return answer_literal(call, &addr);
    if (call->known)
        return answer_known(call);
    const struct mx_result r = {
        .choice = MX_PERMANENT,
        .enhanced = "5.1.2",
        .text = arena_printf(call->arena, "%.*s is not a domain name", SLICE_ARG(shown(call)))};
    return refuse_by(call, &r);
}
