/* smtp_data.c: the text behind DATA. Reads what any client sends; called by the SMTP role for every chunk it
 * received. */
#include "grammar/smtp_data.h"

#include <string.h>

/* Where in the line the next byte stands. "Withheld" bytes were seen but not handed out: they may be the end
 * of the data. */
enum {
    AT_START,      /* first byte of a line */
    IN_LINE,       /* inside */
    BEHIND_CR,     /* behind a CR that was handed out */
    BEHIND_DOT,    /* behind a dot at the start of a line, withheld */
    BEHIND_DOT_CR, /* behind dot and CR, both withheld */
};

void smtp_data_init(struct smtp_data *data)
{
    *data = (struct smtp_data){.state = AT_START};
}

void smtp_data_init_plain(struct smtp_data *data)
{
    *data = (struct smtp_data){.state = AT_START, .plain = true};
}

static void count_line(struct smtp_data *data, size_t len)
{
    data->line += len;
    if (data->line > data->longest)
        data->longest = data->line;
}

/* The byte behind a CR that was handed out; it is not taken. */
static void judge_cr(struct smtp_data *data, uint8_t next)
{
    if (next != '\n')
        data->bare_cr = true;
    data->state = IN_LINE;
}

/* From inside a line: up to its CR, which is taken, or to the end of the input. Any LF on the way is bare. */
static size_t take_to_cr(struct smtp_data *data, struct slice s)
{
    const uint8_t *cr = memchr(s.ptr, '\r', s.len);
    size_t text = cr ? (size_t)(cr - s.ptr) : s.len;
    if (text && !data->bare_lf && memchr(s.ptr, '\n', text))
        data->bare_lf = true;
    data->state = cr ? BEHIND_CR : IN_LINE;
    count_line(data, text + (cr != NULL));
    return text + (cr != NULL);
}

/* The byte behind a CR that was handed out: LF ends the line, anything else makes the CR a bare one. */
static size_t take_behind_cr(struct smtp_data *data, uint8_t c)
{
    judge_cr(data, c);
    if (c != '\n')
        return 0;
    count_line(data, 1);
    data->line = 0;
    data->lines++;
    data->state = AT_START;
    return 1;
}

/* How far the text runs that can be handed out as it is: to the next dot at the start of a line, or to the
 * end of the input. */
static size_t run_length(struct smtp_data *data, struct slice s)
{
    size_t at = 0;
    while (at < s.len) {
        if (data->state == AT_START) {
            if (s.ptr[at] == '.' && !data->plain)
                break;
            data->state = IN_LINE;
        }
        at +=
            data->state == BEHIND_CR ? take_behind_cr(data, s.ptr[at]) : take_to_cr(data, slice_from(s, at));
    }
    return at;
}

static bool has_eight_bit(struct slice s)
{
    uint64_t word, seen = 0;
    while (s.len >= sizeof word) {
        memcpy(&word, s.ptr, sizeof word);
        seen |= word;
        s = slice_from(s, sizeof word);
    }
    for (size_t i = 0; i < s.len; i++)
        seen |= s.ptr[i];
    return seen & 0x8080808080808080u;
}

static enum smtp_data_state hand_out(struct smtp_data *data, struct slice run, struct slice *text)
{
    data->nul = data->nul || memchr(run.ptr, 0, run.len) != NULL;
    data->eight_bit = data->eight_bit || has_eight_bit(run);
    data->size += run.len;
    *text = run;
    return SMTP_DATA_TEXT;
}

/* Withheld a dot: CR may begin the end, anything else shows that the dot was stuffing and goes (RFC 5321
 * section 4.5.2). */
static void step_behind_dot(struct smtp_data *data, struct slice *input)
{
    data->state = IN_LINE;
    if (input->ptr[0] != '\r')
        return;
    data->state = BEHIND_DOT_CR;
    *input = slice_from(*input, 1);
}

/* Withheld a dot and a CR: LF is the end of the data; otherwise the CR was text, and bare. */
static enum smtp_data_state step_behind_dot_cr(struct smtp_data *data, struct slice *input,
                                               struct slice *text)
{
    if (input->ptr[0] == '\n') {
        *input = slice_from(*input, 1);
        return SMTP_DATA_END;
    }
    count_line(data, 1);
    judge_cr(data, input->ptr[0]);
    return hand_out(data, SLICE("\r"), text);
}

enum smtp_data_state smtp_data_next(struct smtp_data *data, struct slice *input, struct slice *text)
{
    while (input->len) {
        if (data->state == BEHIND_DOT) {
            step_behind_dot(data, input);
        } else if (data->state == BEHIND_DOT_CR) {
            return step_behind_dot_cr(data, input, text);
        } else if (data->state == AT_START && input->ptr[0] == '.' && !data->plain) {
            data->state = BEHIND_DOT;
            *input = slice_from(*input, 1);
        } else {
            size_t len = run_length(data, *input);
            struct slice run = slice_sub(*input, 0, len);
            *input = slice_from(*input, len);
            return hand_out(data, run, text);
        }
    }
    return SMTP_DATA_MORE;
}

void smtp_data_finish(struct smtp_data *data)
{
    if (data->state == BEHIND_CR)
        data->bare_cr = true;
}

bool smtp_data_is_clean(const struct smtp_data *data)
{
    return !data->bare_cr && !data->bare_lf && !data->nul && data->longest <= SMTP_DATA_LINE_MAX;
}
