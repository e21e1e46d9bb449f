/* imap_command.h: one complete IMAP command as a struct. Trusts nothing; called by the imap role with what
 * the framer found. Extensions: see the table in imap_command.c. */
#ifndef GRAMMAR_IMAP_COMMAND_H
#define GRAMMAR_IMAP_COMMAND_H

#include "base/arena.h"
#include "base/err.h"
#include "grammar/imap_append.h"
#include "grammar/imap_fetch.h"
#include "grammar/imap_flags.h"
#include "grammar/imap_frame.h"
#include "grammar/imap_list.h"
#include "grammar/imap_notify.h"
#include "grammar/imap_search.h"
#include "grammar/imap_set.h"

#define IMAP_STRING_MAX    65536      /* octets of one string or literal of a command */
#define IMAP_ID_PAIRS_MAX  30         /* RFC 2971 section 3.3 */
#define IMAP_ENABLE_MAX    32         /* names in one ENABLE */
#define IMAP_URLS_MAX      32         /* URLs in one GENURLAUTH or URLFETCH */
#define IMAP_QUOTA_MAX     8          /* resources in one SETQUOTA */
#define IMAP_SOURCES_MAX   1000       /* mailboxes named by one ESEARCH */
#define IMAP_UPDATES_MAX   32         /* tags in one CANCELUPDATE */
#define IMAP_ENTRIES_MAX   64         /* annotations named in one command */
#define IMAP_ENTRY_MAX     255        /* octets of an annotation's name */
#define IMAP_COMMAND_ARENA (2u << 20) /* bytes the parsed form of one command may take */

enum imap_verb {
    IMAP_CAPABILITY,
    IMAP_NOOP,
    IMAP_LOGOUT,
    IMAP_ID,
    IMAP_STARTTLS,
    IMAP_AUTHENTICATE,
    IMAP_LOGIN,
    IMAP_ENABLE,
    IMAP_SELECT,
    IMAP_EXAMINE,
    IMAP_CREATE,
    IMAP_DELETE,
    IMAP_RENAME,
    IMAP_SUBSCRIBE,
    IMAP_UNSUBSCRIBE,
    IMAP_LIST,
    IMAP_LSUB,
    IMAP_NAMESPACE,
    IMAP_STATUS,
    IMAP_APPEND,
    IMAP_REPLACE,
    IMAP_IDLE,
    IMAP_GENURLAUTH,
    IMAP_RESETKEY,
    IMAP_URLFETCH,
    IMAP_GETQUOTA,
    IMAP_GETQUOTAROOT,
    IMAP_SETQUOTA,
    IMAP_CHECK,
    IMAP_CLOSE,
    IMAP_UNSELECT,
    IMAP_EXPUNGE,
    IMAP_SEARCH,
    IMAP_FETCH,
    IMAP_STORE,
    IMAP_COPY,
    IMAP_MOVE,
    IMAP_SORT,
    IMAP_THREAD,
    IMAP_UNAUTHENTICATE,
    IMAP_COMPRESS,
    IMAP_GETMETADATA,
    IMAP_SETMETADATA,
    IMAP_SETACL,
    IMAP_DELETEACL,
    IMAP_GETACL,
    IMAP_LISTRIGHTS,
    IMAP_MYRIGHTS,
    IMAP_CANCELUPDATE,
    IMAP_NOTIFY,
    IMAP_ESEARCH,
    IMAP_VERB_COUNT
};

enum imap_allowed { /* in which states a command may come (RFC 9051 section 3), as bits */
                    IMAP_NOT_AUTHENTICATED = 1,
                    IMAP_AUTHENTICATED = 2,
                    IMAP_SELECTED = 4
};

