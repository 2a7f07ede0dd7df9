/* Programs and directories of ours. */
#include "doctor/checks.h"

#include "backend/local/store.h"
#include "base/installed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SPACE_LOW    (1ull << 30) /* bytes: the output one command may leave */
#define SPACE_NEEDED (64ull << 20)

void check_agent(void)
{
	char path[PATH_MAX];

	if (installed_path("aviatofs-agent", R_OK, path) == 0)
		say(CHECK_OK, "%s", path);
	else
		say(CHECK_FAIL, "aviatofs-agent is neither beside this program nor in %s: make install",
		    LIBEXECDIR);
}

/* The directory itself, or the nearest one above it that is there. */
static bool nearest(const char *path, char *ret, size_t size)
{
	snprintf(ret, size, "%s", path);
	while (access(ret, F_OK) != 0) {
		char *slash = strrchr(ret, '/');

		if (!slash || slash == ret) {
			snprintf(ret, size, "/");
			return false;
		}
		*slash = '\0';
	}
	return strcmp(ret, path) == 0;
}

void check_state(void)
{
	char path[PATH_MAX], there[PATH_MAX];
	struct error err;
	struct stat st;

	if (store_default_path(path, &err)) {
		say(CHECK_FAIL, "%s", err.text);
		return;
	}
	if (!nearest(path, there, sizeof there)) {
		if (access(there, W_OK | X_OK) == 0)
			say(CHECK_OK, "%s can be made", path);
		else
			say(CHECK_FAIL,
			    "%s cannot be made (%s: %s): mkdir it for this user, or mount with -o "
			    "state_dir=DIR",
			    path, there, strerror(errno));
		return;
	}
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		say(CHECK_FAIL, "%s is no directory: remove it, or mount with -o state_dir=DIR", path);
	else if (st.st_uid != geteuid())
		say(CHECK_FAIL, "%s belongs to another user (%u): chown it, or mount with -o state_dir=DIR",
		    path, (unsigned)st.st_uid);
	else if (st.st_mode & 022)
		say(CHECK_FAIL, "%s can be written by others (mode %04o): chmod go-w %s", path,
		    st.st_mode & 07777, path);
	else if (access(path, W_OK | X_OK) != 0)
		say(CHECK_FAIL, "%s cannot be written (%s): mount with -o state_dir=DIR", path,
		    strerror(errno));
	else
		say(CHECK_OK, "%s (mode %04o)", path, st.st_mode & 07777);
}

void check_space(void)
{
	char path[PATH_MAX], there[PATH_MAX];
	unsigned long long bytes;
	struct error err;
	struct statvfs st;

	if (store_default_path(path, &err)) {
		say(CHECK_WARN, "not known without a state directory");
		return;
	}
	nearest(path, there, sizeof there);
	if (statvfs(there, &st) != 0) {
		say(CHECK_WARN, "%s: %s", there, strerror(errno));
		return;
	}
	bytes = (unsigned long long)st.f_bavail * st.f_frsize;
	if (bytes < SPACE_NEEDED || (st.f_files && st.f_favail < 100))
		say(CHECK_FAIL,
		    "%s has %llu MiB and %llu files left: free some, or mount with -o state_dir=DIR", there,
		    bytes >> 20, (unsigned long long)st.f_favail);
	else if (bytes < SPACE_LOW)
		say(CHECK_WARN,
		    "%s has %llu MiB left; one command may leave 2 GiB of output: free some, or mount with "
		    "-o spool_limit=SIZE",
		    there, bytes >> 20);
	else
		say(CHECK_OK, "%s has %llu GiB left", there, bytes >> 30);
}

/* For temporary files of the check below, and of what users run. */
void check_runtime(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR"), *temporary = getenv("TMPDIR");
	struct stat st;

	if (!temporary || !*temporary)
		temporary = "/tmp";
	if (access(temporary, W_OK | X_OK) != 0)
		say(CHECK_WARN, "%s cannot be written (%s): set TMPDIR", temporary, strerror(errno));
	else if (!dir || !*dir)
		say(CHECK_OK, "temporary files go to %s", temporary);
	else if (stat(dir, &st) != 0 || st.st_uid != geteuid() || st.st_mode & 077)
		say(CHECK_WARN, "XDG_RUNTIME_DIR is %s, which is not this user's alone (mode 0700)", dir);
	else
		say(CHECK_OK, "%s, %s", dir, temporary);
}
