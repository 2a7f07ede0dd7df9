/* Work that may take minutes: on threads of its own, since sandboxes are started by the pool's. */
#pragma once

/*
 * Runs `work(arg)` on such a thread, of which there are few (what is more waits its turn), and then
 * `done(arg)` on the loop thread. Callable from any thread. 0 or -errno.
 */
int long_work(void (*work)(void *arg), void (*done)(void *arg), void *arg);
