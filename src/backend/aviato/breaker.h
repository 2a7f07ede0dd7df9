/*
 * Whether the service can be reached at all. After a call that could not reach
 * it the next ones fail at once, with the same reason, while a probe asks in the
 * background until it answers. Loop thread only.
 */
#pragma once

#include "rpc/status.h"

#include <stdbool.h>

struct aviato;

/* True while calls are pointless; `ret` says why. */
bool breaker_is_open(const struct aviato *a, struct rpc_status *ret);
/* How a call ended for good, retries included. */
void breaker_report(struct aviato *a, const struct rpc_status *status);
void breaker_close(struct aviato *a);
