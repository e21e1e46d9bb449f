/* job.c: brings a message into memory, scans it, encodes the facts. The message is a stranger's; the
 * descriptor is store's. Called by role.c. */
#include "scan/job.h"

#include <sys/mman.h>

#include "base/io.h"
#include "grammar/header.h"
#include "scan/seven_bit.h"

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

/* What is done with the message once it is in memory. */
struct work {
    struct job_tools *tools;
    const struct wire_scan_task *task;
    struct buf *facts;       /* NULL: the 7-bit form is wanted */
    struct sending *sending; /* may be NULL */
    int *converted;
    struct why *why;
};

static enum err scan_bytes(const struct work *w, struct slice bytes)
{
    struct facts facts;
    struct arena *arena = w->tools->arena;
    enum err err = scan_message_in(arena, w->tools->set, w->task, bytes, &facts, w->why);
    if (err != ERR_OK)
        return err;
    facts_encode(&facts, w->facts);
    if (!buf_ok(w->facts))
        return err_set(w->why, ERR_INTERNAL, "scan: the facts outgrow their bounds");
    if (w->sending && w->task->kind != BODY_APPEND)
        sending_fill(arena, bytes, &facts, w->task->kind == BODY_SUBMISSION, w->sending);
    return ERR_OK;
}

static enum err convert_bytes(const struct work *w, struct slice bytes)
{
    AUTO_BUF struct buf out = buf_new(SEVEN_BIT_MAX(bytes.len));
    AUTO_FD int fd = -1;
    struct slice header;
    enum err err = seven_bit_convert(w->tools->arena, bytes, &out, w->why);
    if (!err)
        err = io_memfd("rockdove-7bit", &fd, w->why);
    if (!err)
        err = io_write_all(fd, buf_slice(&out), w->why);
    if (!err)
        err = io_seal(fd, w->why);
    if (err)
        return err;
    struct slice body, message = buf_slice(&out);
    header_split(message, &header, &body);
    header.len = message.len - body.len; /* with the empty line */
    sending_fill_whole(w->tools->arena, header, body, true, w->sending);
    *w->converted = fd;
    fd = -1;
    return ERR_OK;
}

static enum err use_bytes(const struct work *w, struct slice bytes)
{
    return w->facts ? scan_bytes(w, bytes) : convert_bytes(w, bytes);
}

static enum err use_copy(const struct work *w, int fd)
{
    size_t got, size = w->task->size;
    uint8_t *bytes = arena_must(w->tools->arena, size + 1);
    enum err err = io_pread(fd, bytes, size, 0, &got, w->why);
    if (err != ERR_OK)
        return err;
    if (got != size)
        return err_set(w->why, ERR_BAD, "scan: the message is shorter than announced");
    return use_bytes(w, slice_make(bytes, got));
}

static enum err use_mapped(const struct work *w, int fd)
{
    struct stat st;
    size_t size = w->task->size;
    enum err err = io_fstat(fd, &st, w->why);
    if (err != ERR_OK)
        return err;
    if (st.st_size < 0 || (uint64_t)st.st_size < size)
        return err_set(w->why, ERR_BAD, "scan: the message is shorter than announced");
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return err_set(w->why, ERR_LATER, "scan: the message cannot be mapped");
    err = use_bytes(w, slice_make(bytes, size));
    munmap(bytes, size);
    return err;
}

static enum err run(const struct work *w, int fd)
{
    if (w->task->size > JOB_MAX_SIZE)
        return err_set(w->why, ERR_REFUSED, "scan: message too large");
    enum err err = w->task->size <= COPY_MAX ? use_copy(w, fd) : use_mapped(w, fd);
    arena_reset(w->tools->arena);
    return err;
}

enum err job_scan_sending(struct job_tools *tools, const struct wire_scan_task *task, int fd,
                          struct buf *facts, struct sending *sending, struct why *why)
{
    const struct work w = {tools, task, facts, sending, NULL, why};
    return run(&w, fd);
}

enum err job_scan(struct job_tools *tools, const struct wire_scan_task *task, int fd, struct buf *facts,
                  struct why *why)
{
    return job_scan_sending(tools, task, fd, facts, NULL, why);
}

enum err job_seven_bit(struct job_tools *tools, const struct wire_scan_task *task, int fd, int *converted,
                       struct sending *sending, struct why *why)
{
    const struct work w = {tools, task, NULL, sending, converted, why};
    return run(&w, fd);
}
