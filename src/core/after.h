/* "In so many milliseconds, do this to that object." */
#pragma once

#include "core/object.h"

/* Calls `fn(o)` on the loop thread, core lock held, after `ms`; `o` is kept until then. 0 or -ENOMEM. */
int core_after(unsigned ms, void (*fn)(struct object *o), struct object *o);

/* Drops all that has not come due, when the mount ends: the loop is about to stop. Any thread. */
void core_after_end(void);
