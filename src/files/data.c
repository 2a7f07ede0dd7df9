#include "files/data.h"
#include "files/attr.h"
#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define KEPT_FLAGS   (O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME)
#define ALWAYS_FLAGS (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static int reopen(int fd, int flags)
{
	int r;

	do
		r = open(files_self(fd).path, flags | ALWAYS_FLAGS);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int files_open(int fd, int flags)
{
	struct stat st;
	int r = files_stat(fd, &st);

	if (r < 0)
		return r;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return reopen(fd, flags & KEPT_FLAGS);
	case S_IFDIR:
		return -EISDIR;
	case S_IFLNK:
		return -ELOOP;
	case S_IFCHR:
	case S_IFBLK:
		return -EACCES;
	default:
		return -ENXIO;
	}
}

/* What is there now, if it is still a file. */
static int open_existing(int dir, const char *name, int flags)
{
	int fd = files_child(dir, name), r;

	if (fd < 0)
		return fd;
	r = files_open(fd, flags);
	close(fd);
	return r == -ENXIO || r == -ELOOP || r == -EISDIR ? -ESTALE : r;
}

int files_create(int dir, const char *name, int flags, mode_t mode)
{
	int r = files_check_name(name);

	if (r < 0)
		return r;
	/* Made exclusively, so that a FIFO or link the sandbox puts there meanwhile is never opened. */
	for (int try = 0; try < 16; try++) {
		r = openat(dir, name,
			   (flags & KEPT_FLAGS & ~O_TRUNC) | O_CREAT | O_EXCL | O_NOFOLLOW | ALWAYS_FLAGS,
			   mode & 07777);
		if (r >= 0 || errno != EEXIST || (flags & O_EXCL))
			return r < 0 ? -errno : r;
		r = open_existing(dir, name, flags);
		if (r != -ENOENT)
			return r;
	}
	return -ESTALE;
}

int files_tmpfile(int dir, int flags, mode_t mode)
{
	int r = openat(dir, ".", (flags & (KEPT_FLAGS | O_EXCL)) | O_TMPFILE | ALWAYS_FLAGS, mode & 07777);

	return r < 0 ? -errno : r;
}

/* Linux 6.9; not in the headers yet. */
#define NO_APPEND 0x20

static ssize_t write_not_appending(int fd, const void *data, size_t size, off_t off)
{
	struct iovec v = {(void *)(uintptr_t)data, size};
	ssize_t r = syscall(SYS_pwritev2, fd, &v, 1, (long)off, (long)((uint64_t)off >> 16 >> 16), NO_APPEND);
	int other;

	if (r >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
		return r < 0 ? -errno : r;
	other = reopen(fd, O_WRONLY);
	if (other < 0)
		return other;
	r = pwrite(other, data, size, off);
	if (r < 0)
		r = -errno;
	close(other);
	return r;
}

ssize_t files_write_at(int fd, const void *data, size_t size, off_t off)
{
	ssize_t r;

	if (fcntl(fd, F_GETFL) & O_APPEND)
		return write_not_appending(fd, data, size, off);
	r = pwrite(fd, data, size, off);
	return r < 0 ? -errno : r;
}

#define APPEND 0x10 /* of pwritev2(2) */

ssize_t files_append(int fd, const void *data, size_t size)
{
	struct iovec v = {(void *)(uintptr_t)data, size};
	ssize_t r = syscall(SYS_pwritev2, fd, &v, 1, -1L, -1L, APPEND);

	return r < 0 ? -errno : r;
}

int files_open_dir(int fd)
{
	return reopen(fd, O_RDONLY | O_DIRECTORY);
}

bool files_is_live(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	switch ((unsigned long)fs.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case DEVPTS_SUPER_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case BPF_FS_MAGIC:
	case SELINUX_MAGIC:
	case SMACK_MAGIC:
	case PSTOREFS_MAGIC:
	case EFIVARFS_MAGIC:
	case BINDERFS_SUPER_MAGIC:
	case NSFS_MAGIC:
		return true;
	default:
		return false;
	}
}
