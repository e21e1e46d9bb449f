/* Framing and parsing of IMAP commands. The first octet says how many arrive at a time. */
#include <stdlib.h>

#include "base/buf.h"
#include "grammar/imap_command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text of a command that went on behind a message, as the further pieces of an APPEND. */
static void parse_pieces(struct slice input)
{
    struct arena *arena AUTO_ARENA = arena_new(IMAP_COMMAND_ARENA);
    struct imap_append_args begun[] = {{.catenate = false}, {.catenate = true}, {.utf8 = true}};
    struct why why;
    for (size_t i = 0; i < 3; i++) {
        struct imap_append append = {.message = &begun[i], .paren = begun[i].utf8};
        if (imap_append_next_in(arena, input, &append, &why) == ERR_OK &&
            append.last == (append.count > 0 && append.steps[append.count - 1].kind == IMAP_APPEND_LITERAL))
            abort();
    }
}

static void parse(struct slice input, bool utf8)
{
    struct arena *arena AUTO_ARENA = arena_new(IMAP_COMMAND_ARENA);
    struct imap_command c;
    struct why why;
    AUTO_BUF struct buf blob = buf_new(IMAP_SEARCH_BLOB_MAX);
    if (imap_command_parse_in(arena, input, (struct imap_parse_options){.utf8 = utf8}, &c, &why) != ERR_OK)
        return;
    if (c.verb != IMAP_SEARCH || c.search.search.charset_unknown)
        return;
    /* Whatever was parsed and holds nothing of the session comes back from the blob. */
    struct imap_search_node *root;
    if (imap_search_encode(&blob, c.search.search.root, &why) == ERR_OK &&
        imap_search_decode_in(arena, buf_slice(&blob), &root, &why) != ERR_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice input = slice_make(data + 1, size - 1);
    size_t step = (data[0] & 0x7f) + 1u, given = 0;
    struct imap_framer framer = imap_framer_new((struct imap_frame_limits){.line = 4096, .literals = 4096});
    AUTO_BUF struct buf in = buf_new(1 << 20);
    for (;;) {
        struct imap_frame f = imap_framer_next(&framer, buf_slice(&in));
        if (f.len > in.len)
            abort();
        if (f.state == IMAP_FRAME_CLOSE)
            return 0;
        if (f.state == IMAP_FRAME_COMPLETE || f.state == IMAP_FRAME_MESSAGE) {
            parse(slice_make(in.data, f.len), data[0] & 0x80);
            parse_pieces(slice_make(in.data, f.len));
        }
        if (f.state == IMAP_FRAME_MESSAGE) {
            buf_clear(&in); /* the message and what follows: a new command */
            imap_framer_after_message(&framer);
        } else if (f.state == IMAP_FRAME_MORE) {
            if (given == input.len)
                return 0;
            buf_add(&in, slice_sub(input, given, step));
            given += step < input.len - given ? step : input.len - given;
        } else {
            buf_consume(&in, f.len);
        }
    }
}
