/* check_door.c: keys about strangers that do not fit each other: DNS lists, bans, CrowdSec. Called by
 * check.c. */
#include "grammar/domain.h"
#include "grammar/http_url.h"
#include "settings/check_inside.h"

static void check_lists(struct check *c)
{
    const struct settings *s = c->settings;
    uint64_t most = 0;
    for (size_t i = 0; i < s->before_greeting.lists.count; i++) {
        const struct settings_dns_list *list = &s->before_greeting.lists.items[i];
        if (!domain_is_ldh(list->zone))
            PROBLEM(c, PROBLEM_ERROR, &list->zone, "write a domain such as dnsbl.example.org",
                    "before_greeting.lists[%zu]: zone is no domain", i + 1);
        for (size_t j = 0; j < i; j++)
            if (slice_ieq(list->zone, s->before_greeting.lists.items[j].zone))
                PROBLEM(c, PROBLEM_ERROR, &list->zone, "remove one", "%.*s is asked twice",
                        SLICE_ARG(list->zone));
        most += list->allow ? 0 : list->weight;
    }
    if (s->before_greeting.reject_score > most)
        PROBLEM(c, PROBLEM_WARNING, &s->before_greeting.reject_score,
                "write a lower score, or 0: lists only score",
                "before_greeting.reject_score is more than all lists together: nobody is ever refused");
    if (s->before_greeting.lists.count && s->before_greeting.wait == 0)
        PROBLEM(c, PROBLEM_ERROR, &s->before_greeting.wait, "write wait: 3s, or remove the lists",
                "before_greeting.wait: 0 leaves the lists no time to answer");
}

static void check_greeting(struct check *c)
{
    const struct settings *s = c->settings;
    check_lists(c);
    if (s->before_greeting.text.len && s->before_greeting.wait == 0)
        PROBLEM(c, PROBLEM_WARNING, &s->before_greeting.text, "write wait: 3s, or remove text",
                "before_greeting.text has no effect without a wait");
    for (size_t i = 0; i < s->before_greeting.text.len; i++)
        if (s->before_greeting.text.ptr[i] < 0x20 || s->before_greeting.text.ptr[i] > 0x7e) {
            PROBLEM(c, PROBLEM_ERROR, &s->before_greeting.text, "write printable ASCII",
                    "before_greeting.text cannot be a line of a greeting");
            break;
        }
}

static void check_bans(struct check *c)
{
    const struct settings *s = c->settings;
    if (s->ban_policy.first > s->ban_policy.max)
        PROBLEM(c, PROBLEM_ERROR, &s->ban_policy.first, "make max the longer one",
                "ban_policy.first is longer than ban_policy.max");
    if (s->bans == SETTINGS_BANS_LOCAL && s->crowdsec.url.len)
        PROBLEM(c, PROBLEM_WARNING, &s->bans, "write bans: observe: CrowdSec decides then",
                "bans: local beside crowdsec: two programs ban the same addresses");
}

static void check_crowdsec(struct check *c)
{
    const struct settings *s = c->settings;
    struct http_url url;
    struct why why;
    if (!s->crowdsec.url.len) {
        if (s->crowdsec.key_file.len || s->crowdsec.machine.len)
            PROBLEM(c, PROBLEM_WARNING, &s->crowdsec, "add url: http://127.0.0.1:8080/",
                    "crowdsec has no effect without its url");
        return;
    }
    if (http_url_parse(s->crowdsec.url, &url, &why))
        PROBLEM(c, PROBLEM_ERROR, &s->crowdsec.url, "write http://127.0.0.1:8080/", "crowdsec.url %s",
                why.text);
    else if (url.plain && url.address.family != NETADDR_NONE && !netaddr_is_private(&url.address))
        PROBLEM(c, PROBLEM_ERROR, &s->crowdsec.url, "write https://, or an address of your own network",
                "crowdsec.url: the key would travel in the clear");
    if (!s->crowdsec.key_file.len)
        PROBLEM(c, PROBLEM_ERROR, &s->crowdsec.url,
                "add key_file: with the key that `cscli bouncers add` printed",
                "crowdsec: without a bouncer's key its decisions cannot be read");
    if (!s->crowdsec.machine.len != !s->crowdsec.machine_file.len)
        PROBLEM(c, PROBLEM_ERROR, &s->crowdsec.machine, "give both, or none",
                "crowdsec: reporting needs both machine and machine_file");
    settings_check_file(c, &s->crowdsec.key_file, s->crowdsec.key_file, "CrowdSec's key");
    settings_check_file(c, &s->crowdsec.machine_file, s->crowdsec.machine_file, "CrowdSec's password");
}

void settings_check_door(struct check *c)
{
    check_greeting(c);
    check_bans(c);
    check_crowdsec(c);
}
