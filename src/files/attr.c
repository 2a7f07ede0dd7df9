#include "files/attr.h"
#include "files/data.h"
#include "files/walk.h"

#include <errno.h>
#include <stdio.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

int files_stat(int fd, struct stat *ret)
{
	return fstat(fd, ret) < 0 ? -errno : 0;
}

int files_stat_child(int dir, const char *name, struct stat *ret)
{
	int r = files_check_name(name);

	if (r < 0)
		return r;
	return fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ? -errno : 0;
}

int files_statfs(int fd, struct statvfs *ret)
{
	return fstatvfs(fd, ret) < 0 ? -errno : 0;
}

int files_access(int fd, int mask)
{
	return access(files_self(fd).path, mask) < 0 ? -errno : 0;
}

static int set_size(int fd, const struct files_change *change)
{
	int data = change->data_fd, r;

	/* Not truncate(2): a lease the sandbox holds on the file would make it wait. */
	if (data < 0)
		data = files_open(fd, O_WRONLY);
	if (data < 0)
		return data;
	r = ftruncate(data, change->size) < 0 ? -errno : 0;
	if (data != change->data_fd)
		close(data);
	return r;
}

static bool wanted(const struct timespec *time)
{
	return time->tv_nsec != UTIME_OMIT;
}

int files_change(int fd, const struct files_change *change)
{
	struct files_self self = files_self(fd);
	struct stat st;
	int r = files_stat(fd, &st);

	if (r == 0 && (change->uid != (uid_t)-1 || change->gid != (gid_t)-1) &&
	    fchownat(fd, "", change->uid, change->gid, AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r == 0 && change->set_mode)
		r = S_ISLNK(st.st_mode)				 ? -EOPNOTSUPP
		    : chmod(self.path, change->mode & 07777) < 0 ? -errno
								 : 0;
	if (r == 0 && change->set_size)
		r = set_size(fd, change);
	if (r == 0 && (wanted(&change->times[0]) || wanted(&change->times[1])) &&
	    utimensat(AT_FDCWD, self.path, change->times, 0) < 0)
		r = -errno;
	return r;
}

/* The link of /proc leads to the very file: a symlink is not followed on from there. */

int files_setxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
	return setxattr(files_self(fd).path, name, value, size, flags) < 0 ? -errno : 0;
}

ssize_t files_getxattr(int fd, const char *name, void *value, size_t size)
{
	ssize_t r = getxattr(files_self(fd).path, name, value, size);

	return r < 0 ? -errno : r;
}

ssize_t files_listxattr(int fd, char *names, size_t size)
{
	ssize_t r = listxattr(files_self(fd).path, names, size);

	return r < 0 ? -errno : r;
}

int files_removexattr(int fd, const char *name)
{
	return removexattr(files_self(fd).path, name) < 0 ? -errno : 0;
}

bool files_child_is_plain(int dir, const char *name)
{
	struct files_self self = files_self(dir);
	char path[sizeof self.path + FILES_NAME_MAX + 1];

	snprintf(path, sizeof path, "%s/%s", self.path, name);
	return llistxattr(path, NULL, 0) == 0;
}
