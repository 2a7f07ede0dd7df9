#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int files_check_name(const char *name)
{
	size_t len = strlen(name);

	if (len > FILES_NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/'))
		return -EINVAL;
	return 0;
}

static int open_beneath(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
	long fd;

	do
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : (int)fd;
}

int files_child(int dir, const char *name)
{
	int r = files_check_name(name);

	if (r < 0)
		return r;
	return open_beneath(dir, name, O_PATH | O_NOFOLLOW,
			    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int files_resolve(int root, const char *path)
{
	int fd = -EAGAIN;

	/* EAGAIN: something was renamed on the system while ".." was walked, and the kernel cannot be sure.
	 */
	for (int try = 0; try < 16 && fd == -EAGAIN; try++)
		fd = open_beneath(root, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	return fd;
}

struct files_self files_self(int fd)
{
	struct files_self self;

	snprintf(self.path, sizeof(self.path), "/proc/self/fd/%d", fd);
	return self;
}

/* The kernel's path of a descriptor; for one of another mount namespace it starts at that one's root. */
static int own_path(int fd, char *out)
{
	ssize_t len = readlink(files_self(fd).path, out, PATH_MAX);

	if (len < 0)
		return -errno;
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	out[len] = '\0';
	return out[0] == '/' ? 0 : -ENOENT;
}

int files_where(int root, int fd, char *out)
{
	char top[PATH_MAX], path[PATH_MAX];
	size_t len;
	int r = own_path(root, top);

	if (r == 0)
		r = own_path(fd, path);
	if (r < 0)
		return r;
	len = strcmp(top, "/") == 0 ? 0 : strlen(top);
	if (strncmp(path, top, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return -ENOENT;
	strcpy(out, path[len] ? path + len + 1 : "");
	return 0;
}