enum imap_status_item {
    IMAP_STATUS_MESSAGES = 1,
    IMAP_STATUS_RECENT = 2,
    IMAP_STATUS_UIDNEXT = 4,
    IMAP_STATUS_UIDVALIDITY = 8,
    IMAP_STATUS_UNSEEN = 16,
    IMAP_STATUS_DELETED = 32,
    IMAP_STATUS_SIZE = 64,
    IMAP_STATUS_HIGHESTMODSEQ = 128,
    IMAP_STATUS_APPENDLIMIT = 256,
    IMAP_STATUS_MAILBOXID = 512,
    IMAP_STATUS_DELETED_STORAGE = 1024
};

enum imap_list_select { /* RFC 5258 selection options */
                        IMAP_LIST_SUBSCRIBED = 1,
                        IMAP_LIST_REMOTE = 2,
                        IMAP_LIST_RECURSIVE = 4,
                        IMAP_LIST_SPECIAL_USE = 8
};
enum imap_list_return { /* RFC 5258, 5819, 6154 return options */
                        IMAP_LIST_RETURN_SUBSCRIBED = 1,
                        IMAP_LIST_RETURN_CHILDREN = 2,
                        IMAP_LIST_RETURN_SPECIAL_USE = 4,
                        IMAP_LIST_RETURN_STATUS = 8,
                        IMAP_LIST_RETURN_MYRIGHTS = 16,
                        IMAP_LIST_RETURN_METADATA = 32
};

struct imap_select_args {
    struct slice mailbox;
    bool condstore;
    bool qresync; /* RFC 7162 section 3.2.5; the fields below belong to it */
    uint32_t uid_validity;
    uint64_t modseq;
    bool has_known_uids, has_match;
    struct imap_set known_uids;
    struct imap_set match_seqs, match_uids;
};

struct imap_list_args {
    bool extended; /* selection or return options or several patterns were given */
    uint32_t select, returns;
    uint32_t status; /* IMAP_LIST_RETURN_STATUS: bits of enum imap_status_item */
    struct slice reference;
    struct slice *patterns;
    size_t pattern_count;
    struct slice *entries; /* IMAP_LIST_RETURN_METADATA: names of annotations, lower case (RFC 9590) */
    size_t entry_count;
};

enum imap_metadata_depth { IMAP_METADATA_ENTRY, IMAP_METADATA_CHILDREN, IMAP_METADATA_TREE };

struct imap_metadata_args { /* GETMETADATA and SETMETADATA (RFC 5464) */
    struct slice mailbox;   /* empty: the server's annotations */
    bool has_max_size;
    uint64_t max_size;
    enum imap_metadata_depth depth;
    struct slice *entries; /* in lower case: names are compared without it */
    struct slice *values;  /* SETMETADATA; NULL pointer: NIL, the annotation goes */
    size_t count;
};

enum imap_source_kind { /* RFC 7377 section 2.2, RFC 5465 section 6 */
                        IMAP_SOURCE_SELECTED,
                        IMAP_SOURCE_INBOXES,
                        IMAP_SOURCE_PERSONAL,
                        IMAP_SOURCE_SUBSCRIBED,
                        IMAP_SOURCE_SUBTREE,     /* `name` and all below it */
                        IMAP_SOURCE_SUBTREE_ONE, /* and its children */
                        IMAP_SOURCE_MAILBOXES    /* `name` */
};

struct imap_source {
    enum imap_source_kind kind;
    struct slice name;
};

struct imap_esearch_args {
    struct imap_source *sources; /* none: the selected mailbox */
    size_t source_count;
};

struct imap_search_args {
    struct imap_search search;
    struct imap_sort sort;                /* SORT */
    enum imap_thread_algorithm algorithm; /* THREAD */
    struct imap_esearch_args esearch;     /* ESEARCH */
};

enum imap_store_mode { IMAP_STORE_REPLACE, IMAP_STORE_ADD, IMAP_STORE_REMOVE };

struct imap_acl_args { /* SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314) */
    struct slice mailbox;
    struct slice identifier; /* in lower case */
    enum imap_store_mode mode;
    uint32_t rights; /* bits of enum imap_right */
};

