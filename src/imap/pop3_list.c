/* pop3_list.c: STAT, LIST, UIDL, DELE, RSET, NOOP (RFC 1939 sections 5 and 7): all from the image, without a
 * question to anybody. */
#include <stdlib.h>

#include "imap/pop3.h"

void pop3_cmd_stat(struct pop3 *p, const struct pop3_command *command)
{
    const struct pop3_drop *drop = p->drop;
    (void)command;
    pop3_ok(p, "%u %llu", drop->count - drop->gone, (unsigned long long)(drop->octets - drop->gone_octets));
}

static void write_size(struct buf *out, const struct pop3_drop *drop, uint32_t number)
{
    buf_add_u64(out, number);
    buf_add_byte(out, ' ');
    buf_add_u64(out, image_octets(pop3_drop_entry(drop, number)));
}

/* unique-id: 1*70 of 0x21 to 0x7E, never used again for another message of this maildrop: UIDVALIDITY "."
 * UID. */
static void write_uid(struct buf *out, const struct pop3_drop *drop, uint32_t number)
{
    buf_add_u64(out, number);
    buf_add_byte(out, ' ');
    buf_add_u64(out, drop->uidvalidity);
    buf_add_byte(out, '.');
    buf_add_u64(out, pop3_drop_entry(drop, number)->uid);
}

typedef void write_row(struct buf *out, const struct pop3_drop *drop, uint32_t number);

/* The rows from the cursor on, as far as the output has room. */
static void write_rows(struct pop3 *p, write_row *write, void (*resume)(struct pop3 *p))
{
    struct pop3_drop *drop = p->drop;
    struct buf *out = pop3_output(p);
    for (; drop->cursor <= drop->count; drop->cursor++) {
        if (stream_is_full(p->stream)) {
            p->waits = true;
            p->resume = resume;
            return;
        }
        if (pop3_bit(drop->deleted, drop->cursor))
            continue;
        write(out, drop, drop->cursor);
        buf_add_str(out, "\r\n");
    }
    buf_add_str(out, ".\r\n");
    pop3_done(p);
}

static void write_sizes(struct pop3 *p)
{
    write_rows(p, write_size, write_sizes);
}

static void write_uids(struct pop3 *p)
{
    write_rows(p, write_uid, write_uids);
}

/* One row behind "+OK", or all of them. */
static void list(struct pop3 *p, const struct pop3_command *command, write_row *write,
                 void (*all)(struct pop3 *p))
{
    struct pop3_drop *drop = p->drop;
    struct buf *out = pop3_output(p);
    if (!command->has_number) {
        pop3_ok(p, "%u messages", drop->count - drop->gone);
        drop->cursor = 1;
        all(p);
    } else if (pop3_has_message(p, command->number)) {
        buf_add_str(out, "+OK ");
        write(out, drop, command->number);
        buf_add_str(out, "\r\n");
        metric_add(METRIC_POP3_REPLIES, METRIC_POP3_OK, 1);
    }
}

void pop3_cmd_list(struct pop3 *p, const struct pop3_command *command)
{
    list(p, command, write_size, write_sizes);
}

void pop3_cmd_uidl(struct pop3 *p, const struct pop3_command *command)
{
    list(p, command, write_uid, write_uids);
}

void pop3_cmd_dele(struct pop3 *p, const struct pop3_command *command)
{
    struct pop3_drop *drop = p->drop;
    if (!pop3_has_message(p, command->number))
        return;
    pop3_bit_set(drop, &drop->deleted, command->number);
    drop->gone++;
    drop->gone_octets += image_octets(pop3_drop_entry(drop, command->number));
    pop3_ok(p, "Message %u deleted", command->number);
}

void pop3_cmd_rset(struct pop3 *p, const struct pop3_command *command)
{
    struct pop3_drop *drop = p->drop;
    (void)command;
    free(drop->deleted);
    drop->deleted = NULL;
    drop->gone = 0;
    drop->gone_octets = 0;
    pop3_ok(p, "%u messages", drop->count);
}

void pop3_cmd_noop(struct pop3 *p, const struct pop3_command *command)
{
    (void)command;
    pop3_ok(p, "Nothing done");
}
