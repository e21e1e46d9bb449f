/* decisions.c: CrowdSec's decisions. Lines come from relay, which parses a LAPI's answers. Called by bans.c
 * and ban_decisions.c. */
#include "auth/decisions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "auth/bans.h"
#include "base/coll.h"
#include "base/mem.h"
#include "wire/wire.h"

#define SECONDS_MAX (UINT64_C(100) * 366 * 86400)
#define WORD_OTHER  0

struct decisions {
    struct vec items;     /* struct decision */
    struct idmap *places; /* id to index + 1 */
    char words[DECISION_WORDS + 1][DECISION_WORD_MAX + 1];
    size_t word_count;
    uint64_t refused;
};

struct decisions *decisions_new(void)
{
    struct decisions *d = mem_zero(1, sizeof *d);
    d->items = VEC_NEW(struct decision, DECISIONS_MAX);
    d->places = idmap_new(DECISIONS_MAX);
    (void)strcpy(d->words[WORD_OTHER], "other");
    d->word_count = 1;
    return d;
}

void decisions_free(struct decisions **decisions)
{
    if (!*decisions)
        return;
    vec_free(&(*decisions)->items);
    idmap_free(&(*decisions)->places);
    free(*decisions);
    *decisions = NULL;
}

static uint8_t word_of(struct decisions *d, struct slice text)
{
    text = slice_sub(text, 0, DECISION_WORD_MAX);
    for (size_t i = 1; i < d->word_count; i++)
        if (slice_eq(text, slice_of(d->words[i])))
            return (uint8_t)i;
    if (d->word_count > DECISION_WORDS)
        return WORD_OTHER;
    char *word = d->words[d->word_count];
    for (size_t i = 0; i < text.len; i++)
        word[i] = ascii_is_print(text.ptr[i]) ? (char)text.ptr[i] : '?';
    return (uint8_t)d->word_count++;
}

static void put_place(struct decisions *d, size_t index)
{
    uint64_t id = VEC_AT(&d->items, struct decision, index)->id;
    if (!idmap_put(d->places, id, (void *)(uintptr_t)(index + 1)))
        abort(); /* as many ids as items */
}

static struct decision *find(const struct decisions *d, uint64_t id, size_t *index)
{
    uintptr_t place = (uintptr_t)idmap_get(d->places, id);
    if (!place)
        return NULL;
    *index = place - 1;
    return VEC_AT(&d->items, struct decision, place - 1);
}

static void drop(struct decisions *d, size_t index)
{
    (void)idmap_remove(d->places, VEC_AT(&d->items, struct decision, index)->id);
    vec_remove_swap(&d->items, index);
    if (index < d->items.len)
        put_place(d, index);
}

static void add(struct decisions *d, const struct decision *decision)
{
    size_t index;
    struct decision *item = find(d, decision->id, &index);
    if (!item) {
        item = vec_push(&d->items);
        if (!item) {
            d->refused++;
            return;
        }
        *item = *decision;
        put_place(d, d->items.len - 1);
        return;
    }
    *item = *decision; /* told again: the last word counts */
}

bool decisions_take(struct decisions *d, struct slice line, uint64_t now_s)
{
    struct slice sign, id, address, seconds, type, origin;
    struct decision decision;
    uint64_t lasts;
    size_t index;
    if (!slice_token(&line, ' ', &sign) || !slice_token(&line, ' ', &id) ||
        !slice_token(&line, ' ', &address) || !slice_token(&line, ' ', &seconds) ||
        !slice_token(&line, ' ', &type) || !slice_token(&line, ' ', &origin))
        return false;
    if (!slice_u64(id, UINT64_MAX, &decision.id) || !slice_u64(seconds, UINT64_MAX, &lasts))
        return false;
    if (slice_eq(sign, SLICE("-"))) {
        if (find(d, decision.id, &index))
            drop(d, index);
        return true;
    }
    if (!slice_eq(sign, SLICE("+")))
        return false;
    if (!bans_read_network(address, &decision.network) || bans_too_wide(&decision.network)) {
        d->refused++;
        return true;
    }
    decision.until = now_s + (lasts < SECONDS_MAX ? lasts : SECONDS_MAX);
    decision.type = word_of(d, type);
    decision.origin = word_of(d, origin);
    decision.scenario = word_of(d, line);
    add(d, &decision);
    return true;
}

size_t decisions_count(const struct decisions *d)
{
    return d->items.len;
}

uint64_t decisions_refused(const struct decisions *d)
{
    return d->refused;
}

const struct decision *decisions_at(const struct decisions *d, size_t index)
{
    return VEC_AT(&d->items, struct decision, index);
}

const char *decisions_word(const struct decisions *d, uint8_t word)
{
    return d->words[word < d->word_count ? word : WORD_OTHER];
}

const struct decision *decisions_find(const struct decisions *d, const struct conf_network *network,
                                      uint64_t now_s)
{
    const struct decision *best = NULL;
    for (size_t i = 0; i < d->items.len; i++) {
        const struct decision *one = VEC_AT(&d->items, struct decision, i);
        if (one->until > now_s && (!best || one->until > best->until) && bans_covers(&one->network, network))
            best = one;
    }
    return best;
}

void decisions_expire(struct decisions *d, uint64_t now_s)
{
    for (size_t i = d->items.len; i > 0; i--)
        if (VEC_AT(&d->items, struct decision, i - 1)->until <= now_s)
            drop(d, i - 1);
}

/* ---- on disk: strings as wire_strings, the first the time, then lines for decisions_take() ---- */

struct decisions *decisions_copy(const struct decisions *d)
{
    struct decisions *copy = mem_alloc(sizeof *copy);
    *copy = *d;
    copy->places = NULL;
    copy->items = VEC_NEW(struct decision, DECISIONS_MAX);
    copy->items.items = mem_alloc((d->items.len + 1) * sizeof(struct decision));
    copy->items.len = copy->items.cap = d->items.len;
    if (d->items.len)
        memcpy(copy->items.items, d->items.items, d->items.len * sizeof(struct decision));
    return copy;
}

void decisions_write(const struct decisions *d, uint64_t now_s, struct buf *out)
{
    AUTO_BUF struct buf line = buf_new(1024);
    buf_add_u64(&line, now_s);
    wire_strings_add(out, buf_slice(&line));
    for (size_t i = 0; i < d->items.len && buf_ok(out); i++) {
        const struct decision *one = decisions_at(d, i);
        if (one->until <= now_s)
            continue;
        buf_clear(&line);
        buf_addf(&line, "+ %" PRIu64 " %s %" PRIu64 " %s %s %s", one->id,
                 bans_network_text(&one->network).text, one->until - now_s, d->words[one->type],
                 d->words[one->origin], d->words[one->scenario]);
        wire_strings_add(out, buf_slice(&line));
    }
}

void decisions_read(struct decisions *d, struct slice bytes, uint64_t now_s)
{
    struct slice line;
    uint64_t saved_s;
    if (!wire_strings_take(&bytes, &line) || !slice_u64(line, now_s, &saved_s))
        return;
    while (wire_strings_take(&bytes, &line))
        if (!decisions_take(d, line, saved_s))
            break;
    decisions_expire(d, now_s);
}
