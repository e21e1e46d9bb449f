/* command.c: the table of commands: who runs each, which news may come with its answer, which capability it
 * belongs to. To add one: a row in grammar/imap_command.c, a row here, a file cmd_NAME.c. */
#include "imap/command.h"
#include "imap/capability.h"

static const struct command_row {
    void (*start)(struct session *s);
    enum command_sync sync;     /* of the form without UID */
    enum command_sync uid_sync; /* of the UID form */
    uint64_t capability;        /* hidden from an account: the command is unknown */
    bool numbers;               /* the form without UID names messages by number */
} rows[IMAP_VERB_COUNT] = {
    [IMAP_CAPABILITY] = {imap_cmd_capability, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_NOOP] = {imap_cmd_noop, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_LOGOUT] = {imap_cmd_logout, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_ID] = {imap_cmd_id, SYNC_NONE, SYNC_NONE, CAP_ID},
    [IMAP_STARTTLS] = {imap_cmd_starttls, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_AUTHENTICATE] = {imap_cmd_authenticate, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_LOGIN] = {imap_cmd_login, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_ENABLE] = {imap_cmd_enable, SYNC_NONE, SYNC_NONE, CAP_ENABLE},
    [IMAP_SELECT] = {imap_cmd_select, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_EXAMINE] = {imap_cmd_select, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_CREATE] = {imap_cmd_create, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_DELETE] = {imap_cmd_delete, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_RENAME] = {imap_cmd_rename, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_SUBSCRIBE] = {imap_cmd_subscribe, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_UNSUBSCRIBE] = {imap_cmd_subscribe, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_LIST] = {imap_cmd_list, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_LSUB] = {imap_cmd_list, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_NAMESPACE] = {imap_cmd_namespace, SYNC_ALL, SYNC_NONE, CAP_NAMESPACE},
    [IMAP_STATUS] = {imap_cmd_status, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_APPEND] = {NULL, SYNC_ALL, SYNC_NONE, 0},                 /* begun by imap_cmd_append_begin() */
    [IMAP_REPLACE] = {NULL, SYNC_ALL, SYNC_ALL, CAP_REPLACE, true}, /* likewise */
    [IMAP_IDLE] = {imap_cmd_idle, SYNC_ALL, SYNC_NONE, CAP_IDLE},
    [IMAP_GENURLAUTH] = {imap_cmd_genurlauth, SYNC_ALL, SYNC_NONE, CAP_URLAUTH},
    [IMAP_RESETKEY] = {imap_cmd_resetkey, SYNC_ALL, SYNC_NONE, CAP_URLAUTH},
    [IMAP_URLFETCH] = {imap_cmd_urlfetch, SYNC_ALL, SYNC_NONE, CAP_URLAUTH},
    [IMAP_GETQUOTA] = {imap_cmd_getquota, SYNC_ALL, SYNC_NONE, CAP_QUOTA},
    [IMAP_GETQUOTAROOT] = {imap_cmd_getquotaroot, SYNC_ALL, SYNC_NONE, CAP_QUOTA},
    [IMAP_SETQUOTA] = {imap_cmd_setquota, SYNC_ALL, SYNC_NONE, CAP_QUOTA | CAP_QUOTASET},
    [IMAP_SETACL] = {imap_cmd_setacl, SYNC_ALL, SYNC_NONE, CAP_ACL},
    [IMAP_DELETEACL] = {imap_cmd_setacl, SYNC_ALL, SYNC_NONE, CAP_ACL},
    [IMAP_GETACL] = {imap_cmd_getacl, SYNC_ALL, SYNC_NONE, CAP_ACL},
    [IMAP_LISTRIGHTS] = {imap_cmd_getacl, SYNC_ALL, SYNC_NONE, CAP_ACL},
    [IMAP_MYRIGHTS] = {imap_cmd_getacl, SYNC_ALL, SYNC_NONE, CAP_ACL},
    [IMAP_GETMETADATA] = {imap_cmd_getmetadata, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_SETMETADATA] = {imap_cmd_setmetadata, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_NOTIFY] = {imap_cmd_notify, SYNC_ALL, SYNC_NONE, CAP_NOTIFY},
    [IMAP_CHECK] = {imap_cmd_noop, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_CLOSE] = {imap_cmd_close, SYNC_NONE, SYNC_NONE, 0},
    [IMAP_UNSELECT] = {imap_cmd_unselect, SYNC_NONE, SYNC_NONE, CAP_UNSELECT},
    [IMAP_EXPUNGE] = {imap_cmd_expunge, SYNC_ALL, SYNC_ALL, 0},
    [IMAP_SEARCH] = {imap_cmd_search, SYNC_NO_EXPUNGE, SYNC_ALL, 0, true},
    [IMAP_FETCH] = {imap_cmd_fetch, SYNC_NO_EXPUNGE, SYNC_ALL, 0, true},
    [IMAP_STORE] = {imap_cmd_store, SYNC_NO_EXPUNGE, SYNC_ALL, 0, true},
    [IMAP_COPY] = {imap_cmd_copy, SYNC_ALL, SYNC_ALL, 0, true},
    [IMAP_MOVE] = {imap_cmd_copy, SYNC_ALL, SYNC_ALL, CAP_MOVE, true},
    [IMAP_COMPRESS] = {imap_cmd_compress, SYNC_NONE, SYNC_NONE, CAP_COMPRESS},
    [IMAP_UNAUTHENTICATE] = {imap_cmd_unauthenticate, SYNC_NONE, SYNC_NONE, CAP_UNAUTHENTICATE},
    [IMAP_CANCELUPDATE] = {imap_cmd_cancelupdate, SYNC_ALL, SYNC_NONE, 0},
    [IMAP_ESEARCH] = {imap_cmd_esearch, SYNC_ALL, SYNC_NONE, CAP_MULTISEARCH},
    [IMAP_SORT] = {imap_cmd_sort, SYNC_NO_EXPUNGE, SYNC_ALL, CAP_SORT, true},
    [IMAP_THREAD] = {imap_cmd_thread, SYNC_NO_EXPUNGE, SYNC_ALL, 0, true},
};

