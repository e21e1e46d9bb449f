#include "cli/cli.h"
int cmd_store(struct cli *cli){ return cli_usage(cli);}
