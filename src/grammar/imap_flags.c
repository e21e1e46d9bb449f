/* imap_flags.c: flags and keywords. Input: text of any client. Called by the command parser, imap and store.
 */
#include "grammar/imap_flags.h"
#include "grammar/imap_scan.h"

static const struct {
    const char *name;
    uint32_t bit;
} names[] = {
    {"\\Seen", IMAP_FLAG_SEEN},       {"\\Answered", IMAP_FLAG_ANSWERED}, {"\\Flagged", IMAP_FLAG_FLAGGED},
    {"\\Deleted", IMAP_FLAG_DELETED}, {"\\Draft", IMAP_FLAG_DRAFT},       {"\\Recent", IMAP_FLAG_RECENT},
};
#define NAMES (sizeof names / sizeof *names)

bool imap_keyword_valid(struct slice name)
{
    if (name.len == 0 || name.len > IMAP_KEYWORD_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!imap_is_atom_char(name.ptr[i]))
            return false;
    return true;
}

int imap_flag_of(struct slice name)
{
    for (size_t i = 0; i < NAMES; i++)
        if (slice_ieq(name, slice_of(names[i].name)))
            return (int)names[i].bit;
    return imap_keyword_valid(name) ? 0 : -1;
}

static bool has_keyword(const struct imap_flags *flags, struct slice name)
{
    for (size_t i = 0; i < flags->keyword_count; i++)
        if (slice_ieq(flags->keywords[i], name))
            return true;
    return false;
}

/* flag-list = "(" [flag *(SP flag)] ")" */
enum err imap_flags_parse_in(struct arena *arena, struct slice text, struct imap_flags *flags,
                             struct why *why)
{
    if (slice_starts(text, SLICE("(")) && slice_ends(text, SLICE(")")) && text.len >= 2)
        text = slice_sub(text, 1, text.len - 2);
    struct imap_flags got = {0};
    struct slice *keywords = ARENA_ARRAY(arena, struct slice, IMAP_FLAG_LIST_MAX);
    struct slice name;
    for (size_t n = 0; slice_token(&text, ' ', &name); n++) {
        if (n >= IMAP_FLAG_LIST_MAX)
            return err_set(why, ERR_BAD, "Too many flags");
        int bit = imap_flag_of(name);
        if (bit < 0)
            return err_set(why, ERR_BAD, "Invalid flag");
        if (bit > 0)
            got.system |= (uint32_t)bit & IMAP_FLAGS_STORED;
        else if (!has_keyword(&(struct imap_flags){.keywords = keywords, .keyword_count = got.keyword_count},
                              name))
            keywords[got.keyword_count++] = name;
    }
    got.keywords = keywords;
    *flags = got;
    return ERR_OK;
}

void imap_flags_write_system(struct buf *out, uint32_t system)
{
    const char *separator = "";
    for (size_t i = 0; i < NAMES; i++) {
        if (!(system & names[i].bit))
            continue;
        buf_add_str(out, separator);
        buf_add_str(out, names[i].name);
        separator = " ";
    }
}

void imap_flags_write(struct buf *out, const struct imap_flags *flags)
{
    imap_flags_write_system(out, flags->system);
    bool first = flags->system == 0;
    for (size_t i = 0; i < flags->keyword_count; i++) {
        if (!first)
            buf_add_byte(out, ' ');
        first = false;
        buf_add(out, flags->keywords[i]);
    }
}
