/* `purge` in .ctl/ctl: ending all sandboxes of an account that have certain tags. Core lock. */
#pragma once

#include "base/error.h"
#include "base/list.h"

#include <stdbool.h>

/*
 * Begins it, for those with all of `tags`, a line each ("" is all sandboxes), and waits for its end: -EAGAIN,
 * wait on *ret_wait and call it with `again`. One at a time (-EBUSY). A signal ends the wait, not the purge.
 */
int purge(const char *tags, bool again, struct list **ret_wait, struct error *err);
