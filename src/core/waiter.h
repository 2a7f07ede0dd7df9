/* Who waits for something to happen in the core, and how it hears of it. */
#pragma once

#include "base/list.h"

/*
 * Linked on the list of what it waits for, under the core lock. When that
 * happens core_wake() moves it to the due list, and `run` is called without the
 * lock by whoever drops it next. A waiter is woken to try again, not told a
 * result: the condition may be gone by then.
 */
struct waiter {
	struct list link;
	void (*run)(struct waiter *w);
};

/* Makes all waiters of `list` due. Core lock held. */
void core_wake(struct list *waiters);
