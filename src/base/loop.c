#include "base/loop.h"

#include "base/list.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct call {
	struct list link;
	/* Passes the call from thread to thread; libuv does too, but where checkers cannot see it. */
	atomic_bool handed;
	void (*fn)(void *arg);
	void (*done)(void *arg); /* set for pool work */
	void *arg;
	uv_work_t work;
};

static struct {
	uv_loop_t uv;
	uv_async_t kick;
	pthread_t thread;
	pthread_mutex_t lock;
	struct list calls;
	bool stopping;
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void pool_run(uv_work_t *work)
{
	struct call *call = container_of(work, struct call, work);

	atomic_load_explicit(&call->handed, memory_order_acquire);
	call->fn(call->arg);
	atomic_store_explicit(&call->handed, true, memory_order_release);
}

static void pool_done(uv_work_t *work, int status)
{
	struct call *call = container_of(work, struct call, work);

	(void)status; /* never cancelled */
	atomic_load_explicit(&call->handed, memory_order_acquire);
	call->done(call->arg);
	free(call);
}

static void run_calls(uv_async_t *async)
{
	struct list calls;

	(void)async;
	list_init(&calls);
	pthread_mutex_lock(&loop.lock);
	list_splice(&calls, &loop.calls);
	pthread_mutex_unlock(&loop.lock);
	list_each_safe (pos, &calls) {
		struct call *call = container_of(pos, struct call, link);

		if (call->done) {
			atomic_store_explicit(&call->handed, true, memory_order_release);
			uv_queue_work(&loop.uv, &call->work, pool_run, pool_done);
		} else {
			call->fn(call->arg);
			free(call);
		}
	}
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void *loop_main(void *arg)
{
	(void)arg;
	uv_run(&loop.uv, UV_RUN_DEFAULT);
	uv_walk(&loop.uv, close_handle, NULL);
	uv_run(&loop.uv, UV_RUN_DEFAULT);
	uv_loop_close(&loop.uv);
	return NULL;
}

int loop_start(void)
{
	sigset_t all, old;
	int rc;

	list_init(&loop.calls);
	rc = uv_loop_init(&loop.uv);
	if (rc)
		return rc;
	rc = uv_async_init(&loop.uv, &loop.kick, run_calls);
	if (rc)
		return rc;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&loop.thread, NULL, loop_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static int enqueue(void (*fn)(void *), void (*done)(void *), void *arg)
{
	struct call *call = malloc(sizeof *call);

	if (!call)
		return -ENOMEM;
	call->fn = fn;
	call->done = done;
	call->arg = arg;
	pthread_mutex_lock(&loop.lock);
	list_append(&loop.calls, &call->link);
	pthread_mutex_unlock(&loop.lock);
	uv_async_send(&loop.kick);
	return 0;
}

int loop_post(void (*fn)(void *arg), void *arg)
{
	return enqueue(fn, NULL, arg);
}

int loop_work(void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	return enqueue(work, done, arg);
}

uv_loop_t *loop_uv(void)
{
	return &loop.uv;
}

static void stop_now(void *arg)
{
	(void)arg;
	uv_stop(&loop.uv);
}

void loop_stop(void)
{
	if (loop_post(stop_now, NULL))
		return;
	pthread_join(loop.thread, NULL);
}
