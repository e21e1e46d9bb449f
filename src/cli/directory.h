/* directory.h: the address table as the running server would build it, for check and route. */
#ifndef CLI_DIRECTORY_H
#define CLI_DIRECTORY_H

#include "cli/cli.h"
#include "directory/table.h"

/* Reads account, alias and quota files and the accounts kept in the database; problems are added. */
struct directory_table *cli_directory(struct cli *cli, const struct settings *settings,
                                      const struct conf_origin *origin, struct problems *problems);

#endif
