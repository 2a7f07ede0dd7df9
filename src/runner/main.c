/*
 * aviatofs-run: what the executables of a mount are run by. The same as `aviatofs run`, as a program
 * that is small and linked with nothing, because it begins anew for each command.
 */
#include "client/run.h"

#include <string.h>

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--program") == 0)
		return client_program(argc - 1, argv + 1);
	return client_run(argc, argv);
}
