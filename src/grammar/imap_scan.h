/* imap_scan.h: the tokens of IMAP commands (RFC 9051 section 9), shared by the parsers of this folder only.
 *
 * A scan takes octets from the front of one framed command. The first failure stays: its text is for the
 * client.
 */
#ifndef GRAMMAR_IMAP_SCAN_H
#define GRAMMAR_IMAP_SCAN_H

#include "base/arena.h"
#include "base/err.h"
#include "grammar/imap_command.h"

struct imap_scan {
    const uint8_t *at, *end;
    struct arena *arena;
    bool utf8;             /* see struct imap_parse_options */
    struct slice supplied; /* the first mailbox name in UTF-8, before it was made canonical */
    enum err code;         /* ERR_OK until something failed */
    const char *error;     /* a constant */
};

struct imap_scan imap_scan_new(struct arena *arena, struct slice input, bool utf8);
/* Notes the failure unless there is one already; always false, so that callers can return it. */
bool imap_scan_fail(struct imap_scan *s, const char *text);
bool imap_scan_refuse(struct imap_scan *s, enum err code, const char *text);
/* The outcome as an error with its text. */
enum err imap_scan_result(const struct imap_scan *s, struct why *why) MUST_CHECK;

/* The next octet without taking it, -1 at the end. */
int imap_scan_peek(const struct imap_scan *s);
/* Takes `byte` when it is next; the second form fails when it is not. */
bool imap_scan_try(struct imap_scan *s, uint8_t byte);
bool imap_scan_byte(struct imap_scan *s, uint8_t byte, const char *otherwise) MUST_CHECK;
/* Exactly one SP. */
bool imap_scan_sp(struct imap_scan *s) MUST_CHECK;
/* CRLF and nothing behind it. */
bool imap_scan_end(struct imap_scan *s) MUST_CHECK;

/* 1*ATOM-CHAR. The second form takes letters, digits, "-" and "." only and may be empty: names of items. */
bool imap_scan_atom(struct imap_scan *s, struct slice *atom) MUST_CHECK;
struct slice imap_scan_word(struct imap_scan *s);
bool imap_scan_astring(struct imap_scan *s, struct slice *text) MUST_CHECK;
bool imap_scan_string(struct imap_scan *s, struct slice *text) MUST_CHECK;
/* A string or NIL, which gives a NULL pointer. */
bool imap_scan_nstring(struct imap_scan *s, struct slice *text) MUST_CHECK;
/* An astring as mailbox name in UTF-8, NFC, INBOX canonical; and LIST's pattern, which may hold "*" and "%".
 */
bool imap_scan_mailbox(struct imap_scan *s, struct slice *name) MUST_CHECK;
bool imap_scan_pattern(struct imap_scan *s, struct slice *pattern) MUST_CHECK;
/* A decimal number of at most `max`. */
bool imap_scan_number(struct imap_scan *s, uint64_t max, uint64_t *number) MUST_CHECK;
bool imap_scan_set(struct imap_scan *s, struct imap_set *set) MUST_CHECK;
/* "(…)" or the flags alone. */
bool imap_scan_flags(struct imap_scan *s, struct imap_flags *flags) MUST_CHECK;
/* "{n}CRLF" and its kin without the octets that follow. */
bool imap_scan_literal_head(struct imap_scan *s, uint64_t *octets) MUST_CHECK;

/* 1*ATOM-CHAR */
bool imap_is_atom_char(uint8_t c);

/* The parsers of whole arguments, each in its file: behind "FETCH set SP", and behind "SEARCH SP". */
bool imap_scan_fetch(struct imap_scan *s, struct imap_fetch *fetch) MUST_CHECK;
/* The items alone: "(" fetch-att *(SP fetch-att) ")" and its kin. */
bool imap_scan_fetch_items(struct imap_scan *s, struct imap_fetch *fetch) MUST_CHECK;
bool imap_scan_search(struct imap_scan *s, struct imap_search *search) MUST_CHECK;
/* The keys alone, as in SORT and THREAD. */
bool imap_scan_search_keys(struct imap_scan *s, struct imap_search *search) MUST_CHECK;
/* RETURN (…) of SEARCH and SORT. */
bool imap_scan_search_return(struct imap_scan *s, struct imap_search *search) MUST_CHECK;
bool imap_scan_charset(struct imap_scan *s, struct imap_search *search) MUST_CHECK;
/* SP and the range behind PARTIAL, of SEARCH and FETCH. */
bool imap_scan_partial(struct imap_scan *s, int64_t *from, int64_t *to) MUST_CHECK;
/* Behind the command's name, with the leading SP: one per row of the table in imap_command.c (imap_args*.c).
 */
bool imap_args_none(struct imap_scan *s, struct imap_command *c);
bool imap_args_id(struct imap_scan *s, struct imap_command *c);
bool imap_args_authenticate(struct imap_scan *s, struct imap_command *c);
bool imap_args_login(struct imap_scan *s, struct imap_command *c);
bool imap_args_compress(struct imap_scan *s, struct imap_command *c);
bool imap_args_enable(struct imap_scan *s, struct imap_command *c);
bool imap_args_select(struct imap_scan *s, struct imap_command *c);
bool imap_args_create(struct imap_scan *s, struct imap_command *c);
bool imap_args_mailbox(struct imap_scan *s, struct imap_command *c);
bool imap_args_rename(struct imap_scan *s, struct imap_command *c);
bool imap_args_list(struct imap_scan *s, struct imap_command *c);
bool imap_args_lsub(struct imap_scan *s, struct imap_command *c);
bool imap_args_status(struct imap_scan *s, struct imap_command *c);
bool imap_args_append(struct imap_scan *s, struct imap_command *c);
bool imap_args_replace(struct imap_scan *s, struct imap_command *c);
bool imap_args_genurlauth(struct imap_scan *s, struct imap_command *c);
bool imap_args_resetkey(struct imap_scan *s, struct imap_command *c);
bool imap_args_urlfetch(struct imap_scan *s, struct imap_command *c);
bool imap_args_getquota(struct imap_scan *s, struct imap_command *c);
bool imap_args_setquota(struct imap_scan *s, struct imap_command *c);
bool imap_args_expunge(struct imap_scan *s, struct imap_command *c);
bool imap_args_search(struct imap_scan *s, struct imap_command *c);
bool imap_args_cancelupdate(struct imap_scan *s, struct imap_command *c);
bool imap_args_esearch(struct imap_scan *s, struct imap_command *c);
bool imap_args_sort(struct imap_scan *s, struct imap_command *c);
bool imap_args_thread(struct imap_scan *s, struct imap_command *c);
bool imap_args_fetch(struct imap_scan *s, struct imap_command *c);
bool imap_args_store(struct imap_scan *s, struct imap_command *c);
bool imap_args_copy(struct imap_scan *s, struct imap_command *c);
bool imap_args_setacl(struct imap_scan *s, struct imap_command *c);
bool imap_args_identifier(struct imap_scan *s, struct imap_command *c);
bool imap_args_acl(struct imap_scan *s, struct imap_command *c);
bool imap_args_getmetadata(struct imap_scan *s, struct imap_command *c);
bool imap_args_setmetadata(struct imap_scan *s, struct imap_command *c);
bool imap_args_notify(struct imap_scan *s, struct imap_command *c);
/* "(" entry *(SP entry) ")" or one entry alone: names of annotations (RFC 5464), lower case. */
bool imap_scan_entries(struct imap_scan *s, struct slice **entries, size_t *count) MUST_CHECK;

#endif
