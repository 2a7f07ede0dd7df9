/* PurgeSandboxes: ending all sandboxes with certain tags. */
#pragma once

#include "core/backend.h"

struct aviato;

/* What core asks (core/backend.h). */
void purge_begin(struct backend *b, const char *tags);
/* Loop thread. */
void purge_close(struct aviato *a);
