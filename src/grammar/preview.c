/* preview.c: previews of messages. Reads decoded text of strangers' messages; called by scan. */
#include "grammar/preview.h"

struct preview {
    struct buf *out;
    size_t chars;
    bool gap; /* white space in front of the next character */
};

/* Soft hyphen, joiners, zero-width blanks, direction marks, byte order mark: U+00AD, U+034F, U+200B to
 * U+200F, U+202A to U+202E, U+2060 to U+2069, U+FEFF. */
static bool is_invisible(const uint8_t *c, size_t len)
{
    if (len == 2)
        return (c[0] == 0xc2 && c[1] == 0xad) || (c[0] == 0xcd && c[1] == 0x8f);
    if (len != 3)
        return false;
    if (c[0] == 0xe2 && c[1] == 0x80)
        return (c[2] >= 0x8b && c[2] <= 0x8f) || (c[2] >= 0xaa && c[2] <= 0xae);
    return (c[0] == 0xe2 && c[1] == 0x81 && c[2] >= 0xa0 && c[2] <= 0xa9) ||
           (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf);
}

static bool is_blank(const uint8_t *c, size_t len)
{
    return *c <= ' ' || *c == 0x7f || (len == 2 && c[0] == 0xc2 && c[1] <= 0xa0);
}

static void add_char(struct preview *p, const uint8_t *c, size_t len)
{
    if (p->gap && p->chars && p->chars < PREVIEW_MAX_CHARS - 1) {
        buf_add_byte(p->out, ' ');
        p->chars++;
    }
    p->gap = false;
    buf_add(p->out, slice_make(c, len));
    p->chars++;
}

/* Adds one line; a line end counts as white space. */
static void add_line(struct preview *p, struct slice line)
{
    for (size_t i = 0, len; i < line.len && p->chars < PREVIEW_MAX_CHARS; i += len) {
        const uint8_t *c = line.ptr + i;
        len = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
        if (len > line.len - i)
            return; /* cut in the middle of a character */
        if (is_blank(c, len))
            p->gap = true;
        else if (!is_invisible(c, len))
            add_char(p, c, len);
    }
    p->gap = true;
}

static void add_lines(struct preview *p, struct slice text, bool quoted_too)
{
    struct slice line;
    while (p->chars < PREVIEW_MAX_CHARS && slice_token(&text, '\n', &line)) {
        struct slice bare = slice_trim(line);
        if (slice_starts(line, SLICE("-- ")) && bare.len == 2 && p->chars)
            return;
        if (quoted_too || !slice_starts(bare, SLICE(">")))
            add_line(p, line);
    }
}

void preview_make(struct slice text, struct buf *out)
{
    struct preview p = {.out = out};
    text = slice_sub(text, 0, PREVIEW_MAX_INPUT);
    add_lines(&p, text, false);
    if (!p.chars)
        add_lines(&p, text, true);
}
