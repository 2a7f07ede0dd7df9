/* The daemon's one event-loop thread: libuv, and the way to reach it from other threads. */
#pragma once

#include <uv.h>

/* Starts the thread with all signals blocked. Returns 0 or -errno. */
int loop_start(void);

/* Runs `fn(arg)` on the loop thread, soon, in the order of the calls. Callable from any thread;
 * returns 0 or -ENOMEM. */
int loop_post(void (*fn)(void *arg), void *arg);

/*
 * Runs `work(arg)` on a pool thread and then `done(arg)` on the loop thread.
 * For what may block: file trees, process start. Callable from any thread.
 */
int loop_work(void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* The loop itself, for uv_* calls; to be touched on the loop thread only. */
uv_loop_t *loop_uv(void);

/* Ends the thread once every posted call has run; open handles are closed. */
void loop_stop(void);
