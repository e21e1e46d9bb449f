/* address_list.c: address lists of header fields: the best reading of any bytes at all. Reads messages of
 * strangers.
 *
 *   address-list = address *("," address)      (RFC 5322 section 3.4; obsolete forms in 4.4)
 *   address      = mailbox / group
 *   group        = phrase ":" [mailbox-list] ";"
 *   mailbox      = [phrase] "<" [route] addr-spec ">" / addr-spec
 *
 * First each item's extent is found (stepping over quoted strings, comments, brackets), then its inside is
 * read.
 */
#include "grammar/address.h"

#include <string.h>

#include "grammar/header.h"

/* What the scan found of one item, as offsets into the unfolded value. */
struct extent {
    size_t start, end;        /* without the separator */
    size_t phrase_end;        /* of the words before the first "<" */
    size_t angle, angle_end;  /* inside of the first "<…>" that holds something */
    bool has_angle, is_group; /* is_group: it ended at ":" */
    uint8_t separator;        /* ',', ';', ':' or 0 at the end of the value */
};

/* An unclosed quoted string or comment was met: what follows has none that close, and is not searched again
 * and again. */
struct unclosed {
    bool quote, comment;
};

struct scan {
    struct arena *arena;
    struct slice value;
    size_t at, max;
    struct unclosed unclosed;
    bool in_group;
    struct address_list *list;
};

/* Length of the closed quoted string or comment at `at`, or 0. */
static size_t opaque_len(struct unclosed *unclosed, struct slice s, size_t at)
{
    size_t len = 0;
    if (s.ptr[at] == '"' && !unclosed->quote) {
        len = header_quoted_len(slice_from(s, at));
        unclosed->quote = len == 0;
    } else if (s.ptr[at] == '(' && !unclosed->comment) {
        len = header_comment_closed_len(slice_from(s, at));
        unclosed->comment = len == 0;
    }
    return len;
}

/* Reads "<…>"; without its ">" it ends at the next "<" or ",", or at the end. Answers where to go on. */
static size_t scan_angle(struct scan *scan, struct extent *x, size_t open)
{
    size_t comma = 0, at = open + 1;
    for (; at < scan->value.len; at++) {
        uint8_t c = scan->value.ptr[at];
        size_t skip = c == '"' ? opaque_len(&scan->unclosed, scan->value, at) : 0;
        if (skip)
            at += skip - 1;
        else if (c == ',' && !comma)
            comma = at;
        else if (c == '>' || c == '<')
            break;
    }
    bool closed = at < scan->value.len && scan->value.ptr[at] == '>';
    size_t end = !closed && comma ? comma : at;
    if (!x->has_angle)
        x->phrase_end = open;
    if (!x->has_angle || x->angle == x->angle_end) {
        x->has_angle = true;
        x->angle = open + 1;
        x->angle_end = end;
    }
    return closed ? end + 1 : end;
}

static bool ends_item(const struct scan *scan, uint8_t c, const struct extent *x, bool at_sign, bool text)
{
    bool group = c == ':' && !scan->in_group && !x->has_angle && !at_sign && text;
    return c == ',' || c == ';' || group;
}

static struct extent scan_item(struct scan *scan)
{
    struct extent x = {.start = scan->at};
    bool at_sign = false, text = false;
    size_t at = scan->at;
    while (at < scan->value.len) {
        uint8_t c = scan->value.ptr[at];
        size_t skip = opaque_len(&scan->unclosed, scan->value, at);
        if (skip == 0 && ends_item(scan, c, &x, at_sign, text)) {
            x.separator = c;
            break;
        }
        at_sign = at_sign || c == '@';
        text = text || (!ascii_is_space(c) && c != '(');
        at = c == '<' ? scan_angle(scan, &x, at) : at + (skip ? skip : 1);
    }
    x.end = at;
    x.is_group = x.separator == ':';
    scan->at = at + (x.separator != 0);
    return x;
}

/* Text being put together from words. */
struct words {
    uint8_t *out;
    size_t len;
    bool blank; /* a blank is due before the next byte */
};

static void put(struct words *w, uint8_t c)
{
    if (w->blank && w->len)
        w->out[w->len++] = ' ';
    w->blank = false;
    w->out[w->len++] = c;
}

