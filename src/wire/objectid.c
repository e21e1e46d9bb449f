/* objectid.c: see objectid.h. Input: numbers of our own; message ids of any bytes. Called by store and imap.
 */
#include "wire/objectid.h"

#include "base/hash.h"

/* Fixed: the names must stay the same. */
static const struct hash_key thread_key = {0x726f636b646f7665u, 0x7468726561646964u};

uint32_t object_tag(struct slice account)
{
    return hash_crc32c(0, account);
}

void object_mailbox(struct buf *out, uint32_t tag, uint64_t mailbox, uint32_t uidvalidity)
{
    buf_addf(out, "F%08x-%llu-%u", tag, (unsigned long long)mailbox, uidvalidity);
}

void object_email(struct buf *out, uint32_t tag, uint64_t message)
{
    buf_addf(out, "M%08x-%llu", tag, (unsigned long long)message);
}

void object_thread(struct buf *out, uint32_t tag, uint64_t message, struct slice root)
{
    if (root.len)
        buf_addf(out, "T%016llx", (unsigned long long)hash_sip(&thread_key, root));
    else
        buf_addf(out, "T%08x-%llu", tag, (unsigned long long)message);
}
