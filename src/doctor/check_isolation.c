/* What a local sandbox is made of. */
#include "doctor/checks.h"

#include "backend/local/cgroup.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_SECONDS 5

static const char restricting[] = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/* 0, or the errno of making a user namespace. */
static int try_user_namespace(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
	if (pid < 0)
		return errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

void check_user_namespaces(void)
{
	char allowed[32] = "1", most[32] = "1";
	int code = try_user_namespace();

	read_line("/proc/sys/kernel/unprivileged_userns_clone", allowed, sizeof allowed);
	read_line("/proc/sys/user/max_user_namespaces", most, sizeof most);
	if (code == 0)
		say(CHECK_OK, "user namespaces can be made");
	else if (strcmp(most, "0") == 0)
		say(CHECK_FAIL, "there may be no user namespaces: sysctl user.max_user_namespaces=15000");
	else if (strcmp(allowed, "0") == 0)
		say(CHECK_FAIL, "ordinary users may make none: sysctl kernel.unprivileged_userns_clone=1");
	else
		say(CHECK_FAIL,
		    "user namespaces cannot be made (%s): a container needs a seccomp profile that lets it "
		    "(docker: --security-opt seccomp=unconfined)",
		    strerror(code));
}

void check_apparmor(void)
{
	char value[32];

	if (!read_line(restricting, value, sizeof value) || strcmp(value, "0") == 0)
		say(CHECK_OK, "it does not restrict user namespaces");
	else if (geteuid() == 0)
		say(CHECK_OK, "it restricts user namespaces of ordinary users; root is none");
	else
		say(CHECK_WARN, "it restricts user namespaces to programs with a profile that allows them; "
				"see isolation");
}

void check_bubblewrap(void)
{
	char path[300], said[200];
	const char *argv[] = {path, "--version", NULL};
	struct stat st;

	if (!find_program("bwrap", path, sizeof path))
		say(CHECK_FAIL, "bwrap is not installed: apt install bubblewrap");
	else if (run_program(argv, PROBE_SECONDS, said, sizeof said) != 0)
		say(CHECK_FAIL, "%s does not run: %s", path, said);
	else if (stat(path, &st) == 0 && st.st_mode & S_ISUID)
		say(CHECK_WARN, "%s, %s, is setuid root, which it need not be: chmod u-s %s", path, said,
		    path);
	else
		say(CHECK_OK, "%s, %s", path, said);
}

/* All that a sandbox is made of, at once. */
void check_isolation(void)
{
	char path[300], said[300], value[32];
	const char *argv[] = {path,
			      "--unshare-user",
			      "--disable-userns",
			      "--unshare-pid",
			      "--unshare-net",
			      "--unshare-ipc",
			      "--unshare-uts",
			      "--unshare-cgroup",
			      "--cap-drop",
			      "ALL",
			      "--new-session",
			      "--ro-bind",
			      "/",
			      "/",
			      "--proc",
			      "/proc",
			      "--dev",
			      "/dev",
			      "--tmpfs",
			      "/tmp",
			      "--die-with-parent",
			      "/bin/sh",
			      "-c",
			      "exit 7",
			      NULL};
	int status;

	if (!find_program("bwrap", path, sizeof path)) {
		say(CHECK_FAIL, "not tried without bwrap");
		return;
	}
	status = run_program(argv, PROBE_SECONDS, said, sizeof said);
	if (status == 7)
		say(CHECK_OK, "a command ran in namespaces of its own");
	else if (status < 0)
		say(CHECK_FAIL, "bwrap did not end within %d s", PROBE_SECONDS);
	else if (geteuid() != 0 && read_line(restricting, value, sizeof value) && strcmp(value, "0") != 0)
		say(CHECK_FAIL,
		    "bwrap may not make namespaces (%s): give it an AppArmor profile: printf 'abi "
		    "<abi/4.0>,\\n"
		    "profile bwrap %s flags=(unconfined) {\\n userns,\\n}\\n' | sudo tee "
		    "/etc/apparmor.d/bwrap && "
		    "sudo apparmor_parser -r /etc/apparmor.d/bwrap",
		    said, path);
	else
		say(CHECK_FAIL,
		    "bwrap cannot isolate (%s): in a container, /proc must not be masked and the seccomp "
		    "profile must allow namespaces and mounts",
		    said[0] ? said : "it said nothing");
}

void check_seccomp(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		say(CHECK_OK, "system calls can be filtered");
	else
		say(CHECK_FAIL,
		    "system calls cannot be filtered (%s): the kernel needs CONFIG_SECCOMP_FILTER",
		    strerror(errno));
}

void check_cgroups(void)
{
	static struct cgroup_places places;
	char have[100] = "", lack[100] = "";

	cgroup_probe(&places);
	for (int kind = 0; kind < CGROUP_KINDS; kind++) {
		const struct cgroup_place *p = &places.place[kind];
		char *list = p->dir[0] ? have : lack;
		size_t used = strlen(list);

		snprintf(list + used, sizeof have - used, p->dir[0] ? "%s%s (v%d)" : "%s%s", used ? ", " : "",
			 cgroup_names[kind], p->version);
	}
	if (!lack[0])
		say(CHECK_OK, "limits can be kept: %s", have);
	else
		say(CHECK_WARN,
		    "no group can be made for %s%s%s, so such limits are refused (but pids, of who is not "
		    "root); "
		    "under systemd: systemd-run --user --scope -p Delegate=yes aviatofs ...",
		    lack, have[0] ? "; there is " : "", have);
}
