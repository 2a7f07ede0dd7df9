#include "fuse/poll.h"

#include "core/waiter.h"

#include <errno.h>
#include <stdlib.h>

/* Off every list but with a handle: notify() is about to run on some thread. */
struct watch {
	struct waiter waiter;
	struct fuse_pollhandle *ph; /* NULL once it was notified */
	struct list *list;	    /* it was armed on */
	bool orphan;		    /* the file was released meanwhile: notify() frees it */
};

static void destroy_handle(struct fuse_pollhandle *ph)
{
	if (ph)
		fuse_pollhandle_destroy(ph);
}

/* Runs without the core lock: the kernel is told outside of it. */
static void notify(struct waiter *w)
{
	struct watch *watch = container_of(w, struct watch, waiter);
	struct fuse_pollhandle *ph;
	bool orphan;

	core_lock();
	ph = watch->ph;
	watch->ph = NULL;
	orphan = watch->orphan;
	core_unlock();
	if (ph && !orphan)
		fuse_lowlevel_notify_poll(ph);
	destroy_handle(ph);
	if (orphan)
		free(watch);
}

int watch_arm(struct watch **watch, struct fuse_pollhandle *ph, struct list *list)
{
	struct watch *w = *watch;
	struct list now;

	if (!w) {
		w = *watch = calloc(1, sizeof *w);
		if (!w)
			return -ENOMEM;
		list_init(&w->waiter.link);
		w->waiter.run = notify;
	}
	if (!w->ph) { /* else it waits already, or is about to notify whatever handle is there */
		list_append(list, &w->waiter.link);
	} else if (w->list != list && !list_empty(&w->waiter.link)) {
		/* What the file reads is another now: the kernel asks again, and waits on that. */
		list_init(&now);
		list_remove(&w->waiter.link);
		list_append(&now, &w->waiter.link);
		core_wake(&now);
	}
	w->list = list;
	if (w->ph != ph)
		destroy_handle(w->ph);
	w->ph = ph;
	return 0;
}

void watch_drop(struct watch *watch)
{
	if (!watch)
		return;
	if (watch->ph && list_empty(&watch->waiter.link)) {
		watch->orphan = true;
		return;
	}
	list_remove(&watch->waiter.link);
	destroy_handle(watch->ph);
	free(watch);
}
