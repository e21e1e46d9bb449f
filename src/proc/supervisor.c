/* supervisor.c: the life of the whole server: start, watch, restart, reload in two phases, drain. It reads
 * nothing but typed messages of its roles, signals, and the encoded settings. */
#include "proc/supervisor.h"

#include <event2/event.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/confine.h"
#include "proc/data.h"
#include "proc/family.h"
#include "proc/reload.h"
#include "proc/watch.h"
#include "settings/metrics.h"

#define WATCH_MS          500
#define HANG_MS           10000 /* without a heartbeat */
#define RESTART_FIRST_MS  50
#define RESTART_MOST_MS   5000
#define RESTART_STEADY_MS 10000 /* who ran so long starts at the first delay again */
#define KILL_GRACE_MS     2000  /* beyond the drain time */

static void tell_systemd(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof at.sun_path)
        return;
    memcpy(at.sun_path, path, strlen(path));
    if (path[0] == '@')
        at.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&at, len);
    (void)close(fd);
}

static void stop(struct supervisor *s, int exit_code)
{
    s->exit_code = exit_code;
    loop_stop(s->loop);
}

/* ---- drain ---- */

static void end_child(struct child *child)
{
    child->state = CHILD_ENDING;
    ipc_link_close(child->link); /* the role sees its end and exits */
}

static bool stage_done(const struct supervisor *s)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        const struct proc_role *row = proc_role((enum role)r);
        if (row && row->drain_stage == s->drain_stage && s->children[r].pid > 0)
            return false;
    }
    return true;
}

static void drain_stage(struct supervisor *s)
{
    uint64_t now = loop_now_ms(s->loop);
    const struct wire_sup_drain message = {.ms = s->drain_end_ms > now ? s->drain_end_ms - now : 0};
    for (int r = 0; r < ROLE_COUNT; r++) {
        const struct proc_role *row = proc_role((enum role)r);
        struct child *child = &s->children[r];
        if (!row || row->drain_stage != s->drain_stage || child->pid <= 0)
            continue;
        if (child->state != CHILD_READY || wire_send(child->link, WIRE_SUP_DRAIN, &message) != ERR_OK)
            family_kill(child, SIGKILL);
    }
}

static void drain_step(struct supervisor *s)
{
    while (stage_done(s)) {
        if (++s->drain_stage == PROC_DRAIN_STAGES) {
            log_info("supervisor.stopped");
            stop(s, s->exit_code);
            return;
        }
        drain_stage(s);
    }
}

static void on_drain_deadline(void *arg)
{
    struct supervisor *s = arg;
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (s->children[r].pid > 0 && proc_role((enum role)r)) {
            log_warn("supervisor.killed", LOG_CSTR("role", role_name((enum role)r)),
                     LOG_CSTR("why", "did not drain in time"));
            family_kill(&s->children[r], SIGKILL);
        }
    }
}

static void begin_drain(struct supervisor *s, int exit_code)
{
    if (s->draining)
        return;
    s->draining = true;
    s->exit_code = exit_code;
    reload_cancel(s, "the server is stopping");
    tell_systemd("STOPPING=1");
    log_info("supervisor.draining", LOG_MS("within", s->plan->settings->timeouts.drain));
    s->drain_end_ms = loop_now_ms(s->loop) + s->plan->settings->timeouts.drain;
    loop_timer_free(&s->deadline);
    s->deadline = loop_timer_new(s->loop, on_drain_deadline, s);
    loop_timer_set(s->deadline, s->plan->settings->timeouts.drain + KILL_GRACE_MS);
    drain_stage(s);
    drain_step(s);
}

/* ---- deaths and restarts ---- */

static void describe_end(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        (void)snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        (void)snprintf(text, size, "exit code %d", WEXITSTATUS(status));
}

static void on_restart(void *arg)
{
    struct child *child = arg;
    struct why why;
    if (child->supervisor->draining || child->state != CHILD_NONE)
        return;
    if (family_spawn(child->supervisor, child->role, &why) != ERR_OK) {
        log_error("supervisor.spawn", LOG_WHY(&why));
        if (child->pid > 0)
            family_kill(child, SIGKILL); /* its end brings us back here */
        else
            loop_timer_set(child->restart, RESTART_MOST_MS);
    }
}

static void schedule_restart(struct child *child)
{
    uint64_t lived = loop_now_ms(child->supervisor->loop) - child->started_ms;
    if (lived >= RESTART_STEADY_MS || child->delay_ms == 0)
        child->delay_ms = RESTART_FIRST_MS;
    else if (child->delay_ms < RESTART_MOST_MS)
        child->delay_ms = child->delay_ms * 2 < RESTART_MOST_MS ? child->delay_ms * 2 : RESTART_MOST_MS;
    child->restarts++;
    metric_add(METRIC_ROLE_RESTARTS, child->role, 1);
    loop_timer_set(child->restart, child->delay_ms);
}

