/* Image DIR: a root file system somewhere on the host, never written to. */
#include "backend/local/image.h"
#include "backend/local/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

int image_copy(int home, const char *image, bool network, struct copying *c, struct error *err)
{
	int from = open(image, OPEN_DIR);
	int to, rc;

	if (from < 0)
		return error_errno(err, errno, "IMAGE_MISSING", "image: %.200s", image);
	remove_tree(home, "upper");
	remove_tree(home, "work");
	remove_tree(home, "root");
	to = make_and_open(home, "root", err);
	rc = to < 0 ? to : copy_tree(from, to, home, c, err);
	if (rc == 0)
		rc = image_ours(to, to, network, err);
	close(from);
	if (to >= 0)
		close(to);
	return rc;
}
