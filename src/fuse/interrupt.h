/* Which waiting request an interrupt is meant for. */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The kernel may interrupt a request at any time, also while it is being
 * answered on another thread, and libfuse then calls us with what we gave it at
 * registration. That must not be a pointer that can be stale: it is a slot
 * number with a generation, looked up under the core lock.
 *
 * Embedded in whatever stands for a request that waits.
 */
struct interruptible {
	uint32_t slot, generation;
	/*
	 * Called with the core lock held. True: nobody else will answer the request, which is then answered
	 * with EINTR; the object may be gone when this returns.
	 */
	bool (*interrupted)(struct interruptible *i);
};

/* Core lock held, both. 0 or -ENOMEM. */
int interruptible_add(struct interruptible *i);
void interruptible_remove(struct interruptible *i);

/*
 * From here on interrupts of `req` come to the object with this mark (interruptible_mark() of it), as
 * long as there is one. No lock held, and the request not answered yet; it may be interrupted from within.
 */
void *interruptible_mark(const struct interruptible *i);
void interruptible_watch(fuse_req_t req, void *mark);

/*
 * Whether a signal is about to end the process of this thread; true as well where that cannot be seen. What
 * is done on a disk is not interrupted by others, and who works on files does not expect it. Reads /proc.
 */
bool interrupt_ends(pid_t thread);