static void on_child_end(struct supervisor *s, struct child *child, int status)
{
    char text[100];
    bool expected = s->draining && child->drained;
    describe_end(status, text, sizeof text);
    child->pid = 0;
    child->state = CHILD_NONE;
    ipc_link_close(child->link);
    if (!expected || status != 0)
        log_error("supervisor.role_ended", LOG_CSTR("role", role_name(child->role)), LOG_CSTR("how", text));
    reload_cancel(s, "a role ended meanwhile");
    if (s->draining) {
        drain_step(s);
        return;
    }
    if (!s->was_ready) {
        /* The first start failed; the role's own line says why. */
        begin_drain(s, 1);
        return;
    }
    schedule_restart(child);
    log_info("supervisor.restart", LOG_CSTR("role", role_name(child->role)), LOG_MS("after", child->delay_ms),
             LOG_U64("restarts", child->restarts));
}

static void on_sigchld(evutil_socket_t sig, short what, void *arg)
{
    struct supervisor *s = arg;
    int status;
    (void)sig;
    (void)what;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (int r = 0; r < ROLE_COUNT; r++)
            if (s->children[r].pid == pid && proc_role((enum role)r))
                on_child_end(s, &s->children[r], status);
}

static void on_terminate(evutil_socket_t sig, short what, void *arg)
{
    (void)sig;
    (void)what;
    begin_drain(arg, 0);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
    (void)sig;
    (void)what;
    reload_begin(arg);
}

/* A role whose loop stopped beating is killed; its end restarts it. */
static void on_watch(void *arg)
{
    struct supervisor *s = arg;
    uint64_t now = loop_now_ms(s->loop);
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct child *child = &s->children[r];
        if (child->pid <= 0 || !proc_role((enum role)r))
            continue;
        uint64_t beats = metric_block_head(child->metrics)->beats;
        if (beats != child->seen_beats) {
            child->seen_beats = beats;
            child->seen_ms = now;
        } else if (now - child->seen_ms > HANG_MS) {
            log_error("supervisor.hangs", LOG_CSTR("role", role_name(child->role)),
                      LOG_MS("silent", now - child->seen_ms));
            child->seen_ms = now;
            family_kill(child, SIGKILL);
        }
    }
    loop_timer_set(s->watch, WATCH_MS);
}

/* ---- what roles say ---- */

static void on_ready(struct child *child)
{
    struct supervisor *s = child->supervisor;
    child->state = CHILD_READY;
    log_info("supervisor.role_ready", LOG_CSTR("role", role_name(child->role)),
             LOG_U64("pid", (uint64_t)child->pid), LOG_MS("took", loop_now_ms(s->loop) - child->started_ms));
    if (s->was_ready || !family_all_ready(s))
        return;
    s->was_ready = true;
    tell_systemd("READY=1");
    (void)fputs("ready\n", stderr);
    (void)fflush(stderr);
}

static bool on_prepared(struct child *child, const struct wire_role_prepared *m)
{
    struct supervisor *s = child->supervisor;
    if (child->state == CHILD_STARTING && !s->was_ready)
        (void)fprintf(stderr, "rockdove: %s cannot start: %.*s\n", role_name(child->role),
                      SLICE_ARG(m->text));
    else if (child->state == CHILD_READY)
        reload_prepared(s, child, m);
    return true;
}

static void on_condemn(struct child *child, const struct wire_role_condemn *m)
{
    struct supervisor *s = child->supervisor;
    if (m->role >= ROLE_COUNT || !proc_role((enum role)m->role))
        return;
    log_error("supervisor.condemned", LOG_CSTR("role", role_name((enum role)m->role)),
              LOG_CSTR("by", role_name(child->role)), LOG_STR("why", m->text));
    family_kill(&s->children[m->role], SIGKILL);
}

static void on_drained(struct child *child)
{
    child->drained = true;
    end_child(child);
}

static bool on_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct child *child = ctx;
    union {
        struct wire_role_prepared prepared;
        struct wire_role_condemn condemn;
        struct wire_control control;
    } m;
    if (!wire_allowed(packet->type, child->role, ROLE_SUPERVISOR) || wire_size(packet->type) > sizeof m ||
        wire_decode(packet->type, packet->body, &m) != ERR_OK) {
        log_error("supervisor.nonsense", LOG_CSTR("role", role_name(child->role)));
        family_kill(child, SIGKILL);
        return false;
    }
    switch ((enum wire_type)packet->type) {
    case WIRE_ROLE_READY:
        on_ready(child);
        return true;
    case WIRE_ROLE_PREPARED:
        return on_prepared(child, &m.prepared);
    case WIRE_ROLE_CONDEMN:
        on_condemn(child, &m.condemn);
        return true;
    case WIRE_ROLE_DRAINED:
        on_drained(child);
        return true;
    case WIRE_CONTROL:
        reload_control(child->supervisor, link, packet->request, &m.control);
        return true;
    default:
        return false;
    }
}

