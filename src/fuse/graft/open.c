/* fs/: opening files, and how the kernel is to do I/O on them. */
#include "files/data.h"
#include "files/walk.h"
#include "fuse/graft/graft.h"
#include "fuse/graft/ops.h"
#include "fuse/graft/reach.h"
#include "fuse/graft/still.h"
#include "fuse/passthrough.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * The kernel passes I/O on an inode through to one backing file for all of its
 * opens, or asks us on all of them: the first open of a file decides, for as long
 * as it is open. Our counts run ahead of the kernel's: it takes note of an open
 * after our reply, and of a close before it tells us.
 */

static struct graft_handle *handle(const struct fuse_file_info *fi)
{
	return (struct graft_handle *)(uintptr_t)fi->fh;
}

/* Counts an open; whether it passes. With `id`, a backing file of its own for the case that there is none. */
static bool join(struct graft_handle *h, int32_t id)
{
	struct graft_node *node = h->node;

	if (!node->backing && !node->plain)
		node->backing = id;
	h->passed = node->backing && !h->live;
	h->mapped = h->mapped && h->passed;
	node->mapped += h->mapped;
	if (h->passed)
		node->passed++;
	else
		node->plain++;
	return h->passed;
}

static void choose_way(struct graft_handle *h)
{
	struct graft_node *node = h->node;
	int32_t id = 0, used;
	bool first;
	int fd;

	pthread_mutex_lock(&graft_lock);
	first = !node->backing && !node->plain && !h->live;
	if (!first)
		join(h, 0);
	pthread_mutex_unlock(&graft_lock);
	if (!first)
		return;
	/* By the node's descriptor: one that is open for writing would keep others from executing the file.
	 */
	fd = graft_fd(node);
	id = fd < 0 ? 0 : passthrough_register(fd);
	if (id < 0)
		id = 0;
	pthread_mutex_lock(&graft_lock);
	join(h, id);
	used = node->backing;
	pthread_mutex_unlock(&graft_lock);
	if (id && id != used)
		passthrough_unregister(id);
}

static void leave_way(struct graft_handle *h)
{
	struct graft_node *node = h->node;
	int32_t unused = 0;

	pthread_mutex_lock(&graft_lock);
	if (h->cached)
		node->version = h->version;
	node->mapped -= h->mapped;
	if (!h->passed) {
		node->plain--;
	} else if (--node->passed == 0) {
		unused = node->backing;
		node->backing = 0;
	}
	pthread_mutex_unlock(&graft_lock);
	if (unused)
		passthrough_unregister(unused);
}

bool graft_passes(struct graft_node *node)
{
	bool passes;

	pthread_mutex_lock(&graft_lock);
	passes = node->backing;
	pthread_mutex_unlock(&graft_lock);
	return passes;
}

static int32_t backing_of(const struct graft_handle *h)
{
	return h->passed ? h->node->backing : 0; /* stays as long as we are counted */
}

/* --- Keeping pages --- */

#define TICK_NS 50000000 /* more than any kernel's */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Times are those of a clock that ticks: what changes within a tick of the last change leaves no mark. */
static bool is_settled(const struct timespec *changed)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec - changed->tv_sec) * 1000000000 + now.tv_nsec - changed->tv_nsec > TICK_NS;
}

static struct graft_version version_of(struct graft_node *node, int fd, uint64_t since)
{
	struct graft_version version = {0};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return version;
	version = (struct graft_version){.sure = is_settled(&st.st_ctim),
					 .size = st.st_size,
					 .modified = st.st_mtim,
					 .changed = st.st_ctim,
					 .still = graft_is_own(node) ? since : 0};
	return version;
}

/*
 * Whether pages the kernel has of the file are still true. What was opened and closed before since nothing
 * ran in the sandbox has been changed through the kernel only. Else it must be as that open found it: nobody
 * can set the time of change, so a forged mtime is found out. While a file is open the kernel compares size
 * and mtime at each read.
 */
