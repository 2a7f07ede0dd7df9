#include "backend/local/view.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * As in child.c: the child shares the daemon's memory, while the daemon's thread waits, and must not
 * allocate, lock or touch anything but *v. It shares the descriptors too, so what it opens is ours.
 */
#define STACK	  (64u << 10)
#define UNWATCHED __attribute__((no_sanitize("address", "thread", "undefined")))

struct view {
	const char *place, *layer, *image;
	char uid_map[32], gid_map[32]; /* for an ordinary user, who mounts in a user namespace */
	uid_t uid;
	char options[96];
	volatile int upper, lower, root; /* descriptors; -1 */
	volatile int code;
};

static UNWATCHED int raw_open(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static UNWATCHED int write_text(const char *path, const char *text)
{
	int fd = raw_open(path, O_WRONLY);
	size_t len = 0;
	long n;

	if (fd < 0)
		return -1;
	while (text[len])
		len++;
	n = syscall(SYS_write, fd, text, len);
	syscall(SYS_close, fd);
	return n < 0 ? -1 : 0;
}

static UNWATCHED int own_mounts(struct view *v)
{
	if (v->uid == 0)
		return (int)syscall(SYS_unshare, CLONE_NEWNS);
	if (syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS) || write_text("/proc/self/setgroups", "deny") ||
	    write_text("/proc/self/uid_map", v->uid_map))
		return -1;
	return write_text("/proc/self/gid_map", v->gid_map);
}

static UNWATCHED char *put_text(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	*at = '\0';
	return at;
}

static UNWATCHED char *put_number(char *at, int number)
{
	char digits[12];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while (number /= 10);
	while (count)
		*at++ = digits[--count];
	*at = '\0';
	return at;
}

/* The layers go by their descriptors: no path of the user's has to be escaped. */
static UNWATCHED void put_options(struct view *v)
{
	char *at = put_text(v->options, "lowerdir=/proc/self/fd/");

	at = put_number(at, v->upper);
	at = put_text(at, ":/proc/self/fd/");
	at = put_number(at, v->lower);
	if (v->uid)
		put_text(at, ",userxattr");
}

static UNWATCHED int mount_it(struct view *v)
{
	/* Descriptors from before the unshare would belong to the old mounts. */
	if (own_mounts(v) || syscall(SYS_mount, "none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    syscall(SYS_chdir, v->place))
		return -1;
	v->upper = raw_open(v->layer, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	v->lower = raw_open(v->image, O_PATH | O_DIRECTORY);
	if (v->upper < 0 || v->lower < 0)
		return -1;
	put_options(v);
	if (syscall(SYS_mount, "overlay", "view", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, v->options))
		return -1;
	v->root = raw_open("view", O_PATH | O_DIRECTORY | O_NOFOLLOW);
	return v->root < 0 ? -1 : 0;
}

static UNWATCHED int view_main(void *arg)
{
	struct view *v = arg;

	v->code = mount_it(v) ? errno : 0;
	syscall(SYS_exit, 0);
	return 0;
}

static int run_child(struct view *v)
{
	char *stack =
	    mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	sigset_t all, old;
	int code = 0, pidfd = -1;
	siginfo_t info;

	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (clone(view_main, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | SIGCHLD, v,
		  &pidfd) < 0)
		code = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	munmap(stack, STACK);
	if (code)
		return -code;
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) && errno == EINTR)
		;
	close(pidfd);
	return -v->code;
}

int view_overlay(const char *place, const char *layer, const char *image, struct error *err)
{
	struct view v = {.place = place,
			 .layer = layer,
			 .image = image,
			 .uid = geteuid(),
			 .upper = -1,
			 .lower = -1,
			 .root = -1};
	int rc;

	snprintf(v.uid_map, sizeof v.uid_map, "0 %u 1", (unsigned int)v.uid);
	snprintf(v.gid_map, sizeof v.gid_map, "0 %u 1", (unsigned int)getegid());
	rc = run_child(&v);
	if (v.upper >= 0)
		close(v.upper);
	if (v.lower >= 0)
		close(v.lower);
	if (rc == 0)
		return v.root;
	if (v.root >= 0)
		close(v.root);
	return error_errno(err, -rc, "SNAPSHOT_FAILED", "cannot lay the snapshot over its image");
}
