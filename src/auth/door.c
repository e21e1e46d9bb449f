/* door.c: the file of the strangers that smtp knows. Its content is smtp's, whom strangers talk to: bounded,
 * and only ever given back to smtp. Called by role.c. */
#include "auth/door.h"

#include <stdlib.h>

#include "auth/context.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- saving ---- */

struct save {
    struct buf pieces;
    enum err err;
    struct why why;
};

static void save_work(void *arg)
{
    struct save *save = arg;
    save->err = io_replace_file(DOOR_PATH, buf_slice(&save->pieces), &save->why);
}

static void save_done(void *arg)
{
    struct save *save = arg;
    if (save->err)
        log_warn("auth.known", LOG_CSTR("err", err_name(save->err)), LOG_WHY(&save->why));
    buf_free(&save->pieces);
    free(save);
}

bool auth_door_on_save(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    struct auth_door *door = &auth->door;
    const struct wire_door_save *m = message;
    (void)link;
    (void)packet;
    if (m->flags & DOOR_FIRST) {
        buf_free(&door->pieces);
        door->pieces = buf_new(DOOR_BYTES_MAX);
    }
    wire_strings_add(&door->pieces, m->data);
    if (!(m->flags & DOOR_LAST) || !buf_ok(&door->pieces))
        return true; /* one that is too long has no end either: the next one begins anew */
    struct save *save = mem_zero(1, sizeof *save);
    save->pieces = door->pieces;
    door->pieces = (struct buf){0};
    loop_strand_run(auth->strand, save_work, save_done, save);
    return true;
}

void auth_door_free(struct auth_door *door)
{
    buf_free(&door->pieces);
}

/* ---- giving back ---- */

void auth_door_give(struct auth *auth)
{
    AUTO_ARENA struct arena *arena = arena_new(DOOR_BYTES_MAX + 4096);
    struct ipc_link *smtp = role_link(auth->run, ROLE_SMTP);
    struct why why = {0};
    struct slice left, piece;
    enum err err = io_read_file_in(arena, AT_FDCWD, DOOR_PATH, DOOR_BYTES_MAX, &left, &why);
    if (err) {
        if (err != ERR_ABSENT)
            log_warn("auth.known", LOG_CSTR("err", err_name(err)), LOG_WHY(&why));
        return;
    }
    uint32_t flags = DOOR_FIRST;
    while (wire_strings_take(&left, &piece)) {
        const struct wire_door_save message = {.flags = flags | (left.len ? 0 : DOOR_LAST), .data = piece};
        if (piece.len > WIRE_BLOB_MAX || wire_send(smtp, WIRE_DOOR_SAVED, &message) != ERR_OK)
            return; /* a damaged file, or smtp went away: nothing is lost but some seconds of strangers */
        flags = 0;
    }
}
