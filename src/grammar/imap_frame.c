/* imap_frame.c: where one IMAP command ends. Input: any octets from any client, cut anywhere. Called by the
 * imap role each time something arrives. */
#include <string.h>

#include "grammar/imap_frame.h"

#define LITERAL_HEAD_MAX 24 /* "~{18446744073709551615+}" */

/* literal = ["~"] "{" number64 ["+"] "}" CRLF, RFC 7888 and RFC 3516; at the end of a line */
struct announcement {
    bool found, binary, sync, huge;
    uint64_t octets;
    size_t start; /* of "{" or "~" in the line */
};

struct imap_framer imap_framer_new(struct imap_frame_limits limits)
{
    return (struct imap_framer){.limits = limits};
}

void imap_framer_reset(struct imap_framer *f)
{
    struct imap_framer fresh = imap_framer_new(f->limits);
    fresh.tag_len = f->tag_len; /* the answer to the command that is over still needs it */
    memcpy(fresh.tag, f->tag, sizeof fresh.tag);
    *f = fresh;
}

void imap_framer_after_message(struct imap_framer *f)
{
    imap_framer_reset(f);
    f->after_message = true;
}

void imap_framer_refuse(struct imap_framer *f, const char *text)
{
    f->refused = text;
}

static struct announcement find_announcement(struct slice line)
{
    struct announcement a = {0};
    if (line.len < 3 || line.ptr[line.len - 1] != '}')
        return a;
    ptrdiff_t open = slice_rfind(line, '{');
    if (open < 0)
        return a;
    struct slice digits = slice_sub(line, (size_t)open + 1, line.len - (size_t)open - 2);
    a.sync = !slice_ends(digits, SLICE("+"));
    if (!a.sync)
        digits.len--;
    if (digits.len == 0)
        return a;
    for (size_t i = 0; i < digits.len; i++)
        if (!ascii_is_digit(digits.ptr[i]))
            return a;
    a.found = true;
    a.huge = !slice_u64(digits, INT64_MAX, &a.octets);
    a.start = (size_t)open;
    if (open > 0 && line.ptr[open - 1] == '~') {
        a.binary = true;
        a.start--;
    }
    return a;
}

static struct imap_frame frame(enum imap_frame_state state, size_t len)
{
    return (struct imap_frame){.state = state, .len = len};
}

/* The command is over with an error. */
static struct imap_frame refuse_now(struct imap_framer *f, enum imap_frame_state state, size_t len,
                                    const char *text)
{
    imap_framer_reset(f);
    return (struct imap_frame){
        .state = state, .len = len, .tag = slice_make(f->tag, f->tag_len), .text = text};
}

/* Drops `len` octets of a refused command of which more is to come. */
static struct imap_frame drop(struct imap_framer *f, size_t len)
{
    f->scanned = f->line_start = 0;
    f->skipped += len;
    if (f->skipped > IMAP_SKIP_MAX || f->skip > IMAP_SKIP_MAX)
        return refuse_now(f, IMAP_FRAME_CLOSE, len, f->refused);
    return frame(IMAP_FRAME_SKIP, len);
}

/* A refused command: its literals and lines are dropped up to its end. */
static struct imap_frame next_refused(struct imap_framer *f, struct slice input)
{
    if (f->skip > 0) {
        size_t n = f->skip < input.len ? (size_t)f->skip : input.len;
        if (n == 0)
            return frame(IMAP_FRAME_MORE, 0);
        f->skip -= n;
        return drop(f, n);
    }
    ptrdiff_t lf = slice_find(input, '\n');
    if (lf < 0) {
        /* A literal's announcement may be cut here: its octets stay. */
        if (input.len <= LITERAL_HEAD_MAX + 2)
            return frame(IMAP_FRAME_MORE, 0);
        return drop(f, input.len - LITERAL_HEAD_MAX - 2);
    }
    size_t len = (size_t)lf + 1;
    struct slice line = slice_sub(input, 0, (size_t)lf);
    if (slice_ends(line, SLICE("\r")))
        line.len--;
    struct announcement a = find_announcement(line);
    if (a.found && a.huge)
        return refuse_now(f, IMAP_FRAME_CLOSE, len, f->refused);
    if (a.found && !a.sync) {
        f->skip = a.octets;
        return drop(f, len);
    }
    return refuse_now(f, IMAP_FRAME_BAD, len, f->refused);
}

/* tag = 1*<any ASTRING-CHAR except "+">, followed by SP */
static bool is_tag_char(uint8_t c)
{
    return ascii_is_print(c) && c != ' ' && strchr("(){%*\"\\+", c) == NULL;
}

static void note_tag(struct imap_framer *f, struct slice line)
{
    size_t n = 0;
    while (n < line.len && n < IMAP_TAG_MAX && is_tag_char(line.ptr[n]))
        n++;
    f->tag_len = n < line.len && line.ptr[n] == ' ' ? n : 0;
    memcpy(f->tag, line.ptr, f->tag_len);
}

/* Where the mailbox name of an APPEND, REPLACE or UID REPLACE begins; 0 for other commands. */
static size_t mailbox_at(struct slice command, size_t tag_len)
{
    if (tag_len == 0)
        return 0;
    struct slice rest = slice_from(command, tag_len + 1);
    if (slice_istarts(rest, SLICE("APPEND ")))
        return tag_len + 1 + strlen("APPEND ");
    if (slice_istarts(rest, SLICE("UID ")))
        rest = slice_from(rest, strlen("UID "));
    if (!slice_istarts(rest, SLICE("REPLACE ")))
        return 0;
    rest = slice_from(rest, strlen("REPLACE "));
    while (rest.len > 0 && (ascii_is_digit(*rest.ptr) || *rest.ptr == '*'))
        rest = slice_from(rest, 1);
    return slice_starts(rest, SLICE(" ")) ? command.len - rest.len + 1 : 0;
}

