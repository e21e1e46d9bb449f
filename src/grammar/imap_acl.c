/* imap_acl.c: letters of rights and bits. Input: any logged-in client. Called by imap_args_acl.c, the imap
 * role and store. */
#include "grammar/imap_acl.h"

/* In the order in which they are written. */
static const struct {
    char letter;
    uint32_t bits;
} letters[] = {
    {'l', RIGHT_LOOKUP},
    {'r', RIGHT_READ},
    {'s', RIGHT_SEEN},
    {'w', RIGHT_WRITE},
    {'i', RIGHT_INSERT},
    {'p', RIGHT_POST},
    {'k', RIGHT_CREATE},
    {'x', RIGHT_DELETE},
    {'t', RIGHT_DELETED_FLAG},
    {'e', RIGHT_EXPUNGE},
    {'a', RIGHT_ADMIN},
    {'c', RIGHT_CREATE | RIGHT_DELETE},
    {'d', RIGHT_DELETED_FLAG | RIGHT_EXPUNGE},
};
#define LETTERS (sizeof letters / sizeof *letters)

/* rights = astring ; only lowercase ASCII letters and digits (RFC 4314 section 8) */
bool imap_rights_parse(struct slice text, uint32_t *rights)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        size_t k = 0;
        while (k < LETTERS && letters[k].letter != text.ptr[i])
            k++;
        if (k == LETTERS)
            return false;
        bits |= letters[k].bits;
    }
    *rights = bits;
    return true;
}

void imap_rights_write(struct buf *out, uint32_t rights)
{
    for (size_t i = 0; i < LETTERS; i++)
        if (rights & letters[i].bits)
            buf_add_byte(out, (uint8_t)letters[i].letter);
}

bool imap_acl_identifier_is_valid(struct slice identifier)
{
    if (slice_starts(identifier, SLICE("-")))
        identifier = slice_from(identifier, 1);
    if (!identifier.len || identifier.len > IMAP_ACL_IDENTIFIER_MAX || !slice_is_utf8(identifier))
        return false;
    ptrdiff_t at = slice_rfind(identifier, '@');
    bool address = at > 0 && (size_t)at + 1 < identifier.len;
    for (size_t i = 0; i < identifier.len; i++)
        if (identifier.ptr[i] <= ' ' || identifier.ptr[i] == 0x7f)
            return false;
    return address || slice_eq(identifier, SLICE("anyone"));
}
