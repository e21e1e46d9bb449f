/* cmd_quota.c: GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208). An account has one root, named "User quota". */
#include "grammar/imap_write.h"
#include "imap/command.h"
#include "wire/mailbox.h"

#define ROOT SLICE("User quota")

static bool is_root(struct slice name)
{
    return slice_eq(name, ROOT) || name.len == 0;
}

static void write_resource(struct buf *out, const char *name, uint64_t used, uint64_t limit,
                           const char **separator)
{
    if (limit == 0)
        return;
    buf_addf(out, "%s%s %llu %llu", *separator, name, (unsigned long long)used, (unsigned long long)limit);
    *separator = " ";
}

/* STORAGE counts units of 1024 octets. */
static void write_quota(struct buf *out, const struct wire_quota *q)
{
    const char *separator = "";
    buf_add_str(out, "* QUOTA ");
    imap_write_string(out, ROOT);
    buf_add_str(out, " (");
    write_resource(out, "STORAGE", (q->used_bytes + 1023) / 1024, q->limit_bytes / 1024, &separator);
    write_resource(out, "MESSAGE", q->used_messages, q->limit_messages, &separator);
    buf_add_str(out, ")\r\n");
}

static void on_quota(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_quota quota;
    const struct imap_command *c = &s->run->command;
    err = wire_answer(err, packet, WIRE_QUOTA, &quota);
    if (err || quota.err) {
        imap_session_refused(s, err ? err : quota.err, quota.code, quota.text);
        return;
    }
    /* Another's mailboxes count for their owner, whose quota is not the reader's to know. */
    bool others = c->verb == IMAP_GETQUOTAROOT && slice_starts(c->mailbox.mailbox, SLICE(MAILBOX_OTHERS "/"));
    bool limited = !others && (quota.limit_bytes || quota.limit_messages);
    struct buf *out = imap_session_output(s);
    if (c->verb == IMAP_GETQUOTAROOT) {
        buf_add_str(out, "* QUOTAROOT ");
        imap_write_mailbox(out, c->mailbox.mailbox, s->utf8);
        if (limited) {
            buf_add_byte(out, ' ');
            imap_write_string(out, ROOT);
        }
        buf_add_str(out, "\r\n");
    }
    if (limited || c->verb != IMAP_GETQUOTAROOT)
        write_quota(out, &quota);
    imap_session_done(s, "OK Quota completed");
}

static void ask(struct session *s)
{
    const struct wire_quota_get get = {.grant = s->grant};
    imap_session_ask(s, ROLE_STORE, WIRE_QUOTA_GET, &get, on_quota);
}

void imap_cmd_getquota(struct session *s)
{
    if (is_root(s->run->command.quota.root))
        ask(s);
    else
        imap_session_done(s, "NO [NONEXISTENT] No such quota root");
}

void imap_cmd_getquotaroot(struct session *s)
{
    ask(s);
}

/* setquota-resource = resource-name SP resource-limit. What is not named has no limit of one's own any more
 * (section 4.1.3). */
static const char *read_limits(const struct imap_command *c, struct wire_quota_set *set)
{
    for (size_t i = 0; i < c->quota.count; i++) {
        struct slice name = c->quota.limits[i].resource;
        uint64_t limit = c->quota.limits[i].limit;
        bool storage = slice_ieq(name, SLICE("STORAGE"));
        if (!storage && !slice_ieq(name, SLICE("MESSAGE")))
            return "No such resource";
        if (!limit || limit > INT64_MAX / 1024)
            return "Not a possible limit";
        if (storage)
            set->bytes = limit * 1024;
        else
            set->messages = limit;
    }
    return NULL;
}

/* Users may limit themselves below what the administrator has set. */
void imap_cmd_setquota(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    struct wire_quota_set set = {.grant = s->grant};
    const char *fault = read_limits(c, &set);
    if (!is_root(c->quota.root))
        imap_session_done(s, "NO [NONEXISTENT] No such quota root");
    else if (fault)
        imap_session_done(s, "NO [CANNOT] %s", fault);
    else
        imap_session_ask(s, ROLE_STORE, WIRE_QUOTA_SET, &set, on_quota);
}
