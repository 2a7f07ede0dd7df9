/* Image DIR: a root file system somewhere on the host, never written to. */
#include "backend/local/image.h"
#include "backend/local/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

bool image_is_host(const char *image)
{
	return !image[0] || !strcmp(image, "host");
}

int image_check(const char *image, struct error *err)
{
	struct stat st;

	if (image_is_host(image))
		return 0;
	if (image[0] != '/')
		return error_set(err, EINVAL, "IMAGE_MISSING",
				 "image: a local sandbox takes \"host\" or the absolute path of a directory, "
				 "not \"%.80s\"",
				 image);
	if (stat(image, &st))
		return error_errno(err, errno, "IMAGE_MISSING", "image: %.200s", image);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "IMAGE_MISSING", "image: %.200s is not a directory", image);
	if (access(image, R_OK | X_OK))
		return error_errno(err, errno, "IMAGE_MISSING", "image: %.200s", image);
	return 0;
}

static int fail(struct error *err, int code, const char *what)
{
	return error_errno(err, code, code == ENOSPC || code == EDQUOT ? "NO_SPACE" : "IMAGE_FAILED",
			   "cannot prepare %s for the image", what);
}

enum presence {
	IF_MISSING, /* a link in its place is fine */
	ALWAYS,	    /* something of ours goes in, through no link */
};

/*
 * Sees to it that NAME is a directory once `target` lies over `lower` (which
 * may be the same). A link that an image carries there would lead bwrap, or
 * us, out of the sandbox's root: it is hidden (CVE-2026-87766).
 */
static int make_directory(int target, int lower, const char *name, mode_t mode, enum presence presence)
{
	struct stat st;
	bool there = fstatat(lower, name, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (there && presence == IF_MISSING)
		return 0;
	if (there && S_ISDIR(st.st_mode)) {
		if (target == lower)
			return 0;
		mode = st.st_mode & 07777;
	} else if (there && target == lower && remove_tree(target, name)) {
		return -EIO;
	}
	if (mkdirat(target, name, 0755) || (mode != 0755 && fchmodat(target, name, mode, 0)))
		return -errno;
	return 0;
}

int image_ours(int target, int lower, bool network, struct error *err)
{
	static const struct {
		const char *name;
		mode_t mode;
		enum presence presence;
	} wanted[] = {
	    {"proc", 0755, ALWAYS},	{"dev", 0755, ALWAYS},	   {"etc", 0755, ALWAYS},
	    {"tmp", 01777, IF_MISSING}, {"run", 0755, IF_MISSING}, {"root", 0700, IF_MISSING},
	    {"home", 0755, IF_MISSING}, {"var", 0755, IF_MISSING}, {"workspace", 0755, IF_MISSING},
	};
	int etc, rc = 0;

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		rc = make_directory(target, lower, wanted[i].name, wanted[i].mode, wanted[i].presence);
		if (rc)
			return fail(err, -rc, wanted[i].name);
	}
	etc = openat(target, "etc", OPEN_DIR | O_NOFOLLOW);
	if (etc < 0)
		return fail(err, errno, "etc");
	if (target == lower) {
		/* Not through a link the image carries. */
		unlinkat(etc, "hosts", 0);
	}
	rc = image_network_files(etc, network, err);
	close(etc);
	return rc;
}

int image_real_directory(int dir, const char *name, mode_t mode)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		if (remove_tree(dir, name))
			return -EIO;
	}
	return mkdirat(dir, name, mode) ? -errno : 0;
}

int image_again(int root, bool network, struct error *err)
{
	static const char *const ours[] = {"proc", "dev", "etc"};
	int etc, rc;

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		rc = image_real_directory(root, ours[i], 0755);
		if (rc)
			return fail(err, -rc, ours[i]);
	}
	etc = openat(root, "etc", OPEN_DIR | O_NOFOLLOW);
	if (etc < 0)
		return fail(err, errno, "etc");
	rc = image_resolver(etc, network, err);
	close(etc);
	return rc;
}

static int make_and_open(int home, const char *name, struct error *err)
{
	int fd;

	if (mkdirat(home, name, 0755))
		return fail(err, errno, name);
	fd = openat(home, name, OPEN_DIR | O_NOFOLLOW);
	return fd < 0 ? fail(err, errno, name) : fd;
}

int image_overlay(int home, const char *image, bool network, struct error *err)
{
	int lower, upper = -1;
	int rc = image_check(image, err);

	if (!rc && (mkdirat(home, "work", 0755) || mkdirat(home, "root", 0755)))
		rc = fail(err, errno, "work");
	if (rc)
		return rc;
	lower = open(image, OPEN_DIR);
	if (lower < 0)
		return error_errno(err, errno, "IMAGE_MISSING", "image: %.200s", image);
	upper = make_and_open(home, "upper", err);
	rc = upper < 0 ? upper : image_ours(upper, lower, network, err);
	if (upper >= 0)
		close(upper);
	close(lower);
	return rc;
}

static int run_cp(int image, int root, struct error *err)
{
	char from[40], to[40];
	/* -x: like an overlay's lower layer, without what is mounted in it; that may be this very mount. */
	char *const argv[] = {(char *)"cp", (char *)"-ax", (char *)"--reflink=auto", (char *)"--", from,
			      to,	    NULL};
	char *const envp[] = {(char *)"LC_ALL=C", (char *)"PATH=/usr/bin:/bin", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int status = -1, code;
	pid_t pid;

	/* The copier inherits the two directories by number: no name to be swapped under it. */
	snprintf(from, sizeof from, "/proc/self/fd/3/.");
	snprintf(to, sizeof to, "/proc/self/fd/4/");
	code = posix_spawn_file_actions_init(&actions);
	if (code)
		return fail(err, code, "a copy");
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, image, 3);
	posix_spawn_file_actions_adddup2(&actions, root, 4);
	posix_spawn_file_actions_addclosefrom_np(&actions, 5);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none); /* our threads block all of them */
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	code = posix_spawnp(&pid, "cp", &actions, &attributes, argv, envp);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (code)
		return fail(err, code, "a copy");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return error_set(err, EIO, "IMAGE_FAILED",
			 "the image could not be copied (is all of it readable, is there enough space?)");
}

/* Moves a descriptor out of the way of the numbers the copier gets. */
static int move_high(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 16);

	if (fd >= 0)
		close(fd);
	return high;
}

int image_copy(int home, const char *image, bool network, struct error *err)
{
	int from, to, rc;

	remove_tree(home, "upper");
	remove_tree(home, "work");
	remove_tree(home, "root");
	to = make_and_open(home, "root", err);
	if (to < 0)
		return to;
	to = move_high(to);
	from = move_high(open(image, OPEN_DIR));
	if (from < 0 || to < 0)
		rc = error_errno(err, errno, "IMAGE_MISSING", "image: %.200s", image);
	else
		rc = run_cp(from, to, err);
	if (!rc)
		rc = image_ours(to, to, network, err);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return rc;
}
