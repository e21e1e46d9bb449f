/* read_regexp.c: postfix-regexp.cf: aliases by regular expression, as Postfix's pcre_table(5)
 * (docker-mailserver uses it as that) and regexp_table(5) have them. The file is the operator's; nothing in
 * it is trusted to be well-formed.
 *
 *   line   = match / if / endif       a line that begins with a blank goes on with the one before
 *   match  = *"!" expr 1*WSP target *(("," / WSP) target)
 *   if     = "if" *WSP *"!" expr      what stands up to its "endif" is asked only where it holds
 *   expr   = delim *(%x5C any / other) delim *flag
 *   delim  = any byte but letters, digits, blanks, "\"
 *   target = text; "$1" / "${1}" / "$(1)" are groups, "$$" is a dollar sign
 */
#include "directory/input_list.h"

#include <string.h>

#define IF_DEPTH_MAX 50

static const char how[] = "write /^name[0-9]+@example\\.org$/ user@example.org";

struct regexp_reader {
    struct line_reader lines;
    unsigned depth; /* open ifs */
    uint32_t if_lines[IF_DEPTH_MAX];
};

static void complain(struct regexp_reader *r, const struct directory_place *place, const char *remedy,
                     const char *what)
{
    problem_add(r->lines.input->problems, PROBLEM_ERROR, place->file, place->line, slice_of(remedy), "%s",
                what);
}

/* ---- expressions ---- */

static bool is_delimiter(uint8_t c)
{
    return c > ' ' && c < 0x7f && !ascii_is_alnum(c) && c != '\\';
}

/* *"!" expr off the front. */
static bool take_expression(struct slice *rest, bool *negate, struct slice *text, struct slice *flags)
{
    *rest = slice_trim(*rest);
    for (*negate = false; rest->len && rest->ptr[0] == '!'; *rest = slice_trim(slice_from(*rest, 1)))
        *negate = !*negate;
    if (rest->len == 0 || !is_delimiter(rest->ptr[0]))
        return false;
    uint8_t delimiter = rest->ptr[0];
    size_t end = 1;
    while (end < rest->len && rest->ptr[end] != delimiter)
        end += rest->ptr[end] == '\\' ? 2 : 1;
    if (end >= rest->len)
        return false;
    size_t behind = end + 1;
    while (behind < rest->len && !ascii_is_space(rest->ptr[behind]))
        behind++;
    *text = slice_sub(*rest, 1, end - 1);
    *flags = slice_sub(*rest, end + 1, behind - end - 1);
    *rest = slice_trim(slice_from(*rest, behind));
    return true;
}

static bool read_expression(struct regexp_reader *r, struct directory_rule_entry *entry, struct slice *rest)
{
    struct slice text, flags;
    struct why why;
    struct pattern *pattern = NULL;
    if (!take_expression(rest, &entry->negate, &text, &flags)) {
        complain(r, &entry->place, how, "no expression between delimiters on this line; ignored");
        return false;
    }
    if (pattern_new_in(r->lines.input->arena, text, flags, &pattern, &why)) {
        complain(r, &entry->place, "correct the expression, see pcre2pattern(3)", why.text);
        return false;
    }
    entry->pattern = pattern;
    return true;
}

/* ---- targets ---- */

bool directory_take_group(struct slice *rest, struct slice *text, unsigned *group)
{
    static const char closing[] = ")}";
    ptrdiff_t dollar = slice_find(*rest, '$');
    *group = DIRECTORY_NO_GROUP;
    *text = dollar < 0 ? *rest : slice_sub(*rest, 0, (size_t)dollar);
    struct slice after = dollar < 0 ? SLICE_EMPTY : slice_from(*rest, (size_t)dollar + 1);
    if (dollar < 0) {
        *rest = SLICE_EMPTY;
        return true;
    }
    if (after.len && after.ptr[0] == '$') {
        *text = slice_sub(*rest, 0, (size_t)dollar + 1);
        *rest = slice_from(after, 1);
        return true;
    }
    ptrdiff_t bracket = after.len ? slice_find(SLICE("({"), after.ptr[0]) : -1;
    size_t from = bracket >= 0, end = from;
    while (end < after.len && (ascii_is_alnum(after.ptr[end]) || after.ptr[end] == '_'))
        end++;
    uint64_t number;
    if (!slice_u64(slice_sub(after, from, end - from), PATTERN_GROUPS_MAX, &number) ||
        (bracket >= 0 && (end == after.len || after.ptr[end] != (uint8_t)closing[bracket])))
        return false;
    *group = (unsigned)number;
    *rest = slice_from(after, end + (bracket >= 0));
    return true;
}

/* Are all its groups there? A rule that applies where its expression does not match has none. */
static bool check_template(const struct directory_rule_entry *entry, struct slice target, bool *fixed)
{
    struct slice text;
    unsigned group;
    *fixed = slice_find(target, '$') < 0;
    while (target.len) {
        if (!directory_take_group(&target, &text, &group))
            return false;
        if (group != DIRECTORY_NO_GROUP && (entry->negate || group > pattern_groups(entry->pattern)))
            return false;
    }
    return true;
}