struct imap_command {
    struct slice tag;
    enum imap_verb verb;
    struct slice supplied; /* the first mailbox name in UTF-8, but not in NFC and INBOX not canonical */
    bool uid; /* UID FETCH, UID STORE, UID COPY, UID MOVE, UID EXPUNGE, UID SEARCH, UID SORT, UID THREAD */
    union {
        struct {
            struct slice mechanism; /* as written */
            bool has_initial;
            struct slice initial; /* base64 as written; empty for "=" */
        } authenticate;
        struct {
            struct slice user, password;
        } login;
        struct {
            struct slice names[IMAP_ENABLE_MAX];
            size_t count;
        } enable;
        struct {
            struct slice names[IMAP_ID_PAIRS_MAX],
                values[IMAP_ID_PAIRS_MAX]; /* a NIL value has a NULL pointer */
            size_t count;
        } id;
        struct {
            struct slice algorithm;
        } compress;
        struct imap_select_args select;
        struct {
            struct slice mailbox;
            uint32_t use; /* bits of enum imap_special_use (RFC 6154 section 3) */
            bool unknown_use;
        } create;
        struct {
            struct slice mailbox; /* DELETE, SUBSCRIBE, UNSUBSCRIBE, GETQUOTAROOT */
        } mailbox;
        struct {
            struct slice from, to;
        } rename;
        struct imap_list_args list; /* LIST and LSUB */
        struct {
            struct slice urls[IMAP_URLS_MAX], mechanisms[IMAP_URLS_MAX];
            size_t count;
            struct slice mailbox; /* RESETKEY; empty: all */
        } urls;                   /* GENURLAUTH, RESETKEY, URLFETCH */
        struct {
            struct slice mailbox;
            uint32_t items;
        } status;
        struct {
            struct slice mailbox;
            struct imap_append pieces; /* the first one; the others come by imap_append_next_in() */
            struct imap_set replaces;  /* REPLACE: one number */
        } append;                      /* APPEND and REPLACE */
        struct {
            struct slice root;
            struct {
                struct slice resource;
                uint64_t limit;
            } limits[IMAP_QUOTA_MAX];
            size_t count;
        } quota;
        struct {
            struct imap_set set; /* only for UID EXPUNGE */
        } expunge;
        struct imap_search_args search;
        struct {
            struct slice tags[IMAP_UPDATES_MAX];
            size_t count;
        } cancel; /* CANCELUPDATE */
        struct imap_metadata_args metadata;
        struct imap_acl_args acl;
        struct imap_notify_args notify;
        struct {
            struct imap_set set;
            struct imap_fetch items;
        } fetch;
        struct {
            struct imap_set set;
            enum imap_store_mode mode;
            bool silent;
            struct imap_flags flags;
            bool has_unchanged_since;
            uint64_t unchanged_since;
        } store;
        struct {
            struct imap_set set;
            struct slice mailbox;
        } copy; /* COPY and MOVE */
    };
};

struct imap_parse_options {
    bool utf8; /* UTF8=ACCEPT or IMAP4rev2 is enabled: mailbox names and quoted strings are UTF-8 */
};

/* Parses `input`, what the framer called COMPLETE (with its CRLF) or MESSAGE (up to and with the
 * announcement). Slices point into `input` or the arena. ERR_BAD: `why` is the text for BAD; command->tag is
 * set when it could be read, else empty. ERR_ABSENT: an unknown command. Mailbox names are UTF-8 with INBOX
 * canonical ('/' delimiter). */
enum err imap_command_parse_in(struct arena *arena, struct slice input, struct imap_parse_options options,
                               struct imap_command *command, struct why *why) MUST_CHECK;
/* "FETCH", and the bits of enum imap_allowed. */
const char *imap_verb_name(enum imap_verb verb);
uint32_t imap_verb_allowed(enum imap_verb verb);

#endif
