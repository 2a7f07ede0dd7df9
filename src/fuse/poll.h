/* poll(2) on open control files: who asked is told when something changed. */
#pragma once

#include "tree/handle.h"

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

struct watch;

/*
 * Arms `*watch` (made at the first use) so that `ph` is notified when `list`
 * wakes, and takes it over. Core lock held. 0, or -ENOMEM: ph is still the caller's.
 */
int watch_arm(struct watch **watch, struct fuse_pollhandle *ph, struct list *list);
/* At release; core lock held. NULL is fine. */
void watch_drop(struct watch *watch);
