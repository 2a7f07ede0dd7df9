/* The one lock of the core, and what runs when it is dropped. */
#include "core/backend.h"
#include "core/waiter.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list due = {&due, &due};
static _Thread_local bool draining;

void core_lock(void)
{
	pthread_mutex_lock(&lock);
}

void core_wake(struct list *waiters)
{
	list_splice(&due, waiters);
}

void core_unlock(void)
{
	/* A completion takes the lock itself; its own unlock leaves the rest to the loop below. */
	if (draining) {
		pthread_mutex_unlock(&lock);
		return;
	}
	draining = true;
	while (!list_empty(&due)) {
		struct waiter *w = container_of(due.next, struct waiter, link);

		list_remove(&w->link);
		pthread_mutex_unlock(&lock);
		w->run(w);
		pthread_mutex_lock(&lock);
	}
	draining = false;
	pthread_mutex_unlock(&lock);
}
