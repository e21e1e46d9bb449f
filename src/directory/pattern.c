/* pattern.c: PCRE2 behind our bounds. Expressions are the operator's, subjects a stranger's. No just-in-time
 * compiler: roles may not make memory executable, and its limits are others. Called by read_regexp.c and
 * match.c. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "directory/pattern.h"

#include <pcre2.h>
#include <stdlib.h>

#include "base/mem.h"

#define ERROR_TEXT_MAX 120

struct pattern {
    pcre2_code *code;
    uint32_t groups;
};

struct matcher {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static bool toggle_flag(uint8_t flag, uint32_t *options)
{
    static const struct {
        uint8_t flag;
        uint32_t option;
    } known[] = {
        {'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE},      {'s', PCRE2_DOTALL},   {'x', PCRE2_EXTENDED},
        {'A', PCRE2_ANCHORED}, {'E', PCRE2_DOLLAR_ENDONLY}, {'U', PCRE2_UNGREEDY}, {'X', 0}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].flag == flag) {
            *options ^= known[i].option;
            return true;
        }
    return false;
}

static void free_code(void *arg)
{
    pcre2_code_free(arg);
}

enum err pattern_new_in(struct arena *arena, struct slice text, struct slice flags, struct pattern **pattern,
                        struct why *why)
{
    uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, groups = 0;
    PCRE2_UCHAR message[ERROR_TEXT_MAX];
    size_t at;
    int code;
    if (text.len > PATTERN_TEXT_MAX)
        return err_set(why, ERR_BAD, "the expression is longer than %d bytes", PATTERN_TEXT_MAX);
    for (size_t i = 0; i < flags.len; i++)
        if (!toggle_flag(flags.ptr[i], &options))
            return err_set(why, ERR_BAD, "unknown flag behind the expression");
    const uint8_t *bytes = text.len ? text.ptr : (const uint8_t *)"";
    pcre2_code *compiled = pcre2_compile(bytes, text.len, options, &code, &at, NULL);
    if (!compiled) {
        (void)pcre2_get_error_message(code, message, sizeof message);
        return err_set(why, ERR_BAD, "%s (at byte %zu of the expression)", (const char *)message, at + 1);
    }
    arena_defer(arena, free_code, compiled);
    if (pcre2_pattern_info(compiled, PCRE2_INFO_CAPTURECOUNT, &groups))
        groups = 0;
    *pattern = ARENA_NEW(arena, struct pattern);
    **pattern = (struct pattern){.code = compiled, .groups = groups};
    return ERR_OK;
}

unsigned pattern_groups(const struct pattern *pattern)
{
    return pattern->groups;
}

struct matcher *matcher_new(void)
{
    struct matcher *matcher = mem_zero(1, sizeof *matcher);
    matcher->data = pcre2_match_data_create(PATTERN_GROUPS_MAX + 1, NULL);
    matcher->limits = pcre2_match_context_create(NULL);
    if (!matcher->data || !matcher->limits)
        abort(); /* as mem_alloc() does */
    (void)pcre2_set_match_limit(matcher->limits, PATTERN_STEPS_MAX);
    (void)pcre2_set_depth_limit(matcher->limits, PATTERN_DEPTH_MAX);
    (void)pcre2_set_heap_limit(matcher->limits, PATTERN_HEAP_MAX);
    return matcher;
}

void matcher_free(struct matcher **matcher)
{
    if (!*matcher)
        return;
    pcre2_match_data_free((*matcher)->data);
    pcre2_match_context_free((*matcher)->limits);
    free(*matcher);
    *matcher = NULL;
}

enum pattern_result pattern_match(struct matcher *matcher, const struct pattern *pattern,
                                  struct slice subject)
{
    const uint8_t *bytes = subject.len ? subject.ptr : (const uint8_t *)"";
    int found = pcre2_match(pattern->code, bytes, subject.len, 0, 0, matcher->data, matcher->limits);
    if (found >= 0)
        return PATTERN_YES;
    bool bad_text = found <= PCRE2_ERROR_UTF8_ERR1 && found >= PCRE2_ERROR_UTF8_ERR21;
    return found == PCRE2_ERROR_NOMATCH || bad_text ? PATTERN_NO : PATTERN_GAVE_UP;
}

struct slice matcher_group(const struct matcher *matcher, struct slice subject, unsigned group)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(matcher->data);
    if (group > PATTERN_GROUPS_MAX || ends[2 * group] == PCRE2_UNSET || ends[2 * group] > ends[2 * group + 1])
        return SLICE_EMPTY;
    return slice_sub(subject, ends[2 * group], ends[2 * group + 1] - ends[2 * group]);
}

bool pattern_wildcard(struct slice wildcard, struct slice text)
{
    size_t w = 0, t = 0, star = wildcard.len, resume = 0;
    while (t < text.len) {
        if (w < wildcard.len && wildcard.ptr[w] == '*') {
            star = w++;
            resume = t;
        } else if (w < wildcard.len && wildcard.ptr[w] == text.ptr[t]) {
            w++;
            t++;
        } else if (star < wildcard.len) { /* the last star takes one byte more */
            w = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (w < wildcard.len && wildcard.ptr[w] == '*')
        w++;
    return w == wildcard.len;
}
