/* read_lines.c: docker-mailserver's tables: accounts, aliases, quotas, one per line. The files are the
 * operator's, or were written by other tools for him; nothing in them is trusted to be well-formed.
 *
 *   file  = *(*WSP ["#" *VCHAR / entry] *WSP [CR] LF)     the last line end may be missing
 */
#include "directory/input_list.h"

#include <string.h>

#include "grammar/address.h"
#include "grammar/domain.h"

struct line_reader line_reader_new(struct directory_input *input, struct slice text, struct slice file)
{
    struct line_reader reader = {.input = input, .rest = text, .file = arena_dup(input->arena, file)};
    if (slice_starts(text, SLICE("\xef\xbb\xbf"))) /* an editor's byte order mark */
        reader.rest = slice_from(text, 3);
    if (text.len > DIRECTORY_FILE_MAX) {
        problem_add(input->problems, PROBLEM_ERROR, file, 0, SLICE_EMPTY, "larger than %u bytes; not read",
                    DIRECTORY_FILE_MAX);
        reader.rest = SLICE_EMPTY;
    }
    return reader;
}

bool line_reader_next(struct line_reader *reader, struct slice *line)
{
    struct slice raw;
    while (slice_token(&reader->rest, '\n', &raw)) {
        reader->line++;
        struct slice trimmed = slice_trim(raw);
        if (trimmed.len == 0 || trimmed.ptr[0] == '#')
            continue;
        if (raw.len > DIRECTORY_LINE_MAX) {
            problem_add(reader->input->problems, PROBLEM_ERROR, reader->file, reader->line,
                        SLICE("write several lines"), "longer than %u bytes; not read", DIRECTORY_LINE_MAX);
            continue;
        }
        size_t lead = (size_t)(trimmed.ptr - raw.ptr);
        *line = slice_sub(raw, 0, lead + trimmed.len); /* blanks in front mean something in aliases */
        return true;
    }
    return false;
}

struct directory_place line_reader_place(const struct line_reader *reader, struct slice text)
{
    return (struct directory_place){
        .file = reader->file, .line = reader->line, .text = arena_dup(reader->input->arena, text)};
}

/* ---- postfix-accounts.cf: address "|" secret ["|" extra] ---- */

/* "*:storage=SIZE" (KiB without a unit), "*:bytes=SIZE". */
static bool read_quota_rule(struct slice rule, uint64_t *bytes)
{
    bool storage = slice_starts(rule, SLICE("*:storage="));
    if (!storage && !slice_starts(rule, SLICE("*:bytes=")))
        return false;
    struct slice size = slice_from(rule, (size_t)slice_find(rule, '=') + 1);
    if (!conf_read_size(size, bytes))
        return false;
    bool bare = ascii_is_digit(size.ptr[size.len - 1]);
    if (storage && bare)
        *bytes = *bytes > UINT64_MAX / 1024 ? UINT64_MAX : *bytes * 1024;
    return true;
}

/* extra = *(name "=" value WSP); of all of it a userdb_quota_rule for the whole account counts here, the last
 * one as in Dovecot. Rules for single folders are Dovecot's alone. */
static void read_extra(struct line_reader *reader, struct slice extra)
{
    const struct slice name = SLICE("userdb_quota_rule=");
    struct slice field;
    while (slice_token(&extra, ' ', &field)) {
        struct slice rule = slice_trim(slice_from(field, name.len));
        uint64_t bytes;
        if (!slice_starts(field, name) || !slice_starts(rule, SLICE("*:")))
            continue;
        if (read_quota_rule(rule, &bytes))
            directory_limit_account(reader->input, bytes);
        else
            problem_add(reader->input->problems, PROBLEM_WARNING, reader->file, reader->line,
                        SLICE("write userdb_quota_rule=*:storage=5M, or a line of dovecot-quotas.cf"),
                        "the quota rule of this line is not understood; the default quota counts");
    }
}

