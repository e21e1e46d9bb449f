/* imap_search_blob.c: search programs between roles. Input of the decoder: bytes from the imap role, which
 * may have been taken over. Called by imap (encode) and store (decode). */
#include <string.h>

#include "grammar/imap_flags.h"
#include "grammar/imap_search.h"

/* blob = version node; node = op fields. AND and OR: count, nodes. NOT: node. UID: count, then (gap, length)
 * of each range. Texts: length, octets. Numbers: unsigned LEB128; days as their two's complement. */
#define BLOB_VERSION 1
/* A key may stand for three levels (NEW is AND, NOT, FLAG), a parenthesis for one. */
#define BLOB_DEPTH_MAX (2 * IMAP_SEARCH_DEPTH_MAX + 8)

enum field { FIELD_NONE, FIELD_CHILDREN, FIELD_CHILD, FIELD_SET, FIELD_NUMBER, FIELD_TEXT, FIELD_NAME_TEXT };

static const enum field fields[IMAP_SEARCH_OP_COUNT] = {
    [IMAP_SEARCH_ALL] = FIELD_NONE,
    [IMAP_SEARCH_NONE] = FIELD_NONE,
    [IMAP_SEARCH_AND] = FIELD_CHILDREN,
    [IMAP_SEARCH_OR] = FIELD_CHILDREN,
    [IMAP_SEARCH_NOT] = FIELD_CHILD,
    [IMAP_SEARCH_SEQ] = FIELD_SET,
    [IMAP_SEARCH_UID] = FIELD_SET,
    [IMAP_SEARCH_FLAG] = FIELD_NUMBER,
    [IMAP_SEARCH_KEYWORD] = FIELD_TEXT,
    [IMAP_SEARCH_HEADER] = FIELD_NAME_TEXT,
    [IMAP_SEARCH_BODY] = FIELD_TEXT,
    [IMAP_SEARCH_TEXT] = FIELD_TEXT,
    [IMAP_SEARCH_BEFORE] = FIELD_NUMBER,
    [IMAP_SEARCH_ON] = FIELD_NUMBER,
    [IMAP_SEARCH_SINCE] = FIELD_NUMBER,
    [IMAP_SEARCH_SENTBEFORE] = FIELD_NUMBER,
    [IMAP_SEARCH_SENTON] = FIELD_NUMBER,
    [IMAP_SEARCH_SENTSINCE] = FIELD_NUMBER,
    [IMAP_SEARCH_SAVEDBEFORE] = FIELD_NUMBER,
    [IMAP_SEARCH_SAVEDON] = FIELD_NUMBER,
    [IMAP_SEARCH_SAVEDSINCE] = FIELD_NUMBER,
    [IMAP_SEARCH_LARGER] = FIELD_NUMBER,
    [IMAP_SEARCH_SMALLER] = FIELD_NUMBER,
    [IMAP_SEARCH_OLDER] = FIELD_NUMBER,
    [IMAP_SEARCH_YOUNGER] = FIELD_NUMBER,
    [IMAP_SEARCH_MODSEQ] = FIELD_NUMBER,
    [IMAP_SEARCH_EMAILID] = FIELD_TEXT,
    [IMAP_SEARCH_THREADID] = FIELD_TEXT,
};

bool imap_search_walk(struct imap_search_node *node, bool (*visit)(struct imap_search_node *node, void *ctx),
                      void *ctx)
{
    for (; node; node = node->next)
        if (!visit(node, ctx) || !imap_search_walk(node->child, visit, ctx))
            return false;
    return true;
}

bool imap_search_uses(const struct imap_search_node *node, enum imap_search_op op)
{
    for (; node; node = node->next)
        if (node->op == op || imap_search_uses(node->child, op))
            return true;
    return false;
}

struct imap_search_node *imap_search_copy_in(struct arena *arena, const struct imap_search_node *root)
{
    struct imap_search_node *first = NULL, **next = &first;
    for (; root; root = root->next, next = &(*next)->next) {
        struct imap_search_node *node = ARENA_NEW(arena, struct imap_search_node);
        *node = *root;
        node->next = NULL;
        node->child = imap_search_copy_in(arena, root->child);
        node->set.ranges =
            ARENA_ARRAY(arena, struct imap_range, root->set.count + 1); /* put in order in place */
        if (root->set.count)
            memcpy(node->set.ranges, root->set.ranges, root->set.count * sizeof *root->set.ranges);
        *next = node;
    }
    return first;
}

