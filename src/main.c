/* main.c: the program: a command line, or, when the supervisor started it, one role. */
#include "cli/cli.h"
#include "proc/roles.h"
#include "proc/supervisor.h"

int main(int argc, char **argv)
{
    if (argc == 1 && proc_role_by_title(argv[0]) != ROLE_COUNT)
        return supervisor_child_main(argv[0]);
    return cli_main(argc, argv);
}
