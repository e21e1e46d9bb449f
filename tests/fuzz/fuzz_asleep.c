/* What an account was when it fell asleep (store/asleep.h): the sum and the index it names are put right, so
 * that what lies behind the check is reached too. What is accepted must be written again as the same account.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/asleep.h"

#define SUM_LEN  8
#define IDENTITY 1 /* behind the version */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct account *made(void)
{
    const struct store_root nowhere = {.dir = -1, .path = "."};
    return account_new(&nowhere, "accounts/ann@example.test", SLICE("ann@example.test"));
}

static bool is_same(const struct account *a, const struct account *b)
{
    size_t at = 0;
    const struct mailbox *m;
    const struct subscription *s;
    while ((m = idmap_next(a->by_id, &at, NULL))) {
        const struct mailbox *n = account_mailbox_by_id(b, m->id);
        if (!n || !slice_eq(m->name, n->name) || m->messages != n->messages || m->state_sum != n->state_sum ||
            m->keyword_count != n->keyword_count || m->special_use != n->special_use)
            return false;
    }
    for (at = 0; (s = map_next(a->subscriptions, &at, NULL));)
        if (!map_get(b->subscriptions, s->name))
            return false;
    return a->modseq == b->modseq && atomic_load(&a->next_message) == atomic_load(&b->next_message) &&
           a->closed == b->closed && a->acl_entries == b->acl_entries && a->own.bytes == b->own.bytes &&
           idmap_count(a->by_id) == idmap_count(b->by_id) &&
           map_count(a->subscriptions) == map_count(b->subscriptions);
}

static void again(const struct account *account, const struct stat *index)
{
    AUTO_BUF struct buf bytes = buf_new(ASLEEP_MAX);
    struct account *b = made();
    asleep_encode(account, index, &bytes);
    if (buf_ok(&bytes) && (asleep_decode(b, buf_slice(&bytes), index, NULL) || !is_same(account, b)))
        abort();
    account_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct stat index = {.st_ino = 7, .st_size = 4096};
    struct account *a = made(), *empty = made();
    AUTO_BUF struct buf front = buf_new(ASLEEP_MAX), bytes = buf_new(ASLEEP_MAX);
    if (asleep_decode(a, slice_make(data, size), &index, NULL) == ERR_OK)
        again(a, &index);
    account_free(&a);
    asleep_encode(empty, &index, &front); /* version and index, as they must be */
    account_free(&empty);
    buf_add(&bytes, slice_sub(buf_slice(&front), 0, IDENTITY + ASLEEP_IDENTITY));
    buf_add(&bytes, slice_make(data, size));
    buf_add_le64(&bytes, asleep_sum(buf_slice(&bytes)));
    a = made();
    if (asleep_decode(a, buf_slice(&bytes), &index, NULL) == ERR_OK)
        again(a, &index);
    account_free(&a);
    return 0;
}
