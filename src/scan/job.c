/* job.c: brings a message into memory, scans it, encodes the facts. The message is a stranger's; the
 * descriptor is store's. Called by role.c. */
#include "scan/job.h"

#include <sys/mman.h>

#include "base/io.h"

#define COPY_MAX (64 * 1024) /* smaller messages are cheaper to copy than to map */

struct job_tools job_tools_new(void)
{
    return (struct job_tools){arena_new(SCAN_ARENA_MAX), charset_set_new()};
}

void job_tools_free(struct job_tools *tools)
{
    arena_free(&tools->arena);
    charset_set_free(&tools->set);
}

static enum err scan_bytes(struct job_tools *tools, const struct wire_scan_task *task, struct slice bytes,
                           struct buf *out, struct why *why)
{
    struct facts facts;
    enum err err = scan_message_in(tools->arena, tools->set, task, bytes, &facts, why);
    if (err != ERR_OK)
        return err;
    facts_encode(&facts, out);
    return buf_ok(out) ? ERR_OK : err_set(why, ERR_INTERNAL, "scan: the facts outgrow their bounds");
}

static enum err scan_copy(struct job_tools *tools, const struct wire_scan_task *task, int fd, struct buf *out,
                          struct why *why)
{
    size_t got;
    uint8_t *bytes = arena_must(tools->arena, task->size + 1);
    enum err err = io_pread(fd, bytes, task->size, 0, &got, why);
    if (err != ERR_OK)
        return err;
    if (got != task->size)
        return err_set(why, ERR_BAD, "scan: the message is shorter than announced");
    return scan_bytes(tools, task, slice_make(bytes, got), out, why);
}

static enum err scan_mapped(struct job_tools *tools, const struct wire_scan_task *task, int fd,
                            struct buf *out, struct why *why)
{
    struct stat st;
    enum err err = io_fstat(fd, &st, why);
    if (err != ERR_OK)
        return err;
    if (st.st_size < 0 || (uint64_t)st.st_size < task->size)
        return err_set(why, ERR_BAD, "scan: the message is shorter than announced");
    void *bytes = mmap(NULL, task->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return err_set(why, ERR_LATER, "scan: the message cannot be mapped");
    err = scan_bytes(tools, task, slice_make(bytes, task->size), out, why);
    munmap(bytes, task->size);
    return err;
}

enum err job_scan(struct job_tools *tools, const struct wire_scan_task *task, int fd, struct buf *facts,
                  struct why *why)
{
    if (task->size > JOB_MAX_SIZE)
        return err_set(why, ERR_REFUSED, "scan: message too large");
    enum err err = task->size <= COPY_MAX ? scan_copy(tools, task, fd, facts, why)
                                          : scan_mapped(tools, task, fd, facts, why);
    arena_reset(tools->arena);
    return err;
}
