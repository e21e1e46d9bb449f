/* Any bytes as values of a log event, in every format: one line, no control byte, bounded. */
#include <stdlib.h>

#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct log_head head = {
        .role = "smtp", .hostname = "mail.example.org", .pid = 7, .unix_ms = 1795231801123u};
    char line[LOG_LINE_MAX], safe[100];
    struct slice all = slice_make(data, len), half = slice_from(all, len / 2);
    size_t safe_len = log_compat_sanitize(all, safe, sizeof safe);
    for (int format = 0; format < LOG_FORMAT_COUNT; format++) {
        size_t got = log_format_line((enum log_format)format, &head, LOG_LEVEL_INFO, "smtp.event",
                                     LOG_FIELDS(LOG_STR("a", all), LOG_STR("b", half),
                                                LOG_COMPAT("postfix/smtpd", slice_make(safe, safe_len)),
                                                LOG_STR("c", all)),
                                     line);
        if (got > sizeof line || (got && line[got - 1] != '\n'))
            abort();
        for (size_t i = 0; i + 1 < got; i++)
            if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
                abort();
    }
    return 0;
}
