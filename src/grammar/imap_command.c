/* imap_command.c: the table of IMAP commands, and the parser of one framed command. Input: any client. Called
 * by the imap role. To add a command: a row here, its arguments in imap_args.c, its file in imap/. */
#include "grammar/imap_command.h"
#include "grammar/imap_scan.h"

#define ANY  (IMAP_NOT_AUTHENTICATED | IMAP_AUTHENTICATED | IMAP_SELECTED)
#define AUTH (IMAP_AUTHENTICATED | IMAP_SELECTED)

enum form { FORM_PLAIN = 1, FORM_UID = 2 }; /* with or without "UID " in front */

static const struct verb_row {
    const char *name;
    uint32_t allowed;
    unsigned forms;
    bool (*args)(struct imap_scan *s, struct imap_command *c);
} verbs[IMAP_VERB_COUNT] = {
    [IMAP_CAPABILITY] = {"CAPABILITY", ANY, FORM_PLAIN, imap_args_none},
    [IMAP_NOOP] = {"NOOP", ANY, FORM_PLAIN, imap_args_none},
    [IMAP_LOGOUT] = {"LOGOUT", ANY, FORM_PLAIN, imap_args_none},
    [IMAP_ID] = {"ID", ANY, FORM_PLAIN, imap_args_id}, /* RFC 2971 */
    [IMAP_STARTTLS] = {"STARTTLS", IMAP_NOT_AUTHENTICATED, FORM_PLAIN, imap_args_none},
    [IMAP_AUTHENTICATE] = {"AUTHENTICATE", IMAP_NOT_AUTHENTICATED, FORM_PLAIN, imap_args_authenticate},
    [IMAP_LOGIN] = {"LOGIN", IMAP_NOT_AUTHENTICATED, FORM_PLAIN, imap_args_login},
    [IMAP_ENABLE] = {"ENABLE", AUTH, FORM_PLAIN, imap_args_enable}, /* RFC 5161 */
    [IMAP_SELECT] = {"SELECT", AUTH, FORM_PLAIN, imap_args_select},
    [IMAP_EXAMINE] = {"EXAMINE", AUTH, FORM_PLAIN, imap_args_select},
    [IMAP_CREATE] = {"CREATE", AUTH, FORM_PLAIN, imap_args_create},
    [IMAP_DELETE] = {"DELETE", AUTH, FORM_PLAIN, imap_args_mailbox},
    [IMAP_RENAME] = {"RENAME", AUTH, FORM_PLAIN, imap_args_rename},
    [IMAP_SUBSCRIBE] = {"SUBSCRIBE", AUTH, FORM_PLAIN, imap_args_mailbox},
    [IMAP_UNSUBSCRIBE] = {"UNSUBSCRIBE", AUTH, FORM_PLAIN, imap_args_mailbox},
    [IMAP_LIST] = {"LIST", AUTH, FORM_PLAIN, imap_args_list},
    [IMAP_LSUB] = {"LSUB", AUTH, FORM_PLAIN, imap_args_lsub},
    [IMAP_NAMESPACE] = {"NAMESPACE", AUTH, FORM_PLAIN, imap_args_none}, /* RFC 2342 */
    [IMAP_STATUS] = {"STATUS", AUTH, FORM_PLAIN, imap_args_status},
    [IMAP_APPEND] = {"APPEND", AUTH, FORM_PLAIN, imap_args_append},
    [IMAP_REPLACE] = {"REPLACE", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_replace}, /* RFC 8508 */
    [IMAP_IDLE] = {"IDLE", AUTH, FORM_PLAIN, imap_args_none},                              /* RFC 2177 */
    [IMAP_GENURLAUTH] = {"GENURLAUTH", AUTH, FORM_PLAIN, imap_args_genurlauth},            /* RFC 4467 */
    [IMAP_RESETKEY] = {"RESETKEY", AUTH, FORM_PLAIN, imap_args_resetkey},
    [IMAP_URLFETCH] = {"URLFETCH", AUTH, FORM_PLAIN, imap_args_urlfetch},
    [IMAP_GETQUOTA] = {"GETQUOTA", AUTH, FORM_PLAIN, imap_args_getquota}, /* RFC 9208 */
    [IMAP_GETQUOTAROOT] = {"GETQUOTAROOT", AUTH, FORM_PLAIN, imap_args_mailbox},
    [IMAP_SETQUOTA] = {"SETQUOTA", AUTH, FORM_PLAIN, imap_args_setquota},
    [IMAP_CHECK] = {"CHECK", IMAP_SELECTED, FORM_PLAIN, imap_args_none},
    [IMAP_CLOSE] = {"CLOSE", IMAP_SELECTED, FORM_PLAIN, imap_args_none},
    [IMAP_UNSELECT] = {"UNSELECT", IMAP_SELECTED, FORM_PLAIN, imap_args_none},             /* RFC 3691 */
    [IMAP_EXPUNGE] = {"EXPUNGE", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_expunge}, /* RFC 4315 */
    [IMAP_SEARCH] = {"SEARCH", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_search},
    [IMAP_FETCH] = {"FETCH", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_fetch},
    [IMAP_STORE] = {"STORE", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_store},
    [IMAP_COPY] = {"COPY", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_copy},
    [IMAP_MOVE] = {"MOVE", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_copy}, /* RFC 6851 */
    [IMAP_SORT] = {"SORT", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_sort}, /* RFC 5256 */
    [IMAP_THREAD] = {"THREAD", IMAP_SELECTED, FORM_PLAIN | FORM_UID, imap_args_thread},
    [IMAP_COMPRESS] = {"COMPRESS", AUTH, FORM_PLAIN, imap_args_compress},                      /* RFC 4978 */
    [IMAP_UNAUTHENTICATE] = {"UNAUTHENTICATE", AUTH, FORM_PLAIN, imap_args_none},              /* RFC 8437 */
    [IMAP_CANCELUPDATE] = {"CANCELUPDATE", IMAP_SELECTED, FORM_PLAIN, imap_args_cancelupdate}, /* RFC 5267 */
    [IMAP_ESEARCH] = {"ESEARCH", AUTH, FORM_PLAIN, imap_args_esearch},                         /* RFC 7377 */
    [IMAP_GETMETADATA] = {"GETMETADATA", AUTH, FORM_PLAIN, imap_args_getmetadata},             /* RFC 5464 */
    [IMAP_SETMETADATA] = {"SETMETADATA", AUTH, FORM_PLAIN, imap_args_setmetadata},
    [IMAP_SETACL] = {"SETACL", AUTH, FORM_PLAIN, imap_args_setacl}, /* RFC 4314 */
    [IMAP_DELETEACL] = {"DELETEACL", AUTH, FORM_PLAIN, imap_args_identifier},
    [IMAP_GETACL] = {"GETACL", AUTH, FORM_PLAIN, imap_args_acl},
    [IMAP_LISTRIGHTS] = {"LISTRIGHTS", AUTH, FORM_PLAIN, imap_args_identifier},
    [IMAP_MYRIGHTS] = {"MYRIGHTS", AUTH, FORM_PLAIN, imap_args_acl},
    [IMAP_NOTIFY] = {"NOTIFY", AUTH, FORM_PLAIN, imap_args_notify}, /* RFC 5465 */
};

