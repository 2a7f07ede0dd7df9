#include "backend/local/copy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CHUNK (8u << 20)   /* bytes between two looks at whether it is wanted */
#define BLOCK (128u << 10) /* bytes, where the kernel does not copy itself */

/* In the sandbox its owner is root, whom modes do not stop: out here this user is only the owner. */
static bool lacks_rights(const struct stat *st, bool lift)
{
	mode_t wanted = S_ISDIR(st->st_mode) ? 0500 : 0400;

	return lift && st->st_uid == geteuid() && st->st_uid != 0 && (st->st_mode & wanted) != wanted;
}

int copy_open(int held, const struct stat *st, int flags, bool lift)
{
	bool lacks = lacks_rights(st, lift);
	char path[32];
	int fd, code;

	snprintf(path, sizeof path, "/proc/self/fd/%d", held);
	if (lacks && chmod(path, (st->st_mode & 07777) | 0500))
		return -errno;
	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	code = errno;
	if (lacks && (fd < 0 || !S_ISDIR(st->st_mode)))
		chmod(path, st->st_mode & 07777);
	return fd >= 0 ? fd : -code;
}

void copy_close_directory(int fd, const struct stat *st, bool lift)
{
	if (lacks_rights(st, lift))
		fchmod(fd, st->st_mode & 07777);
}

/* --- Extended attributes --- */

/* What overlayfs remembers about the layers of the other place, which is wrong in a new one. */
static bool stays_behind(const char *name)
{
	static const char *const left[] = {"origin", "impure", "nlink", "upper", "uuid"};
	const char *rest = NULL;

	if (strncmp(name, "user.overlay.", 13) == 0)
		rest = name + 13;
	else if (strncmp(name, "trusted.overlay.", 16) == 0)
		rest = name + 16;
	for (size_t i = 0; rest && i < sizeof left / sizeof *left; i++)
		if (strcmp(rest, left[i]) == 0)
			return true;
	return false;
}

static int copy_attribute(int from, int to, const char *name, char *value)
{
	ssize_t len = stays_behind(name) ? -1 : fgetxattr(from, name, value, XATTR_SIZE_MAX);

	if (len < 0 || fsetxattr(to, name, value, (size_t)len, 0) == 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT || errno == EIO ? -errno : 0;
}

static int copy_xattrs(int from, int to)
{
	ssize_t len = flistxattr(from, NULL, 0);
	char *names, *value;
	int rc = 0;

	if (len <= 0)
		return 0;
	names = malloc(XATTR_LIST_MAX);
	value = malloc(XATTR_SIZE_MAX);
	len = names && value ? flistxattr(from, names, XATTR_LIST_MAX) : -1;
	if (!names || !value)
		rc = -ENOMEM;
	for (ssize_t at = 0; at < len && rc == 0; at += (ssize_t)strlen(names + at) + 1)
		rc = copy_attribute(from, to, names + at, value);
	free(names);
	free(value);
	return rc;
}

int copy_attributes(int from, int to, const struct stat *st)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};
	int rc;

	/* In this order: a new owner takes some of the rest away. */
	if (fchown(to, st->st_uid, st->st_gid) && errno != EPERM)
		return -errno;
	rc = copy_xattrs(from, to);
	if (rc)
		return rc;
	if (fchmod(to, st->st_mode & 07777) && errno != EPERM)
		return -errno;
	futimens(to, times);
	return 0;
}

/* --- Data --- */

static bool unwanted(const struct copying *c)
{
	return c->unwanted && c->unwanted(c->arg);
}

static int write_all(int to, const char *data, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(to, data, len, at);

		if (n < 0)
			return -errno;
		data += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int copy_by_hand(int from, int to, off_t at, off_t end, const struct copying *c)
{
	char *block = malloc(BLOCK);
	int rc = block ? 0 : -ENOMEM;

	while (rc == 0 && at < end) {
		size_t want = end - at < (off_t)BLOCK ? (size_t)(end - at) : BLOCK;
		ssize_t n = unwanted(c) ? -1 : pread(from, block, want, at);

		if (n <= 0) {
			rc = unwanted(c) ? -ECANCELED : n < 0 ? -errno : 0;
			break;
		}
		rc = write_all(to, block, (size_t)n, at);
		at += n;
	}
	free(block);
	return rc;
}

/* From `at` to `end`, or to where the file ends now. */
static int copy_range(int from, int to, off_t at, off_t end, const struct copying *c)
{
	while (at < end) {
		off_t in = at, out = at;
		size_t want = end - at < (off_t)CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t n;

		if (unwanted(c))
			return -ECANCELED;
		n = copy_file_range(from, &in, to, &out, want, 0);
		if (n == 0)
			return 0;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
			return -errno;
		if (n < 0)
			return copy_by_hand(from, to, at, end, c);
		at += n;
	}
	return 0;
}

/* Holes stay holes. What is written behind `size` meanwhile is left out: it could go on for ever. */
static int copy_data(int from, int to, off_t size, const struct copying *c)
{
	off_t at = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA);
		off_t hole;
		int rc;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			data = at;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole <= data || hole > size)
			hole = size;
		rc = copy_range(from, to, data, hole, c);
		if (rc)
			return rc;
		at = hole;
	}
	return ftruncate(to, size) ? -errno : 0;
}

int copy_file(int held, const struct stat *st, int to, const char *name, struct copying *c)
{
	int from = copy_open(held, st, O_RDONLY, c->lift);
	struct stat now;
	int out, rc;

	if (from < 0)
		return from;
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	rc = out < 0 ? -errno : fstat(from, &now) ? -errno : copy_data(from, out, now.st_size, c);
	if (rc == 0)
		rc = copy_attributes(from, out, st);
	if (rc == 0 && fstat(out, &now) == 0)
		c->bytes += (uint64_t)now.st_blocks * 512;
	if (out >= 0)
		close(out);
	close(from);
	return rc;
}
