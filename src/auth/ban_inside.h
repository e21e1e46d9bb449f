/* ban_inside.h: what the files of ban_role.h share. Private to them. */
#ifndef AUTH_BAN_INSIDE_H
#define AUTH_BAN_INSIDE_H

#include "auth/ban_image.h"
#include "auth/context.h"
#include "net/security.h"

struct auth_bans {
    struct auth *auth;
    struct bans *bans;
    struct ban_image *image;
    struct loop_timer *sweep, *keep;
    bool kept_soon; /* the timer `keep` runs */
    uint64_t kept_ms;
    struct security *security; /* lines and metric of failed logins, which auth finds itself */
    struct list calls;         /* commands under way */
    enum err write_err;
};

struct bans_now auth_bans_now(const struct auth_bans *b);
/* To the database. */
void auth_bans_save(struct auth_bans *b, enum ban_write_kind kind, const struct ban *ban);

/* ban_report.c: the log's lines of a ban and of its end, and what relay is told of one of ours. */
void auth_bans_tell(const struct ban *ban);
void auth_bans_tell_end(const struct ban *ban, const char *why);
void auth_bans_report(struct auth_bans *b, const struct ban *ban);

/* ban_decisions.c: from disk at start, and back when the timer `keep` fires. */
void auth_bans_load_decisions(struct auth_bans *b);
void auth_bans_keep(void *bans);
/* Settings without CrowdSec are in use. */
void auth_bans_forget_decisions(struct auth_bans *b);

/* ban_control.c: an image was made, or something written: who waited for it is answered. */
void auth_bans_go_on(struct auth_bans *b);
/* The role ends. */
void auth_bans_drop_calls(struct auth_bans *b);

#endif