void directory_read_accounts(struct directory_input *input, struct slice text, struct slice file,
                             bool keep_secrets)
{
    struct line_reader reader = line_reader_new(input, text, file);
    struct slice line;
    while (line_reader_next(&reader, &line)) {
        struct slice rest = slice_trim(line), address = SLICE_EMPTY, secret = SLICE_EMPTY;
        (void)slice_token(&rest, '|', &address);
        (void)slice_token(&rest, '|', &secret);
        struct directory_place place = line_reader_place(&reader, slice_trim(address));
        secret = slice_trim(secret);
        if (secret.len == 0) {
            problem_add(input->problems, PROBLEM_ERROR, place.file, place.line,
                        SLICE("write user@example.org|{SCHEME}hash"), "no password hash on this line");
            continue;
        }
        size_t before = directory_account_count(input);
        directory_input_account(input, slice_trim(address), keep_secrets ? secret : SLICE_EMPTY,
                                slice_trim(rest), &place);
        if (directory_account_count(input) > before)
            read_extra(&reader, slice_trim(rest));
    }
}

/* ---- postfix-virtual.cf: key WSP target *("," target); a line that begins with a blank goes on with the
 * targets ---- */

bool directory_take_target(struct slice *rest, struct slice *target)
{
    size_t start = 0;
    while (start < rest->len && (rest->ptr[start] == ',' || ascii_is_space(rest->ptr[start])))
        start++;
    size_t end = start;
    for (bool quoted = false; end < rest->len; end++) {
        uint8_t c = rest->ptr[end];
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == ',' || ascii_is_space(c)))
            break;
    }
    *target = slice_sub(*rest, start, end - start);
    *rest = slice_from(*rest, end);
    return target->len > 0;
}

bool directory_is_target(struct arena *scratch, struct slice target)
{
    struct slice domain;
    arena_reset(scratch);
    if (slice_starts(target, SLICE("@")))
        return domain_to_alabel_in(scratch, slice_from(target, 1), &domain, NULL) == ERR_OK;
    return slice_find(target, '@') >= 0 && directory_fold_in(scratch, target).len > 0;
}

static void add_targets(struct line_reader *reader, struct directory_alias_entry *entry, struct slice rest)
{
    struct arena *arena = reader->input->arena;
    struct slice found[DIRECTORY_TARGETS_MAX], target;
    size_t count = 0;
    while (directory_take_target(&rest, &target)) {
        if (!directory_is_target(reader->input->scratch, target)) {
            struct slice quoted = problem_quote(arena, target);
            problem_add(reader->input->problems, PROBLEM_ERROR, reader->file, reader->line,
                        SLICE("write whole addresses: user@example.org"), "target %.*s is no address",
                        SLICE_ARG(quoted));
            continue;
        }
        if (entry->target_count + count == DIRECTORY_TARGETS_MAX) {
            problem_add(reader->input->problems, PROBLEM_ERROR, reader->file, reader->line,
                        SLICE("split it into several aliases"), "more than %d targets; the rest is not read",
                        DIRECTORY_TARGETS_MAX);
            break;
        }
        found[count++] = arena_dup(arena, target);
    }
    if (count == 0)
        return;
    struct slice *all = ARENA_ARRAY(arena, struct slice, entry->target_count + count);
    if (entry->target_count)
        memcpy(all, entry->targets, entry->target_count * sizeof *all);
    memcpy(all + entry->target_count, found, count * sizeof *all);
    entry->targets = all;
    entry->target_count += count;
}

/* "*" in the local part. In quotes it is a star. */
static bool is_wildcard(struct slice word)
{
    ptrdiff_t star = slice_find(word, '*'), at = slice_rfind(word, '@');
    return star >= 0 && at > star && word.ptr[0] != '"';
}

/* What stands on the left: "@domain", "user@domain", "us*@domain" or "user". False when it is none of these.
 */
