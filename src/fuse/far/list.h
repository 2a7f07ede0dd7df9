/* Asking the agent for a directory's listing. */
#pragma once

#include "fuse/far/node.h"

/* Begins to ask for it, all of it, if nobody does already: d->waiting is woken at its end. 0 or -errno. */
int far_list_fetch(struct far_node *dir);
/* The same, but only the beginning of it, and only if that was never done: nobody waits. */
void far_list_ahead(struct far_node *dir);
