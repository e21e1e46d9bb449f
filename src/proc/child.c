/* child.c: the main function of a role's process: take what the supervisor hands over, confine, run. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/confine.h"
#include "proc/supervisor.h"
#include "role/role_run.h"

struct child {
    struct loop *loop;
    enum role role;
    int exit_code;
    bool ended;
};

static void on_loaded(void *arg, struct role_run *run)
{
    struct child *child = arg;
    const struct settings *settings = role_settings(run);
    struct why why = {0};
    if (confine_role(child->role, settings->data, settings->role_uid_base, &why) != ERR_OK) {
        log_error("role.confine", LOG_WHY(&why));
        _exit(ROLE_EXIT_CONFIG);
    }
    /* Changing identity forgets it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    role_run_start(run);
}

static void on_ended(void *arg, struct role_run *run, int exit_code)
{
    struct child *child = arg;
    (void)run;
    child->exit_code = exit_code;
    child->ended = true;
    loop_stop(child->loop);
}

int supervisor_child_main(const char *title)
{
    struct child child = {.role = proc_role_by_title(title)};
    const struct proc_role *row = proc_role(child.role);
    if (!row)
        return ROLE_EXIT_CONFIG;
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    /* Ctrl-C reaches the whole process group, and systemd signals the whole control group: these are the
     * supervisor's to act on, which then tells us. */
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)prctl(PR_SET_NAME, title);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    child.loop = loop_new();
    const struct role_hooks hooks = {.loaded = on_loaded, .ended = on_ended, .arg = &child};
    struct role_run *run = role_run_new(child.loop, row->ops, row->peers, SUPERVISOR_FD, &hooks);
    if (!child.ended)
        loop_run(child.loop);
    role_run_free(&run);
    loop_free(&child.loop);
    return child.exit_code;
}
