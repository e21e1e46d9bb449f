/* smtp_reply_parse.c: reads replies of remote servers, which are not trusted. Called by relay's client. */
#include "grammar/smtp_reply_parse.h"

#include <string.h>

#define CODE_LEN 3

/* Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 * Reply-code = %x32-35 %x30-35 %x30-39
 * textstring = 1*(%d09 / %d32-126)
 *
 * Taken more widely where real servers need it: any second digit (571, 599), and any byte but LF in the text
 * (RFC 6531 section 3.7.4.2; older servers speak Latin 1; some put control characters there). The code is
 * what was asked for, and it counts; smtp_reply_text() cleans the text. Where a line ends is taken strictly.
 */

const char *smtp_reply_fault_text(enum smtp_reply_fault fault)
{
    static const char *const texts[SMTP_REPLY_FAULT_COUNT] = {
        [SMTP_REPLY_SOUND] = "",
        [SMTP_REPLY_LONG_LINE] = "a line of the reply is too long",
        [SMTP_REPLY_MANY_LINES] = "the reply has too many lines",
        [SMTP_REPLY_TOO_LONG] = "the reply is too long",
        [SMTP_REPLY_BARE_LF] = "a line of the reply ends in LF alone",
        [SMTP_REPLY_NUL] = "the reply's code holds a NUL byte",
        [SMTP_REPLY_NO_CODE] = "the reply is not SMTP",
        [SMTP_REPLY_TWO_CODES] = "the reply changes its code between lines",
    };
    return fault < SMTP_REPLY_FAULT_COUNT ? texts[fault] : "";
}

/* A line without its CRLF. */
static enum smtp_reply_fault judge_line(struct slice line, struct smtp_reply *reply, bool *last)
{
    uint64_t code;
    uint8_t separator = line.len > CODE_LEN ? line.ptr[CODE_LEN] : ' ';
    if (slice_find(slice_sub(line, 0, CODE_LEN + 1), 0) >= 0)
        return SMTP_REPLY_NUL;
    if (!slice_u64(slice_sub(line, 0, CODE_LEN), 599, &code) || code < 200 ||
        (separator != ' ' && separator != '-'))
        return SMTP_REPLY_NO_CODE;
    if (reply->lines > 0 && code != reply->code)
        return SMTP_REPLY_TWO_CODES;
    if (++reply->lines > SMTP_REPLY_REMOTE_LINES)
        return SMTP_REPLY_MANY_LINES;
    reply->code = (uint16_t)code;
    *last = separator == ' ';
    return SMTP_REPLY_SOUND;
}

/* What has come of a line that is not complete: is it certain already that none will come of it? */
static enum smtp_reply_fault judge_beginning(struct slice rest, size_t before)
{
    if (rest.len >= SMTP_REPLY_REMOTE_LINE_MAX)
        return SMTP_REPLY_LONG_LINE;
    if (before + rest.len >= SMTP_REPLY_REMOTE_MAX)
        return SMTP_REPLY_TOO_LONG;
    for (size_t i = 0; i < rest.len && i < CODE_LEN; i++)
        if (!ascii_is_digit(rest.ptr[i]))
            return rest.ptr[i] == 0 ? SMTP_REPLY_NUL : SMTP_REPLY_NO_CODE;
    return SMTP_REPLY_SOUND;
}

/* Number of at most three digits up to `end`, taken off with it. */
static bool take_number(struct slice *s, uint8_t end, uint64_t *number)
{
    struct slice rest = *s, digits;
    if (slice_find(*s, end) < 1 || !slice_token(&rest, end, &digits) || !slice_u64(digits, 999, number))
        return false;
    *s = rest;
    return true;
}

/* status-code = class "." subject "." detail SP, the class as in the reply code (RFC 2034 section 4). Takes
 * it off `*text`. */
static bool take_status(unsigned code, struct slice *text, uint64_t status[3])
{
    struct slice s = *text;
    ptrdiff_t blank = slice_find(s, ' ');
    struct slice word = blank < 0 ? s : slice_sub(s, 0, (size_t)blank);
    if (!take_number(&word, '.', &status[0]) || status[0] != code / 100u || status[0] == 3 ||
        !take_number(&word, '.', &status[1]) || !slice_u64(word, 999, &status[2]))
        return false;
    *text = blank < 0 ? SLICE_EMPTY : slice_from(s, (size_t)blank + 1);
    return true;
}

