/* The executables of a mount. */
#pragma once

#include "tree/node.h"

/* Finds out which program we are. Once, before anything is shown. */
void run_init(void);
/* Of a file below bin/. */
int program_show(const struct place *at, struct buf *out);
int run_show(const struct place *at, struct buf *out);
