/* html.c: HTML to text. Reads strangers' bytes the way browsers do where it matters (WHATWG HTML,
 * section 13.2.5), without a tree; called by scan. */
#include "grammar/html.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 16 /* of a tag or character reference we know */

struct writer {
    struct slice in;
    size_t at;
    struct buf *out;
    size_t begin; /* of our text in `out` */
    uint8_t gap;  /* white space waiting in front of the next character: 0, ' ' or '\n' */
    bool full;
};

/* ---- output ---- */

static void want_gap(struct writer *w, uint8_t gap)
{
    if (w->gap != '\n')
        w->gap = gap;
}

/* Adds one whole character, or several. */
static void add_char(struct writer *w, const uint8_t *text, size_t len)
{
    bool gap = w->gap && w->out->len > w->begin;
    if (w->out->max - w->out->len < len + gap) {
        w->full = true;
        return;
    }
    if (gap)
        buf_add_byte(w->out, w->gap);
    w->gap = 0;
    buf_add(w->out, slice_make(text, len));
}

/* Code points that show nothing: soft hyphen, joiners, zero-width blanks, byte order mark. Mailings pad with
 * them. */
static bool is_invisible(uint32_t c)
{
    return c == 0xad || c == 0x34f || (c >= 0x200b && c <= 0x200f) || c == 0x2060 || c == 0xfeff;
}

