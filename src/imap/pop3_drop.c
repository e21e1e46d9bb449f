/* pop3_drop.c: the maildrop: INBOX as it was at the login, and what this session has marked in it. Input: an
 * image of store. Called by the commands. */
#include <stdlib.h>

#include "base/io.h"
#include "base/mem.h"
#include "imap/pop3.h"

void pop3_drop_open(struct pop3 *p, struct imap_mailbox *mailbox, uint32_t uidvalidity)
{
    struct pop3_drop *drop = mem_zero(1, sizeof *drop);
    p->drop = drop;
    drop->mailbox = mailbox;
    drop->uidvalidity = uidvalidity;
    drop->body.fd = -1;
    imap_view_open(&drop->view, mailbox->live);
    drop->count = imap_view_exists(&drop->view);
    for (uint32_t number = 1; number <= drop->count; number++)
        drop->octets += image_octets(pop3_drop_entry(drop, number));
}

void pop3_drop_free(struct pop3 *p)
{
    struct pop3_drop *drop = p->drop;
    if (!drop)
        return;
    p->drop = NULL;
    imap_view_close(&drop->view);
    imap_mailbox_release(p->caller.imap, drop->mailbox, &p->grant, true);
    io_close(&drop->body.fd);
    free(drop->deleted);
    free(drop->read);
    free(drop);
}

bool pop3_bit(const uint8_t *bits, uint32_t number)
{
    uint32_t at = number - 1;
    return bits && (bits[at / 8] & (1u << at % 8));
}

void pop3_bit_set(const struct pop3_drop *drop, uint8_t **bits, uint32_t number)
{
    uint32_t at = number - 1;
    if (!*bits)
        *bits = mem_zero(drop->count / 8 + 1, 1);
    (*bits)[at / 8] |= (uint8_t)(1u << at % 8);
}

const struct image_entry *pop3_drop_entry(const struct pop3_drop *drop, uint32_t number)
{
    return imap_view_entry(&drop->view, imap_view_index(&drop->view, number));
}

bool pop3_has_message(struct pop3 *p, uint32_t number)
{
    const struct pop3_drop *drop = p->drop;
    if (number > drop->count)
        pop3_err(p, "No such message, there are %u", drop->count);
    else if (pop3_bit(drop->deleted, number))
        pop3_err(p, "Message %u is deleted", number);
    else
        return true;
    return false;
}
