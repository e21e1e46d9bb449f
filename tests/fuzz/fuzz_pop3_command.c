/* POP3 command lines out of a stream: every line is a command within its bounds, or has a reason. */
#include <stdlib.h>

#include "grammar/pop3_command.h"
#include "grammar/smtp_command.h"

static bool is_inside(struct slice part, struct slice line)
{
    return part.len == 0 || (part.ptr >= line.ptr && part.ptr + part.len <= line.ptr + line.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice input = slice_make(data, len), line;
    bool skipping = false;
    if (len > 65536)
        return 0;
    for (;;) {
        struct pop3_command command;
        enum smtp_line_state state = smtp_line_take(&input, POP3_LINE_MAX, &skipping, &line);
        if (state == SMTP_LINE_MORE)
            return 0;
        if (state != SMTP_LINE_OK)
            continue;
        const char *wrong = pop3_command_parse(line, &command);
        if (command.verb >= POP3_VERB_COUNT || (!wrong && command.verb == POP3_UNKNOWN))
            abort();
        if (!is_inside(command.text, line) || !is_inside(command.initial, line))
            abort();
        if (!wrong && command.has_number && command.number == 0)
            abort();
        if (!wrong && (command.verb == POP3_USER || command.verb == POP3_PASS) &&
            !slice_is_utf8(command.text))
            abort();
    }
}
