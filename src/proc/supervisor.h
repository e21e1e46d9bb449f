/* supervisor.h: starts the roles, restarts those that die or hang, reloads, drains. Parses nothing of
 * strangers. */
#ifndef PROC_SUPERVISOR_H
#define PROC_SUPERVISOR_H

/* `rockdove run`: the exit code of the process. Returns after a drain, or when the first start fails. */
int supervisor_run(const char *config_path);
/* The main function of a role's process; `title` is argv[0]. */
int supervisor_child_main(const char *title);

/* The descriptor a role's process finds its supervisor at. */
#define SUPERVISOR_FD 3

#endif
