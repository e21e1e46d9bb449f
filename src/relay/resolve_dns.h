/* resolve_dns.h: one question to the dns role, and its answer taken apart. For the files of this folder that
 * ask for names. */
#ifndef RELAY_RESOLVE_DNS_H
#define RELAY_RESOLVE_DNS_H

#include "base/arena.h"
#include "base/ipc.h"
#include "grammar/netaddr.h"
#include "policy/mx.h"
#include "policy/rdata.h"
#include "wire/wire.h"

#define RESOLVE_DNS_MS      25000 /* the dns role's own deadline is shorter */
#define RESOLVE_RECORDS_MAX 2000

struct dns_reply {
    enum dns_status status;
    bool secure;
    uint32_t ttl;
    struct slice canonical; /* behind CNAMEs */
    struct slice *records;  /* rdata; the bytes live as long as the packet */
    size_t count;
};

/* `done` is an ipc_done that reads its packet with resolve_dns_read_in(). Returns the id for ipc_cancel(). */
uint32_t resolve_dns_ask(struct ipc_link *dns, unsigned type, struct slice name, ipc_done *done, void *ctx);
/* No answer is DNS_FAILED. */
void resolve_dns_read_in(struct arena *arena, enum err err, const struct ipc_packet *packet,
                         struct dns_reply *reply);
/* What it means for the choice of hosts: bogus is a failure. */
enum mx_dns resolve_dns_mx(const struct dns_reply *reply);
/* Addresses of A and AAAA records, at most `max`. */
size_t resolve_dns_addresses(const struct dns_reply *reply, uint16_t port, struct netaddr *addresses,
                             size_t max);

#endif
