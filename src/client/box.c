#include "client/box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int complain(const char *who, const char *path, const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", who, path, what);
	return CLIENT_BROKEN;
}

/* The path behind a descriptor: that of the file itself, whatever links lead to it. */
static int path_of(int fd, char *out, size_t size)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, out, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	out[n] = '\0';
	return 0;
}

/* Follows `path`, and cuts the last `cut` names off what it leads to if that is no directory. */
static int find(struct box *b, const char *path, int cut, const char **ret_name)
{
	struct stat st;
	int fd = open(path, O_PATH | O_CLOEXEC), rc;
	char *slash;

	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) == 0 ? path_of(fd, b->path, sizeof b->path) : -errno;
	if (rc == 0 && S_ISDIR(st.st_mode)) {
		b->fd = fd;
		return ret_name ? -EISDIR : 0;
	}
	close(fd);
	for (; rc == 0 && cut > 0; cut--) {
		slash = strrchr(b->path, '/');
		if (!slash)
			return -ENOTDIR;
		if (ret_name && cut == 2)
			*ret_name = slash + 1;
		*slash = '\0';
	}
	if (rc)
		return rc;
	b->fd = open(b->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return b->fd < 0 ? -errno : 0;
}

static int open_box(struct box *b, const char *who, const char *path, int cut, const char **ret_name)
{
	int rc;

	b->who = who;
	b->fd = -1;
	rc = find(b, path, cut, ret_name);
	if (rc)
		return complain(who, path, strerror(-rc));
	if (faccessat(b->fd, "cmd", F_OK, 0) != 0 || faccessat(b->fd, "proc", F_OK, 0) != 0)
		return complain(who, path, errno == ENOENT ? "no sandbox" : strerror(errno));
	return 0;
}

int box_open(struct box *b, const char *who, const char *path)
{
	return open_box(b, who, path, 1, NULL);
}

int box_open_program(struct box *b, const char *who, const char *path, const char **ret_name)
{
	return open_box(b, who, path, 2, ret_name);
}

void box_directory(const struct box *b, char *ret, unsigned long size)
{
	char here[sizeof b->path];
	size_t len = strlen(b->path);

	ret[0] = '\0';
	if (!getcwd(here, sizeof here) || strncmp(here, b->path, len) != 0 ||
	    strncmp(here + len, "/fs", 3) != 0)
		return;
	if (here[len + 3] == '\0')
		snprintf(ret, size, "/");
	else if (here[len + 3] == '/')
		snprintf(ret, size, "%s", here + len + 3);
}

int box_complain(const struct box *b, const char *what, int code)
{
	char sentence[512] = "";
	int fd = openat(b->fd, "error", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, sentence, sizeof sentence - 1);

	if (fd >= 0)
		close(fd);
	sentence[n > 0 ? n : 0] = '\0';
	sentence[strcspn(sentence, "\n")] = '\0';
	fprintf(stderr, "%s: %s: %s%s%s%s\n", b->who, what, strerror(code), *sentence ? " (" : "", sentence,
		*sentence ? ")" : "");
	return CLIENT_BROKEN;
}
