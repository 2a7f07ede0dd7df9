#include "fuse/notify.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <unistd.h>

/* Newer than the kernel headers this is built with; libfuse has no call for it. */
#define NOTIFY_INC_EPOCH  8
#define PROTO_MINOR_EPOCH 44

static struct {
	pthread_mutex_t lock; /* the session stays as long as it is held; nothing under it waits */
	struct fuse_session *session;
	bool heeded;
} notify = {.lock = PTHREAD_MUTEX_INITIALIZER};

void notify_begin(struct fuse_session *session)
{
	pthread_mutex_lock(&notify.lock);
	notify.session = session;
	pthread_mutex_unlock(&notify.lock);
}

void notify_end(void)
{
	pthread_mutex_lock(&notify.lock);
	notify.session = NULL;
	pthread_mutex_unlock(&notify.lock);
}

void notify_init(const struct fuse_conn_info *conn)
{
	pthread_mutex_lock(&notify.lock);
	notify.heeded = conn->proto_minor >= PROTO_MINOR_EPOCH;
	pthread_mutex_unlock(&notify.lock);
}

bool notify_is_heeded(void)
{
	bool heeded;

	pthread_mutex_lock(&notify.lock);
	heeded = notify.session && notify.heeded;
	pthread_mutex_unlock(&notify.lock);
	return heeded;
}

void notify_names(void)
{
	struct fuse_out_header head = {.len = sizeof head, .error = NOTIFY_INC_EPOCH};

	pthread_mutex_lock(&notify.lock);
	if (notify.session)
		(void)!write(fuse_session_fd(notify.session), &head, sizeof head);
	pthread_mutex_unlock(&notify.lock);
}

void notify_attributes(fuse_ino_t ino)
{
	pthread_mutex_lock(&notify.lock);
	/* An offset of 0 or more would have it drop pages, and wait for them. */
	if (notify.session)
		fuse_lowlevel_notify_inval_inode(notify.session, ino, -1, 0);
	pthread_mutex_unlock(&notify.lock);
}
