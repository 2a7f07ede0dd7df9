/*
 * aviatofs-run: what the executables of a mount are run by. The same as `aviatofs run`, as a program
 * that is small and linked with nothing, because it begins anew for each command.
 */
#include "client/run.h"

int main(int argc, char **argv)
{
	return client_run(argc, argv);
}
