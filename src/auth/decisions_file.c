/* decisions_file.c: the file of CrowdSec's decisions. Reads what it wrote. Called by ban_decisions.c. */
#include "auth/decisions_file.h"

#include "base/io.h"

enum err decisions_file_save(const struct decisions *decisions, uint64_t now_s, struct why *why)
{
    AUTO_BUF struct buf bytes = buf_new(DECISIONS_BYTES_MAX);
    decisions_write(decisions, now_s, &bytes);
    if (!buf_ok(&bytes))
        return err_set(why, ERR_REFUSED, "too many decisions to keep");
    return io_replace_file(DECISIONS_PATH, buf_slice(&bytes), why);
}

enum err decisions_file_load(struct decisions *decisions, uint64_t now_s, struct why *why)
{
    AUTO_ARENA struct arena *arena = arena_new(DECISIONS_BYTES_MAX + 4096);
    struct slice bytes;
    enum err err = io_read_file_in(arena, AT_FDCWD, DECISIONS_PATH, DECISIONS_BYTES_MAX, &bytes, why);
    if (!err)
        decisions_read(decisions, bytes, now_s);
    return err;
}
