/* imap_args_metadata.c: GETMETADATA and SETMETADATA (RFC 5464), and names of annotations in LIST (RFC 9590).
 * Input: any client. Called by the table in imap_command.c. */
#include <string.h>

#include "grammar/imap_scan.h"

/* entry = astring; begins with "/private/" or "/shared/", no "*" or "%", no "//", no "/" at the end, ASCII
 * without controls (RFC 5464 section 3.1) */
static const char *entry_fault(struct slice name)
{
    if (name.len > IMAP_ENTRY_MAX)
        return "Name of an annotation too long";
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_print(name.ptr[i]) || name.ptr[i] == '*' || name.ptr[i] == '%' ||
            (name.ptr[i] == '/' && (i + 1 == name.len || name.ptr[i + 1] == '/')))
            return "Invalid name of an annotation";
    struct slice top = slice_starts(name, SLICE("/shared")) ? SLICE("/shared") : SLICE("/private");
    bool ok = slice_starts(name, top) && (name.len == top.len || name.ptr[top.len] == '/');
    return ok ? NULL : "An annotation begins with /private/ or /shared/";
}

static bool scan_entry(struct imap_scan *s, struct slice *entry)
{
    struct slice raw;
    if (!imap_scan_astring(s, &raw))
        return false;
    uint8_t *lower = ARENA_ARRAY(s->arena, uint8_t, raw.len + 1);
    for (size_t i = 0; i < raw.len; i++)
        lower[i] = ascii_lower(raw.ptr[i]);
    *entry = slice_make(lower, raw.len);
    const char *fault = entry_fault(*entry);
    return !fault || imap_scan_fail(s, fault);
}

/* entries = entry / "(" entry *(SP entry) ")" */
bool imap_scan_entries(struct imap_scan *s, struct slice **entries, size_t *count)
{
    *entries = ARENA_ARRAY(s->arena, struct slice, IMAP_ENTRIES_MAX);
    bool list = imap_scan_try(s, '(');
    do {
        if (*count >= IMAP_ENTRIES_MAX)
            return imap_scan_fail(s, "Too many annotations");
        if (!scan_entry(s, &(*entries)[*count]))
            return false;
        ++*count;
    } while (list && imap_scan_try(s, ' '));
    return !list || imap_scan_byte(s, ')', "Malformed list of annotations");
}

/* getmetadata-option = "MAXSIZE" SP number / "DEPTH" SP ("0" / "1" / "infinity") */
static bool scan_option(struct imap_scan *s, struct imap_metadata_args *a)
{
    struct slice word = imap_scan_word(s);
    if (!imap_scan_sp(s))
        return false;
    if (slice_ieq(word, SLICE("MAXSIZE"))) {
        a->has_max_size = true;
        return imap_scan_number(s, UINT32_MAX, &a->max_size);
    }
    if (!slice_ieq(word, SLICE("DEPTH")))
        return imap_scan_fail(s, "Unknown GETMETADATA option");
    static const char *const depths[] = {"0", "1", "infinity"};
    struct slice depth = imap_scan_word(s);
    for (unsigned i = 0; i < 3; i++)
        if (slice_ieq(depth, slice_of(depths[i]))) {
            a->depth = (enum imap_metadata_depth)i;
            return true;
        }
    return imap_scan_fail(s, "DEPTH is 0, 1 or infinity");
}

/* getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")" */
static bool scan_options(struct imap_scan *s, struct imap_metadata_args *a)
{
    if (!imap_scan_byte(s, '(', "Malformed GETMETADATA options"))
        return false;
    do {
        if (!scan_option(s, a))
            return false;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed GETMETADATA options");
}

/* A list that does not begin with the name of an annotation, which has "/" in front, holds options. */
static bool options_follow(const struct imap_scan *s)
{
    return s->end - s->at > 1 && s->at[0] == '(' && ascii_is_alpha(s->at[1]);
}

/* getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries. The examples of the RFC have
 * the options behind the mailbox: both are taken. */
bool imap_args_getmetadata(struct imap_scan *s, struct imap_command *c)
{
    struct imap_metadata_args *a = &c->metadata;
    if (!imap_scan_sp(s))
        return false;
    if (options_follow(s) && (!scan_options(s, a) || !imap_scan_sp(s)))
        return false;
    if (!imap_scan_mailbox(s, &a->mailbox) || !imap_scan_sp(s))
        return false;
    if (options_follow(s) && (!scan_options(s, a) || !imap_scan_sp(s)))
        return false;
    return imap_scan_entries(s, &a->entries, &a->count);
}

/* literal8 = "~{" number "}" CRLF *OCTET, the only form that may hold NUL */
static bool scan_literal8(struct imap_scan *s, struct slice *value)
{
    uint64_t octets;
    if (!imap_scan_literal_head(s, &octets))
        return false;
    if (octets > (size_t)(s->end - s->at))
        return imap_scan_fail(s, "Unfinished literal");
    *value = slice_make(s->at, (size_t)octets);
    s->at += octets;
    return true;
}

/* value = nstring / literal8 */
static bool scan_value(struct imap_scan *s, struct slice *value)
{
    return imap_scan_peek(s) == '~' ? scan_literal8(s, value) : imap_scan_nstring(s, value);
}

/* setmetadata = "SETMETADATA" SP mailbox SP "(" entry-value *(SP entry-value) ")"; entry-value = entry SP
 * value */
bool imap_args_setmetadata(struct imap_scan *s, struct imap_command *c)
{
    struct imap_metadata_args *a = &c->metadata;
    a->entries = ARENA_ARRAY(s->arena, struct slice, IMAP_ENTRIES_MAX);
    a->values = ARENA_ARRAY(s->arena, struct slice, IMAP_ENTRIES_MAX);
    if (!imap_scan_sp(s) || !imap_scan_mailbox(s, &a->mailbox) || !imap_scan_sp(s) ||
        !imap_scan_byte(s, '(', "Expected a list of annotations"))
        return false;
    do {
        size_t n = a->count;
        if (n >= IMAP_ENTRIES_MAX)
            return imap_scan_fail(s, "Too many annotations");
        if (!scan_entry(s, &a->entries[n]) || !imap_scan_sp(s) || !scan_value(s, &a->values[n]))
            return false;
        if (slice_find(slice_from(a->entries[n], 1), '/') < 0)
            return imap_scan_fail(s, "An annotation begins with /private/ or /shared/");
        a->count++;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed list of annotations");
}