/* NULL, or why the command may not come now (RFC 9051 section 3). */
static const char *wrong_state(const struct session *s, uint32_t allowed)
{
    static const uint32_t bits[] = {[SESSION_GREETED] = IMAP_NOT_AUTHENTICATED,
                                    [SESSION_LOGGED_IN] = IMAP_AUTHENTICATED,
                                    [SESSION_SELECTED] = IMAP_SELECTED,
                                    [SESSION_LOGGED_OUT] = 0};
    if (allowed & bits[s->state])
        return NULL;
    if (s->state == SESSION_GREETED)
        return "Log in first";
    return allowed == IMAP_NOT_AUTHENTICATED ? "Already logged in" : "No mailbox selected";
}

const char *imap_command_fault(const struct session *s)
{
    const struct run *run = s->run;
    const struct command_row *row = &rows[run->command.verb];
    bool uidplus = run->command.verb == IMAP_EXPUNGE && run->command.uid;
    const char *wrong = wrong_state(s, imap_verb_allowed(run->command.verb));
    if (!imap_capability_has(s, row->capability) || (uidplus && !imap_capability_has(s, CAP_UIDPLUS)))
        wrong = "Unknown command";
    else if (!wrong && s->uidonly && !run->command.uid && row->numbers)
        wrong = "[UIDREQUIRED] Only UIDs are understood after ENABLE UIDONLY"; /* RFC 9586 section 3 */
    return wrong;
}

bool imap_command_may_run(struct session *s)
{
    struct run *run = s->run;
    const struct command_row *row = &rows[run->command.verb];
    const char *wrong = imap_command_fault(s);
    run->sync = run->command.uid ? row->uid_sync : row->sync;
    if (wrong)
        imap_session_done(s, "BAD %s", wrong);
    return !wrong;
}

void imap_command_start(struct session *s)
{
    void (*start)(struct session * s) = rows[s->run->command.verb].start;
    if (!start)
        imap_session_done(s, "BAD Unknown command");
    else if (imap_command_may_run(s))
        start(s);
}