static size_t count_children(const struct imap_search_node *node)
{
    size_t count = 0;
    for (const struct imap_search_node *child = node->child; child; child = child->next)
        count++;
    return count;
}

static void encode_text(struct buf *out, struct slice text)
{
    buf_add_varint(out, text.len);
    buf_add(out, text);
}

static void encode_set(struct buf *out, const struct imap_set *set)
{
    uint32_t last = 0;
    buf_add_varint(out, set->count);
    for (size_t i = 0; i < set->count; i++) {
        buf_add_varint(out, set->ranges[i].lo - last);
        buf_add_varint(out, set->ranges[i].hi - set->ranges[i].lo);
        last = set->ranges[i].hi;
    }
}

static bool set_is_normal(const struct imap_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        uint32_t least = i > 0 ? set->ranges[i - 1].hi : 0;
        if (set->ranges[i].lo <= least || set->ranges[i].hi < set->ranges[i].lo)
            return false;
    }
    return !set->saved;
}

/* What only the session can know must be gone. */
static bool is_translated(const struct imap_search_node *node)
{
    if (node->op == IMAP_SEARCH_FLAG)
        return node->number != IMAP_FLAG_RECENT;
    return node->op != IMAP_SEARCH_SEQ && (node->op != IMAP_SEARCH_UID || set_is_normal(&node->set));
}

static bool encode_node(struct buf *out, const struct imap_search_node *node)
{
    if (!is_translated(node))
        return false;
    buf_add_byte(out, (uint8_t)node->op);
    switch (fields[node->op]) {
    case FIELD_NONE:
        return true;
    case FIELD_CHILDREN:
        buf_add_varint(out, count_children(node));
        for (const struct imap_search_node *child = node->child; child; child = child->next)
            if (!encode_node(out, child))
                return false;
        return true;
    case FIELD_CHILD:
        return encode_node(out, node->child);
    case FIELD_SET:
        encode_set(out, &node->set);
        return true;
    case FIELD_NUMBER:
        buf_add_varint(out, node->number);
        return true;
    case FIELD_NAME_TEXT:
        encode_text(out, node->name);
        __attribute__((fallthrough));
    case FIELD_TEXT:
        encode_text(out, node->needle.text);
        return true;
    }
    return false;
}

enum err imap_search_encode(struct buf *out, const struct imap_search_node *root, struct why *why)
{
    buf_add_byte(out, BLOB_VERSION);
    if (!encode_node(out, root))
        return err_set(why, ERR_INTERNAL, "search program holds what only a session knows");
    return buf_ok(out) ? ERR_OK : err_set(why, ERR_REFUSED, "search program too large");
}

struct decoder {
    struct arena *arena;
    struct slice in;
    unsigned depth, nodes;
};

static struct imap_search_node *decode_node(struct decoder *d);

static bool decode_text(struct decoder *d, struct slice *text)
{
    uint64_t len;
    return slice_take_varint(&d->in, &len) && len <= IMAP_SEARCH_TEXT_MAX &&
           slice_take_bytes(&d->in, (size_t)len, text);
}

static bool decode_range(struct decoder *d, uint64_t last, struct imap_range *range)
{
    uint64_t gap, length;
    if (!slice_take_varint(&d->in, &gap) || !slice_take_varint(&d->in, &length) || gap == 0 ||
        gap > UINT32_MAX || length > UINT32_MAX || last + gap + length > UINT32_MAX)
        return false;
    *range = (struct imap_range){(uint32_t)(last + gap), (uint32_t)(last + gap + length)};
    return true;
}

static bool decode_set(struct decoder *d, struct imap_set *set)
{
    uint64_t count;
    if (!slice_take_varint(&d->in, &count) || count > d->in.len / 2)
        return false;
    struct imap_range *ranges = arena_try(d->arena, ((size_t)count + 1) * sizeof *ranges);
    if (!ranges)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!decode_range(d, i > 0 ? ranges[i - 1].hi : 0, &ranges[i]))
            return false;
    *set = (struct imap_set){.ranges = ranges, .count = (size_t)count};
    return true;
}

