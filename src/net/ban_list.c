/* ban_list.c: the image of all bans: made by auth, mapped by the network roles. What is mapped comes from
 * auth, which is trusted more than the reader; it is checked all the same. Called by auth/ and by listener.c.
 *
 *   head:     magic, count (u64 each)
 *   starts:   count addresses, ascending: first of each interval
 *   ends:     count addresses: last of each interval, before the next one's first
 *   untils:   count u64: end of the ban
 *
 * An address is two u64 in host order (the image never leaves the machine), high half first. */
#include "net/ban_list.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/mem.h"

#define MAGIC    UINT64_C(0x31746c6e61624452) /* "RDbanlt1" */
#define SEGMENTS 2 /* intervals one network can add at most: its own, and the rest of the one around it */
#define DEPTH_MAX                                                                                            \
    130 /* networks one inside the other: a prefix of each length, and the space around them                 \
         */

struct address {
    uint64_t high, low;
};

struct head {
    uint64_t magic, count;
};

struct ban_list {
    void *map;
    size_t size, count;
    const struct address *starts, *ends;
    const uint64_t *untils;
};

static uint64_t load64(const uint8_t bytes[8])
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | bytes[i];
    return v;
}

static struct address address_of(const uint8_t ip[16])
{
    return (struct address){load64(ip), load64(ip + 8)};
}

static int address_cmp(struct address a, struct address b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return a.low < b.low ? -1 : a.low > b.low;
}

static struct address address_after(struct address a)
{
    return (struct address){a.high + (a.low == UINT64_MAX), a.low + 1};
}

static struct address address_before(struct address a)
{
    return (struct address){a.high - (a.low == 0), a.low - 1};
}

static struct address last_of(const struct conf_network *network)
{
    struct address a = address_of(network->ip);
    unsigned bits = network->bits;
    if (bits < 64)
        return (struct address){a.high | UINT64_MAX >> bits, UINT64_MAX};
    return (struct address){a.high, bits >= 128 ? a.low : a.low | UINT64_MAX >> (bits - 64)};
}

/* ---- making ---- */

/* What all networks around a place say together. */
struct word {
    bool never, spared;
    uint64_t usual, by_hand; /* the longest; 0: none */
};

static uint64_t word_until(const struct word *w)
{
    uint64_t usual = w->spared ? 0 : w->usual;
    if (w->never)
        return 0;
    return usual > w->by_hand ? usual : w->by_hand;
}

static struct word word_with(struct word w, const struct ban_entry *e)
{
    switch (e->rank) {
    case BAN_USUAL:
        w.usual = e->until > w.usual ? e->until : w.usual;
        break;
    case BAN_SPARED:
        w.spared = true;
        break;
    case BAN_BY_HAND:
        w.by_hand = e->until > w.by_hand ? e->until : w.by_hand;
        break;
    case BAN_NEVER:
        w.never = true;
        break;
    }
    return w;
}

struct maker {
    struct {
        struct address last;
        struct word word;
    } around[DEPTH_MAX]; /* networks around the place we are at, the widest first */
    size_t depth;
    struct address at; /* the first address nothing was said about */
    bool past_end;     /* the whole space was spoken about */
    struct address *starts, *ends;
    uint64_t *untils;
    size_t count;
};

/* Addresses up to `last` are as the innermost network says. */
static void speak(struct maker *m, struct address last)
{
    uint64_t until = m->depth ? word_until(&m->around[m->depth - 1].word) : 0;
    if (m->past_end || address_cmp(m->at, last) > 0)
        return;
    size_t n = m->count;
    bool joins = n && m->untils[n - 1] == until && address_cmp(address_after(m->ends[n - 1]), m->at) == 0;
    if (until && joins) {
        m->ends[n - 1] = last;
    } else if (until) {
        m->starts[n] = m->at;
        m->ends[n] = last;
        m->untils[n] = until;
        m->count++;
    }
    m->past_end = last.high == UINT64_MAX && last.low == UINT64_MAX;
    m->at = address_after(last);
}

/* Leaves the networks that end before `start`; all when NULL. */
static void leave(struct maker *m, const struct address *start)
{
    while (m->depth && (!start || address_cmp(m->around[m->depth - 1].last, *start) < 0)) {
        speak(m, m->around[m->depth - 1].last);
        m->depth--;
    }
}

/* Sorted by start, the wider first: what is open is always one inside the other. */
static void enter(struct maker *m, const struct ban_entry *e)
{
    struct address start = address_of(e->network.ip);
    leave(m, &start);
    if (start.high || start.low)
        speak(m, address_before(start));
    struct address last = last_of(&e->network);
    struct word word = m->depth ? m->around[m->depth - 1].word : (struct word){0};
    if (!m->depth || address_cmp(m->around[m->depth - 1].last, last) != 0)
        m->depth++; /* else the outer one has nothing more to say behind this one */
    m->around[m->depth - 1].last = last;
    m->around[m->depth - 1].word = word_with(word, e);
}

