/* mailbox_open.h: asking store to open a mailbox for a session of any protocol. */
#ifndef IMAP_MAILBOX_OPEN_H
#define IMAP_MAILBOX_OPEN_H

#include "imap/role.h"
#include "wire/wire.h"

struct mailbox_open;

/* ERR_OK: `mailbox` counts one use, to be given back with imap_mailbox_release(). Otherwise `mailbox` is NULL
 * and reply->code and ->text say more. */
typedef void mailbox_opened(void *ctx, enum err err, struct imap_mailbox *mailbox,
                            const struct wire_mbox_selected *reply);

/* Asks; `opened` is called from the loop unless mailbox_open_leave() comes before. */
struct mailbox_open *mailbox_open_new(struct imap *imap, const struct grant *grant, struct slice name,
                                      bool read_only, mailbox_opened *opened, void *ctx);
/* The same for the mailbox that had this id when it was opened by that name. */
struct mailbox_open *mailbox_open_again(struct imap *imap, const struct grant *grant, struct slice name,
                                        uint64_t mailbox, bool read_only, mailbox_opened *opened, void *ctx);
/* Nobody waits any more: what store opens is given back. Takes NULL. */
void mailbox_open_leave(struct mailbox_open *open);

#endif
