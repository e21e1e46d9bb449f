/* Threading of any graph: two bytes make a message, and each byte of its references names one of few ids, so
 * that loops, duplicates and messages that are not there are common. Whatever comes out holds every message
 * once, in parentheses that match; and an answer is found in bounded time. */
#include <stdlib.h>
#include <string.h>

#include "store/thread.h"

#define MESSAGES 400
#define REFS     7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct slice tokens, size_t count)
{
    uint8_t seen[MESSAGES] = {0};
    size_t depth = 0, found = 0;
    uint64_t token;
    while (slice_take_varint(&tokens, &token)) {
        if (token == WIRE_THREAD_OPEN) {
            depth++;
        } else if (token == WIRE_THREAD_CLOSE) {
            if (!depth--)
                abort();
        } else {
            uint64_t at = token - WIRE_THREAD_FIRST - 1;
            if (at >= count || seen[at]++ || !depth)
                abort();
            found++;
        }
    }
    if (tokens.len || depth || found != count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct thread_message messages[MESSAGES] = {0};
    static uint64_t refs[MESSAGES][REFS];
    struct slice in = slice_make(data, size);
    size_t count = 0;
    uint8_t head, id;
    while (count < MESSAGES && slice_take_u8(&in, &head) && slice_take_u8(&in, &id)) {
        struct thread_message *m = &messages[count];
        m->uid = (uint32_t)count + 1;
        m->id = id % 64;
        m->subject = head >> 3 & 3;
        m->reply = head >> 5 & 1;
        m->sent = (head >> 6) - 2;
        m->refs = refs[count];
        for (uint8_t ref; m->ref_count < (head & REFS) && slice_take_u8(&in, &ref);)
            refs[count][m->ref_count++] = ref % 64 + 1;
        count++;
    }
    for (unsigned algorithm = 0; algorithm <= IMAP_THREAD_REFS; algorithm++) {
        AUTO_BUF struct buf tokens = buf_new(1u << 20);
        struct why why;
        if (thread_build((enum imap_thread_algorithm)algorithm, messages, count, &tokens, &why))
            abort();
        check(buf_slice(&tokens), count);
    }
    return 0;
}
