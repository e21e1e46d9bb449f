/* command.h: the commands; one file each, cmd_*.c. The table is in command.c. */
#ifndef IMAP_COMMAND_H
#define IMAP_COMMAND_H

#include "imap/session.h"

/* NULL, or why the parsed command may not come now: the text for BAD. */
const char *imap_command_fault(const struct session *s);
/* Whether the parsed command (s->run->command) may come now; otherwise it was answered. */
bool imap_command_may_run(struct session *s) MUST_CHECK;
/* Runs the session's parsed command (s->run->command). */
void imap_command_start(struct session *s);

void imap_cmd_capability(struct session *s);
void imap_cmd_noop(struct session *s);
void imap_cmd_logout(struct session *s);
void imap_cmd_id(struct session *s);
void imap_cmd_starttls(struct session *s);
void imap_cmd_authenticate(struct session *s);
void imap_cmd_login(struct session *s);
void imap_cmd_enable(struct session *s);
void imap_cmd_select(struct session *s);
void imap_cmd_create(struct session *s);
void imap_cmd_delete(struct session *s);
void imap_cmd_rename(struct session *s);
void imap_cmd_subscribe(struct session *s);
void imap_cmd_list(struct session *s);
void imap_cmd_namespace(struct session *s);
void imap_cmd_status(struct session *s);
void imap_cmd_idle(struct session *s);
void imap_cmd_genurlauth(struct session *s);
void imap_cmd_resetkey(struct session *s);
void imap_cmd_urlfetch(struct session *s);
void imap_cmd_getquota(struct session *s);
void imap_cmd_getquotaroot(struct session *s);
void imap_cmd_setquota(struct session *s);
void imap_cmd_getacl(struct session *s);
void imap_cmd_setacl(struct session *s);
void imap_cmd_getmetadata(struct session *s);
void imap_cmd_setmetadata(struct session *s);
void imap_cmd_close(struct session *s);
void imap_cmd_unselect(struct session *s);
void imap_cmd_expunge(struct session *s);
void imap_cmd_search(struct session *s);
void imap_cmd_cancelupdate(struct session *s);
void imap_cmd_esearch(struct session *s);
void imap_cmd_sort(struct session *s);
void imap_cmd_thread(struct session *s);
void imap_cmd_fetch(struct session *s);
void imap_cmd_store(struct session *s);
void imap_cmd_copy(struct session *s);
void imap_cmd_notify(struct session *s);
void imap_cmd_unauthenticate(struct session *s);
void imap_cmd_compress(struct session *s);

/* APPEND and REPLACE: the first piece was parsed by session.c. With `sync` the client waits for "+ " before
 * it sends the literal this piece ends with. */
void imap_cmd_append_begin(struct session *s, bool sync);
/* The command is no good APPEND or REPLACE: what it announced is read and dropped where it comes anyway, then
 * `text` is the answer. */
struct append_announcement {
    uint64_t octets;
    bool sync;
};
void imap_cmd_append_skip(struct session *s, struct append_announcement announcement, enum err err,
                          const char *text);

#endif
