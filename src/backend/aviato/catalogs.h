/* Lists of the service beside its sandboxes: .ctl/runners, .ctl/templates. */
#pragma once

#include "core/backend.h"

struct aviato;

/* What core asks (core/backend.h). */
void catalogs_tell(struct backend *b, enum catalog which);
/* Loop thread. */
void catalogs_close(struct aviato *a);
