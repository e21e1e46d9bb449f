/* one_process.c: a supervisor that makes no processes. */
#include "proc/one_process.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proc/plan.h"
#include "role/role_run.h"
#include "settings/metrics.h"

struct inmate {
    struct one_process *server;
    enum role role;
    struct ipc_link *link; /* the supervisor's end */
    struct role_run *run;
    bool ready;
};

struct one_process {
    struct loop *loop;
    struct plan *plan;
    struct inmate inmates[ROLE_COUNT];
    void (*ready)(void *arg);
    void (*failed)(void *arg, const char *text);
    void *arg;
    bool told;
};

static void on_loaded(void *arg, struct role_run *run)
{
    (void)arg;
    role_run_start(run);
}

static void on_ended(void *arg, struct role_run *run, int exit_code)
{
    struct inmate *inmate = arg;
    (void)run;
    (void)exit_code;
    if (!inmate->server->told)
        inmate->server->failed(inmate->server->arg, role_name(inmate->role));
    inmate->server->told = true;
}

static bool all_ready(const struct one_process *server)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (proc_role((enum role)r) && !server->inmates[r].ready)
            return false;
    return true;
}

static bool on_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct inmate *inmate = ctx;
    struct one_process *server = inmate->server;
    (void)link;
    if (packet->type == WIRE_ROLE_READY)
        inmate->ready = true;
    if (!server->told && all_ready(server)) {
        server->told = true;
        server->ready(server->arg);
    }
    return true;
}

static void on_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static const struct ipc_ops link_ops = {on_packet, on_down, NULL, NULL};

static enum err start(struct one_process *server, struct inmate *inmate, struct why *why)
{
    const struct role_hooks hooks = {.loaded = on_loaded, .ended = on_ended, .arg = inmate};
    const struct proc_role *row = proc_role(inmate->role);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(why, errno, "socketpair");
    inmate->link = ipc_link_new(server->loop, role_name(inmate->role), &link_ops, inmate);
    ipc_link_attach(inmate->link, pair[0]);
    inmate->run = role_run_new(server->loop, row->ops, row->peers, pair[1], &hooks);
    return plan_hand_over(server->plan, inmate->role, inmate->link);
}

static enum err connect_pair(struct inmate *a, struct inmate *b, struct why *why)
{
    const struct wire_sup_peer to_a = {.role = b->role}, to_b = {.role = a->role};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(why, errno, "socketpair");
    enum err err = wire_send_fds(a->link, WIRE_SUP_PEER, &to_a, &pair[0], 1);
    if (err == ERR_OK)
        err = wire_send_fds(b->link, WIRE_SUP_PEER, &to_b, &pair[1], 1);
    (void)close(pair[0]);
    (void)close(pair[1]);
    return err;
}

static enum err connect_all(struct one_process *server, struct why *why)
{
    enum err err = ERR_OK;
    for (int a = 0; a < ROLE_COUNT; a++)
        for (int b = a + 1; b < ROLE_COUNT && err == ERR_OK; b++)
            if (proc_role((enum role)a) && proc_role((enum role)a)->peers & 1u << b)
                err = connect_pair(&server->inmates[a], &server->inmates[b], why);
    return err;
}

enum err one_process_new(struct loop *loop, const char *config_path, void (*ready)(void *arg),
                         void (*failed)(void *arg, const char *text), void *arg, struct one_process **result,
                         struct why *why)
{
    struct one_process *server = mem_zero(1, sizeof *server);
    *server = (struct one_process){.loop = loop, .ready = ready, .failed = failed, .arg = arg};
    enum err err = plan_new(config_path, 1, NULL, &server->plan, why);
    for (int r = 0; r < ROLE_COUNT; r++) {
        server->inmates[r] = (struct inmate){.server = server, .role = (enum role)r};
        if (err == ERR_OK && proc_role((enum role)r))
            err = start(server, &server->inmates[r], why);
    }
    if (err == ERR_OK)
        err = connect_all(server, why);
    const struct wire_sup_phase phase = {.generation = 1};
    for (int r = 0; r < ROLE_COUNT && err == ERR_OK; r++)
        if (proc_role((enum role)r))
            err = wire_send(server->inmates[r].link, WIRE_SUP_START, &phase);
    if (err != ERR_OK) {
        one_process_free(&server);
        return err;
    }
    *result = server;
    return ERR_OK;
}

void one_process_free(struct one_process **server_ref)
{
    struct one_process *server = server_ref ? *server_ref : NULL;
    if (!server)
        return;
    server->told = true;
    for (int r = ROLE_COUNT - 1; r >= 0; r--)
        role_run_free(&server->inmates[r].run);
    for (int r = 0; r < ROLE_COUNT; r++)
        ipc_link_free(&server->inmates[r].link);
    plan_free(&server->plan);
    free(server);
    *server_ref = NULL;
}
