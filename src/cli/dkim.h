/* dkim.h: the keys of the configuration, for the commands. */
#ifndef CLI_DKIM_H
#define CLI_DKIM_H

#include "cli/cli.h"
#include "directory/table.h"
#include "policy/dkim.h"

/* The entry of `domain` (A-labels) with this selector, or its first one (NULL); NULL when there is none. */
const struct settings_dkim *cli_dkim_row(struct cli *cli, const struct settings *settings,
                                         struct slice domain, const char *selector);
/* Reads and proves a key. */
enum err cli_dkim_key(struct cli *cli, struct slice path, struct dkim_key **key, struct why *why) MUST_CHECK;
/* Keys that cannot be used, short or readable for everybody, names that are none, hosted domains without a
 * key. Files that cannot be opened are settings_check()'s to tell. */
void cli_dkim_check(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                    const struct directory_table *table, struct problems *problems);

#endif