/* The inside of a quoted string or comment without its backslashes. */
static void put_unquoted(struct words *w, struct slice inner)
{
    for (size_t i = 0; i < inner.len; i++) {
        if (inner.ptr[i] == '\\' && i + 1 < inner.len)
            i++;
        put(w, inner.ptr[i]);
    }
}

/* A phrase as people read it: quotes and comments gone, runs of blanks one. The last comment's inside is
 * given too. */
static struct slice read_phrase_in(struct arena *arena, struct slice s, struct slice *comment)
{
    struct words w = {.out = arena_must(arena, s.len + 1)};
    struct unclosed unclosed = {0};
    for (size_t i = 0; i < s.len; i++) {
        size_t opaque = opaque_len(&unclosed, s, i);
        if (opaque && s.ptr[i] == '(')
            *comment = slice_sub(s, i + 1, opaque - 2);
        else if (opaque)
            put_unquoted(&w, slice_sub(s, i + 1, opaque - 2));
        else if (!ascii_is_space(s.ptr[i]))
            put(&w, s.ptr[i]);
        if ((opaque && s.ptr[i] == '(') || ascii_is_space(s.ptr[i]))
            w.blank = true;
        i += opaque ? opaque - 1 : 0;
    }
    return slice_make(w.out, w.len);
}

/* Text of a comment that serves as the name: "joe@example.org (Joe)". */
static struct slice read_comment_in(struct arena *arena, struct slice comment)
{
    struct words w = {.out = arena_must(arena, comment.len + 1)};
    put_unquoted(&w, slice_trim(comment));
    return slice_make(w.out, w.len);
}

static bool joins(uint8_t c)
{
    return c == '.' || c == '@';
}

/* An addr-spec without comments, and without blanks beside "." and "@"; other blanks stay as one. Quoted
 * strings stay quoted. */
static struct slice tighten_in(struct arena *arena, struct slice s)
{
    struct words w = {.out = arena_must(arena, s.len + 1)};
    struct unclosed unclosed = {0};
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        size_t opaque = opaque_len(&unclosed, s, i);
        if ((opaque && c == '(') || ascii_is_space(c)) {
            w.blank = w.len && !joins(w.out[w.len - 1]);
            i += opaque ? opaque - 1 : 0;
            continue;
        }
        if (joins(c))
            w.blank = false;
        put(&w, c);
        for (size_t k = 1; k < opaque; k++)
            put(&w, s.ptr[++i]);
    }
    return slice_make(w.out, w.len);
}

/* The last "@" and the last blank outside quoted strings, or -1. */
static ptrdiff_t find_last(struct slice s, uint8_t wanted)
{
    ptrdiff_t found = -1;
    struct unclosed unclosed = {.comment = true}; /* comments are gone */
    for (size_t i = 0; i < s.len; i++) {
        size_t quoted = opaque_len(&unclosed, s, i);
        if (quoted)
            i += quoted - 1;
        else if (s.ptr[i] == wanted)
            found = (ptrdiff_t)i;
    }
    return found;
}

/* local-part "@" domain, tightened already; without "@" all of it is the local part. */
static void read_spec(struct arena *arena, struct slice spec, struct address_item *item)
{
    struct slice none = SLICE_EMPTY;
    ptrdiff_t at = find_last(spec, '@');
    item->local = read_phrase_in(arena, at < 0 ? spec : slice_sub(spec, 0, (size_t)at), &none);
    item->domain = at < 0 ? SLICE_EMPTY : slice_from(spec, (size_t)at + 1);
}

/* obs-route = "@" domain *("," "@" domain) ":" */
static struct slice take_route(struct slice *spec)
{
    ptrdiff_t colon = slice_find(*spec, ':');
    if (spec->len == 0 || spec->ptr[0] != '@' || colon < 0)
        return SLICE_EMPTY;
    struct slice route = slice_sub(*spec, 0, (size_t)colon);
    *spec = slice_from(*spec, (size_t)colon + 1);
    return route;
}

