/* Rows between store and imap or http: mailboxes, facts, messages of APPEND, by the first byte, whose
 * rest says what facts were asked for; above EVENTS events. What is taken off the front is written again as
 * the same row. */
#include <stdlib.h>

#include "wire/append_row.h"
#include "wire/event_row.h"
#include "wire/facts_row.h"
#include "wire/mailbox.h"

#define EVENTS 0xf0

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_mailboxes(uint32_t want, struct slice rest)
{
    (void)want;
    struct mailbox_row row, again;
    while (mailbox_row_take(&rest, &row)) {
        AUTO_BUF struct buf out = buf_new(1u << 20);
        mailbox_row_add(&out, &row);
        struct slice written = buf_slice(&out);
        if (!mailbox_row_take(&written, &again) || written.len || !slice_eq(row.name, again.name) ||
            row.id != again.id || row.bytes != again.bytes || row.modseq != again.modseq)
            abort();
    }
}

static void fuzz_facts(uint32_t want, struct slice rest)
{
    struct facts_row row, again;
    while (facts_row_take(&rest, want, &row)) {
        AUTO_BUF struct buf out = buf_new(1u << 20);
        facts_row_add(&out, want, &row);
        struct slice written = buf_slice(&out);
        if (!facts_row_take(&written, want, &again) || written.len || !slice_eq(row.facts, again.facts) ||
            !slice_eq(row.header, again.header) || !slice_eq(row.front.preview, again.front.preview) ||
            row.message != again.message || row.found != again.found)
            abort();
    }
}

static void fuzz_append(uint32_t want, struct slice rest)
{
    (void)want;
    struct append_row row, again;
    while (append_row_take(&rest, &row)) {
        AUTO_BUF struct buf out = buf_new(1u << 20);
        append_row_add(&out, &row);
        struct slice written = buf_slice(&out);
        if (!append_row_take(&written, &again) || written.len || !slice_eq(row.keywords, again.keywords) ||
            row.body != again.body || row.date != again.date || row.flags != again.flags)
            abort();
    }
}

static void fuzz_events(struct slice rest)
{
    struct event_row row, again;
    while (event_row_take(&rest, &row)) {
        AUTO_BUF struct buf out = buf_new(1u << 20);
        event_row_add(&out, &row);
        struct slice written = buf_slice(&out);
        if (!event_row_take(&written, &again) || written.len || !slice_eq(row.row.name, again.row.name) ||
            !slice_eq(row.old, again.old) || !slice_eq(row.entries, again.entries) || row.what != again.what)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct slice input = slice_make(data + 1, size - 1);
    if (data[0] >= EVENTS) {
        fuzz_events(input);
        return 0;
    }
    static void (*const rows[])(uint32_t, struct slice) = {fuzz_mailboxes, fuzz_facts, fuzz_append};
    rows[data[0] % 3](data[0] / 3, input);
    return 0;
}
