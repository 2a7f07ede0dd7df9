/* mount_tree_agent LISTENER DIRECTORY: the agent, with a directory of any kind as the root of its files. */
#include "agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct options o = {0};
	struct agent a;

	if (argc != 3)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	o.listener = atoi(argv[1]);
	fcntl(o.listener, F_SETFL, O_NONBLOCK);
	o.spool = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	o.root = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (o.spool < 0 || o.root < 0 || agent_init(&a, &o))
		return 1;
	agent_run(&a);
	return 0;
}
