/* Replies of remote servers: the same whole and cut; and what we build is read back by the same parser. */
#include <stdlib.h>

#include "grammar/smtp_reply.h"

static enum smtp_reply_state read_cut(struct slice input, size_t step, struct smtp_reply *reply, size_t *used)
{
    struct why why;
    enum smtp_reply_state state = SMTP_REPLY_MORE;
    *used = 0;
    while (*used < input.len && state == SMTP_REPLY_MORE) {
        struct slice chunk = slice_sub(input, *used, step);
        size_t len = chunk.len;
        state = smtp_reply_feed(reply, &chunk, &why);
        *used += len - chunk.len;
    }
    return state;
}

static void check_remote(struct slice input, size_t step)
{
    struct smtp_reply a = smtp_reply_new(), b = smtp_reply_new();
    size_t used_a, used_b;
    enum smtp_reply_state state = read_cut(input, input.len, &a, &used_a);
    if (state != read_cut(input, step, &b, &used_b))
        abort();
    if (state == SMTP_REPLY_DONE &&
        (used_a != used_b || a.code != b.code || !slice_eq(buf_slice(&a.text), buf_slice(&b.text))))
        abort();
    smtp_reply_free(&a);
    smtp_reply_free(&b);
}

static void check_own(struct slice text)
{
    AUTO_BUF struct buf out = buf_new(4 * text.len + 1000);
    struct smtp_reply reply = smtp_reply_new();
    size_t used;
    smtp_reply_add(&out, 550, "5.7.1", slice_sub(text, 0, 2000));
    enum smtp_reply_state state = read_cut(buf_slice(&out), out.len, &reply, &used);
    bool bounded = reply.lines > SMTP_REPLY_REMOTE_LINES;
    if (!bounded && (state != SMTP_REPLY_DONE || used != out.len || reply.code != 550 || reply.class != 5))
        abort();
    smtp_reply_free(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2 || len > 65536)
        return 0;
    check_remote(slice_make(data + 1, len - 1), data[0] % 32 + 1u);
    check_own(slice_make(data + 1, len - 1));
    return 0;
}
