/* directory.c: reads the directory's files for a command. */
#include "cli/directory.h"

#include "wire/wire.h"

/* The look at the settings (settings_check) may have told of this file already, with the line that names it.
 */
static bool is_told(const struct problems *problems, struct slice text)
{
    for (size_t i = 0; i < problems->count; i++)
        if (slice_ends(problems->items[i].text, text))
            return true;
    return false;
}

static bool read_source(struct cli *cli, struct slice path, struct problems *problems, struct slice *text)
{
    struct why why;
    if (cli_read_file(cli->arena, arena_cstr(cli->arena, path), DIRECTORY_FILE_MAX, text, &why) == ERR_OK)
        return true;
    if (!is_told(problems, slice_of(why.text)))
        problem_add(problems, PROBLEM_ERROR, path, 0, SLICE("correct the path, or the rights of the file"),
                    "%s", why.text);
    return false;
}

static void read_accounts(struct cli *cli, const struct settings_accounts *source,
                          struct directory_input *input, struct problems *problems)
{
    struct slice text;
    if (!read_source(cli, source->file, problems, &text))
        return;
    if (source->format == SETTINGS_ACCOUNTS_JSON)
        directory_read_accounts_json(input, text, source->file, true);
    else
        directory_read_accounts(input, text, source->file, true);
}

struct directory_table *cli_directory(struct cli *cli, const struct settings *settings,
                                      const struct conf_origin *origin, struct problems *problems)
{
    struct directory_input *input = directory_input_new_in(cli->arena, problems);
    struct slice text;
    for (size_t i = 0; i < settings->accounts.count; i++)
        read_accounts(cli, &settings->accounts.items[i], input, problems);
    for (size_t i = 0; i < settings->aliases.count; i++)
        if (read_source(cli, settings->aliases.items[i].file, problems, &text))
            directory_read_virtual(input, text, settings->aliases.items[i].file);
    for (size_t i = 0; i < settings->regexp_aliases.count; i++)
        if (read_source(cli, settings->regexp_aliases.items[i].file, problems, &text))
            directory_read_regexp(input, text, settings->regexp_aliases.items[i].file);
    for (size_t i = 0; i < settings->quota.files.count; i++)
        if (read_source(cli, settings->quota.files.items[i], problems, &text))
            directory_read_quotas(input, text, settings->quota.files.items[i]);
    return directory_table_new_in(cli->arena, input, settings, origin, slice_of(cli->config_path));
}
