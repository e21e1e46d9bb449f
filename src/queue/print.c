/* print.c: see print.h. Called by control_queue.c and control_relay.c. */
#include "queue/print.h"

#include "base/clock.h"

/* The length of the whole character at the front; 0: none is there. */
static size_t character(struct slice text)
{
    uint8_t c = text.ptr[0];
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return slice_is_utf8(slice_sub(text, 0, len)) && len <= text.len ? len : 0;
}

void print_add_plain(struct buf *out, struct slice text)
{
    while (text.len) {
        size_t len = character(text);
        bool fine = len && text.ptr[0] >= 0x20 && text.ptr[0] != 0x7f &&
                    !(len == 2 && text.ptr[0] == 0xc2 && text.ptr[1] < 0xa0);
        if (fine)
            buf_add(out, slice_sub(text, 0, len));
        else
            buf_add_byte(out, '?');
        text = slice_from(text, len ? len : 1);
    }
}

void print_add_member(struct buf *out, const char *name, struct slice text)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json_string(out, text);
}

void print_add_number(struct buf *out, const char *name, uint64_t number)
{
    buf_addf(out, ",\"%s\":%llu", name, (unsigned long long)number);
}

void print_add_time(struct buf *out, const char *name, uint64_t unix_ms)
{
    char text[CLOCK_TEXT_MAX];
    clock_rfc3339(unix_ms, text);
    if (unix_ms)
        buf_addf(out, ",\"%s\":\"%s\"", name, text);
    else
        buf_addf(out, ",\"%s\":null", name);
}
