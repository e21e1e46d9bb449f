/* config_child.c: the configuration is parsed by a child without rights, because YAML is a big language and
 * the supervisor may be root. The child gets the text, gives back encoded settings. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "proc/confine.h"
#include "proc/plan.h"

#define CHILD_ARENA_MAX    ((size_t)256 << 20)
#define CHILD_SETTINGS_MAX ((size_t)16 << 20)

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t done = write(fd, bytes.ptr, bytes.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes = slice_from(bytes, (size_t)done);
    }
    return true;
}

static const char *from_environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

/* Runs in the child. */
static int parse(struct slice yaml, const char *path, int out)
{
    struct why why = {0};
    struct settings *settings;
    struct conf_origin *origin;
    const struct settings_probe probe = {.is_root = false};
    struct arena *arena = arena_new(CHILD_ARENA_MAX);
    struct problems *problems = problems_new_in(arena);
    struct buf text = buf_new(1 << 20), encoded = buf_new(CHILD_SETTINGS_MAX);
    if (confine_parser(&why) != ERR_OK) {
        (void)write_all(STDERR_FILENO, slice_of(why.text));
        return 1;
    }
    enum err err =
        settings_parse_in(arena, yaml, slice_of(path), from_environment, NULL, &settings, &origin, problems);
    if (err == ERR_OK)
        settings_check(settings, origin, slice_of(path), &probe, problems);
    problems_print(problems, &text);
    (void)write_all(STDERR_FILENO, buf_slice(&text));
    if (err != ERR_OK || problems->errors)
        return 1;
    settings_encode(settings, &encoded);
    return buf_ok(&encoded) && write_all(out, buf_slice(&encoded)) ? 0 : 1;
}

static enum err read_config(const char *path, struct slice *yaml, struct why *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_errno(why, errno, "%s", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > CONF_FILE_MAX) {
        (void)close(fd);
        return err_set(why, ERR_BAD, "%s is no regular file of at most 1 MB", path);
    }
    size_t size = (size_t)st.st_size;
    uint8_t *bytes = mem_alloc(size);
    ssize_t got = pread(fd, bytes, size, 0);
    (void)close(fd);
    if (got < 0) {
        free(bytes);
        return err_errno(why, errno, "%s", path);
    }
    *yaml = slice_make(bytes, (size_t)got);
    return ERR_OK;
}

static enum err wait_for(pid_t child, const char *path, struct why *why)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(why, errno, "waiting for the configuration child");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(why, ERR_BAD, "%s was not accepted; the lines above say why", path);
    return ERR_OK;
}

enum err config_child_run(const char *path, int *settings_fd, struct why *why)
{
    struct slice yaml;
    enum err err = read_config(path, &yaml, why);
    if (err != ERR_OK)
        return err;
    int fd = memfd_create("settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    pid_t child = fd < 0 ? -1 : fork();
    if (child == 0)
        _exit(parse(yaml, path, fd));
    free((void *)(uintptr_t)yaml.ptr);
    err = child < 0 ? err_errno(why, errno, "configuration child") : wait_for(child, path, why);
    if (err == ERR_OK &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        err = err_errno(why, errno, "sealing the settings");
    if (err != ERR_OK) {
        if (fd >= 0)
            (void)close(fd);
        return err;
    }
    *settings_fd = fd;
    return ERR_OK;
}
