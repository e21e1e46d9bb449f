/* read_json.c: accounts as a JSON object of address to password or hash, as secret stores hand it out. The
 * file is the operator's; jansson bounds depth, we bound size. */
#include "directory/input_list.h"

#include <jansson.h>
#include <string.h>

/* No text of the file in this message: it may hold passwords. */
static void syntax_problem(struct directory_input *input, struct slice file, const json_error_t *error)
{
    uint32_t line = error->line > 0 ? (uint32_t)error->line : 0;
    bool twice = json_error_code(error) == json_error_duplicate_key;
    problem_add(input->problems, PROBLEM_ERROR, file, line,
                SLICE("write { \"user@example.org\": \"hash\", ... }"),
                twice ? "the same address twice" : "not valid JSON");
}

static void read_object(struct directory_input *input, json_t *root, struct slice file, bool keep_secrets)
{
    const char *name;
    size_t name_len;
    json_t *value;
    json_object_keylen_foreach(root, name, name_len, value)
    {
        struct slice address = slice_make(name, name_len);
        struct directory_place place = {.file = file};
        if (!json_is_string(value) || json_string_length(value) == 0) {
            struct slice quoted = problem_quote(input->arena, address);
            problem_add(input->problems, PROBLEM_ERROR, file, 0,
                        SLICE("write the password or its hash as a string"), "account %.*s has no password",
                        SLICE_ARG(quoted));
            continue;
        }
        struct slice secret = slice_make(json_string_value(value), json_string_length(value));
        directory_input_account(input, address, keep_secrets ? secret : SLICE_EMPTY, SLICE_EMPTY, &place);
    }
}

void directory_read_accounts_json(struct directory_input *input, struct slice text, struct slice file,
                                  bool keep_secrets)
{
    json_error_t error;
    file = arena_dup(input->arena, file);
    if (text.len > DIRECTORY_FILE_MAX) {
        problem_add(input->problems, PROBLEM_ERROR, file, 0, SLICE_EMPTY, "larger than %u bytes; not read",
                    DIRECTORY_FILE_MAX);
        return;
    }
    json_t *root = json_loadb((const char *)(text.len ? text.ptr : (const uint8_t *)""), text.len,
                              JSON_REJECT_DUPLICATES, &error);
    if (!root)
        syntax_problem(input, file, &error);
    else if (!json_is_object(root))
        problem_add(input->problems, PROBLEM_ERROR, file, 1,
                    SLICE("write { \"user@example.org\": \"hash\", ... }"), "not a JSON object");
    else
        read_object(input, root, file, keep_secrets);
    json_decref(root);
}
