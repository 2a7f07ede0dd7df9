#include "fuse/passthrough.h"
#include "fuse/amend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBFUSE_KNOWS (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

static struct {
	struct fuse_session *session;
	char mountpoint[PATH_MAX];
	bool wanted;
	atomic_bool on, over;
} through;

void passthrough_begin(struct fuse_session *session, const char *mountpoint, bool wanted)
{
	through.session = session;
	through.wanted = wanted;
	snprintf(through.mountpoint, sizeof through.mountpoint, "%s", mountpoint ? mountpoint : "");
}

void passthrough_init(struct fuse_conn_info *conn)
{
	(void)conn;
	/* A daemon that is not root has not the capability, and saves the look into its own. */
	through.on = through.wanted && geteuid() == 0;
	if (!through.on)
		return;
#if LIBFUSE_KNOWS
	through.on = fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	conn->max_backing_stack_depth = 2;
#else
	amend_want_passthrough();
#endif
}

static void name_backing(struct fuse_file_info *fi, int32_t id)
{
#if LIBFUSE_KNOWS
	fi->backing_id = id;
#else
	(void)fi;
	amend_backing(id);
#endif
}

void passthrough_end(void)
{
	through.over = true;
}

/* --- Backing files --- */

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

int32_t passthrough_register(int fd)
{
	struct backing_map map = {.fd = fd};
	int32_t id;

	if (!through.on || (!LIBFUSE_KNOWS && !amend_has_passthrough()))
		return -EOPNOTSUPP;
	id = ioctl(fuse_session_fd(through.session), BACKING_OPEN, &map);
	if (id > 0)
		return id;
	/* What will be no different the next time: no capability after all, or an older kernel. */
	if (errno == EPERM || errno == ENOTTY || errno == EOPNOTSUPP)
		through.on = false;
	return -errno;
}

void passthrough_unregister(int32_t id)
{
	ioctl(fuse_session_fd(through.session), BACKING_CLOSE, &id);
}

int passthrough_reply_open(fuse_req_t req, struct fuse_file_info *fi, int32_t id)
{
	int r;

	name_backing(fi, id);
	r = fuse_reply_open(req, fi);
	name_backing(fi, 0);
	return r;
}

int passthrough_reply_create(fuse_req_t req, const struct fuse_entry_param *e, struct fuse_file_info *fi,
			     int32_t id)
{
	int r;

	name_backing(fi, id);
	r = fuse_reply_create(req, e, fi);
	name_backing(fi, 0);
	return r;
}

/* --- Revoking --- */

/* The kernel's form of a handle: number and generation, which is 0 for all of ours. */
struct inode_handle {
	struct file_handle head;
	uint32_t words[3];
};
#define INO64_GENERATION 0x81

static void touch(int mount, fuse_ino_t number)
{
	struct inode_handle handle = {
	    .head = {.handle_bytes = sizeof handle.words, .handle_type = INO64_GENERATION},
	    .words = {(uint32_t)(number >> 32), (uint32_t)number, 0}};
	struct stat st;
	int fd = open_by_handle_at(mount, &handle.head, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!fstat(fd, &st); /* this is what asks */
	close(fd);
}

struct revocation {
	size_t count;
	fuse_ino_t *numbers;
};

/*
 * Who waits for an answer of ours while we are killed waits until the connection ends, which it does when
 * nobody has the device open: so the thread that asks gives up its share of our descriptors first. If it
 * cannot, it does not ask.
 */
static void *touch_all(void *arg)
{
	struct revocation *r = arg;
	int mount = -1;

	if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_UNSHARE) == 0)
		mount = open(through.mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount >= 0)
		for (size_t i = 0; i < r->count; i++)
			touch(mount, r->numbers[i]);
	if (mount >= 0)
		close(mount);
	free(r->numbers);
	free(r);
	return NULL;
}

void passthrough_revoke(fuse_ino_t *numbers, size_t count)
{
	struct revocation *r = count && *through.mountpoint && !through.over ? malloc(sizeof *r) : NULL;
	pthread_t thread;

	if (r) {
		*r = (struct revocation){count, numbers};
		if (pthread_create(&thread, NULL, touch_all, r) == 0) {
			pthread_detach(thread);
			return;
		}
	}
	free(r);
	free(numbers);
}
