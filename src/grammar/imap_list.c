/* imap_list.c: mailbox names and patterns. Input: names from any logged-in client. Called by the command
 * parser, the imap role (LIST) and store (new names). */
#include <stdlib.h>
#include <string.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "grammar/imap_list.h"

#define INBOX_LEN 5

struct slice imap_pattern_join_in(struct arena *arena, struct slice reference, struct slice pattern,
                                  char delimiter)
{
    if (reference.len == 0 || (pattern.len > 0 && pattern.ptr[0] == (uint8_t)delimiter))
        return pattern;
    if (pattern.len == 0)
        return reference;
    uint8_t *joined = ARENA_ARRAY(arena, uint8_t, reference.len + pattern.len);
    memcpy(joined, reference.ptr, reference.len);
    memcpy(joined + reference.len, pattern.ptr, pattern.len);
    return slice_make(joined, reference.len + pattern.len);
}

/* "INBOX" or a name below it: its first level is compared without case (RFC 9051 section 5.1). */
static bool begins_with_inbox(struct slice name, char delimiter)
{
    return slice_istarts(name, SLICE("INBOX")) && (name.len == INBOX_LEN || name.ptr[INBOX_LEN] == delimiter);
}

bool imap_mailbox_is_inbox(struct slice name)
{
    return slice_ieq(name, SLICE("INBOX"));
}

/* A non-deterministic automaton whose states are the places in the pattern: never more than name times
 * pattern steps, whatever wildcards a client stacks up. */
struct matcher {
    struct slice pattern;
    char delimiter;
    bool at[IMAP_PATTERN_MAX + 2];
};

/* A wildcard may stand for nothing: whoever is before it is behind it too. */
static void pass_wildcards(struct matcher *m)
{
    for (size_t j = 0; j < m->pattern.len; j++)
        if (m->at[j] && (m->pattern.ptr[j] == '*' || m->pattern.ptr[j] == '%'))
            m->at[j + 1] = true;
}

static void step(struct matcher *m, uint8_t c, bool fold)
{
    bool before = false; /* at[j - 1] as it was, and its octet fits */
    for (size_t j = 0; j <= m->pattern.len; j++) {
        bool here = m->at[j];
        uint8_t p = j < m->pattern.len ? m->pattern.ptr[j] : 0;
        bool wild = j < m->pattern.len && (p == '*' || (p == '%' && c != (uint8_t)m->delimiter));
        bool fits = j < m->pattern.len && p != '*' && p != '%' &&
                    (p == c || (fold && ascii_lower(p) == ascii_lower(c)));
        m->at[j] = before || (here && wild);
        before = here && fits;
    }
    pass_wildcards(m);
}

static bool run(struct matcher *m, struct slice pattern, struct slice name, char delimiter)
{
    if (pattern.len > IMAP_PATTERN_MAX)
        return false;
    *m = (struct matcher){.pattern = pattern, .delimiter = delimiter};
    m->at[0] = true;
    pass_wildcards(m);
    bool inbox = begins_with_inbox(name, delimiter);
    for (size_t i = 0; i < name.len; i++)
        step(m, name.ptr[i], inbox && i < INBOX_LEN);
    return true;
}

bool imap_pattern_match(struct slice pattern, struct slice name, char delimiter)
{
    struct matcher m;
    if (slice_eq(pattern, SLICE("*")))
        return true;
    return run(&m, pattern, name, delimiter) && m.at[pattern.len];
}

bool imap_pattern_matches_below(struct slice pattern, struct slice name, char delimiter)
{
    struct matcher m;
    if (!run(&m, pattern, name, delimiter))
        return false;
    step(&m, (uint8_t)delimiter, false);
    for (size_t j = 0; j < pattern.len; j++)
        if (m.at[j])
            return true; /* some name fits the rest of the pattern */
    return false;
}

/* Unicode NFC, so that two ways to write a letter do not make two mailboxes (RFC 9051 section 5.1, RFC 5198).
 */
