/* append_body.c: octets of messages on their way to store, in chunks, opaque. Called by cmd_append.c. */
#include "imap/append.h"

struct append *imap_append_of(const struct session *s)
{
    return s->run->state;
}

void imap_append_drop(struct session *s)
{
    struct append *a = imap_append_of(s);
    for (size_t i = 0; a && i < a->count; i++) {
        struct append_message *m = &a->messages[i];
        if (!m->begun)
            continue;
        m->begun = false;
        const struct wire_body_drop drop = {.body = m->body};
        enum err err = wire_send(role_link(s->imap->run, ROLE_STORE), WIRE_BODY_DROP, &drop);
        (void)err; /* store away: it forgot the body */
    }
}

static void on_whole(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_body_done done;
    err = wire_answer(err, packet, WIRE_BODY_DONE, &done);
    if (!err && done.err)
        err = done.err == ERR_REFUSED ? ERR_REFUSED : ERR_LATER;
    if (err) /* store has forgotten it */
        imap_append_of(s)->messages[imap_append_of(s)->count - 1].begun = false;
    imap_append_whole(s, err);
}

bool imap_append_send(struct session *s, struct slice octets, bool last)
{
    struct append *a = imap_append_of(s);
    struct append_message *m = &a->messages[a->count - 1];
    struct ipc_link *store = role_link(s->imap->run, ROLE_STORE);
    if (ipc_congested(store))
        return false;
    const struct wire_body_chunk chunk = {.body = m->body,
                                          .flags = (m->begun ? 0u : BODY_FIRST) | (last ? BODY_LAST : 0u),
                                          .kind = BODY_APPEND,
                                          .data = octets};
    m->begun = true;
    a->sent = last;
    if (last) {
        a->waits = true;
        imap_session_ask(s, ROLE_STORE, WIRE_BODY_CHUNK, &chunk, on_whole);
    } else if (wire_send(store, WIRE_BODY_CHUNK, &chunk) != ERR_OK) {
        imap_append_refuse(s, ERR_LATER, "The mail store is away");
    }
    return true;
}
