/* deleted_storage.c: DELETED-STORAGE of STATUS (RFC 9208 section 4.1.4): nobody keeps this sum, so the
 * mailboxes that have deleted messages are opened one after the other, and their images counted. Input: rows
 * of store. */
#include "grammar/imap_acl.h"
#include "imap/mailbox_open.h"
#include "imap/status.h"

struct deleted_work {
    struct session *session;
    struct mailbox_row *rows;
    size_t count, at;
    struct mailbox_open *opening;
    void (*done)(struct session *s);
};

static void next_row(struct deleted_work *w);

/* Also when the session ends in the midst of it. */
static void work_free(void *arg)
{
    mailbox_open_leave(((struct deleted_work *)arg)->opening);
}

static uint64_t deleted_bytes(const struct imap_map *map)
{
    uint64_t bytes = 0, count = imap_map_count(map);
    for (uint64_t i = 0; (i = image_next_deleted(map->image, i, count)) < count; i++)
        bytes += image_octets(&map->image->entries[i]);
    return bytes;
}

/* What cannot be opened (it is gone meanwhile) is told as if nothing were deleted. */
static void on_opened(void *ctx, enum err err, struct imap_mailbox *mailbox,
                      const struct wire_mbox_selected *reply)
{
    struct deleted_work *w = ctx;
    struct session *s = w->session;
    w->opening = NULL;
    imap_session_enter(s);
    if (!err) {
        w->rows[w->at].deleted_bytes = deleted_bytes(mailbox->live);
        imap_mailbox_release(s->imap, mailbox, &s->grant, true);
    }
    w->at++;
    if (err == ERR_LATER)
        imap_session_refused(s, err, reply->code, reply->text);
    else
        next_row(w);
    imap_session_leave(s);
}

static void next_row(struct deleted_work *w)
{
    struct session *s = w->session;
    while (w->at < w->count && (!w->rows[w->at].deleted || !(w->rows[w->at].rights & RIGHT_READ)))
        w->at++;
    if (w->at == w->count)
        w->done(s);
    else
        w->opening = mailbox_open_new(s->imap, &s->grant, w->rows[w->at].name, true, on_opened, w);
}

void imap_deleted_storage_ask(struct session *s, struct mailbox_row *rows, size_t count,
                              void (*done)(struct session *s))
{
    struct deleted_work *w = ARENA_NEW(s->run->arena, struct deleted_work);
    *w = (struct deleted_work){.session = s, .rows = rows, .count = count, .done = done};
    arena_defer(s->run->arena, work_free, w);
    next_row(w);
}