static struct slice to_nfc_in(struct arena *arena, struct slice name)
{
    if (slice_is_ascii(name) || name.len > IMAP_MAILBOX_NAME_MAX)
        return name;
    UChar wide[IMAP_MAILBOX_NAME_MAX], composed[3 * IMAP_MAILBOX_NAME_MAX];
    UErrorCode status = U_ZERO_ERROR;
    int32_t wide_len = 0, bytes = 0;
    u_strFromUTF8(wide, IMAP_MAILBOX_NAME_MAX, &wide_len, (const char *)name.ptr, (int32_t)name.len, &status);
    const UNormalizer2 *nfc = unorm2_getNFCInstance(&status);
    if (U_FAILURE(status) || unorm2_isNormalized(nfc, wide, wide_len, &status))
        return name;
    int32_t len = unorm2_normalize(nfc, wide, wide_len, composed, 3 * IMAP_MAILBOX_NAME_MAX, &status);
    char *utf8 = ARENA_ARRAY(arena, char, 9 * IMAP_MAILBOX_NAME_MAX);
    u_strToUTF8(utf8, 9 * IMAP_MAILBOX_NAME_MAX, &bytes, composed, len, &status);
    return U_FAILURE(status) ? name : slice_make(utf8, (size_t)bytes);
}

struct slice imap_mailbox_canonical_in(struct arena *arena, struct slice name, char delimiter)
{
    name = to_nfc_in(arena, name);
    if (!begins_with_inbox(name, delimiter) || slice_starts(name, SLICE("INBOX")))
        return name;
    uint8_t *copy = ARENA_ARRAY(arena, uint8_t, name.len);
    memcpy(copy, name.ptr, name.len);
    memcpy(copy, "INBOX", INBOX_LEN);
    return slice_make(copy, name.len);
}

/* C0, DEL and C1 controls; U+2028 and U+2029 (RFC 9051 section 5.1 by way of Net-Unicode). The name is UTF-8.
 */
static bool has_control(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < name.len && name.ptr[i + 1] < 0xa0)
            return true;
        if (c == 0xe2 && i + 2 < name.len && name.ptr[i + 1] == 0x80 && (name.ptr[i + 2] & 0xfe) == 0xa8)
            return true;
    }
    return false;
}

static enum err check_levels(struct slice name, char delimiter, struct why *why)
{
    size_t levels = 1;
    if (name.ptr[name.len - 1] == (uint8_t)delimiter)
        return err_set(why, ERR_REFUSED, "Mailbox name has an empty level");
    struct slice level;
    for (; slice_token(&name, (uint8_t)delimiter, &level); levels++) {
        if (level.len == 0)
            return err_set(why, ERR_REFUSED, "Mailbox name has an empty level");
        if (slice_eq(level, SLICE(".")) || slice_eq(level, SLICE("..")))
            return err_set(why, ERR_REFUSED, "Mailbox name has a level \".\" or \"..\"");
        if (levels > IMAP_MAILBOX_DEPTH_MAX)
            return err_set(why, ERR_REFUSED, "Mailbox name has more than %d levels", IMAP_MAILBOX_DEPTH_MAX);
    }
    return ERR_OK;
}

enum err imap_mailbox_check_new(struct slice name, char delimiter, struct why *why)
{
    if (name.len == 0)
        return err_set(why, ERR_REFUSED, "Mailbox name is empty");
    if (name.len > IMAP_MAILBOX_NAME_MAX)
        return err_set(why, ERR_REFUSED, "Mailbox name is longer than %d octets", IMAP_MAILBOX_NAME_MAX);
    if (!slice_is_utf8(name))
        return err_set(why, ERR_REFUSED, "Mailbox name is not UTF-8");
    if (has_control(name))
        return err_set(why, ERR_REFUSED, "Mailbox name has a control character");
    if (slice_find(name, '*') >= 0 || slice_find(name, '%') >= 0)
        return err_set(why, ERR_REFUSED, "Mailbox name has a wildcard");
    return check_levels(name, delimiter, why);
}

static const struct {
    const char *name;
    uint32_t bit;
} uses[] = {
    {"\\All", IMAP_USE_ALL},         {"\\Archive", IMAP_USE_ARCHIVE},     {"\\Drafts", IMAP_USE_DRAFTS},
    {"\\Flagged", IMAP_USE_FLAGGED}, {"\\Junk", IMAP_USE_JUNK},           {"\\Sent", IMAP_USE_SENT},
    {"\\Trash", IMAP_USE_TRASH},     {"\\Important", IMAP_USE_IMPORTANT},
};

uint32_t imap_special_use_of(struct slice name)
{
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (slice_ieq(name, slice_of(uses[i].name)))
            return uses[i].bit;
    return 0;
}

const char *imap_special_use_name(uint32_t bit)
{
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (uses[i].bit == bit)
            return uses[i].name;
    return "";
}
