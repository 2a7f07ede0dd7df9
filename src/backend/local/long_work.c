#include "backend/local/long_work.h"

#include "base/list.h"
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#define THREADS_MAX 4

struct job {
	struct list link;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list waiting = {&waiting, &waiting};
static unsigned threads;

static void run(struct job *j)
{
	j->work(j->arg);
	while (loop_post(j->done, j->arg))
		sched_yield(); /* out of memory: nobody else can tell of its end */
	free(j);
}

static void *thread_main(void *first)
{
	struct job *j = first;

	while (j) {
		run(j);
		pthread_mutex_lock(&lock);
		j = list_empty(&waiting) ? NULL : container_of(waiting.next, struct job, link);
		if (j)
			list_remove(&j->link);
		else
			threads--;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* Signals are the loop thread's. */
static int new_thread(struct job *j)
{
	pthread_attr_t detached;
	sigset_t all, old;
	pthread_t thread;
	int code = pthread_attr_init(&detached);

	if (code)
		return -code;
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&thread, &detached, thread_main, j);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&detached);
	return -code;
}

int long_work(void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *j = malloc(sizeof *j);
	int rc = 0;

	if (!j)
		return -ENOMEM;
	*j = (struct job){.work = work, .done = done, .arg = arg};
	pthread_mutex_lock(&lock);
	if (threads < THREADS_MAX)
		rc = new_thread(j);
	if (threads < THREADS_MAX && rc == 0) {
		threads++;
	} else if (threads) { /* one of them comes to it */
		list_append(&waiting, &j->link);
		rc = 0;
	}
	pthread_mutex_unlock(&lock);
	if (rc)
		free(j);
	return rc;
}
