/* smtp_line.c: cuts what a client sent into command lines, declared in smtp_command.h. Trusts nothing. */
#include "grammar/smtp_command.h"

static enum smtp_line_state judge_line(struct slice line)
{
    if (!slice_ends(line, SLICE("\r\n")))
        return SMTP_LINE_BARE_LF;
    line.len -= 2;
    if (slice_find(line, '\r') >= 0)
        return SMTP_LINE_BARE_CR;
    return slice_find(line, 0) >= 0 ? SMTP_LINE_NUL : SMTP_LINE_OK;
}

/* The rest of a line that was too long; true when its end was found. */
static bool skip_rest(struct slice *input)
{
    ptrdiff_t lf = slice_find(*input, '\n');
    *input = lf < 0 ? SLICE_EMPTY : slice_from(*input, (size_t)lf + 1);
    return lf >= 0;
}

enum smtp_line_state smtp_line_take(struct slice *input, size_t max_line, bool *skipping, struct slice *line)
{
    if (*skipping && !skip_rest(input))
        return SMTP_LINE_MORE;
    *skipping = false;
    struct slice window = slice_sub(*input, 0, max_line);
    ptrdiff_t lf = slice_find(window, '\n');
    if (lf < 0 && window.len < max_line)
        return SMTP_LINE_MORE;
    if (lf < 0) {
        *skipping = !skip_rest(input);
        return SMTP_LINE_TOO_LONG;
    }
    struct slice whole = slice_sub(window, 0, (size_t)lf + 1);
    enum smtp_line_state state = judge_line(whole);
    *input = slice_from(*input, whole.len);
    *line = slice_sub(whole, 0, whole.len - (state == SMTP_LINE_BARE_LF ? 1 : 2));
    return state;
}
