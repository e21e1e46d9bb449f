/* check_outbound.h: the files of relays and SRS, for `rockdove check`. */
#ifndef CLI_CHECK_OUTBOUND_H
#define CLI_CHECK_OUTBOUND_H

#include "cli/cli.h"
#include "directory/table.h"

/* Relay maps, relay passwords, SRS secrets, and what aliases that lead elsewhere need. Files that cannot be
 * opened are settings_check()'s to tell. */
void cli_check_outbound(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                        const struct directory_table *table, struct problems *problems);

#endif