static int by_start(const void *a, const void *b)
{
    const struct ban_entry *x = a, *y = b;
    int order = memcmp(x->network.ip, y->network.ip, sizeof x->network.ip);
    return order ? order : (int)x->network.bits - (int)y->network.bits;
}

static enum err write_image(const struct maker *m, int *result, struct why *why)
{
    const struct head head = {MAGIC, m->count};
    const struct slice parts[] = {
        slice_make(&head, sizeof head), slice_make(m->starts, m->count * sizeof *m->starts),
        slice_make(m->ends, m->count * sizeof *m->ends), slice_make(m->untils, m->count * sizeof *m->untils)};
    AUTO_FD int fd = -1;
    enum err err = io_memfd("bans", &fd, why);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !err; i++)
        err = io_write_all(fd, parts[i], why);
    if (!err)
        err = io_seal(fd, why);
    if (err)
        return err;
    *result = fd;
    fd = -1;
    return ERR_OK;
}

enum err ban_list_make(struct ban_entry *entries, size_t count, int *fd, struct why *why)
{
    if (count > BAN_LIST_MAX)
        return err_set(why, ERR_BAD, "more than %u bans", BAN_LIST_MAX);
    if (count)
        qsort(entries, count, sizeof *entries, by_start);
    struct maker *m = mem_zero(1, sizeof *m);
    size_t room = count * SEGMENTS + 1;
    m->starts = mem_alloc(room * sizeof *m->starts);
    m->ends = mem_alloc(room * sizeof *m->ends);
    m->untils = mem_alloc(room * sizeof *m->untils);
    for (size_t i = 0; i < count; i++)
        enter(m, &entries[i]);
    leave(m, NULL);
    enum err err = write_image(m, fd, why);
    free(m->starts);
    free(m->ends);
    free(m->untils);
    free(m);
    return err;
}

/* ---- reading ---- */

#define INTERVAL_SIZE (2 * sizeof(struct address) + sizeof(uint64_t))

static bool in_order(const struct ban_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (address_cmp(list->starts[i], list->ends[i]) > 0)
            return false;
        if (i && address_cmp(list->ends[i - 1], list->starts[i]) >= 0)
            return false;
    }
    return true;
}

static enum err check(struct ban_list *list, struct why *why)
{
    const uint8_t *bytes = list->map;
    struct head head;
    memcpy(&head, bytes, sizeof head);
    if (head.magic != MAGIC || head.count > (size_t)BAN_LIST_MAX * SEGMENTS + 1 ||
        list->size != sizeof head + head.count * INTERVAL_SIZE)
        return err_set(why, ERR_BAD, "not a list of bans");
    list->count = (size_t)head.count;
    list->starts = (const void *)(bytes + sizeof head);
    list->ends = list->starts + list->count;
    list->untils = (const void *)(list->ends + list->count);
    return in_order(list) ? ERR_OK : err_set(why, ERR_BAD, "a list of bans out of order");
}

enum err ban_list_map(int fd, struct ban_list **result, struct why *why)
{
    struct stat st;
    enum err err = io_fstat(fd, &st, why);
    if (err)
        return err;
    if (!io_is_sealed(fd) || st.st_size < (off_t)sizeof(struct head))
        return err_set(why, ERR_BAD, "not a sealed list of bans");
    struct ban_list *list = mem_zero(1, sizeof *list);
    list->size = (size_t)st.st_size;
    list->map = mmap(NULL, list->size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (list->map == MAP_FAILED) {
        free(list);
        return err_set(why, ERR_LATER, "no memory for the list of bans");
    }
    err = check(list, why);
    if (err)
        ban_list_free(&list);
    else
        *result = list;
    return err;
}

void ban_list_free(struct ban_list **list)
{
    if (!*list)
        return;
    (void)munmap((*list)->map, (*list)->size);
    free(*list);
    *list = NULL;
}

size_t ban_list_count(const struct ban_list *list)
{
    return list ? list->count : 0;
}

/* The number of intervals that begin at or before the address. Without a branch that could be guessed wrong.
 */
static size_t begun(const struct ban_list *list, struct address a)
{
    size_t at = 0, left = list->count;
    while (left > 1) {
        size_t half = left / 2;
        at += address_cmp(list->starts[at + half], a) <= 0 ? half : 0;
        left -= half;
    }
    return left && address_cmp(list->starts[at], a) <= 0 ? at + 1 : at;
}

bool ban_list_has(const struct ban_list *list, const struct netaddr *addr, uint64_t now_s, uint64_t *until)
{
    uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (!list || (addr->family != NETADDR_V4 && addr->family != NETADDR_V6))
        return false;
    if (addr->family == NETADDR_V4)
        memcpy(ip + 12, addr->bytes, 4);
    else
        memcpy(ip, addr->bytes, sizeof ip);
    struct address a = address_of(ip);
    size_t count = begun(list, a);
    if (count == 0 || address_cmp(list->ends[count - 1], a) < 0 || list->untils[count - 1] <= now_s)
        return false;
    if (until)
        *until = list->untils[count - 1];
    return true;
}
