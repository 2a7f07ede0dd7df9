#include "base/installed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int installed_path(const char *name, int mode, char ret[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - strlen(name) - 1);
	char *slash;

	ret[n > 0 ? n : 0] = '\0';
	slash = strrchr(ret, '/');
	if (slash) {
		strcpy(slash + 1, name);
		if (access(ret, mode) == 0)
			return 0;
	}
	snprintf(ret, PATH_MAX, LIBEXECDIR "/%s", name);
	return access(ret, mode) ? -ENOENT : 0;
}
