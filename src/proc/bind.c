/* bind.c: listening sockets. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/plan.h"

#define BACKLOG 4096 /* the kernel takes the smaller of this and net.core.somaxconn */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_v4(const struct conf_address *address, union address *out)
{
    memset(out, 0, sizeof *out);
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(address->port);
    if (address->is_v4)
        memcpy(&out->v4.sin_addr, address->ip + 12, 4);
    return sizeof out->v4;
}

static socklen_t address_v6(const struct conf_address *address, union address *out)
{
    memset(out, 0, sizeof *out);
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(address->port);
    memcpy(&out->v6.sin6_addr, address->ip, 16);
    return sizeof out->v6;
}

static bool is_any_v6(const struct conf_address *address)
{
    static const uint8_t zero[16];
    return !address->is_v4 && memcmp(address->ip, zero, sizeof zero) == 0;
}

static int open_socket(int family)
{
    int off = 0, on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return fd;
}

enum err bind_listener(const struct conf_address *address, int *result, struct why *why)
{
    union address at;
    socklen_t len = address->is_v4 ? address_v4(address, &at) : address_v6(address, &at);
    int fd = open_socket(at.any.sa_family);
    if (fd < 0 && is_any_v6(address) && errno == EAFNOSUPPORT) {
        len = address_v4(address, &at);
        fd = open_socket(AF_INET);
    }
    if (fd < 0)
        return err_errno(why, errno, "listener %.*s: socket", SLICE_ARG(address->text));
    if (bind(fd, &at.any, len) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        return err_errno(why, error, "listener %.*s", SLICE_ARG(address->text));
    }
    *result = fd;
    return ERR_OK;
}
