/*
 * fs/ far away: having the kernel drop what it keeps of files that changed.
 *
 * From a thread of its own: the kernel's answer may wait for a read of the same
 * pages, which others must be free to answer.
 */
#include "fuse/far_stale.h"

#include "core/backend.h"
#include "core/waiter.h"
#include "fuse/far_node.h"

#include <pthread.h>
#include <semaphore.h>

static struct {
	struct fuse_session *session; /* NULL: nobody keeps anything */
	pthread_t thread;
	sem_t work;
	bool ending;
	/* Core lock: */
	struct list nodes, waiting; /* far_op, for the end of `busy` */
	struct far_node *busy;	    /* being told of; not to be followed */
} stale = {.waiting = {&stale.waiting, &stale.waiting}};

/* The number of the next; 0: there is none. A file that is forgotten meanwhile has nothing to be dropped. */
static fuse_ino_t next(bool *ret_ending)
{
	fuse_ino_t number = 0;

	core_lock();
	stale.busy = NULL;
	core_wake(&stale.waiting);
	*ret_ending = stale.ending;
	if (!list_empty(&stale.nodes)) {
		struct far_node *n = container_of(stale.nodes.next, struct far_node, stale_pages);

		list_remove(&n->stale_pages);
		number = n->node ? n->node->number : 0;
		stale.busy = number ? n : NULL;
	}
	core_unlock();
	return number;
}

static void *run(void *unused)
{
	bool ending = false;

	(void)unused;
	while (!ending) {
		fuse_ino_t number = next(&ending);

		if (number && !ending)
			fuse_lowlevel_notify_inval_inode(stale.session, number, 0, 0);
		else
			while (!ending && sem_wait(&stale.work))
				;
	}
	return NULL;
}

int far_stale_begin(struct fuse_session *session)
{
	int rc;

	list_init(&stale.nodes);
	stale.ending = false;
	sem_init(&stale.work, 0, 0);
	rc = pthread_create(&stale.thread, NULL, run, NULL);
	core_lock();
	stale.session = rc ? NULL : session;
	core_unlock();
	return -rc;
}

void far_stale_end(void)
{
	if (!stale.session)
		return;
	core_lock();
	stale.ending = true;
	core_unlock();
	sem_post(&stale.work);
	pthread_join(stale.thread, NULL);
	sem_destroy(&stale.work);
	core_lock();
	while (!list_empty(&stale.nodes))
		list_remove(stale.nodes.next);
	stale.session = NULL;
	core_unlock();
}

struct list *far_stale_settle(struct far_node *n)
{
	list_remove(&n->stale_pages);
	return stale.busy == n ? &stale.waiting : NULL;
}

void far_stale(struct far_node *n)
{
	if (!stale.session || stale.ending || !n->node || !list_empty(&n->stale_pages))
		return;
	if (!n->has_pages && list_empty(&n->files))
		return;
	list_append(&stale.nodes, &n->stale_pages);
	sem_post(&stale.work);
}