static void add_code_point(struct writer *w, uint32_t c)
{
    uint8_t text[4];
    size_t len = 0;
    if (c <= ' ' || c == 0xa0 || (c >= 0x7f && c < 0xa0)) {
        want_gap(w, ' ');
        return;
    }
    if (is_invisible(c))
        return;
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x80) {
        text[len++] = (uint8_t)c;
    } else if (c < 0x800) {
        text[len++] = (uint8_t)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        text[len++] = (uint8_t)(0xe0 | c >> 12);
        text[len++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    } else {
        text[len++] = (uint8_t)(0xf0 | c >> 18);
        text[len++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        text[len++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80)
        text[len++] = (uint8_t)(0x80 | (c & 0x3f));
    add_char(w, text, len);
}

/* ---- character references ---- */

/* Those that mail uses (HTML 4 and a few more), in the order of strcmp(). */
static const struct reference {
    const char *name;
    uint32_t c;
} references[] = {
    {"AElig", 0xc6},    {"Aacute", 0xc1},   {"Acirc", 0xc2},   {"Agrave", 0xc0},   {"Aring", 0xc5},
    {"Atilde", 0xc3},   {"Auml", 0xc4},     {"Ccedil", 0xc7},  {"Dagger", 0x2021}, {"ETH", 0xd0},
    {"Eacute", 0xc9},   {"Ecirc", 0xca},    {"Egrave", 0xc8},  {"Euml", 0xcb},     {"Iacute", 0xcd},
    {"Icirc", 0xce},    {"Igrave", 0xcc},   {"Iuml", 0xcf},    {"Ntilde", 0xd1},   {"OElig", 0x152},
    {"Oacute", 0xd3},   {"Ocirc", 0xd4},    {"Ograve", 0xd2},  {"Oslash", 0xd8},   {"Otilde", 0xd5},
    {"Ouml", 0xd6},     {"Scaron", 0x160},  {"THORN", 0xde},   {"Uacute", 0xda},   {"Ucirc", 0xdb},
    {"Ugrave", 0xd9},   {"Uuml", 0xdc},     {"Yacute", 0xdd},  {"Yuml", 0x178},    {"aacute", 0xe1},
    {"acirc", 0xe2},    {"acute", 0xb4},    {"aelig", 0xe6},   {"agrave", 0xe0},   {"alpha", 0x3b1},
    {"amp", '&'},       {"apos", '\''},     {"aring", 0xe5},   {"atilde", 0xe3},   {"auml", 0xe4},
    {"bdquo", 0x201e},  {"beta", 0x3b2},    {"brvbar", 0xa6},  {"bull", 0x2022},   {"ccedil", 0xe7},
    {"cedil", 0xb8},    {"cent", 0xa2},     {"check", 0x2713}, {"circ", 0x2c6},    {"copy", 0xa9},
    {"curren", 0xa4},   {"dagger", 0x2020}, {"darr", 0x2193},  {"deg", 0xb0},      {"delta", 0x3b4},
    {"divide", 0xf7},   {"eacute", 0xe9},   {"ecirc", 0xea},   {"egrave", 0xe8},   {"emsp", ' '},
    {"ensp", ' '},      {"eth", 0xf0},      {"euml", 0xeb},    {"euro", 0x20ac},   {"frac12", 0xbd},
    {"frac14", 0xbc},   {"frac34", 0xbe},   {"ge", 0x2265},    {"gt", '>'},        {"hearts", 0x2665},
    {"hellip", 0x2026}, {"iacute", 0xed},   {"icirc", 0xee},   {"iexcl", 0xa1},    {"igrave", 0xec},
    {"iquest", 0xbf},   {"iuml", 0xef},     {"laquo", 0xab},   {"larr", 0x2190},   {"ldquo", 0x201c},
    {"le", 0x2264},     {"lsaquo", 0x2039}, {"lsquo", 0x2018}, {"lt", '<'},        {"macr", 0xaf},
    {"mdash", 0x2014},  {"micro", 0xb5},    {"middot", 0xb7},  {"minus", 0x2212},  {"mu", 0x3bc},
    {"nbsp", ' '},      {"ndash", 0x2013},  {"ne", 0x2260},    {"not", 0xac},      {"ntilde", 0xf1},
    {"oacute", 0xf3},   {"ocirc", 0xf4},    {"oelig", 0x153},  {"ograve", 0xf2},   {"ordf", 0xaa},
    {"ordm", 0xba},     {"oslash", 0xf8},   {"otilde", 0xf5},  {"ouml", 0xf6},     {"para", 0xb6},
    {"permil", 0x2030}, {"pi", 0x3c0},      {"plusmn", 0xb1},  {"pound", 0xa3},    {"quot", '"'},
    {"raquo", 0xbb},    {"rarr", 0x2192},   {"rdquo", 0x201d}, {"reg", 0xae},      {"rsaquo", 0x203a},
    {"rsquo", 0x2019},  {"sbquo", 0x201a},  {"scaron", 0x161}, {"sect", 0xa7},     {"shy", 0xad},
    {"sup1", 0xb9},     {"sup2", 0xb2},     {"sup3", 0xb3},    {"szlig", 0xdf},    {"thinsp", ' '},
    {"thorn", 0xfe},    {"tilde", 0x2dc},   {"times", 0xd7},   {"trade", 0x2122},  {"uacute", 0xfa},
    {"uarr", 0x2191},   {"ucirc", 0xfb},    {"ugrave", 0xf9},  {"uml", 0xa8},      {"uuml", 0xfc},
    {"yacute", 0xfd},   {"yen", 0xa5},      {"yuml", 0xff},    {"zwj", 0x200d},    {"zwnj", 0x200c},
};

static int compare_name(const void *name, const void *reference)
{
    return strcmp(name, ((const struct reference *)reference)->name);
}

/* "&#" digits or "&#x" digits; answers the length without the ';', 0 when it is none. */
static size_t read_number(struct slice s, uint32_t *c)
{
    bool hex = s.len > 2 && ascii_lower(s.ptr[2]) == 'x';
    size_t begin = hex ? 3 : 2, at = begin;
    uint32_t n = 0;
    for (; at < s.len && at < NAME_MAX_LEN; at++) {
        int digit = hex ? ascii_hex_value(s.ptr[at]) : ascii_is_digit(s.ptr[at]) ? s.ptr[at] - '0' : -1;
        if (digit < 0)
            break;
        n = n > 0x110000 ? n : n * (hex ? 16 : 10) + (uint32_t)digit;
    }
    *c = n;
    return at > begin ? at : 0;
}

static size_t read_name(struct slice s, uint32_t *c)
{
    char name[NAME_MAX_LEN + 1];
    size_t len = 0;
    while (len < NAME_MAX_LEN && len + 1 < s.len && ascii_is_alnum(s.ptr[len + 1])) {
        name[len] = (char)s.ptr[len + 1];
        len++;
    }
    name[len] = 0;
    const struct reference *found =
        bsearch(name, references, sizeof references / sizeof *references, sizeof *references, compare_name);
    if (!found)
        return 0;
    *c = found->c;
    return len + 1;
}

static void take_reference(struct writer *w)
{
    struct slice s = slice_from(w->in, w->at);
    uint32_t c = '&';
    size_t len = s.len > 1 && s.ptr[1] == '#' ? read_number(s, &c) : read_name(s, &c);
    if (!len) {
        c = '&';
        len = 1;
    } else if (len < s.len && s.ptr[len] == ';') {
        len++;
    }
    w->at += len;
    add_code_point(w, c);
}

/* ---- tags ---- */

enum tag { TAG_INLINE, TAG_BLOCK, TAG_CELL, TAG_SKIP };

static const struct {
    struct slice name;
    enum tag tag;
} tags[] = {
    {SLICE("br"), TAG_BLOCK},         {SLICE("p"), TAG_BLOCK},       {SLICE("div"), TAG_BLOCK},
    {SLICE("tr"), TAG_BLOCK},         {SLICE("li"), TAG_BLOCK},      {SLICE("table"), TAG_BLOCK},
    {SLICE("h1"), TAG_BLOCK},         {SLICE("h2"), TAG_BLOCK},      {SLICE("h3"), TAG_BLOCK},
    {SLICE("h4"), TAG_BLOCK},         {SLICE("h5"), TAG_BLOCK},      {SLICE("h6"), TAG_BLOCK},
    {SLICE("ul"), TAG_BLOCK},         {SLICE("ol"), TAG_BLOCK},      {SLICE("hr"), TAG_BLOCK},
    {SLICE("blockquote"), TAG_BLOCK}, {SLICE("pre"), TAG_BLOCK},     {SLICE("dd"), TAG_BLOCK},
    {SLICE("dt"), TAG_BLOCK},         {SLICE("section"), TAG_BLOCK}, {SLICE("article"), TAG_BLOCK},
    {SLICE("header"), TAG_BLOCK},     {SLICE("footer"), TAG_BLOCK},  {SLICE("center"), TAG_BLOCK},
    {SLICE("form"), TAG_BLOCK},       {SLICE("option"), TAG_BLOCK},  {SLICE("body"), TAG_BLOCK},
    {SLICE("td"), TAG_CELL},          {SLICE("th"), TAG_CELL},       {SLICE("script"), TAG_SKIP},
    {SLICE("style"), TAG_SKIP},       {SLICE("title"), TAG_SKIP},
};

static enum tag find_tag(struct slice name)
{
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (slice_ieq(name, tags[i].name))
            return tags[i].tag;
    return TAG_INLINE;
}

/* Behind the '>' of the tag at `at`; quotes count behind '=' only. A tag without end takes the rest, as in
 * browsers. */
static size_t tag_end(struct slice s, size_t at)
{
    uint8_t before = 0;
    for (; at < s.len; at++) {
        uint8_t c = s.ptr[at];
        if (c == '>')
            return at + 1;
        if ((c == '"' || c == '\'') && before == '=') {
            ptrdiff_t close = slice_find(slice_from(s, at + 1), c);
            if (close < 0)
                return s.len;
            at += (size_t)close + 1;
        }
        if (!ascii_is_space(c))
            before = c;
    }
    return s.len;
}

/* Skips the content of a script or style, up to its end tag. */
static void skip_content(struct writer *w, struct slice name)
{
    size_t at = w->at;
    while (at < w->in.len) {
        const uint8_t *hit = memmem(w->in.ptr + at, w->in.len - at, "</", 2);
        at = hit ? (size_t)(hit - w->in.ptr) + 2 : w->in.len;
        if (slice_istarts(slice_from(w->in, at), name))
            break;
    }
    w->at = at < w->in.len ? tag_end(w->in, at) : w->in.len;
}

static size_t comment_end(struct slice s, size_t at)
{
    ptrdiff_t end = slice_search(slice_from(s, at), SLICE("-->"));
    return end < 0 ? s.len : at + (size_t)end + 3;
}

static void take_tag(struct writer *w)
{
    struct slice s = slice_from(w->in, w->at);
    bool closing = s.len > 1 && s.ptr[1] == '/';
    size_t begin = closing ? 2 : 1, end = begin;
    if (slice_starts(s, SLICE("<!--"))) {
        w->at = comment_end(w->in, w->at + 2);
        return;
    }
    while (end < s.len && end < begin + NAME_MAX_LEN && ascii_is_alnum(s.ptr[end]))
        end++;
    if (end == begin && !(s.len > 1 && memchr("/!?", s.ptr[1], 3))) {
        w->at++;
        add_code_point(w, '<');
        return;
    }
    struct slice name = slice_sub(s, begin, end - begin);
    enum tag tag = find_tag(name);
    w->at = tag_end(w->in, w->at + end);
    if (tag == TAG_BLOCK)
        want_gap(w, '\n');
    else if (tag != TAG_INLINE)
        want_gap(w, ' ');
    if (tag == TAG_SKIP && !closing)
        skip_content(w, name);
}

/* Length of the UTF-8 character at the front; the input is well-formed. */
static size_t char_len(struct slice s)
{
    size_t len = s.ptr[0] < 0x80 ? 1 : s.ptr[0] < 0xe0 ? 2 : s.ptr[0] < 0xf0 ? 3 : 4;
    return len < s.len ? len : s.len;
}

/* Length of the run of visible ASCII at the front that is neither tag nor reference. */
static size_t plain_run(struct slice s)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] > ' ' && s.ptr[n] < 0x7f && s.ptr[n] != '<' && s.ptr[n] != '&')
        n++;
    return n;
}

static void take_text(struct writer *w)
{
    struct slice s = slice_from(w->in, w->at);
    size_t len = plain_run(s);
    if (len > 1 && len < w->out->max - w->out->len) {
        w->at += len;
        add_char(w, s.ptr, len);
        return;
    }
    len = char_len(s);
    w->at += len;
    if (s.ptr[0] <= ' ' || s.ptr[0] == 0x7f || (len == 2 && s.ptr[0] == 0xc2 && s.ptr[1] <= 0xa0))
        want_gap(w, ' ');
    else
        add_char(w, s.ptr, len);
}

bool html_to_text(struct slice html, struct buf *out)
{
    struct writer w = {.in = html, .out = out, .begin = out->len};
    while (w.at < html.len && !w.full) {
        uint8_t c = html.ptr[w.at];
        if (c == '<')
            take_tag(&w);
        else if (c == '&')
            take_reference(&w);
        else
            take_text(&w);
    }
    return !w.full;
}
