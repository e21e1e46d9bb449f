/* client_text.c: the message on its way: our header lines, then the descriptor's bytes, as DATA or BDAT wants
 * them. The message itself was judged when it came in (no bare CR or LF). Called by client_txn.c and
 * client.c. */
#include "base/io.h"
#include "relay/client_int.h"

/* Where the next line begins with a dot, or the end. */
static size_t next_dot(struct slice text, bool at_line_start)
{
    if (at_line_start && text.len > 0 && text.ptr[0] == '.')
        return 0;
    ptrdiff_t at = slice_search(text, SLICE("\n."));
    return at < 0 ? text.len : (size_t)at + 1;
}

/* RFC 5321 section 4.5.2: a dot at the beginning of a line is doubled. Behind any LF: what another server
 * might take for a line end never gets a lone dot from us. */
static void add_stuffed(struct client *c, struct buf *out, struct slice text)
{
    while (text.len > 0) {
        size_t dot = next_dot(text, c->txn.at_line_start);
        buf_add(out, slice_sub(text, 0, dot));
        c->txn.at_line_start = dot > 0 && text.ptr[dot - 1] == '\n';
        if (dot == text.len)
            return;
        buf_add(out, SLICE(".."));
        c->txn.at_line_start = false;
        text = slice_from(text, dot + 1);
    }
}

static void add_text(struct client *c, struct buf *out, struct slice text)
{
    if (c->txn.chunked)
        buf_add(out, text);
    else
        add_stuffed(c, out, text);
}

/* Reads into the output itself; only where a line begins with a dot the piece is written anew. */
static bool push_piece(struct client *c, struct buf *out)
{
    const struct client_job *job = c->job;
    uint64_t left = job->size - c->txn.text_at;
    size_t want = left < CLIENT_PIECE ? (size_t)left : CLIENT_PIECE, got = 0;
    uint8_t *at = buf_reserve(out, want);
    if (!at || io_pread(job->fd, at, want, job->offset + c->txn.text_at, &got, NULL) || got != want)
        return false;
    c->txn.text_at += want;
    struct slice piece = slice_make(at, want);
    if (c->txn.chunked || next_dot(piece, c->txn.at_line_start) == want) {
        buf_added(out, want);
        c->txn.at_line_start = at[want - 1] == '\n';
        return true;
    }
    AUTO_BUF struct buf copy = buf_new(CLIENT_PIECE);
    buf_add(&copy, piece);
    add_stuffed(c, out, buf_slice(&copy));
    return true;
}

static void finish(struct client *c, struct buf *out)
{
    c->txn.text_done = true;
    c->job->times.text += client_lap(c);
    if (!c->txn.chunked) {
        buf_add(out, c->txn.at_line_start ? SLICE(".\r\n") : SLICE("\r\n.\r\n"));
        client_commanded(c);
    }
    if (c->state == CLIENT_TEXT)
        client_enter(c, CLIENT_FINAL);
}

/* As far as there is room; false: it could not be read. */
static bool push(struct client *c)
{
    if (!c->txn.prefix_done) {
        c->txn.prefix_done = true;
        add_text(c, stream_output(c->stream), c->job->prefix);
    }
    while (c->txn.text_at < c->job->size) {
        if (!c->txn.together && stream_is_full(c->stream))
            return true;
        if (!push_piece(c, stream_output(c->stream)))
            return false;
    }
    finish(c, stream_output(c->stream));
    return true;
}

void client_text_go_on(struct client *c)
{
    if (push(c))
        return;
    c->unreadable = true;
    loop_timer_set(c->timer, 0);
}