const char *imap_verb_name(enum imap_verb verb)
{
    return verbs[verb].name;
}

uint32_t imap_verb_allowed(enum imap_verb verb)
{
    return verbs[verb].allowed;
}

/* tag = 1*<any ASTRING-CHAR except "+"> */
static bool scan_tag(struct imap_scan *s, struct slice *tag)
{
    const uint8_t *start = s->at;
    while (s->at < s->end && *s->at != '+' && (imap_is_atom_char(*s->at) || *s->at == ']'))
        s->at++;
    size_t len = (size_t)(s->at - start);
    if (len == 0 || len > IMAP_TAG_MAX || imap_scan_peek(s) != ' ')
        return imap_scan_fail(s, imap_scan_peek(s) == '\r' && len > 0 ? "Missing command" : "Invalid tag");
    *tag = slice_make(start, len);
    return true;
}

static bool find_verb(struct imap_scan *s, struct slice name, enum form form, struct imap_command *c)
{
    for (unsigned v = 0; v < IMAP_VERB_COUNT; v++) {
        if (!(verbs[v].forms & form) || !slice_ieq(name, slice_of(verbs[v].name)))
            continue;
        c->verb = (enum imap_verb)v;
        return true;
    }
    return imap_scan_refuse(s, ERR_ABSENT, "Unknown command");
}

/* command = tag SP (… / "UID" SP …) CRLF */
static bool scan_command(struct imap_scan *s, struct imap_command *c)
{
    if (!scan_tag(s, &c->tag) || !imap_scan_sp(s))
        return false;
    struct slice name = imap_scan_word(s);
    if (slice_ieq(name, SLICE("UID"))) {
        if (!imap_scan_sp(s))
            return false;
        c->uid = true;
        name = imap_scan_word(s);
    }
    if (!find_verb(s, name, c->uid ? FORM_UID : FORM_PLAIN, c) || !verbs[c->verb].args(s, c))
        return false;
    c->supplied = s->supplied;
    return true;
}

enum err imap_command_parse_in(struct arena *arena, struct slice input, struct imap_parse_options options,
                               struct imap_command *command, struct why *why)
{
    struct imap_scan s = imap_scan_new(arena, input, options.utf8);
    *command = (struct imap_command){0};
    if (scan_command(&s, command)) {
        bool in_pieces = command->verb == IMAP_APPEND || command->verb == IMAP_REPLACE;
        if (in_pieces ? s.at == s.end : imap_scan_end(&s))
            return ERR_OK;
    }
    (void)imap_scan_fail(&s, "Malformed command");
    return imap_scan_result(&s, why);
}
