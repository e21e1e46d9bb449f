/* wire_link.c: sending messages on links. */
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

/* A message that does not fit its own bounds is our fault: better a restart than a truncated meaning. */
static void encode(enum wire_type type, const void *message, struct buf *out)
{
    *out = buf_new(IPC_BODY_MAX);
    wire_encode(type, message, out);
    if (!buf_ok(out))
        abort();
}

enum err wire_send_fds(struct ipc_link *link, enum wire_type type, const void *message, const int *fds,
                       unsigned count)
{
    AUTO_BUF struct buf out;
    encode(type, message, &out);
    return ipc_send(link, (uint16_t)type, buf_slice(&out), fds, count);
}

enum err wire_send(struct ipc_link *link, enum wire_type type, const void *message)
{
    return wire_send_fds(link, type, message, NULL, 0);
}

uint32_t wire_call_fds(struct ipc_link *link, enum wire_type type, const void *message, const int *fds,
                       unsigned count, unsigned deadline_ms, ipc_done *done, void *ctx)
{
    AUTO_BUF struct buf out;
    encode(type, message, &out);
    return ipc_call(link, (uint16_t)type, buf_slice(&out), fds, count, deadline_ms, done, ctx);
}

uint32_t wire_call(struct ipc_link *link, enum wire_type type, const void *message, unsigned deadline_ms,
                   ipc_done *done, void *ctx)
{
    return wire_call_fds(link, type, message, NULL, 0, deadline_ms, done, ctx);
}

void wire_reply_fds(struct ipc_link *link, uint32_t request, enum wire_type type, bool more,
                    const void *message, const int *fds, unsigned count)
{
    AUTO_BUF struct buf out;
    encode(type, message, &out);
    ipc_reply(link, request, (uint16_t)type, more, buf_slice(&out), fds, count);
}

void wire_reply(struct ipc_link *link, uint32_t request, enum wire_type type, bool more, const void *message)
{
    wire_reply_fds(link, request, type, more, message, NULL, 0);
}

void wire_reply_result(struct ipc_link *link, uint32_t request, enum err err, enum store_code code,
                       struct slice text)
{
    const struct wire_result result = {.err = err, .code = code, .text = slice_sub(text, 0, WIRE_TEXT_MAX)};
    wire_reply(link, request, WIRE_RESULT, false, &result);
}

enum err wire_answer(enum err err, const struct ipc_packet *packet, enum wire_type expected, void *message)
{
    memset(message, 0, wire_size(expected));
    if (err != ERR_OK)
        return err;
    if (packet->type != expected || wire_decode(expected, packet->body, message) != ERR_OK) {
        memset(message, 0, wire_size(expected));
        return ERR_INTERNAL;
    }
    return ERR_OK;
}
