/* Dates: what is read can be written and is read the same again. */
#include <stdlib.h>

#include "grammar/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice text = slice_make(data, len);
    struct date_time date, again;
    int64_t day;
    if (date_parse_rfc5322(text, &date) || date_parse_imap(text, &date) || date_parse_iso(text, &date)) {
        if (date.zone < -1439 || date.zone > 1439)
            abort();
        int64_t local = date.seconds + (int64_t)date.zone * 60;
        bool in_range = local >= DATE_SECONDS_MIN && local <= DATE_SECONDS_MAX &&
                        date.seconds >= DATE_SECONDS_MIN && date.seconds <= DATE_SECONDS_MAX;
        struct date_text out = date_format_imap(date.seconds, date.zone);
        if (in_range && (!date_parse_imap(slice_of(out.text), &again) || again.seconds != date.seconds))
            abort();
        out = date_format_rfc5322(date.seconds, date.zone);
        if (in_range && (!date_parse_rfc5322(slice_of(out.text), &again) || again.seconds != date.seconds))
            abort();
        (void)date_local_day(&date);
    }
    if (date_parse_imap_day(text, &day) && (day < DATE_SECONDS_MIN / 86400 || day > DATE_SECONDS_MAX / 86400))
        abort();
    return 0;
}
