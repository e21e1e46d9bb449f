/* input_list.h: the inside of struct directory_input, for the readers and the table. */
#ifndef DIRECTORY_INPUT_LIST_H
#define DIRECTORY_INPUT_LIST_H

#include "base/coll.h"
#include "directory/input.h"

struct directory_input {
    struct arena *arena;
    struct arena *scratch; /* for one address at a time: folding leaves more behind than its result */
    struct problems *problems;
    struct vec accounts, aliases, quotas, rules; /* of pointers to entries */
    size_t wildcards;                            /* among the aliases */
};

#define ACCOUNT_AT(input, index) (*VEC_AT(&(input)->accounts, struct directory_account_entry *, index))
#define ALIAS_AT(input, index)   (*VEC_AT(&(input)->aliases, struct directory_alias_entry *, index))
#define QUOTA_AT(input, index)   (*VEC_AT(&(input)->quotas, struct directory_quota_entry *, index))
#define RULE_AT(input, index)    (*VEC_AT(&(input)->rules, struct directory_rule_entry *, index))

/* False (and a problem) when there are too many. */
bool directory_list_add(struct directory_input *input, struct vec *list, void *entry,
                        const struct directory_place *place);
/* The folded address, in the input's arena. Empty when it is none. */
struct slice directory_input_fold(struct directory_input *input, struct slice address);
/* Checks the address and adds the account, or a problem. */
void directory_input_account(struct directory_input *input, struct slice address, struct slice secret,
                             struct slice extra, const struct directory_place *place);

/* The next line that says something: comments and blank lines skipped, blanks behind it cut, `line` counted.
 * Too long a line is a problem and skipped. False at the end. */
struct line_reader {
    struct directory_input *input;
    struct slice rest, file;
    uint32_t line;
};
struct line_reader line_reader_new(struct directory_input *input, struct slice text, struct slice file);
bool line_reader_next(struct line_reader *reader, struct slice *line);
/* Of the line just read; `text` is copied. */
struct directory_place line_reader_place(const struct line_reader *reader, struct slice text);

/* The next target off the front: separated by commas and blanks, which count nothing inside quotes. */
bool directory_take_target(struct slice *rest, struct slice *target);
/* "user@domain", or "@domain" (the same user there). */
bool directory_is_target(struct arena *scratch, struct slice target);

/* Takes text, and the group behind it, off the front of a regexp rule's target. False when a "$" is not
 * followed by a number, which may stand in parentheses or braces. */
#define DIRECTORY_NO_GROUP UINT32_MAX
bool directory_take_group(struct slice *rest, struct slice *text, unsigned *group);

#endif