/* Words around a bare address are its name: "Joe joe@example.org". */
static struct slice split_bare(struct slice *spec)
{
    struct slice name = SLICE_EMPTY;
    ptrdiff_t at = find_last(*spec, '@');
    if (at < 0)
        return name;
    ptrdiff_t before = find_last(slice_sub(*spec, 0, (size_t)at), ' ');
    ptrdiff_t behind = slice_find(slice_from(*spec, (size_t)at), ' ');
    if (before >= 0)
        name = slice_sub(*spec, 0, (size_t)before);
    else if (behind >= 0)
        name = slice_from(*spec, (size_t)(at + behind) + 1);
    size_t end = behind >= 0 ? (size_t)(at + behind) : spec->len;
    size_t start = before >= 0 ? (size_t)before + 1 : 0;
    *spec = slice_sub(*spec, start, end - start);
    return name;
}

static struct address_item read_item(struct scan *scan, const struct extent *x)
{
    struct address_item item = {.kind = ADDRESS_MAILBOX};
    struct slice comment = SLICE_EMPTY, ignored = SLICE_EMPTY, spec, name;
    struct slice whole = slice_sub(scan->value, x->start, x->end - x->start);
    if (x->has_angle) {
        name = slice_sub(scan->value, x->start, x->phrase_end - x->start);
        spec = tighten_in(scan->arena, slice_sub(scan->value, x->angle, x->angle_end - x->angle));
        item.route = take_route(&spec);
        (void)read_phrase_in(scan->arena, slice_sub(scan->value, x->angle_end, x->end - x->angle_end),
                             &comment);
    } else {
        (void)read_phrase_in(scan->arena, whole, &comment);
        spec = tighten_in(scan->arena, whole);
        item.route = take_route(&spec);
        name = split_bare(&spec);
    }
    read_spec(scan->arena, spec, &item);
    item.display = read_phrase_in(scan->arena, name, comment.len ? &ignored : &comment);
    if (item.display.len == 0 && (item.local.len || item.domain.len))
        item.display = read_comment_in(scan->arena, comment);
    return item;
}

/* Keeps room for the end of an open group. */
static bool has_room(struct scan *scan, size_t wanted)
{
    bool room = scan->list->count + wanted + scan->in_group <= scan->max;
    scan->list->truncated = scan->list->truncated || !room;
    return room;
}

static void add(struct scan *scan, struct address_item item)
{
    scan->list->items[scan->list->count++] = item;
}

static void end_group(struct scan *scan)
{
    if (scan->in_group)
        add(scan, (struct address_item){.kind = ADDRESS_GROUP_END});
    scan->in_group = false;
}

static void take_item(struct scan *scan)
{
    struct slice comment = SLICE_EMPTY;
    struct extent x = scan_item(scan);
    if (x.is_group && has_room(scan, 2)) {
        struct slice name = slice_sub(scan->value, x.start, x.end - x.start);
        add(scan, (struct address_item){.kind = ADDRESS_GROUP_START,
                                        .local = read_phrase_in(scan->arena, name, &comment)});
        scan->in_group = true;
    } else if (!x.is_group) {
        struct address_item item = read_item(scan, &x);
        if ((item.local.len || item.domain.len || item.display.len) && has_room(scan, 1))
            add(scan, item);
    }
    if (x.separator == ';')
        end_group(scan);
}

/* No list has more items than separators, and two for each group. */
static size_t count_bound(struct slice value)
{
    size_t bound = 2;
    for (size_t i = 0; i < value.len; i++)
        bound += value.ptr[i] == ',' || value.ptr[i] == ';' || value.ptr[i] == ':' ? 2 : 0;
    return bound;
}

void address_list_parse_in(struct arena *arena, struct slice value, size_t max, struct address_list *list)
{
    *list = (struct address_list){0};
    struct scan scan = {.arena = arena, .value = header_unfold_in(arena, value), .list = list};
    size_t bound = count_bound(scan.value);
    scan.max = max < ADDRESS_LIST_MAX ? max : ADDRESS_LIST_MAX;
    list->items = ARENA_ARRAY(arena, struct address_item, (bound < scan.max ? bound : scan.max) + 1);
    while (scan.at < scan.value.len && !list->truncated)
        take_item(&scan);
    end_group(&scan);
}

struct slice address_item_text_in(struct arena *arena, const struct address_item *item)
{
    return address_join_in(arena, item->local, item->domain);
}
