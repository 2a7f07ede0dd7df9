/* What there is to be run: the programs on a PATH. */
#include "agent/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, 0) == 0 && S_ISREG(st.st_mode) && faccessat(dir, name, X_OK, 0) == 0;
}

static int put_name(struct buf *out, const char *name)
{
	return buf_append(out, name, strlen(name) + 1);
}

static int put_all(int dir, struct buf *out)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!d) {
		close(dir);
		return 0;
	}
	while (rc == 0 && (e = readdir(d)))
		if (is_program(dir, e->d_name))
			rc = put_name(out, e->d_name);
	closedir(d);
	return rc;
}

/* Those of one directory; 1 when the one that was asked for is there. */
static int look_in(const char *path, const char *name, struct buf *out)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (dir < 0)
		return 0;
	if (!*name)
		return put_all(dir, out);
	rc = is_program(dir, name) ? put_name(out, name) : -ENOENT;
	close(dir);
	return rc == -ENOENT ? 0 : rc ? rc : 1;
}

/* Directories that are not absolute depend on where a command starts: they are left out. */
int programs_put(const struct agent *a, char *path, const char *name, struct buf *out)
{
	char copy[4096], *save = NULL;
	const char *own = environment_get(a->environ, "PATH");
	int rc = 0;

	if (!*path) {
		strncpy(copy, own ? own : DEFAULT_PATH, sizeof copy - 1);
		copy[sizeof copy - 1] = '\0';
		path = copy;
	}
	for (char *dir = strtok_r(path, ":", &save); dir && rc == 0; dir = strtok_r(NULL, ":", &save))
		if (*dir == '/')
			rc = look_in(dir, name, out);
	return rc < 0 ? rc : 0;
}
