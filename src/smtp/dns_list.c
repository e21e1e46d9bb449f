/* dns_list.c: asks DNS lists about strangers, and tests the lists. Answers are a stranger's zone data: the
 * dns role parsed the packets, policy/dns_list.c judges what stands in them. Called by greet.c and greeter.c.
 */
#include "smtp/dns_list.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "policy/dns_list.h"
#include "policy/rdata.h"
#include "settings/metrics.h"
#include "wire/wire.h"

/* Labels of METRIC_DNS_LISTS. */
enum { METRIC_LISTS_ON, METRIC_LISTS_OFF };

enum question { ABOUT_CLIENT, TEST_LISTED, TEST_CLEAN };

/* One question on its way to the dns role. */
struct query {
    struct list node;  /* in lists->queries */
    struct list asked; /* in the listing's queries; alone when nobody waits for it */
    struct smtp_lists *lists;
    struct smtp_listing *listing;
    enum question question;
    unsigned list;
    uint32_t request;
};

struct dns_list {
    const struct settings_dns_list *settings;
    struct dns_list_watch watch;
    unsigned tests; /* questions of the test under way */
    enum dns_list_finding found[2];
};

struct smtp_lists {
    struct loop *loop;
    struct ipc_link *dns;
    struct loop_timer *timer;
    struct list queries;
    unsigned pending, count;
    struct dns_list items[SMTP_LISTS_MAX];
};

static void on_answer(void *ctx, enum err err, struct ipc_packet *packet);

/* ---- questions ---- */

static void query_free(struct query *q)
{
    list_remove(&q->node);
    list_remove(&q->asked);
    q->lists->pending--;
    free(q);
}

static struct query *query_new(struct smtp_lists *lists, unsigned list, const struct netaddr *addr)
{
    struct dns_list_name name;
    if (!dns_list_name(addr, lists->items[list].settings->zone, &name))
        return NULL;
    struct query *q = mem_zero(1, sizeof *q);
    const struct wire_dns_query message = {.rrtype = RR_A, .name = slice_make(name.text, name.len)};
    q->lists = lists;
    q->list = list;
    list_push_back(&lists->queries, &q->node);
    list_init(&q->asked);
    lists->pending++;
    q->request = wire_call(lists->dns, WIRE_DNS_QUERY, &message, SMTP_LISTS_MS, on_answer, q);
    return q;
}

static enum dns_list_finding finding_of(enum err err, const struct ipc_packet *packet,
                                        const struct settings_dns_list *list, bool all_answers)
{
    struct wire_dns_answer answer;
    struct slice records[DNS_LIST_RECORDS_MAX];
    size_t count = 0;
    if (wire_answer(err, packet, WIRE_DNS_ANSWER, &answer) != ERR_OK || answer.status >= DNS_FAILED)
        return DNS_LIST_UNKNOWN;
    if (answer.status != DNS_OK)
        return DNS_LIST_CLEAN;
    while (count < DNS_LIST_RECORDS_MAX && wire_strings_take(&answer.records, &records[count]))
        count++;
    return dns_list_read(records, count, list->answers.items, all_answers ? 0 : list->answers.count);
}

/* ---- tests ---- */

static void count_lists(const struct smtp_lists *lists)
{
    unsigned on = 0;
    for (unsigned i = 0; i < lists->count; i++)
        on += lists->items[i].watch.on;
    metric_set(METRIC_DNS_LISTS, METRIC_LISTS_ON, on);
    metric_set(METRIC_DNS_LISTS, METRIC_LISTS_OFF, lists->count - on);
}

/* The next test is due, of one list or another. */
static void arm(struct smtp_lists *lists)
{
    uint64_t now = loop_now_ms(lists->loop), due = UINT64_MAX;
    for (unsigned i = 0; i < lists->count; i++)
        if (lists->items[i].tests == 0 && lists->items[i].watch.due_ms < due)
            due = lists->items[i].watch.due_ms;
    if (due < UINT64_MAX)
        loop_timer_set(lists->timer, due > now ? due - now : 0);
}

/* Some zones hold a key of ours. */
static struct slice name_of(const struct dns_list *list)
{
    return list->settings->name.len ? list->settings->name : list->settings->zone;
}

static void tell(const struct dns_list *list)
{
    struct slice zone = name_of(list);
    if (list->watch.on)
        log_info("smtp.dns_list.on", LOG_STR("zone", zone));
    else
        log_error("smtp.dns_list.off", LOG_STR("zone", zone),
                  LOG_CSTR("why", dns_list_health_text(list->watch.health)));
}

static void test_ended(struct smtp_lists *lists, struct dns_list *list)
{
    enum dns_list_health health = dns_list_judge(list->found[0], list->found[1]);
    if (dns_list_watch_tested(&list->watch, health, loop_now_ms(lists->loop)))
        tell(list);
    count_lists(lists);
    arm(lists);
}