static bool read_key(struct directory_input *input, struct slice word, struct directory_alias_entry *entry)
{
    struct arena *arena = input->arena;
    if (slice_starts(word, SLICE("@"))) {
        entry->kind = DIRECTORY_ALIAS_DOMAIN;
        return domain_to_alabel_in(arena, slice_from(word, 1), &entry->key, NULL) == ERR_OK;
    }
    if (slice_find(word, '@') < 0) {
        struct slice whole =
            arena_printf(arena, "%.*s@local.invalid", SLICE_ARG(word)); /* is it a local part? */
        entry->kind = DIRECTORY_ALIAS_LOCAL;
        entry->key = address_fold_local_in(arena, arena_dup(arena, word));
        return directory_fold_in(arena, whole).len > 0;
    }
    entry->key = directory_input_fold(input, word);
    entry->kind = is_wildcard(word) ? DIRECTORY_ALIAS_WILDCARD : DIRECTORY_ALIAS_ADDRESS;
    return entry->key.len > 0;
}

/* An alias without any readable target is as if it were not there: never a black hole. */
static void finish_alias(struct line_reader *reader, struct directory_alias_entry *entry)
{
    if (!entry)
        return;
    if (entry->kind == DIRECTORY_ALIAS_WILDCARD && reader->input->wildcards++ >= DIRECTORY_RULES_MAX)
        problem_add(reader->input->problems, PROBLEM_ERROR, entry->place.file, entry->place.line,
                    SLICE("write fewer, wider ones"), "more than %d aliases with \"*\"; this one is not read",
                    DIRECTORY_RULES_MAX);
    else if (entry->target_count)
        (void)directory_list_add(reader->input, &reader->input->aliases, entry, &entry->place);
    else
        problem_add(reader->input->problems, PROBLEM_ERROR, entry->place.file, entry->place.line,
                    SLICE("write alias@example.org user@example.org"), "no target on this line; ignored");
}

void directory_read_virtual(struct directory_input *input, struct slice text, struct slice file)
{
    struct line_reader reader = line_reader_new(input, text, file);
    struct directory_alias_entry *entry = NULL; /* of the line that may go on; NULL: it cannot be read */
    struct slice line, key;
    for (bool any = false; line_reader_next(&reader, &line); any = true) {
        if (any && ascii_is_space(line.ptr[0])) {
            if (entry)
                add_targets(&reader, entry, line);
            continue;
        }
        finish_alias(&reader, entry);
        entry = ARENA_NEW(input->arena, struct directory_alias_entry);
        entry->place = line_reader_place(&reader, slice_trim(line));
        (void)directory_take_target(&line,
                                    &key); /* there is one: the line is not blank, unless it is only commas */
        if (!read_key(input, key, entry)) {
            struct slice quoted = problem_quote(input->arena, key);
            problem_add(input->problems, PROBLEM_ERROR, reader.file, reader.line,
                        SLICE("write user@example.org, or @example.org for a catch-all"),
                        "alias %.*s is no address; ignored", SLICE_ARG(quoted));
            entry = NULL;
            continue;
        }
        add_targets(&reader, entry, line);
    }
    finish_alias(&reader, entry);
}

/* ---- dovecot-quotas.cf: address ":" size ---- */

void directory_read_quotas(struct directory_input *input, struct slice text, struct slice file)
{
    struct line_reader reader = line_reader_new(input, text, file);
    struct slice line;
    while (line_reader_next(&reader, &line)) {
        line = slice_trim(line);
        ptrdiff_t colon = slice_rfind(line, ':');
        struct directory_quota_entry *entry = ARENA_NEW(input->arena, struct directory_quota_entry);
        entry->place = line_reader_place(&reader, line);
        entry->key = colon < 0 ? SLICE_EMPTY
                               : directory_input_fold(input, slice_trim(slice_sub(line, 0, (size_t)colon)));
        if (entry->key.len == 0 ||
            !conf_read_size(slice_trim(slice_from(line, (size_t)colon + 1)), &entry->bytes)) {
            problem_add(input->problems, PROBLEM_ERROR, reader.file, reader.line,
                        SLICE("write user@example.org:50M"), "no address and size on this line; ignored");
            continue;
        }
        (void)directory_list_add(input, &input->quotas, entry, &entry->place);
    }
}
