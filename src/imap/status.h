/* status.h: what LIST and STATUS write of a mailbox row. */
#ifndef IMAP_STATUS_H
#define IMAP_STATUS_H

#include "imap/session.h"
#include "wire/mailbox.h"

/* Whether this account knows all of the items. */
bool imap_status_known(const struct session *s, uint32_t items);
/* "* STATUS name (…)" with the items asked for (bits of enum imap_status_item). */
void imap_status_write(struct session *s, const struct mailbox_row *row, struct slice name, uint32_t items);
/* Fills `deleted_bytes` of the rows, which live in the command's arena, then goes on with done(). */
void imap_deleted_storage_ask(struct session *s, struct mailbox_row *rows, size_t count,
                              void (*done)(struct session *s));
/* "* LIST (attributes) "/" name", with OLDNAME unless `old` is empty (RFC 9051 section 6.3.9.7): a name that
 * is told without LIST. */
void imap_list_write(struct session *s, const char *attributes, struct slice name, struct slice old);
/* The name of the command's first mailbox as the client wrote it, when that was another spelling of the same
 * Unicode text; empty otherwise. `name` is what became of it. */
struct slice imap_list_supplied(const struct session *s, struct slice name);
/* "\Sent" or NULL. */
const char *imap_status_special_use(uint32_t special_use);

#endif
