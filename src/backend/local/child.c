#include "backend/local/child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The child shares the daemon's memory (the daemon's thread waits, as in
 * vfork), so a big daemon starts one as cheaply as a small one. It must not
 * allocate, lock or touch anything but *c, and must use raw system calls where
 * libc's wrapper knows about threads (setgroups, sigaction) or a sanitizer
 * keeps account of descriptors, which are not the daemon's here.
 */
#define CHILD_STACK    (64u << 10)
#define KERNEL_SIGNALS 64

#define UNWATCHED __attribute__((no_sanitize("address", "thread", "undefined")))

static UNWATCHED int failed(struct child *c, const char *step)
{
	c->failed_code = errno;
	c->failed_step = step;
	return -1;
}

static UNWATCHED int raw_open(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static UNWATCHED int raw_dup(int fd, int to)
{
	if (fd == to) /* dup3 refuses; the descriptor has to outlive the exec all the same */
		return (int)syscall(SYS_fcntl, fd, F_SETFD, 0);
	return (int)syscall(SYS_dup3, fd, to, 0);
}

/* Handlers of the daemon, signals it ignores or blocks: none of it is for the sandbox. */
static UNWATCHED void reset_signals(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} none;
	uint64_t empty = 0;

	memset(&none, 0, sizeof none);
	for (int sig = 1; sig <= KERNEL_SIGNALS; sig++)
		syscall(SYS_rt_sigaction, sig, &none, NULL, sizeof empty);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &empty, NULL, sizeof empty);
}

static UNWATCHED int write_proc(const char *path, const char *text)
{
	int fd = raw_open(path, O_WRONLY);
	ssize_t n = fd < 0 ? -1 : syscall(SYS_write, fd, text, strlen(text));

	if (fd >= 0)
		syscall(SYS_close, fd);
	return n < 0 ? -1 : 0;
}

/* A mount namespace of its own; an ordinary user needs a user namespace round it. */
static UNWATCHED int own_mounts(struct child *c)
{
	if (c->uid == 0)
		return unshare(CLONE_NEWNS);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) || write_proc("/proc/self/setgroups", "deny") ||
	    write_proc("/proc/self/uid_map", c->uid_map))
		return -1;
	return write_proc("/proc/self/gid_map", c->gid_map);
}

/* The image goes by a descriptor and the rest by its name in the home: no path of the user's has to be
 * escaped. */
#define OVERLAY "lowerdir=/proc/self/fd/3,upperdir=upper,workdir=work"

static UNWATCHED int mount_overlay(struct child *c)
{
	/*
	 * Without privilege overlayfs keeps its marks in user.* attributes, not in trusted.*, and of them
	 * only those that a copy of the layer keeps its meaning with; so must it for root, for snapshots.
	 */
	const char *options =
	    c->uid ? OVERLAY ",userxattr" : OVERLAY ",redirect_dir=off,metacopy=off,index=off";
	int image;

	if (!c->overlay_image)
		return 0;
	/* The two are opened after the unshare: descriptors from before belong to the old mounts. */
	if (own_mounts(c) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || chdir(c->overlay_home))
		return failed(c, "overlay");
	image = raw_open(c->overlay_image, O_PATH | O_DIRECTORY);
	if (image < 0 || raw_dup(image, LAUNCH_ARGUMENTS) < 0 ||
	    mount("overlay", "root", "overlay", MS_NOSUID | MS_NODEV, options))
		return failed(c, "overlay");
	return 0;
}

static UNWATCHED int place_descriptors(struct child *c)
{
	for (int i = 0; i < LAUNCH_FDS; i++)
		if (raw_dup(c->fds[i == 1 ? 2 : i], i) < 0)
			return failed(c, "descriptors");
	if (syscall(SYS_close_range, (unsigned int)LAUNCH_FDS, ~0u, 0))
		return failed(c, "descriptors");
	return 0;
}

#define FILES_SOFT 1024

static UNWATCHED int child_main(void *arg)
{
	static char *const no_environment[] = {NULL};
	const struct rlimit no_core = {0, 0};
	struct rlimit files;
	struct child *c = arg;

	setsid();
	umask(022);
	syscall(SYS_prlimit64, 0, RLIMIT_CORE, &no_core, NULL);
	/* What programs expect; the daemon's own is far higher. */
	if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &files) == 0 && files.rlim_cur > FILES_SOFT) {
		files.rlim_cur = FILES_SOFT;
		syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &files, NULL);
	}
	/* The groups of whoever started the daemon would open files to the sandbox. */
	if (c->uid == 0 && syscall(SYS_setgroups, 0, NULL) && errno != EPERM) {
		failed(c, "groups");
		_exit(1);
	}
	if (mount_overlay(c) || chdir("/") || place_descriptors(c))
		_exit(1);
	reset_signals();
	execve(c->bwrap, c->argv, no_environment);
	failed(c, "exec");
	_exit(1);
}

pid_t child_start(struct child *c, int *ret_pidfd)
{
	char *stack =
	    mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	sigset_t all, old;
	pid_t pid;

	if (stack == MAP_FAILED)
		return -errno;
	/* A handler of the daemon's that ran in the child would run on the daemon's data. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(child_main, stack + CHILD_STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c,
		    ret_pidfd);
	if (pid < 0)
		pid = -errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	munmap(stack, CHILD_STACK);
	return pid;
}
