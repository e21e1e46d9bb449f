/* input.h: what the operator's files say about accounts, aliases and quotas, before anything is decided
 * (table.h decides).
 *
 * The readers are pure and tolerant as docker-mailserver is (surrounding blanks, comment lines, CRLF, a
 * missing last line end); what they cannot read is a problem with its line, and the rest counts. Called by
 * auth, queue and the commands.
 */
#ifndef DIRECTORY_INPUT_H
#define DIRECTORY_INPUT_H

#include "base/problem.h"
#include "directory/pattern.h"
#include "settings/settings.h"

#define DIRECTORY_FILE_MAX    (64u << 20) /* bytes of one file */
#define DIRECTORY_LINE_MAX    262144      /* of one line of a file */
#define DIRECTORY_ENTRIES_MAX 1000000     /* accounts and aliases together */
#define DIRECTORY_TARGETS_MAX 1000        /* of one alias line */
#define DIRECTORY_RULES_MAX   10000       /* wildcards; and lines of all regexp tables together */
/* Of one of them. Their addresses are made anew for each look-up. */
#define DIRECTORY_RULE_TARGETS_MAX 50

/* Where something was said. */
struct directory_place {
    struct slice file;
    uint32_t line;     /* 0: no lines there */
    struct slice text; /* the line as it stands, for quoting; of accounts without the secret */
};

struct directory_account_entry {
    struct slice address; /* as written */
    struct slice key;     /* folded */
    struct slice secret;  /* hash or password as written, {SCHEME} included */
    struct slice extra;   /* dovecot's extra fields */
    bool has_quota;       /* userdb_quota_rule=*:storage=… or *:bytes=… among them */
    uint64_t quota;       /* bytes; 0: no limit */
    struct directory_place place;
};

enum directory_alias_kind {
    DIRECTORY_ALIAS_ADDRESS,
    DIRECTORY_ALIAS_DOMAIN /* "@domain": catch-all */,
    DIRECTORY_ALIAS_LOCAL /* no domain */,
    DIRECTORY_ALIAS_WILDCARD /* "*" in the local part: any text */
};

struct directory_alias_entry {
    enum directory_alias_kind kind;
    struct slice key;      /* folded address, domain, or local part */
    struct slice *targets; /* as written, trimmed */
    size_t target_count;
    struct directory_place place;
};

enum directory_rule_kind { DIRECTORY_RULE_MATCH, DIRECTORY_RULE_IF, DIRECTORY_RULE_ENDIF };

/* A line of a regexp table. Ifs and endifs of a file are balanced. */
struct directory_rule_entry {
    enum directory_rule_kind kind;
    bool negate;                   /* applies where the expression does not match */
    const struct pattern *pattern; /* of an "if" that could not be read NULL: never holds */
    struct slice *targets;         /* as written; parts in directory_take_group()'s form */
    size_t target_count;
    bool templated; /* a target holds "$" */
    struct directory_place place;
};

struct directory_quota_entry {
    struct slice key;
    uint64_t bytes; /* 0: no limit */
    struct directory_place place;
};

struct directory_input; /* everything read so far */

struct directory_input *directory_input_new_in(struct arena *arena, struct problems *problems);

/* postfix-accounts.cf: user@domain|{SCHEME}hash[|extra]. Without `keep_secrets` hashes are not stored
 * (queue). Texts are copied into the arena: `text` may go. */
void directory_read_accounts(struct directory_input *input, struct slice text, struct slice file,
                             bool keep_secrets);
/* A JSON object of "user@domain": "password or hash". */
void directory_read_accounts_json(struct directory_input *input, struct slice text, struct slice file,
                                  bool keep_secrets);
/* postfix-virtual.cf: key, blanks, targets separated by commas. A "*" in a key's local part stands for any
 * text. */
void directory_read_virtual(struct directory_input *input, struct slice text, struct slice file);
/* postfix-regexp.cf (pcre_table(5), regexp_table(5)): /expression/flags, blanks, targets; if, endif. */
void directory_read_regexp(struct directory_input *input, struct slice text, struct slice file);
/* dovecot-quotas.cf: user@domain:SIZE. */
void directory_read_quotas(struct directory_input *input, struct slice text, struct slice file);
/* Accounts kept in the database, or told by another role. `secret` may be empty. */
void directory_add_account(struct directory_input *input, struct slice address, struct slice secret,
                           struct slice source);

/* The quota of the account added last: what its extra fields say. dovecot-quotas.cf goes before it. */
void directory_limit_account(struct directory_input *input, uint64_t bytes);

/* For whoever walks the accounts (auth). */
size_t directory_account_count(const struct directory_input *input);
const struct directory_account_entry *directory_account_at(const struct directory_input *input, size_t index);

/* The key under which an address is looked up: case, A-label and U-label folded, "postmaster" bare allowed.
 * Empty when it is no address. */
struct slice directory_fold_in(struct arena *arena, struct slice address);

#endif
