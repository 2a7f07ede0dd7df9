/* What mounting takes. */
#include "doctor/checks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static int kernel_version(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (uname(&u) == 0)
		sscanf(u.release, "%d.%d", &major, &minor);
	return major * 1000 + minor;
}

void check_kernel(void)
{
	struct utsname u;
	int version = kernel_version();

	uname(&u);
	if (version < 5010)
		say(CHECK_FAIL, "Linux %s: 5.10 or newer is needed", u.release);
	else
		say(CHECK_OK, "Linux %s on %s", u.release, u.machine);
}

void check_fuse_device(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		say(CHECK_OK, "/dev/fuse can be opened");
	} else if (errno == ENOENT) {
		say(CHECK_FAIL, "/dev/fuse is missing: modprobe fuse, or give the container the device "
				"(--device /dev/fuse)");
	} else {
		say(CHECK_FAIL,
		    "/dev/fuse cannot be opened (%s): its mode should be 0666: chmod 666 /dev/fuse",
		    strerror(errno));
	}
}

void check_fusermount(void)
{
	char path[300];
	struct stat st;

	if (!find_program("fusermount3", path, sizeof path)) {
		if (geteuid() == 0)
			say(CHECK_WARN,
			    "fusermount3 is not installed; root needs it only to unmount: apt install fuse3");
		else
			say(CHECK_FAIL, "fusermount3 is not installed: apt install fuse3");
	} else if (geteuid() != 0 && (stat(path, &st) != 0 || !(st.st_mode & S_ISUID) || st.st_uid != 0)) {
		say(CHECK_FAIL, "%s is not setuid root, so ordinary users cannot mount: chmod u+s %s", path,
		    path);
	} else if (geteuid() != 0 && access("/etc/mtab", F_OK) != 0) {
		say(CHECK_WARN,
		    "%s will not unmount for ordinary users without /etc/mtab: ln -s /proc/self/mounts "
		    "/etc/mtab",
		    path);
	} else {
		say(CHECK_OK, "%s", path);
	}
}

void check_allow_other(void)
{
	FILE *file = fopen("/etc/fuse.conf", "re");
	char line[256], word[64];
	bool found = false;

	while (file && fgets(line, sizeof line, file))
		found |= sscanf(line, " %63s", word) == 1 && strcmp(word, "user_allow_other") == 0;
	if (file)
		fclose(file);
	if (geteuid() == 0)
		say(CHECK_OK, "-o allow_other is root's right");
	else if (found)
		say(CHECK_OK, "-o allow_other can be used");
	else
		say(CHECK_OK,
		    "-o allow_other cannot be used: it takes the line user_allow_other in /etc/fuse.conf");
}

/* The kernel ends the whole connection when one request takes longer, and reads that wait do. */
void check_request_timeout(void)
{
	char standard[32] = "0", most[32] = "0";

	read_line("/proc/sys/fs/fuse/default_request_timeout", standard, sizeof standard);
	read_line("/proc/sys/fs/fuse/max_request_timeout", most, sizeof most);
	if (atol(standard) || atol(most))
		say(CHECK_WARN,
		    "requests may take %s s (%s at most), then the mount is ended: a waiting read of stdout "
		    "is one; "
		    "sysctl fs.fuse.default_request_timeout=0 fs.fuse.max_request_timeout=0",
		    standard, most);
	else
		say(CHECK_OK, "reads may wait as long as they like");
}

void check_passthrough(void)
{
	if (geteuid() == 0 && kernel_version() >= 6009)
		say(CHECK_OK, "data of fs/ can go past the daemon");
	else
		say(CHECK_OK, "data of fs/ goes through the daemon: %s",
		    geteuid() ? "passing it by is root's right" : "passing it by takes Linux 6.9");
}