static void read_targets(struct regexp_reader *r, struct directory_rule_entry *entry, struct slice rest)
{
    struct arena *arena = r->lines.input->arena;
    struct slice found[DIRECTORY_RULE_TARGETS_MAX], target;
    size_t count = 0;
    while (directory_take_target(&rest, &target)) {
        bool fixed;
        if (count == DIRECTORY_RULE_TARGETS_MAX) {
            complain(r, &entry->place, "name an alias that has them",
                     "too many targets; the rest is not read");
            break;
        }
        if (!check_template(entry, target, &fixed))
            complain(r, &entry->place,
                     "write $1, ${1} or $(1) for what stands in the first parentheses, $$ for $",
                     "a target names a group that the expression does not have; ignored");
        else if (fixed && !directory_is_target(r->lines.input->scratch, target))
            complain(r, &entry->place, "write whole addresses: user@example.org",
                     "a target is no address; ignored");
        else {
            entry->templated |= !fixed;
            found[count++] = arena_dup(arena, target);
        }
    }
    entry->targets = ARENA_ARRAY(arena, struct slice, count + 1);
    if (count)
        memcpy(entry->targets, found, count * sizeof *found);
    entry->target_count = count;
}

/* ---- lines ---- */

static void add_rule(struct regexp_reader *r, struct directory_rule_entry *entry)
{
    if (r->lines.input->rules.len < DIRECTORY_RULES_MAX)
        (void)directory_list_add(r->lines.input, &r->lines.input->rules, entry, &entry->place);
    else
        complain(r, &entry->place, "write fewer, wider expressions", "too many rules; this one is not read");
}

static struct directory_rule_entry *new_rule(struct regexp_reader *r, enum directory_rule_kind kind,
                                             const struct directory_place *place)
{
    struct directory_rule_entry *entry = ARENA_NEW(r->lines.input->arena, struct directory_rule_entry);
    entry->kind = kind;
    entry->place = *place;
    return entry;
}

static void read_match(struct regexp_reader *r, const struct directory_place *place, struct slice line)
{
    struct directory_rule_entry *entry = new_rule(r, DIRECTORY_RULE_MATCH, place);
    if (!read_expression(r, entry, &line))
        return;
    read_targets(r, entry, line);
    if (entry->target_count)
        add_rule(r, entry);
    else
        complain(r, place, how, "no target on this line; ignored");
}

/* An "if" that cannot be read holds for nobody: what it guards must not apply to everybody. */
static void read_if(struct regexp_reader *r, const struct directory_place *place, struct slice line)
{
    struct directory_rule_entry *entry = new_rule(r, DIRECTORY_RULE_IF, place);
    if (read_expression(r, entry, &line) && line.len)
        problem_add(r->lines.input->problems, PROBLEM_WARNING, place->file, place->line,
                    SLICE("write it on its own line"), "what follows the expression of \"if\" is ignored");
    if (r->depth == IF_DEPTH_MAX) {
        complain(r, place, "write fewer of them",
                 "too many \"if\" inside each other; the rest of the file is not read");
        r->lines.rest = SLICE_EMPTY;
        return;
    }
    r->if_lines[r->depth++] = place->line;
    add_rule(r, entry);
}

static void read_endif(struct regexp_reader *r, const struct directory_place *place, struct slice behind)
{
    if (slice_trim(behind).len)
        problem_add(r->lines.input->problems, PROBLEM_WARNING, place->file, place->line,
                    SLICE("write it on its own line"), "what follows \"endif\" is ignored");
    if (r->depth == 0) {
        complain(r, place, "remove the line", "\"endif\" without \"if\"");
        return;
    }
    r->depth--;
    add_rule(r, new_rule(r, DIRECTORY_RULE_ENDIF, place));
}

/* As in Postfix: any case, and no letter or digit right behind it; an expression may. */
static bool begins_with(struct slice line, struct slice word)
{
    return slice_istarts(line, word) && (line.len == word.len || !ascii_is_alnum(line.ptr[word.len]));
}

static void read_logical_line(struct regexp_reader *r, const struct directory_place *place, struct slice line)
{
    const struct slice begin = SLICE("if"), end = SLICE("endif");
    if (line.len > DIRECTORY_LINE_MAX)
        complain(r, place, "write several rules",
                 "with the lines that go on with it, this is too long; ignored");
    else if (begins_with(line, end))
        read_endif(r, place, slice_from(line, end.len));
    else if (begins_with(line, begin))
        read_if(r, place, slice_from(line, begin.len));
    else
        read_match(r, place, line);
}

void directory_read_regexp(struct directory_input *input, struct slice text, struct slice file)
{
    struct regexp_reader r = {.lines = line_reader_new(input, text, file)};
    struct directory_place place = {0};
    AUTO_BUF struct buf logical = buf_new(2 * DIRECTORY_LINE_MAX);
    struct slice line;
    while (line_reader_next(&r.lines, &line)) {
        if (!ascii_is_space(line.ptr[0]) && logical.len) {
            read_logical_line(&r, &place, buf_slice(&logical));
            buf_clear(&logical);
        }
        if (logical.len == 0)
            place = line_reader_place(&r.lines, slice_trim(line));
        buf_add(&logical, logical.len ? line : slice_trim(line));
    }
    if (logical.len)
        read_logical_line(&r, &place, buf_slice(&logical));
    for (; r.depth; r.depth--) {
        place = (struct directory_place){.file = r.lines.file, .line = r.if_lines[r.depth - 1]};
        complain(&r, &place, "write endif", "\"if\" without \"endif\"");
        add_rule(&r, new_rule(&r, DIRECTORY_RULE_ENDIF, &place));
    }
}