static void test(struct smtp_lists *lists, unsigned at)
{
    static const struct netaddr *const points[] = {&dns_list_point_listed, &dns_list_point_clean};
    struct dns_list *list = &lists->items[at];
    for (unsigned i = 0; i < ARRAY_LEN(points); i++) {
        struct query *q = query_new(lists, at, points[i]);
        list->found[i] = DNS_LIST_UNKNOWN;
        if (!q)
            continue;
        q->question = i == 0 ? TEST_LISTED : TEST_CLEAN;
        list->tests++;
    }
    if (list->tests == 0)
        test_ended(lists, list);
}

static void on_due(void *arg)
{
    struct smtp_lists *lists = arg;
    uint64_t now = loop_now_ms(lists->loop);
    for (unsigned i = 0; i < lists->count; i++)
        if (lists->items[i].tests == 0 && lists->items[i].watch.due_ms <= now)
            test(lists, i);
    arm(lists);
}

/* ---- answers ---- */

static void found(struct query *q, enum dns_list_finding finding)
{
    struct smtp_listing *listing = q->listing;
    struct dns_list_watch *watch = &q->lists->items[q->list].watch;
    if (dns_list_watch_saw(watch, finding, loop_now_ms(q->lists->loop)))
        arm(q->lists);
    if (!listing)
        return;
    if (finding == DNS_LIST_LISTED)
        listing->found |= UINT32_C(1) << q->list;
    listing->pending--;
}

static void on_answer(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct query *q = ctx;
    struct smtp_lists *lists = q->lists;
    struct dns_list *list = &lists->items[q->list];
    struct smtp_listing *listing = q->listing;
    enum question question = q->question;
    enum dns_list_finding finding = finding_of(err, packet, list->settings, question != ABOUT_CLIENT);
    if (question == ABOUT_CLIENT)
        found(q, finding);
    else
        list->found[question == TEST_CLEAN] = finding;
    query_free(q);
    if (question != ABOUT_CLIENT && --list->tests == 0)
        test_ended(lists, list);
    if (listing && listing->pending == 0 && listing->done)
        listing->done(listing->ctx);
}

/* ---- for greet.c ---- */

void smtp_lists_ask(struct smtp_lists *lists, const struct netaddr *client, struct smtp_listing *listing)
{
    list_init(&listing->queries);
    for (unsigned i = 0; i < lists->count && lists->pending < SMTP_LISTS_PENDING; i++) {
        struct query *q = lists->items[i].watch.on ? query_new(lists, i, client) : NULL;
        if (!q)
            continue;
        q->listing = listing;
        listing->pending++;
        list_push_back(&listing->queries, &q->asked);
    }
}

void smtp_listing_drop(struct smtp_listing *listing)
{
    if (!listing->queries.next)
        return;
    LIST_EACH(&listing->queries, node)
    {
        CONTAINER_OF(node, struct query, asked)->listing = NULL;
        list_remove(node);
    }
    listing->pending = 0;
}

int64_t smtp_lists_score(const struct smtp_lists *lists, const struct smtp_listing *listing,
                         struct buf *zones)
{
    int64_t score = 0;
    for (unsigned i = 0; lists && i < lists->count; i++) {
        const struct dns_list *list = &lists->items[i];
        if (!(listing->found >> i & 1) || !list->watch.on)
            continue;
        score += list->settings->allow ? -(int64_t)list->settings->weight : (int64_t)list->settings->weight;
        if (!zones || list->settings->allow)
            continue;
        buf_add_str(zones, zones->len ? " " : "");
        buf_add(zones, name_of(list));
    }
    return score;
}

/* ---- life ---- */

struct smtp_lists *smtp_lists_new(struct loop *loop, struct ipc_link *dns, const struct settings *settings)
{
    struct smtp_lists *lists = mem_zero(1, sizeof *lists);
    size_t count = dns ? settings->before_greeting.lists.count : 0;
    lists->loop = loop;
    lists->dns = dns;
    lists->timer = loop_timer_new(loop, on_due, lists);
    lists->count = (unsigned)(count < SMTP_LISTS_MAX ? count : SMTP_LISTS_MAX);
    list_init(&lists->queries);
    for (unsigned i = 0; i < lists->count; i++) {
        lists->items[i].settings = &settings->before_greeting.lists.items[i];
        dns_list_watch_begin(&lists->items[i].watch, loop_now_ms(loop));
    }
    count_lists(lists);
    arm(lists);
    return lists;
}

void smtp_lists_free(struct smtp_lists **ref)
{
    struct smtp_lists *lists = *ref;
    *ref = NULL;
    if (!lists)
        return;
    loop_timer_free(&lists->timer);
    while (!list_empty(&lists->queries)) {
        struct query *q = CONTAINER_OF(lists->queries.next, struct query, node);
        struct smtp_listing *listing = q->listing;
        ipc_cancel(lists->dns, q->request);
        query_free(q);
        if (listing && --listing->pending == 0 && listing->done)
            listing->done(listing->ctx);
    }
    free(lists);
}
