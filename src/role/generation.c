/* generation.c: what one reading of the configuration brought. Filled by role.c from the supervisor's
 * messages. */
#include "role/generation.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define GENERATION_MAX ((size_t)512 << 20) /* all files of a configuration together */

struct generation *generation_new(uint64_t number)
{
    struct generation *g = mem_zero(1, sizeof *g);
    g->number = number;
    g->arena = arena_new(GENERATION_MAX);
    g->control_fd = -1;
    for (size_t i = 0; i < GENERATION_LISTENERS_MAX; i++)
        g->listeners[i] = -1;
    for (size_t i = 0; i < LOG_OUTPUTS_MAX; i++)
        g->logs[i] = -1;
    return g;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

void generation_free(struct generation **generation)
{
    struct generation *g = generation ? *generation : NULL;
    if (!g)
        return;
    close_all(g->listeners, GENERATION_LISTENERS_MAX);
    close_all(g->logs, LOG_OUTPUTS_MAX);
    close_all(&g->control_fd, 1);
    for (struct generation_file *f = g->files; f; f = f->next)
        if (f->file.content.len)
            mem_wipe((void *)(uintptr_t)f->file.content.ptr, f->file.content.len);
    arena_free(&g->arena);
    free(g);
    *generation = NULL;
}

/* The whole content; pread, because the supervisor's descriptor is shared with other roles. */
static bool read_all(struct arena *arena, int fd, struct slice *content)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size > ROLE_FILE_MAX)
        return false;
    size_t size = (size_t)st.st_size, len = 0;
    uint8_t *bytes = arena_must(arena, size + 1);
    while (len < size) {
        ssize_t got = pread(fd, bytes + len, size - len, (off_t)len);
        if (got < 0)
            return false;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *content = slice_make(bytes, len);
    return true;
}

enum err generation_take_settings(struct generation *g, int fd, struct why *why)
{
    struct slice bytes;
    bool read = fd >= 0 && read_all(g->arena, fd, &bytes);
    if (fd >= 0)
        (void)close(fd);
    if (!read)
        return err_set(why, ERR_INTERNAL, "the settings could not be read");
    return settings_decode_in(g->arena, bytes, &g->settings, why);
}

bool generation_take_file(struct generation *g, const struct wire_sup_file *message, int fd)
{
    if (message->kind >= SUP_FILE_COUNT)
        return false;
    if (message->kind == SUP_FILE_CONTROL_SOCKET) {
        g->control_fd = fd;
        return fd >= 0;
    }
    struct generation_file *f = ARENA_NEW(g->arena, struct generation_file);
    f->file.kind = (enum sup_file)message->kind;
    f->file.index = message->index;
    f->file.path = arena_dup(g->arena, message->path);
    f->file.missing = arena_dup(g->arena, message->text);
    if (fd >= 0) {
        if (!read_all(g->arena, fd, &f->file.content))
            f->file.missing = SLICE("cannot be read, or is larger than 64 MB");
        (void)close(fd);
    }
    f->next = g->files;
    g->files = f;
    return true;
}

static bool keep(int *place, int fd)
{
    if (fd < 0 || *place >= 0) {
        close_all(&fd, 1);
        return false;
    }
    *place = fd;
    return true;
}

bool generation_take_listener(struct generation *g, uint32_t index, int fd)
{
    if (index >= GENERATION_LISTENERS_MAX || index >= g->settings->listeners.count) {
        close_all(&fd, 1);
        return false;
    }
    return keep(&g->listeners[index], fd);
}

bool generation_take_log(struct generation *g, uint32_t index, int fd)
{
    if (index >= LOG_OUTPUTS_MAX) {
        close_all(&fd, 1);
        return false;
    }
    return keep(&g->logs[index], fd);
}

void generation_use_logs(struct generation *g, const char *role)
{
    struct log_output outputs[LOG_OUTPUTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < LOG_OUTPUTS_MAX && i < g->settings->log.count; i++)
        if (g->logs[i] >= 0)
            outputs[count++] = (struct log_output){g->logs[i], g->settings->log.items[i].format,
                                                   g->settings->log.items[i].level};
    if (count == 0)
        outputs[count++] = (struct log_output){STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO};
    log_setup(role, g->settings->hostname, outputs, count);
}

const struct role_file *generation_file(const struct generation *g, enum sup_file kind, uint32_t index)
{
    for (const struct generation_file *f = g->files; f; f = f->next)
        if (f->file.kind == kind && f->file.index == index)
            return &f->file;
    return NULL;
}

int generation_listener(const struct generation *g, uint32_t index)
{
    return index < GENERATION_LISTENERS_MAX ? g->listeners[index] : -1;
}