static bool is_unchanged(struct graft_node *node, const struct graft_version *now)
{
	const struct graft_version *then = &node->version;
	bool same;

	pthread_mutex_lock(&graft_lock);
	same = (now->still && then->still == now->still) ||
	       (then->sure && then->size == now->size && same_time(&then->modified, &now->modified) &&
		same_time(&then->changed, &now->changed));
	pthread_mutex_unlock(&graft_lock);
	return same;
}

static int add_handle(struct graft_node *node, int fd, uint64_t since, struct fuse_file_info *fi)
{
	struct graft_handle *h = graft_handle_new(node, fd, false);

	if (!h)
		return -ENOMEM;
	h->live = files_is_live(fd);
	h->mapped = (fi->flags & O_ACCMODE) == O_RDWR;
	choose_way(h);
	/* Stores into a mapping that passes set the times of the file below, and not of the kernel's inode.
	 */
	if (h->mapped)
		graft_forget_attributes(node);
	fi->fh = (uintptr_t)h;
	/*
	 * Files of procfs have no size to go by. And where an appended byte lands only the
	 * file system below knows, while the kernel would put it into its cache where it
	 * believes the end to be.
	 */
	fi->direct_io = !h->passed && (h->live || fi->flags & O_APPEND);
	h->cached = !h->passed && !fi->direct_io;
	if (h->cached)
		h->version = version_of(node, fd, since);
	fi->keep_cache = h->cached && is_unchanged(node, &h->version);
	/* Every write was judged as it was done; but a close has the kernel write what mappings have changed,
	 * which takes a file open for both. */
	fi->noflush = h->passed || fi->direct_io || (fi->flags & O_ACCMODE) != O_RDWR;
	return 0;
}

static void drop_handle(struct graft_handle *h)
{
	leave_way(h);
	graft_handle_free(h);
}

/* The kernel did not hear of it, and has dropped no pages. */
static void take_back(struct graft_handle *h)
{
	h->cached = false;
	drop_handle(h);
}

void graft_open(fuse_req_t req, struct graft_node *node, struct fuse_file_info *fi)
{
	bool changes = (fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
	struct graft *g = node->graft;
	int at, r = changes ? graft_reach_to_change(node, &at) : graft_reach(node, &at);

	if (r == 0) {
		uint64_t since = graft_stillness(g);

		r = files_open(at, fi->flags);
		if (r >= 0)
			r = add_handle(node, r, since, fi);
		graft_leave(g);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (passthrough_reply_open(req, fi, backing_of(handle(fi))) < 0)
		take_back(handle(fi));
}

static int create(struct graft_node *dir, const char *name, mode_t mode, struct fuse_file_info *fi,
		  struct fuse_entry_param *e)
{
	uint64_t since = graft_stillness(dir->graft);
	bool unnamed = (fi->flags & O_TMPFILE) == O_TMPFILE;
	int at = graft_fd(dir), fd, path, r;

	if (at < 0)
		return at;
	fd = unnamed ? files_tmpfile(at, fi->flags, mode) : files_create(at, name, fi->flags, mode);
	if (fd < 0)
		return fd;
	/* By the open file and not by its name, which the sandbox may have given to another one. */
	path = open(files_self(fd).path, O_PATH | O_CLOEXEC);
	r = path < 0 ? -errno : graft_entry(dir, name, S_IFREG, path, unnamed ? 0 : since, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = add_handle(graft_node(e->ino), fd, since, fi);
	if (r < 0)
		graft_forget(e->ino, 1);
	return r;
}

void graft_create(fuse_req_t req, struct graft_node *dir, const char *name, mode_t mode,
		  struct fuse_file_info *fi)
{
	struct graft *g = dir->graft;
	struct fuse_entry_param e;
	int r = graft_enter_to_change(g);

	if (r == 0) {
		r = create(dir, name, mode, fi, &e);
		graft_leave(g);
	}
	if (r < 0) {
		fuse_reply_err(req, -r);
	} else if (passthrough_reply_create(req, &e, fi, backing_of(handle(fi))) < 0) {
		take_back(handle(fi));
		graft_forget(e.ino, 1);
	}
}

void graft_release(fuse_req_t req, struct fuse_file_info *fi)
{
	drop_handle(handle(fi));
	fuse_reply_err(req, 0);
}
