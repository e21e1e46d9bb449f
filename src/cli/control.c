/* control.c: the client's end of the control socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "wire/wire.h"

#define ASK_DEADLINE_MS     5000
#define CONTROL_DEADLINE_MS 600000 /* a rebuild, a trial login to a slow relay */

struct call {
    struct loop *loop;
    struct buf *into; /* NULL: printed */
    enum err err;
    int exit_code;
    bool began, is_json; /* the first piece of the answer is here; it begins an object or array */
};

static void on_output(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct call *call = ctx;
    struct wire_control_output out;
    call->err = wire_answer(err, packet, WIRE_CONTROL_OUTPUT, &out);
    if (call->err == ERR_OK) {
        call->exit_code = (int)out.exit_code;
        if (!call->began)
            call->is_json = slice_starts(out.text, SLICE("{")) || slice_starts(out.text, SLICE("["));
        call->began = true;
        if (call->into)
            buf_add(call->into, out.text);
        else /* what is for a program stands where it reads, also when it tells of a failure */
            (void)fwrite(out.text.ptr, 1, out.text.len, out.exit_code && !call->is_json ? stderr : stdout);
    }
    if (call->err != ERR_OK || !packet->more)
        loop_stop(call->loop);
}

static bool no_packets(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)ctx;
    (void)link;
    (void)packet;
    return false;
}

static enum err connect_to(struct slice data, int *result, struct why *why)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int len = snprintf(at.sun_path, sizeof at.sun_path, "%.*s/run/control.sock", SLICE_ARG(data));
    if (len < 0 || (size_t)len >= sizeof at.sun_path)
        return err_set(why, ERR_BAD, "data: is too long a path");
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(why, errno, "socket");
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        int error = errno;
        (void)close(fd);
        if (error == ENOENT || error == ECONNREFUSED)
            return err_set(why, ERR_ABSENT, "no server runs on %.*s", SLICE_ARG(data));
        return err_errno(why, error, "%s", at.sun_path);
    }
    *result = fd;
    return ERR_OK;
}

/* One command and its whole answer. */
static enum err run(const struct settings *settings, const struct wire_control *message, unsigned deadline_ms,
                    struct call *call, struct why *why)
{
    static const struct ipc_ops ops = {.packet = no_packets};
    int fd = -1;
    enum err err = connect_to(settings->data, &fd, why);
    if (err != ERR_OK)
        return err;
    call->loop = loop_new();
    call->err = ERR_LATER;
    struct ipc_link *link = ipc_link_new(call->loop, role_name(ROLE_QUEUE), &ops, NULL);
    ipc_link_attach(link, fd);
    (void)wire_call(link, WIRE_CONTROL, message, deadline_ms, on_output, call);
    loop_run(call->loop);
    ipc_link_free(&link);
    loop_free(&call->loop);
    return call->err == ERR_OK ? ERR_OK : err_set(why, call->err, "the server did not answer");
}

static enum err ask(const struct settings *settings, const struct slice *arguments, size_t count, bool json,
                    unsigned deadline_ms, struct call *call, struct why *why)
{
    AUTO_BUF struct buf list = buf_new(WIRE_BLOB_MAX);
    for (size_t i = 0; i < count; i++)
        wire_strings_add(&list, arguments[i]);
    if (!buf_ok(&list))
        return err_set(why, ERR_BAD, "too many words");
    const struct wire_control message = {.json = json, .arguments = buf_slice(&list)};
    return run(settings, &message, deadline_ms, call, why);
}

enum err cli_control(struct cli *cli, const struct settings *settings, const struct slice *arguments,
                     size_t count, int *exit_code, struct why *why)
{
    struct call call = {0};
    enum err err = ask(settings, arguments, count, cli->json, CONTROL_DEADLINE_MS, &call, why);
    *exit_code = call.exit_code;
    return err;
}

enum err cli_control_ask(const struct settings *settings, const struct slice *arguments, size_t count,
                         struct buf *answer, int *exit_code, struct why *why)
{
    struct call call = {.into = answer};
    enum err err = ask(settings, arguments, count, true, ASK_DEADLINE_MS, &call, why);
    *exit_code = call.exit_code;
    return err;
}
