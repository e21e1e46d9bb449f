/* Replies of remote servers: bounded, never complete before their end, the text clean; and what we build is
 * read back by the same parser. */
#include <stdlib.h>

#include "grammar/smtp_ehlo.h"
#include "grammar/smtp_reply.h"

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_found(const struct smtp_reply *reply, struct slice input, size_t used)
{
    check(used > 0 && used <= input.len && used <= SMTP_REPLY_REMOTE_MAX && reply->raw.len == used);
    check(reply->code >= 200 && reply->code <= 599 && reply->lines <= SMTP_REPLY_REMOTE_LINES);
    check(reply->class == 0 || reply->class == reply->code / 100);
    AUTO_BUF struct buf text = buf_new(500);
    smtp_reply_text(reply, 500, &text);
    check(buf_ok(&text) && slice_is_utf8(buf_slice(&text)));
    for (size_t i = 0; i < text.len; i++)
        check(text.data[i] >= ' ' && text.data[i] != 0x7f);
    struct smtp_ehlo ehlo;
    smtp_ehlo_parse(reply, &ehlo);
    check(smtp_ehlo_host(reply).len <= 253);
}

static void check_remote(struct slice input, size_t step)
{
    struct smtp_reply reply, early;
    enum smtp_reply_fault fault = SMTP_REPLY_SOUND, ignored;
    size_t used = input.len, cut_used;
    enum smtp_reply_state state = smtp_reply_parse(input, &reply, &used, &fault);
    check((state == SMTP_REPLY_BAD) == (fault != SMTP_REPLY_SOUND));
    check(state != SMTP_REPLY_MORE || input.len < SMTP_REPLY_REMOTE_MAX);
    if (state == SMTP_REPLY_DONE)
        check_found(&reply, input, used);
    for (size_t cut = step; cut < used; cut += step) {
        enum smtp_reply_state before =
            smtp_reply_parse(slice_sub(input, 0, cut), &early, &cut_used, &ignored);
        check(before == SMTP_REPLY_MORE || (before == SMTP_REPLY_BAD && state == SMTP_REPLY_BAD));
    }
}

static void check_own(struct slice text)
{
    AUTO_BUF struct buf out = buf_new(4 * text.len + 1000);
    struct smtp_reply reply;
    enum smtp_reply_fault fault;
    size_t used;
    smtp_reply_add(&out, 550, "5.7.1", slice_sub(text, 0, 2000));
    enum smtp_reply_state state = smtp_reply_parse(buf_slice(&out), &reply, &used, &fault);
    if (state == SMTP_REPLY_BAD)
        check(fault == SMTP_REPLY_MANY_LINES);
    else
        check(state == SMTP_REPLY_DONE && used == out.len && reply.code == 550 && reply.class == 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2 || len > 80000)
        return 0;
    struct slice input = slice_make(data + 1, len - 1);
    check_remote(input, data[0] % 32 + 1u + input.len / 200);
    check_own(input);
    return 0;
}
