/* SMTP command lines out of a stream: every line is a command or has a reply. */
#include <stdlib.h>

#include "grammar/smtp_command.h"

#define ARENA_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    if (len < 2 || len > 65536)
        return 0;
    struct slice input = slice_make(data + 1, len - 1), line;
    bool skipping = false;
    for (;;) {
        struct smtp_command command;
        struct smtp_reply_text reply = {0};
        enum smtp_line_state state = smtp_line_take(&input, SMTP_LINE_MAX, &skipping, &line);
        if (state == SMTP_LINE_MORE)
            return 0;
        if (state != SMTP_LINE_OK)
            continue;
        arena_reset(arena);
        enum err err = smtp_command_parse_in(arena, line, data[0], &command, &reply);
        if ((err == ERR_OK) != (reply.code == 0) || (err && (!reply.text || reply.code < 500)))
            abort();
        if (!err && command.verb == SMTP_RCPT && !slice_is_utf8(command.rcpt.orcpt))
            abort();
        if (command.verb >= SMTP_VERB_COUNT || command.name.len > 20)
            abort();
    }
}
