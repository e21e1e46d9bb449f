/* family.c: makes role processes and the links between them. */
#include "proc/family.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/supervisor.h"
#include "settings/metrics.h"

/* What a role inherits of the environment: the time zone, how sanitizers report, how tests record and fail
 * file calls. */
static const char *const kept_names[] = {"ASAN_OPTIONS",       "UBSAN_OPTIONS",     "LSAN_OPTIONS",
                                         "ROCKDOVE_IO_RECORD", "ROCKDOVE_IO_FAULT", "ROCKDOVE_IO_FAULT_FILE",
                                         "ROCKDOVE_IO_MOVED",  "MALLOC_ARENA_MAX",  "TZ"};
#define KEPT (sizeof kept_names / sizeof *kept_names)

static void fill_environment(char *environment[KEPT + 1], char text[KEPT][512])
{
    size_t count = 0;
    for (size_t i = 0; i < KEPT; i++) {
        const char *value = getenv(kept_names[i]);
        if (value &&
            (size_t)snprintf(text[i], sizeof text[i], "%s=%s", kept_names[i], value) < sizeof text[i])
            environment[count++] = text[i];
    }
    environment[count] = NULL;
}

/* Between fork and exec; only async-signal-safe calls. */
static void become_child(enum role role, int supervisor_fd, char **environment)
{
    char *const arguments[] = {(char *)(uintptr_t)proc_role_title(role), NULL};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    if (supervisor_fd == SUPERVISOR_FD)
        (void)fcntl(supervisor_fd, F_SETFD, 0);
    else
        (void)dup2(supervisor_fd, SUPERVISOR_FD);
    (void)close_range(SUPERVISOR_FD + 1, ~0u, 0);
    (void)execve("/proc/self/exe", arguments, environment);
    _exit(127);
}

static enum err hand_metrics(struct supervisor *s, struct child *child)
{
    const struct wire_sup_metrics own = {.role = child->role};
    enum err err = wire_send_fds(child->link, WIRE_SUP_METRICS, &own, &child->metrics_fd, 1);
    if (child->role != ROLE_HTTP)
        return err;
    for (int r = 0; r < ROLE_COUNT && err == ERR_OK; r++) {
        const struct wire_sup_metrics other = {.role = (uint32_t)r};
        if (r == ROLE_SUPERVISOR || proc_role((enum role)r))
            err = wire_send_fds(child->link, WIRE_SUP_METRICS, &other, &s->children[r].metrics_fd, 1);
    }
    return err;
}

static enum err hand_control(struct supervisor *s, struct child *child)
{
    const struct wire_sup_file message = {.generation = s->plan->number, .kind = SUP_FILE_CONTROL_SOCKET};
    if (!(proc_role(child->role)->files & 1u << SUP_FILE_CONTROL_SOCKET))
        return ERR_OK;
    return wire_send_fds(child->link, WIRE_SUP_FILE, &message, &s->control_fd, 1);
}

static enum err hand_over(struct supervisor *s, struct child *child)
{
    const struct wire_sup_phase start = {.generation = s->plan->number};
    enum err err = hand_metrics(s, child);
    if (err == ERR_OK)
        err = plan_hand_over(s->plan, child->role, child->link);
    if (err == ERR_OK)
        err = hand_control(s, child);
    if (err == ERR_OK)
        family_connect(s, child->role);
    if (err == ERR_OK)
        err = wire_send(child->link, WIRE_SUP_START, &start);
    return err;
}

enum err family_spawn(struct supervisor *s, enum role role, struct why *why)
{
    struct child *child = &s->children[role];
    char *environment[KEPT + 1];
    char text[KEPT][512];
    int pair[2];
    fill_environment(environment, text);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(why, errno, "%s: socketpair", role_name(role));
    pid_t pid = fork();
    if (pid == 0)
        become_child(role, pair[1], environment);
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return err_errno(why, errno, "%s: fork", role_name(role));
    }
    child->pid = pid;
    child->state = CHILD_STARTING;
    child->started_ms = child->seen_ms = loop_now_ms(s->loop);
    child->seen_beats = 0;
    if (!child->link)
        child->link = ipc_link_new(s->loop, role_name(role), &family_link_ops, child);
    ipc_link_attach(child->link, pair[0]);
    if (hand_over(s, child) != ERR_OK)
        return err_set(why, ERR_INTERNAL, "%s: handing over the configuration failed", role_name(role));
    return ERR_OK;
}

static void connect_pair(struct child *a, struct child *b)
{
    int pair[2];
    const struct wire_sup_peer to_b = {.role = b->role}, to_a = {.role = a->role};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        log_error("supervisor.link", LOG_CSTR("why", strerror(errno)));
        return;
    }
    if (wire_send_fds(a->link, WIRE_SUP_PEER, &to_b, &pair[0], 1) != ERR_OK ||
        wire_send_fds(b->link, WIRE_SUP_PEER, &to_a, &pair[1], 1) != ERR_OK)
        log_error("supervisor.link", LOG_CSTR("from", role_name(a->role)),
                  LOG_CSTR("to", role_name(b->role)));
    (void)close(pair[0]);
    (void)close(pair[1]);
}

void family_connect(struct supervisor *s, enum role role)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct child *peer = &s->children[r];
        bool runs = peer->state == CHILD_STARTING || peer->state == CHILD_READY;
        if (runs && proc_role(role)->peers & 1u << r)
            connect_pair(&s->children[role], peer);
    }
}

bool family_all_ready(const struct supervisor *s)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (proc_role((enum role)r) && s->children[r].state != CHILD_READY)
            return false;
    return true;
}

void family_kill(struct child *child, int signal)
{
    if (child->pid > 0)
        (void)kill(child->pid, signal);
}
