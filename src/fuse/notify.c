#include "fuse/notify.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <unistd.h>

/* Newer than the kernel headers this is built with; libfuse has no call for it. */
#define NOTIFY_INC_EPOCH 8

static struct {
	pthread_mutex_t lock; /* the session stays as long as it is held; nothing under it waits */
	struct fuse_session *session;
	enum { UNKNOWN, YES, NO } knows_names;
} notify = {.lock = PTHREAD_MUTEX_INITIALIZER};

void notify_begin(struct fuse_session *session)
{
	pthread_mutex_lock(&notify.lock);
	notify.session = session;
	notify.knows_names = UNKNOWN;
	pthread_mutex_unlock(&notify.lock);
}

void notify_end(void)
{
	pthread_mutex_lock(&notify.lock);
	notify.session = NULL;
	pthread_mutex_unlock(&notify.lock);
}

static bool next_epoch(void)
{
	struct fuse_out_header head = {.len = sizeof head, .error = NOTIFY_INC_EPOCH};

	return write(fuse_session_fd(notify.session), &head, sizeof head) == sizeof head;
}

bool notify_knows_names(void)
{
	bool knows;

	pthread_mutex_lock(&notify.lock);
	if (notify.session && notify.knows_names == UNKNOWN)
		notify.knows_names = next_epoch() ? YES : NO;
	knows = notify.session && notify.knows_names == YES;
	pthread_mutex_unlock(&notify.lock);
	return knows;
}

void notify_names(void)
{
	pthread_mutex_lock(&notify.lock);
	if (notify.session)
		next_epoch();
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
