/* scanner.c: a confined child that maps one message after the other and answers with facts, and its parent's
 * side, which believes them no more than the store does. */
#include "cli/scanner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "grammar/charset.h"
#include "proc/confine.h"
#include "scan/job.h"
#include "wire/wire.h"

struct scanner {
    int fd;
    pid_t child;
};

/* What goes through the pair, with one descriptor: the size of the message, and how its scan went. */
union note {
    uint64_t size;
    uint64_t err;
};

static bool send_note(int socket, union note note, int fd)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {&note, sizeof note};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(socket, &m, MSG_NOSIGNAL) == sizeof note;
}

static bool take_note(int socket, union note *note, int *fd)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {note, sizeof *note};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) != sizeof *note)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
        return false;
    memcpy(fd, CMSG_DATA(c), sizeof *fd);
    return true;
}

/* A sealed memfd with these bytes, or -1. */
static int memfd_of(struct slice bytes)
{
    struct why why;
    int fd = memfd_create("scan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (io_write_all(fd, bytes, &why) == ERR_OK &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* Runs in the child. */
static int serve(int socket)
{
    struct why why;
    union note note;
    int fd;
    charset_load();
    struct job_tools tools = job_tools_new();
    if (confine_parser(&why) != ERR_OK)
        return 1;
    while (take_note(socket, &note, &fd)) {
        struct buf facts = buf_new(FACTS_MAX_ENCODED);
        const struct wire_scan_task task = {.kind = BODY_APPEND, .size = note.size};
        note.err = job_scan(&tools, &task, fd, &facts, &why);
        (void)close(fd);
        fd = memfd_of(buf_slice(&facts));
        buf_free(&facts);
        if (fd < 0 || !send_note(socket, note, fd))
            return 1;
        (void)close(fd);
    }
    return 0;
}

enum err scanner_new(struct scanner **result, struct why *why)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(why, errno, "scanner");
    pid_t child = fork();
    if (child == 0) {
        (void)close(pair[0]);
        _exit(serve(pair[1]));
    }
    (void)close(pair[1]);
    if (child < 0) {
        (void)close(pair[0]);
        return err_errno(why, errno, "scanner");
    }
    struct scanner *scanner = mem_alloc(sizeof *scanner);
    *scanner = (struct scanner){pair[0], child};
    *result = scanner;
    return ERR_OK;
}

void scanner_free(struct scanner **scanner)
{
    if (!scanner || !*scanner)
        return;
    (void)close((*scanner)->fd);
    (void)waitpid((*scanner)->child, NULL, 0);
    free(*scanner);
    *scanner = NULL;
}

static enum err read_facts(struct arena *arena, int fd, uint64_t size, struct facts *facts, struct why *why)
{
    struct stat st;
    size_t got;
    if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size > FACTS_MAX_ENCODED)
        return err_set(why, ERR_BAD, "the scanner's answer is too large");
    uint8_t *bytes = arena_must(arena, (size_t)st.st_size + 1);
    enum err err = io_pread(fd, bytes, (size_t)st.st_size, 0, &got, why);
    if (err == ERR_OK)
        err = facts_decode_in(arena, slice_make(bytes, got), facts, why);
    return err == ERR_OK ? facts_check(facts, size, why) : err;
}

enum err scanner_scan(void *arg, struct arena *arena, struct slice message, struct facts *facts,
                      struct why *why)
{
    struct scanner *scanner = arg;
    union note note = {.size = message.len};
    int fd = memfd_of(message);
    if (fd < 0)
        return err_set(why, ERR_LATER, "no memory for a message of %zu bytes", message.len);
    bool sent = send_note(scanner->fd, note, fd);
    (void)close(fd);
    if (!sent || !take_note(scanner->fd, &note, &fd))
        return err_set(why, ERR_INTERNAL, "the scanner ended");
    enum err err = note.err == ERR_OK ? read_facts(arena, fd, message.len, facts, why)
                                      : err_set(why, ERR_BAD, "the message cannot be scanned");
    (void)close(fd);
    return err;
}
