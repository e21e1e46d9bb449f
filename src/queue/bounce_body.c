/* bounce_body.c: moves bytes nobody looks at here. Called by bounce.c and control_relay.c. */
#include "queue/bounce_body.h"

#include "base/io.h"
#include "policy/dsn.h"

#define BODY_MS 60000 /* until scan has read it */

uint32_t bounce_body_send(struct ipc_link *store, uint64_t body, struct slice text, ipc_done *done, void *ctx)
{
    uint32_t flags = BODY_FIRST;
    for (;;) {
        struct slice piece = slice_sub(text, 0, WIRE_BLOB_MAX);
        text = slice_from(text, piece.len);
        const struct wire_body_chunk chunk = {.body = body,
                                              .flags = flags | (text.len ? 0 : BODY_LAST),
                                              .kind = BODY_SUBMISSION,
                                              .data = piece};
        flags = 0;
        if (!text.len)
            return wire_call(store, WIRE_BODY_CHUNK, &chunk, BODY_MS, done, ctx);
        /* When the link breaks here, the request at the end fails too, and says so. */
        (void)!wire_send(store, WIRE_BODY_CHUNK, &chunk);
    }
}

bool bounce_body_read_in(struct arena *arena, int fd, uint64_t size, struct slice *bytes)
{
    size_t got = 0, all = 0;
    uint8_t *at = arena_try(arena, (size_t)size + 1);
    while (at && all < size && io_pread(fd, at + all, (size_t)size - all, all, &got, NULL) == ERR_OK && got)
        all += got;
    if (!at || all != size)
        return false;
    *bytes = slice_make(at, all);
    return true;
}

void bounce_body_read_header_in(struct arena *arena, int fd, uint64_t header_len, struct slice *header)
{
    struct slice bytes;
    uint64_t size = header_len < DSN_HEADER_MAX ? header_len : DSN_HEADER_MAX;
    if (!bounce_body_read_in(arena, fd, size, &bytes))
        return;
    if (slice_ends(bytes, SLICE("\r\n\r\n")))
        bytes.len -= 2;
    *header = slice_sub(bytes, 0, (size_t)(slice_rfind(bytes, '\n') + 1));
}