/* "URL {n}" in CATENATE: a string like others, gathered with the command. */
static bool is_url(struct slice line, size_t start, size_t from)
{
    struct slice before = slice_sub(line, 0, start);
    if (start < from + strlen(" URL ") || !slice_ends(before, SLICE(" ")))
        return false;
    struct slice word = slice_from(before, before.len - strlen(" URL "));
    return (word.ptr[0] == ' ' || word.ptr[0] == '(') && slice_ieq(slice_from(word, 1), SLICE("URL "));
}

/* Whether the literal announced in this line is (part of) a message and not another string of an APPEND. */
static bool is_message(const struct imap_framer *f, struct slice input, struct slice line, size_t start)
{
    if (f->after_message)
        return !is_url(line, start, 0);
    size_t at = mailbox_at(input, f->tag_len);
    if (f->line_start > 0)
        return at > 0 && !is_url(line, start, 0);
    return at > 0 && start > at && !is_url(line, start, at);
}

static const char *line_fault(struct slice line, bool has_cr)
{
    if (!has_cr)
        return "A line must end with CRLF";
    if (slice_find(line, '\r') >= 0)
        return "A line must not hold a bare CR";
    if (slice_find(line, 0) >= 0)
        return "A line must not hold NUL";
    return NULL;
}

/* The literal is part of the command: wait for it, or refuse it. */
static struct imap_frame take_literal(struct imap_framer *f, size_t len, struct announcement a)
{
    f->literal_count++;
    const char *fault = NULL;
    if (a.huge || a.octets > f->limits.literals || f->literals + a.octets > f->limits.literals)
        fault = "Literal too large";
    else if (f->literal_count > IMAP_LITERAL_COUNT)
        fault = "Too many literals";
    if (fault && (a.sync || a.huge))
        return refuse_now(f, a.sync ? IMAP_FRAME_BAD : IMAP_FRAME_CLOSE, len, fault);
    if (fault) {
        f->refused = fault;
        f->skip = a.octets;
        return drop(f, len);
    }
    f->literals += a.octets;
    f->outside += len - f->line_start;
    f->scanned = f->line_start = len + (size_t)a.octets;
    if (a.sync)
        return (struct imap_frame){.state = IMAP_FRAME_CONTINUE, .literal = a.octets};
    return frame(IMAP_FRAME_COMPLETE, 0); /* look on */
}

static struct imap_frame message_frame(struct imap_framer *f, size_t len, struct announcement a)
{
    if (a.huge)
        return refuse_now(f, a.sync ? IMAP_FRAME_BAD : IMAP_FRAME_CLOSE, len, "Literal too large");
    imap_framer_reset(f);
    return (struct imap_frame){
        .state = IMAP_FRAME_MESSAGE, .len = len, .literal = a.octets, .sync = a.sync, .binary = a.binary};
}

/* The current line is the reason to refuse the command: what came before it is dropped, then the line itself.
 */
static struct imap_frame refuse(struct imap_framer *f, struct slice input, const char *text)
{
    if (f->line_start == 0 && !f->after_message)
        note_tag(f, input);
    f->refused = text;
    return f->line_start > 0 ? drop(f, f->line_start) : next_refused(f, input);
}

/* The line input[line_start, lf) is complete. A COMPLETE frame of length 0 means: go on behind a literal. */
static struct imap_frame end_of_line(struct imap_framer *f, struct slice input, size_t lf)
{
    struct slice line = slice_sub(input, f->line_start, lf - f->line_start);
    bool has_cr = slice_ends(line, SLICE("\r"));
    if (has_cr)
        line.len--;
    bool first = f->line_start == 0 && !f->after_message;
    if (first)
        note_tag(f, line);
    const char *fault = line_fault(line, has_cr);
    if (fault)
        return refuse(f, input, fault);
    struct announcement a = find_announcement(line);
    if (!a.found) {
        imap_framer_reset(f);
        return frame(IMAP_FRAME_COMPLETE, lf + 1);
    }
    if (is_message(f, input, line, a.start))
        return message_frame(f, lf + 1, a);
    return take_literal(f, lf + 1, a);
}

struct imap_frame imap_framer_next(struct imap_framer *f, struct slice input)
{
    for (;;) {
        if (f->refused)
            return next_refused(f, input);
        if (f->scanned > input.len)
            return frame(IMAP_FRAME_MORE, 0);
        ptrdiff_t found = slice_find(slice_from(input, f->scanned), '\n');
        size_t end = found < 0 ? input.len : f->scanned + (size_t)found;
        if (f->outside + end - f->line_start > f->limits.line)
            return refuse(f, input, "Command line too long");
        if (found < 0) {
            f->scanned = input.len;
            return frame(IMAP_FRAME_MORE, 0);
        }
        struct imap_frame got = end_of_line(f, input, end);
        if (got.state != IMAP_FRAME_COMPLETE || got.len > 0)
            return got;
    }
}

bool imap_line_take(struct slice input, size_t max, struct slice *line, size_t *used)
{
    *used = 0;
    ptrdiff_t lf = slice_find(input, '\n');
    if (lf < 0) {
        if (input.len > max)
            *used = input.len;
        return false;
    }
    if (lf == 0 || input.ptr[lf - 1] != '\r' || (size_t)lf - 1 > max) {
        *used = (size_t)lf + 1;
        return false;
    }
    *line = slice_sub(input, 0, (size_t)lf - 1);
    *used = (size_t)lf + 1;
    return true;
}
