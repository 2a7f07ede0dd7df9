/* `services`: the ports of a sandbox, and the addresses the service has given them. */
#pragma once

#include "core/backend.h"

struct remote;

/* What core asks (core/backend.h). */
int services_show(struct backend *b, struct sandbox *s, struct buf *out);

/* It runs: as long as a service that should have one has no address, looks for it now and then. Loop thread.
 */
void services_watch(struct remote *i);
/* The sandbox is let go of. Loop thread. */
void services_part(struct remote *i);