static void on_down(void *ctx, struct ipc_link *link)
{
    struct child *child = ctx;
    (void)link;
    /* Alive, but its link is gone: it cannot be led any more. */
    if (child->pid > 0 && child->state != CHILD_ENDING)
        family_kill(child, SIGKILL);
}

const struct ipc_ops family_link_ops = {on_packet, on_down, NULL, NULL};

/* ---- start ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("supervisor.descriptors", LOG_CSTR("why", strerror(errno)));
}

static void tell_missing_confinement(void)
{
    unsigned missing = confine_missing();
    if (missing & CONFINE_NO_LANDLOCK)
        log_warn("supervisor.confinement", LOG_CSTR("missing", "Landlock: roles are held by seccomp alone"));
    else if (missing & CONFINE_NO_LANDLOCK_NET)
        log_info("supervisor.confinement", LOG_CSTR("missing", "Landlock network rules (Linux 6.7)"));
    if (missing & CONFINE_NO_SECCOMP)
        log_warn("supervisor.confinement", LOG_CSTR("missing", "seccomp"));
    if (geteuid() != 0)
        log_info("supervisor.confinement",
                 LOG_CSTR("note", "not root: all roles share one uid; Landlock and seccomp hold them"));
}

/* The supervisor counts too: restarts and reloads. It does not beat: nobody watches it but its parent. */
static enum err own_metrics(struct supervisor *s, struct why *why)
{
    int *fd = &s->children[ROLE_SUPERVISOR].metrics_fd;
    enum err err = metric_block_new(&metrics_table, fd, why);
    return err == ERR_OK ? metric_attach(&metrics_table, *fd, role_name(ROLE_SUPERVISOR), why) : err;
}

static enum err make_children(struct supervisor *s, struct why *why)
{
    enum err err = ERR_OK;
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct child *child = &s->children[r];
        *child = (struct child){.supervisor = s, .role = (enum role)r, .metrics_fd = -1};
        if (!proc_role((enum role)r) || err != ERR_OK)
            continue;
        child->restart = loop_timer_new(s->loop, on_restart, child);
        err = metric_block_new(&metrics_table, &child->metrics_fd, why);
        if (err == ERR_OK)
            err = metric_block_map(&metrics_table, child->metrics_fd, &child->metrics, why);
    }
    return err == ERR_OK ? own_metrics(s, why) : err;
}

static enum err prepare(struct supervisor *s, struct why *why)
{
    enum err err = plan_new(s->config_path, 1, NULL, &s->plan, why);
    if (err != ERR_OK)
        return err;
    struct log_output outputs[LOG_OUTPUTS_MAX];
    reload_use_logs(s->plan, outputs);
    tell_missing_confinement();
    raise_descriptor_limit();
    err = data_prepare(s->plan->settings->data, s->plan->settings->role_uid_base, &s->lock_fd, why);
    if (err == ERR_OK)
        err = data_control_socket(s->plan->settings->data, &s->control_fd, why);
    if (err == ERR_OK)
        err = make_children(s, why);
    for (int r = 0; r < ROLE_COUNT && err == ERR_OK; r++)
        if (proc_role((enum role)r))
            err = family_spawn(s, (enum role)r, why);
    return err;
}

static void release(struct supervisor *s)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct child *child = &s->children[r];
        ipc_link_free(&child->link);
        loop_timer_free(&child->restart);
        metric_block_unmap(&metrics_table, &child->metrics);
        if (child->metrics_fd > 0)
            (void)close(child->metrics_fd);
    }
    watch_stop(s);
    plan_free(&s->next);
    plan_free(&s->plan);
    loop_timer_free(&s->deadline);
    loop_timer_free(&s->watch);
    if (s->control_fd >= 0)
        (void)close(s->control_fd);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
}

int supervisor_run(const char *config_path)
{
    struct supervisor s = {.config_path = config_path, .lock_fd = -1, .control_fd = -1};
    struct why why = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    s.loop = loop_new();
    struct event_base *base = loop_event_base(s.loop);
    struct event *signals[] = {
        evsignal_new(base, SIGCHLD, on_sigchld, &s), evsignal_new(base, SIGTERM, on_terminate, &s),
        evsignal_new(base, SIGINT, on_terminate, &s), evsignal_new(base, SIGHUP, on_hangup, &s)};
    if (prepare(&s, &why) != ERR_OK) {
        (void)fprintf(stderr, "rockdove: %s\n", why.text);
        for (int r = 0; r < ROLE_COUNT; r++)
            family_kill(&s.children[r], SIGKILL);
        s.exit_code = 1;
    } else {
        for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
            (void)event_add(signals[i], NULL);
        s.watch = loop_timer_new(s.loop, on_watch, &s);
        loop_timer_set(s.watch, WATCH_MS);
        watch_start(&s);
        loop_run(s.loop);
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        event_free(signals[i]);
    release(&s);
    loop_free(&s.loop);
    return s.exit_code;
}
