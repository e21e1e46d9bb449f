/* dkim_check.c: the key record of a selector, asked of DNS for queue, which decides whether a key may sign.
 * The record is a stranger's text, parsed by policy/dkim_record.c. Called by role.c. */
#include "relay/dkim_check.h"

#include <stdlib.h>

#include "base/coll.h"
#include "base/mem.h"
#include "policy/dkim_record.h"
#include "relay/resolve_dns.h"

#define REPLY_ARENA   (1u << 20)
#define NAME_MAX_TEXT 253

struct dkim_check {
    struct ipc_link *dns;
    struct list pending;
    size_t count;
};

struct pending {
    struct list node;
    struct dkim_check *check;
    struct ipc_link *link;
    uint32_t request, question;
};

static void pending_free(struct pending *p)
{
    list_remove(&p->node);
    p->check->count--;
    free(p);
}

static void answer_status(struct ipc_link *link, uint32_t request, enum dns_status status)
{
    const struct wire_dkim_published published = {.status = status};
    wire_reply(link, request, WIRE_DKIM_PUBLISHED, false, &published);
}

/* The first key record among the TXT records (RFC 6376 section 3.6.2.2: there should be one). */
static bool find_record(struct arena *arena, const struct dns_reply *reply, struct dkim_record *record)
{
    for (size_t i = 0; i < reply->count; i++) {
        struct slice text;
        struct why why;
        if (rdata_txt_in(arena, reply->records[i], &text) &&
            dkim_record_parse_in(arena, text, record, &why) == ERR_OK)
            return true;
    }
    return false;
}

static void on_answer(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct pending *p = ctx;
    AUTO_ARENA struct arena *arena = arena_new(REPLY_ARENA);
    struct dns_reply reply;
    struct dkim_record record;
    resolve_dns_read_in(arena, err, packet, &reply);
    if (reply.status == DNS_OK && find_record(arena, &reply, &record)) {
        const struct wire_dkim_published published = {.status = DNS_OK,
                                                      .forbids = !record.sha256 || !record.email,
                                                      .algorithm =
                                                          slice_of(dkim_key_type_name(record.algorithm)),
                                                      .key = record.key};
        wire_reply(p->link, p->request, WIRE_DKIM_PUBLISHED, false, &published);
    } else {
        answer_status(p->link, p->request, reply.status == DNS_OK ? DNS_NODATA : reply.status);
    }
    pending_free(p);
}

bool dkim_check_begin(struct dkim_check *check, struct ipc_link *link, const struct ipc_packet *packet,
                      const struct wire_dkim_check *question)
{
    AUTO_BUF struct buf name = buf_new(NAME_MAX_TEXT);
    if (!packet->request)
        return false;
    buf_add(&name, question->selector);
    buf_add_str(&name, "._domainkey.");
    buf_add(&name, question->domain);
    if (!buf_ok(&name) || check->count >= DKIM_CHECKS_MAX) {
        answer_status(link, packet->request, buf_ok(&name) ? DNS_FAILED : DNS_NXDOMAIN);
        return true;
    }
    struct pending *p = mem_zero(1, sizeof *p);
    *p = (struct pending){.check = check, .link = link, .request = packet->request};
    list_push_back(&check->pending, &p->node);
    check->count++;
    p->question = resolve_dns_ask(check->dns, RR_TXT, buf_slice(&name), on_answer, p);
    return true;
}

struct dkim_check *dkim_check_new(struct ipc_link *dns)
{
    struct dkim_check *check = mem_zero(1, sizeof *check);
    check->dns = dns;
    list_init(&check->pending);
    return check;
}

void dkim_check_forget(struct dkim_check *check)
{
    LIST_EACH(&check->pending, node)
    {
        struct pending *p = CONTAINER_OF(node, struct pending, node);
        ipc_cancel(check->dns, p->question);
        pending_free(p);
    }
}

void dkim_check_free(struct dkim_check **check)
{
    if (!*check)
        return;
    dkim_check_forget(*check);
    free(*check);
    *check = NULL;
}
