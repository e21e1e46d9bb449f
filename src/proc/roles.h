/* roles.h: the rooms: what each role is confined to, whom it may talk to, what it is given. The table is in
 * role.c. */
#ifndef PROC_ROLES_H
#define PROC_ROLES_H

#include "role/role.h"

/* What a role may still do once confined (proc/seccomp.c, proc/landlock.c). */
enum profile {
    PROFILE_PURE,  /* compute, and talk on descriptors it has */
    PROFILE_EDGE,  /* the same, and accept connections */
    PROFILE_FILES, /* the same, and files below its own folder */
    PROFILE_OUT,   /* the same as pure, and connect out */
    PROFILE_COUNT
};

struct proc_role {
    const struct role_ops *ops;
    enum profile profile;
    const char *folder;   /* below data:, its working folder; NULL: none */
    uint32_t peers;       /* roles it has links to (1 << role); each pair stands in both rows */
    uint32_t services;    /* listeners it is given (1 << enum settings_service) */
    uint32_t files;       /* files it is given (1 << enum sup_file) */
    uint32_t drain_stage; /* 0 is told first to finish */
    const char *hostile;  /* what strangers' bytes it parses, for people */
};

#define PROC_DRAIN_STAGES 3

/* NULL for roles that are no processes (supervisor, control). */
const struct proc_role *proc_role(enum role role);
/* The role whose process title (argv[0]) this is, "rockdove: smtp"; ROLE_COUNT when none. */
enum role proc_role_by_title(const char *title);
/* "rockdove: smtp" */
const char *proc_role_title(enum role role);
const char *profile_name(enum profile profile);
/* The listener's service belongs to this role. */
bool proc_role_serves(enum role role, const struct settings *settings, uint32_t listener);

#endif