static bool decode_children(struct decoder *d, uint64_t count, struct imap_search_node *parent)
{
    struct imap_search_node **next = &parent->child;
    if (count == 0 || count > IMAP_SEARCH_NODES_MAX || d->depth >= BLOB_DEPTH_MAX)
        return false;
    d->depth++;
    for (uint64_t i = 0; i < count; i++) {
        *next = decode_node(d);
        if (!*next)
            return false;
        next = &(*next)->next;
    }
    d->depth--;
    return true;
}

static bool decode_fields(struct decoder *d, struct imap_search_node *node)
{
    uint64_t count = 1;
    struct slice text;
    switch (fields[node->op]) {
    case FIELD_NONE:
        return true;
    case FIELD_CHILDREN:
        return slice_take_varint(&d->in, &count) && decode_children(d, count, node);
    case FIELD_CHILD:
        return decode_children(d, 1, node);
    case FIELD_SET:
        return decode_set(d, &node->set);
    case FIELD_NUMBER:
        return slice_take_varint(&d->in, &node->number);
    case FIELD_NAME_TEXT:
        if (!decode_text(d, &node->name) || node->name.len == 0)
            return false;
        __attribute__((fallthrough));
    case FIELD_TEXT:
        if (!decode_text(d, &text))
            return false;
        node->needle = imap_needle_in(d->arena, text);
        return true;
    }
    return false;
}

/* How dear a key is to answer: packed state, facts, the message itself. Its children have theirs already. */
static unsigned cost(const struct imap_search_node *node)
{
    unsigned dearest = 0;
    switch (node->op) {
    case IMAP_SEARCH_TEXT:
        return 4;
    case IMAP_SEARCH_BODY:
        return 3;
    case IMAP_SEARCH_HEADER:
        return 2;
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE:
    case IMAP_SEARCH_THREADID:
        return 1;
    default:
        for (const struct imap_search_node *child = node->child; child; child = child->next)
            dearest = child->cost > dearest ? child->cost : dearest;
        return dearest;
    }
}

/* Stable, by cost: five levels, one pass each. */
static void order_children(struct imap_search_node *node)
{
    struct imap_search_node *ordered = NULL, **tail = &ordered;
    for (unsigned level = 0; level <= 4; level++)
        for (struct imap_search_node **at = &node->child; *at;) {
            struct imap_search_node *child = *at;
            if (child->cost != level) {
                at = &child->next;
                continue;
            }
            *at = child->next;
            child->next = NULL;
            *tail = child;
            tail = &child->next;
        }
    node->child = ordered;
}

static struct imap_search_node *decode_node(struct decoder *d)
{
    uint8_t op;
    if (++d->nodes > 4 * IMAP_SEARCH_NODES_MAX || !slice_take_u8(&d->in, &op) || op >= IMAP_SEARCH_OP_COUNT)
        return NULL;
    struct imap_search_node *node = ARENA_NEW(d->arena, struct imap_search_node);
    node->op = (enum imap_search_op)op;
    if (!decode_fields(d, node) || !is_translated(node))
        return NULL;
    if (fields[op] == FIELD_CHILDREN)
        order_children(node);
    node->cost = cost(node);
    return node;
}

enum err imap_search_decode_in(struct arena *arena, struct slice blob, struct imap_search_node **root,
                               struct why *why)
{
    struct decoder d = {.arena = arena, .in = blob};
    uint8_t version;
    if (blob.len > IMAP_SEARCH_BLOB_MAX)
        return err_set(why, ERR_BAD, "search program too large");
    if (!slice_take_u8(&d.in, &version) || version != BLOB_VERSION)
        return err_set(why, ERR_BAD, "search program of an unknown version");
    struct imap_search_node *node = decode_node(&d);
    if (!node || d.in.len > 0)
        return err_set(why, ERR_BAD, "malformed search program");
    *root = node;
    return ERR_OK;
}
