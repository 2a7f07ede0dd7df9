/* The executables of a mount. */
#pragma once

#include "tree/node.h"

/* Finds out which program we are. Once, before anything is shown. */
void run_init(void);
int run_show(const struct place *at, struct buf *out);
