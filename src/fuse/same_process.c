#include "fuse/same_process.h"

#include <stdio.h>
#include <unistd.h>

bool same_process(pid_t a, pid_t b)
{
	char path[64];

	if (a == 0 || b == 0)
		return false;
	if (a == b)
		return true;
	snprintf(path, sizeof path, "/proc/%d/task/%d", a, b);
	return access(path, F_OK) == 0;
}
