/* mailbox_open.c: a SELECT under way. It outlives its session: store counts the use of the mailbox when it
 * answers. Input: answers of store. Called by cmd_select.c and pop3_login.c. */
#include "imap/mailbox_open.h"

#include <stdlib.h>

#include "base/mem.h"

#define OPEN_ANSWER_MS 60000 /* until store counts as away */

struct mailbox_open {
    struct imap *imap;
    struct grant grant;
    bool read_only;
    mailbox_opened *opened; /* NULL: the session ended meanwhile */
    void *ctx;
};

static void on_selected(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct mailbox_open *open = ctx;
    struct imap *imap = open->imap;
    struct imap_mailbox *mailbox = NULL;
    struct wire_mbox_selected reply = {0};
    struct why why = {{0}};
    imap->selects--;
    err = wire_answer(err, packet, WIRE_MBOX_SELECTED, &reply);
    if (!err && !reply.err) {
        int fd = packet->fd_count > 0 ? packet->fds[0] : -1;
        err = imap_mailbox_use(imap, reply.watch, fd, &mailbox, &why);
        if (err)
            reply.text = slice_of(why.text);
    } else if (!err) {
        err = reply.err;
    }
    if (open->opened)
        open->opened(open->ctx, err, mailbox, &reply);
    else if (mailbox)
        imap_mailbox_release(imap, mailbox, &open->grant, open->read_only);
    imap_mailboxes_sweep(imap);
    free(open);
}

struct mailbox_open *mailbox_open_new(struct imap *imap, const struct grant *grant, struct slice name,
                                      bool read_only, mailbox_opened *opened, void *ctx)
{
    return mailbox_open_again(imap, grant, name, 0, read_only, opened, ctx);
}

struct mailbox_open *mailbox_open_again(struct imap *imap, const struct grant *grant, struct slice name,
                                        uint64_t mailbox, bool read_only, mailbox_opened *opened, void *ctx)
{
    struct mailbox_open *open = mem_zero(1, sizeof *open);
    *open = (struct mailbox_open){
        .imap = imap, .grant = *grant, .read_only = read_only, .opened = opened, .ctx = ctx};
    const struct wire_mbox_select select = {
        .grant = *grant, .read_only = read_only, .mailbox = mailbox, .name = name};
    imap->selects++;
    (void)wire_call(role_link(imap->run, ROLE_STORE), WIRE_MBOX_SELECT, &select, OPEN_ANSWER_MS, on_selected,
                    open);
    return open;
}

void mailbox_open_leave(struct mailbox_open *open)
{
    if (open)
        open->opened = NULL;
}