static void find_status(struct smtp_reply *reply)
{
    struct slice rest = reply->raw, line;
    uint64_t status[3];
    while (smtp_reply_line(&rest, &line)) {
        if (!take_status(reply->code, &line, status))
            continue;
        reply->class = (uint8_t)status[0];
        reply->subject = (uint16_t)status[1];
        reply->detail = (uint16_t)status[2];
        return;
    }
}

/* Takes the next whole line; DONE when it was the last. */
static enum smtp_reply_state take_line(struct slice input, size_t *at, struct smtp_reply *reply,
                                       enum smtp_reply_fault *fault)
{
    struct slice rest = slice_from(input, *at), window = slice_sub(rest, 0, SMTP_REPLY_REMOTE_LINE_MAX);
    ptrdiff_t lf = slice_find(window, '\n');
    if (lf < 0) {
        *fault = judge_beginning(rest, *at);
        return *fault ? SMTP_REPLY_BAD : SMTP_REPLY_MORE;
    }
    bool last = false;
    struct slice line = slice_sub(rest, 0, (size_t)lf);
    *at += line.len + 1;
    if (*at > SMTP_REPLY_REMOTE_MAX)
        *fault = SMTP_REPLY_TOO_LONG;
    else if (!slice_ends(line, SLICE("\r")))
        *fault = SMTP_REPLY_BARE_LF;
    else
        *fault = judge_line(slice_sub(line, 0, line.len - 1), reply, &last);
    if (*fault)
        return SMTP_REPLY_BAD;
    return last ? SMTP_REPLY_DONE : SMTP_REPLY_MORE;
}

enum smtp_reply_state smtp_reply_parse(struct slice input, struct smtp_reply *reply, size_t *used,
                                       enum smtp_reply_fault *fault)
{
    struct smtp_reply found = {0};
    enum smtp_reply_fault wrong = SMTP_REPLY_SOUND;
    enum smtp_reply_state state = SMTP_REPLY_MORE;
    size_t at = 0, before;
    do {
        before = at;
        state = take_line(input, &at, &found, &wrong);
    } while (state == SMTP_REPLY_MORE && at > before);
    if (state == SMTP_REPLY_BAD)
        *fault = wrong;
    if (state != SMTP_REPLY_DONE)
        return state;
    found.raw = slice_sub(input, 0, at);
    find_status(&found);
    *reply = found;
    *used = at;
    return SMTP_REPLY_DONE;
}

bool smtp_reply_line(struct slice *rest, struct slice *line)
{
    struct slice whole;
    if (!slice_token(rest, '\n', &whole))
        return false;
    if (slice_ends(whole, SLICE("\r")))
        whole.len--;
    *line = slice_from(whole, CODE_LEN + 1);
    return true;
}

/* ---- for people ---- */

/* Bytes of the well-formed character at the front; 0 when there is none. */
static size_t character(struct slice s)
{
    for (size_t len = 1; len <= 4 && len <= s.len; len++)
        if (slice_is_utf8(slice_sub(s, 0, len)))
            return len;
    return 0;
}

static void add_clean(struct buf *out, size_t end, struct slice text)
{
    while (text.len) {
        size_t len = character(text);
        bool control = len == 1 && (text.ptr[0] < ' ' || text.ptr[0] == 0x7f);
        bool c1 = len == 2 && text.ptr[0] == 0xc2 && text.ptr[1] < 0xa0; /* U+0080 to U+009F */
        struct slice piece = len == 0 || control || c1 ? SLICE("?") : slice_sub(text, 0, len);
        if (out->len + piece.len > end)
            return;
        buf_add(out, control && text.ptr[0] == '\t' ? SLICE(" ") : piece);
        text = slice_from(text, len ? len : 1);
    }
}

void smtp_reply_text(const struct smtp_reply *reply, size_t max, struct buf *out)
{
    struct slice rest = reply->raw, line;
    uint64_t status[3];
    size_t from = out->len, end = from + max;
    while (smtp_reply_line(&rest, &line)) {
        (void)take_status(reply->code, &line, status);
        line = slice_trim(line);
        if (line.len && out->len > from)
            add_clean(out, end, SLICE(" "));
        add_clean(out, end, line);
    }
}
