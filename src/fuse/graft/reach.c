#include "fuse/graft/reach.h"

#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 2048
#define HELD_LEAST	  64

/*
 * A walk through a huge tree must not take the last ones: open files need them, and other sandboxes to start
 * and to be read.
 */
int graft_descriptors_most(void)
{
	struct rlimit limit;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	most =
	    limit.rlim_cur < 2 * SPARE_DESCRIPTORS ? limit.rlim_cur / 2 : limit.rlim_cur - SPARE_DESCRIPTORS;
	return most < HELD_LEAST ? HELD_LEAST : (int)most;
}

static struct timespec birth_in(const struct statx *st)
{
	if (!(st->stx_mask & STATX_BTIME))
		return (struct timespec){0};
	return (struct timespec){.tv_sec = st->stx_btime.tv_sec, .tv_nsec = st->stx_btime.tv_nsec};
}

struct timespec graft_birth(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) < 0 ? (struct timespec){0} : birth_in(&st);
}

/* --- Without a descriptor --- */

static int judge(const struct graft_node *node, int fd)
{
	struct timespec birth;
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return -errno;
	birth = birth_in(&st);
	if (st.stx_ino != node->ino || makedev(st.stx_dev_major, st.stx_dev_minor) != node->dev ||
	    (st.stx_mode & S_IFMT) != node->type || birth.tv_sec != node->birth.tv_sec ||
	    birth.tv_nsec != node->birth.tv_nsec)
		return -ESTALE;
	return 0;
}

/* As of an open of it, whatever has become of its name. -ENOENT: it is not open. */
static int open_by_handle(struct graft_node *node)
{
	int fd = -1, path;

	pthread_mutex_lock(&graft_lock);
	/* Under the lock, as a handle may be closed at any time; it waits for nothing. */
	list_each (pos, &node->graft->handles) {
		struct graft_handle *h = container_of(pos, struct graft_handle, link);

		if (h->node == node && h->fd >= 0 && (fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 3)) >= 0)
			break;
	}
	pthread_mutex_unlock(&graft_lock);
	if (fd < 0)
		return -ENOENT;
	/* What is open for writing would keep others from executing the file. */
	path = open(files_self(fd).path, O_PATH | O_CLOEXEC);
	if (path < 0)
		path = -errno;
	close(fd);
	return path;
}

/* Each costs an open, and room on the stack; a sandbox could put any number of directories in one another. */
#define STEPS_MAX 1024

static int open_by_place(struct graft_node *node, int steps);

static int open_unheld(struct graft_node *node, int steps)
{
	int fd = open_by_handle(node);

	return fd == -ENOENT ? open_by_place(node, steps) : fd;
}

/* As deep as there are directories without a descriptor, one in another: -ENFILE beyond `steps` of them. */
static int open_by_place(struct graft_node *node, int steps)
{
	char name[FILES_NAME_MAX + 1];
	struct graft_node *dir;
	int at, fd, r;

	if (steps == 0)
		return -ENFILE;
	dir = graft_node_place(node, name);
	at = dir->fd >= 0 ? dir->fd : open_unheld(dir, steps - 1);
	fd = at < 0 ? at : files_child(at, name);
	if (at >= 0 && at != dir->fd)
		close(at);
	graft_node_unpin(dir);
	r = fd < 0 ? fd : judge(node, fd);
	if (r < 0 && fd >= 0)
		close(fd);
	if (r == -ENOENT || r == -ENOTDIR)
		return -ESTALE;
	return r < 0 ? r : fd;
}

/* --- For one operation --- */

#define REACHED_MAX 8 /* nodes of one operation: two directories, and what is in them */

static _Thread_local struct {
	struct graft_node *node;
	int fd;
} reached[REACHED_MAX];
static _Thread_local unsigned reached_count;

int graft_fd(struct graft_node *node)
{
	int fd;

	if (!node->unheld)
		return node->fd;
	for (unsigned i = 0; i < reached_count; i++)
		if (reached[i].node == node)
			return reached[i].fd;
	fd = reached_count < REACHED_MAX ? open_unheld(node, STEPS_MAX) : -ENFILE;
	if (fd >= 0) {
		reached[reached_count].node = node;
		reached[reached_count++].fd = fd;
	}
	return fd;
}

static int reach(struct graft_node *node, int entered, int *ret_fd)
{
	if (entered < 0)
		return entered;
	*ret_fd = graft_fd(node);
	if (*ret_fd >= 0)
		return 0;
	graft_leave(node->graft);
	return *ret_fd;
}

int graft_reach(struct graft_node *node, int *ret_fd)
{
	return reach(node, graft_enter(node->graft), ret_fd);
}

int graft_reach_to_change(struct graft_node *node, int *ret_fd)
{
	return reach(node, graft_enter_to_change(node->graft), ret_fd);
}

void graft_reached_end(void)
{
	while (reached_count)
		close(reached[--reached_count].fd);
}
