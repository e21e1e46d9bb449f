/* Rows that store sends and imap and http read: mailboxes (first byte even) and facts. What is taken off the
 * front is written again as the same row. */
#include <stdlib.h>

#include "wire/facts_row.h"
#include "wire/mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_mailboxes(struct slice rest)
{
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

static void fuzz_facts(struct slice rest)
{
    struct facts_row row, again;
    while (facts_row_take(&rest, &row)) {
        AUTO_BUF struct buf out = buf_new(1u << 20);
        facts_row_add(&out, &row);
        struct slice written = buf_slice(&out);
        if (!facts_row_take(&written, &again) || written.len || !slice_eq(row.facts, again.facts) ||
            !slice_eq(row.header, again.header) || row.message != again.message || row.found != again.found)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct slice input = slice_make(data + 1, size - 1);
    if (data[0] % 2 == 0)
        fuzz_mailboxes(input);
    else
        fuzz_facts(input);
    return 0;
}
