/* check_gateways.h: what `check` asks the running server. */
#ifndef CLI_CHECK_GATEWAYS_H
#define CLI_CHECK_GATEWAYS_H

#include "cli/cli.h"

/* Warns of each private address that hides many clients, as the server that runs on this data folder has seen
 * them; says nothing where none runs. */
void cli_check_gateways(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                        struct problems *problems);

#endif
