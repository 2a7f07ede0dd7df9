#include "files/names.h"
#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int files_mkdir(int dir, const char *name, mode_t mode)
{
	int r = files_check_name(name);

	if (r < 0)
		return r;
	return mkdirat(dir, name, mode & 07777) < 0 ? -errno : 0;
}

int files_mknod(int dir, const char *name, mode_t mode, dev_t rdev)
{
	int r = files_check_name(name);

	if (r < 0)
		return r;
	return mknodat(dir, name, mode, rdev) < 0 ? -errno : 0;
}

int files_symlink(const char *target, int dir, const char *name)
{
	int r = files_check_name(name);

	if (r < 0)
		return r;
	return symlinkat(target, dir, name) < 0 ? -errno : 0;
}

static int remove_name(int dir, const char *name, int flags)
{
	int r = files_check_name(name);

	if (r < 0)
		return r;
	return unlinkat(dir, name, flags) < 0 ? -errno : 0;
}

int files_unlink(int dir, const char *name)
{
	return remove_name(dir, name, 0);
}

int files_rmdir(int dir, const char *name)
{
	return remove_name(dir, name, AT_REMOVEDIR);
}

int files_rename(int dir, const char *name, int newdir, const char *newname, unsigned int flags)
{
	int r = files_check_name(name);

	if (r == 0)
		r = files_check_name(newname);
	if (r < 0)
		return r;
	/* By number: musl has no wrapper for it. */
	return syscall(SYS_renameat2, dir, name, newdir, newname, flags) < 0 ? -errno : 0;
}

int files_link(int fd, int newdir, const char *newname)
{
	int r = files_check_name(newname);

	if (r < 0)
		return r;
	/* AT_EMPTY_PATH would want a capability. */
	if (linkat(AT_FDCWD, files_self(fd).path, newdir, newname, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return 0;
}
