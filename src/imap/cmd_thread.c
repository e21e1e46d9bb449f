/* cmd_thread.c: THREAD and UID THREAD (RFC 5256; REFS: draft-ietf-morg-inthread). Store searches and threads;
 * here its tokens are written as the output takes them. */
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/search.h"

/* thread-list = "(" (thread-members / thread-nested) ")" */
static void write_token(struct session *s, uint64_t token)
{
    struct search_work *w = imap_search_work(s);
    struct buf *out = imap_session_output(s);
    if (token == WIRE_THREAD_CLOSE) {
        buf_add_byte(out, ')');
        w->number_before = false;
        return;
    }
    if (w->number_before)
        buf_add_byte(out, ' ');
    w->number_before = token >= WIRE_THREAD_FIRST;
    if (token == WIRE_THREAD_OPEN) {
        buf_add_byte(out, '(');
        return;
    }
    uint32_t uid = (uint32_t)(token - WIRE_THREAD_FIRST);
    buf_add_u64(out, s->run->command.uid ? uid : imap_view_seq_of_uid(&s->selected->view, uid));
}

static void write_tokens(struct session *s)
{
    struct search_work *w = imap_search_work(s);
    uint64_t token;
    while (!imap_session_is_full(s)) {
        if (!slice_take_varint(&w->tokens, &token)) {
            buf_add_str(imap_session_output(s), "\r\n");
            imap_session_done(s, "OK THREAD completed");
            return;
        }
        write_token(s, token);
    }
    s->run->resume = write_tokens;
}

static void on_threaded(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct search_work *w = imap_search_work(s);
    struct wire_arranged arranged;
    err = wire_answer(err, packet, WIRE_ARRANGED, &arranged);
    if (err || arranged.err) {
        imap_session_refused(s, err ? err : arranged.err, arranged.code, arranged.text);
        return;
    }
    buf_add(&w->list, arranged.list);
    if (packet->more)
        return;
    w->tokens = buf_slice(&w->list);
    buf_add_str(imap_session_output(s), w->tokens.len ? "* THREAD " : "* THREAD");
    write_tokens(s);
}

void imap_cmd_thread(struct session *s)
{
    static const uint64_t bits[] = {[IMAP_THREAD_ORDEREDSUBJECT] = CAP_THREAD_ORDEREDSUBJECT,
                                    [IMAP_THREAD_REFERENCES] = CAP_THREAD_REFERENCES,
                                    [IMAP_THREAD_REFS] = CAP_THREAD_REFS};
    enum imap_thread_algorithm algorithm = s->run->command.search.algorithm;
    AUTO_BUF struct buf program = buf_new(WIRE_BLOB_MAX);
    if (!imap_capability_has(s, bits[algorithm])) {
        imap_session_done(s, "BAD Unknown threading algorithm");
        return;
    }
    if (!imap_search_begin(s) || !imap_search_program(s, &program))
        return;
    const struct wire_thread message = {.grant = s->grant,
                                        .watch = imap_search_watch(s),
                                        .max_uid = imap_view_last_uid(imap_search_view(s)),
                                        .algorithm = algorithm,
                                        .program = buf_slice(&program)};
    imap_session_ask(s, ROLE_STORE, WIRE_THREAD, &message, on_threaded);
}
