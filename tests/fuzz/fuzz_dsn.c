/* Notifications from any facts at all: lines of ours only, no control byte, the parts where they belong,
 * every recipient with its fields. Input: fields separated by NUL, the first byte of each recipient's says
 * what it is. */
#include <stdlib.h>

#include "grammar/header.h"
#include "grammar/mime.h"
#include "policy/dsn.h"

#define ARENA_MAX (64u << 20)
#define FEW       20
#define TOKEN     "0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct slice take(struct slice *rest)
{
    struct slice field = SLICE_EMPTY;
    (void)slice_token(rest, 0, &field);
    return field;
}

static void check_lines(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '\r'   ? i + 1 == text.len || text.ptr[i + 1] != '\n'
            : c == '\n' ? i == 0 || text.ptr[i - 1] != '\r'
                        : c < 0x20 || c == 0x7f)
            abort();
    }
    if (!slice_is_utf8(text))
        abort();
}

static size_t count_fields(struct slice block, struct slice name)
{
    struct header_field field;
    size_t count = 0;
    while (block.len) {
        struct header_iter iter = header_iter_new(block);
        while (header_next(&iter, &field)) {
            if (field.junk)
                abort();
            count += header_is(&field, name);
        }
        block = slice_from(block, iter.at ? iter.at : 1);
        while (slice_starts(block, SLICE("\r\n")))
            block = slice_from(block, 2);
    }
    return count;
}

static void check(struct arena *arena, const struct dsn *dsn, struct slice message)
{
    const struct mime_part *root = mime_parse_in(arena, message, NULL, NULL), *status;
    if (!mime_is(root, SLICE("multipart"), SLICE("report")) || !root->child || !(status = root->child->next))
        abort();
    if (!mime_is(status, SLICE("message"), SLICE("delivery-status")) &&
        !mime_is(status, SLICE("message"), SLICE("global-delivery-status")))
        abort();
    struct slice fields = mime_body(status, message);
    if (count_fields(fields, SLICE("Final-Recipient")) != dsn->count ||
        count_fields(fields, SLICE("Status")) != dsn->count ||
        count_fields(fields, SLICE("Reporting-MTA")) != 1)
        abort();
    bool original = dsn->full || dsn->header.len;
    if (original != (status->next != NULL) || (original && status->next->next))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 16384 || len < 2)
        return 0;
    struct slice rest = slice_make(data + 2, len - 2);
    if (slice_search(rest, SLICE(TOKEN)) >= 0)
        return 0; /* nobody can guess it: see struct dsn */
    struct dsn_recipient recipients[FEW] = {0};
    struct dsn dsn = {.hostname = SLICE("mail.example.org"),
                      .to = SLICE("jane@example.org"),
                      .id = SLICE("id"),
                      .token = SLICE(TOKEN),
                      .now = 1795233600};
    dsn.full = data[0] & 1;
    dsn.eightbit = data[0] & 2;
    dsn.smtputf8 = data[0] & 4;
    dsn.double_bounce = data[0] & 8;
    dsn.arrival = (int64_t)data[1] * 1000000000;
    struct slice *texts[] = {&dsn.original_id, &dsn.envid,   &dsn.message_id,
                             &dsn.references,  &dsn.subject, &dsn.postmaster};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = take(&rest);
    if (data[0] & 16)
        dsn.header = SLICE("Subject: x\r\n");
    do {
        struct dsn_recipient *r = &recipients[dsn.count++];
        struct slice kind = take(&rest);
        uint8_t bits = kind.len ? kind.ptr[0] : 0;
        *r = (struct dsn_recipient){.action = bits % DSN_ACTION_COUNT,
                                    .reason = bits / DSN_ACTION_COUNT % DSN_REASON_COUNT,
                                    .is_reply = bits & 128,
                                    .retry_until = bits,
                                    .last_attempt = bits};
        r->address = take(&rest);
        r->hidden = take(&rest);
        r->orcpt = take(&rest);
        r->status = take(&rest);
        r->remote = take(&rest);
        r->diagnostic = take(&rest);
    } while (rest.len && dsn.count < FEW);
    dsn.recipients = recipients;

    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf message = buf_new(DSN_MAX), tail = buf_new(1000);
    (void)dsn_write(&dsn, &message, &tail);
    if (dsn.full)
        buf_add_str(&message, "Subject: x\r\n\r\nbody\r\n");
    buf_add(&message, buf_slice(&tail));
    if (!buf_ok(&message))
        abort();
    check_lines(buf_slice(&message));
    check(arena, &dsn, buf_slice(&message));
    return 0;
}
