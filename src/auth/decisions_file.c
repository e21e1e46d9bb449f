/* decisions_file.c: the file of CrowdSec's decisions. Reads what it wrote. Called by ban_decisions.c. */
#include "auth/decisions_file.h"

#include "base/io.h"

#define FRESH_PATH DECISIONS_PATH ".new"

static enum err write_fresh(struct slice bytes, struct why *why)
{
    AUTO_FD int fd = -1;
    enum err err = io_open_at(AT_FDCWD, FRESH_PATH, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, why);
    if (!err)
        err = io_write_all(fd, bytes, why);
    return err ? err : io_fsync(fd, why); /* or the name could lead to an empty file */
}

enum err decisions_file_save(const struct decisions *decisions, uint64_t now_s, struct why *why)
{
    AUTO_BUF struct buf bytes = buf_new(DECISIONS_BYTES_MAX);
    decisions_write(decisions, now_s, &bytes);
    if (!buf_ok(&bytes))
        return err_set(why, ERR_REFUSED, "too many decisions to keep");
    enum err err = write_fresh(buf_slice(&bytes), why);
    return err ? err : io_rename(AT_FDCWD, FRESH_PATH, AT_FDCWD, DECISIONS_PATH, why);
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
