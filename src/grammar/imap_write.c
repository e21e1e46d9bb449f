/* imap_write.c: strings of responses. Input: stored text of any origin. Called by the imap role and by scan,
 * which writes the ready ENVELOPE. */
#include "grammar/imap_scan.h"
#include "grammar/imap_write.h"
#include "grammar/mutf7.h"

#define QUOTED_MAX 1000 /* longer strings become literals: quoting would scan and escape them for nothing */
#define TEXT_MAX   200  /* octets of human-readable text we repeat from elsewhere */

void imap_write_literal_head(struct buf *out, uint64_t octets)
{
    buf_add_byte(out, '{');
    buf_add_u64(out, octets);
    buf_add_str(out, "}\r\n");
}

static void write_quoted(struct buf *out, struct slice text)
{
    buf_add_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_add_byte(out, '\\');
        buf_add_byte(out, text.ptr[i]);
    }
    buf_add_byte(out, '"');
}

static bool can_quote(struct slice text, bool utf8)
{
    if (text.len > QUOTED_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == 0 || c == '\r' || c == '\n' || (c >= 0x80 && !utf8))
            return false;
    }
    return true;
}

static void write_string(struct buf *out, struct slice text, bool utf8)
{
    if (can_quote(text, utf8)) {
        write_quoted(out, text);
        return;
    }
    imap_write_literal_head(out, text.len);
    buf_add(out, text);
}

void imap_write_string(struct buf *out, struct slice text)
{
    write_string(out, text, false);
}

void imap_write_utf8_string(struct buf *out, struct slice text)
{
    write_string(out, text, slice_is_utf8(text));
}

void imap_write_astring(struct buf *out, struct slice text)
{
    bool atom = text.len > 0 && !slice_ieq(text, SLICE("NIL"));
    for (size_t i = 0; i < text.len && atom; i++)
        atom = imap_is_atom_char(text.ptr[i]);
    if (atom)
        buf_add(out, text);
    else
        write_string(out, text, false);
}

void imap_write_nstring(struct buf *out, struct slice text)
{
    if (text.ptr == NULL && text.len == 0)
        buf_add_str(out, "NIL");
    else
        write_string(out, text, false);
}

void imap_write_mailbox(struct buf *out, struct slice name, bool utf8)
{
    if (slice_is_ascii(name) && (utf8 || slice_find(name, '&') < 0)) { /* encodes as itself */
        imap_write_astring(out, name);
        return;
    }
    if (utf8) {
        imap_write_utf8_string(out, name);
        return;
    }
    struct arena *arena AUTO_ARENA = arena_new(16 * IMAP_MAILBOX_NAME_MAX);
    struct slice encoded;
    if (!mutf7_from_utf8_in(arena, name, &encoded))
        encoded = name;
    imap_write_astring(out, encoded);
}

void imap_write_text(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len && i < TEXT_MAX; i++)
        buf_add_byte(out, ascii_is_print(text.ptr[i]) ? text.ptr[i] : '?');
}
