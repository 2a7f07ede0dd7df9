/* What a failed call means to users: errno, reason, sentence. */
#pragma once

#include "base/error.h"
#include "rpc/status.h"

#include <stdbool.h>

/* Fills `err`; returns -errno. `what` says what was tried: "create the sandbox". */
int failure_set(struct error *err, const struct rpc_status *status, const char *what);
/* The same of what a sandbox needs to come up: that there is no room for it will not pass by waiting. */
int failure_set_start(struct error *err, const struct rpc_status *status, const char *what);

/* Whether the same call may do better in a moment, for calls that can be repeated without harm. */
bool failure_is_passing(const struct rpc_status *status);
/* Whether the service says for certain that it was not done. */
bool failure_is_final(const struct rpc_status *status);
/* Whether a creation was refused because there is no room for it there, or nobody to take it. */
bool failure_is_no_place(const struct rpc_status *status);
/* Whether the service itself could not be reached. */
bool failure_is_unreachable(const struct rpc_status *status);
/* Whether there is no such sandbox (any more). */
bool failure_is_gone(const struct rpc_status *status);
/* Whether the sandbox exists but takes no such calls now. */
bool failure_is_not_running(const struct rpc_status *status);
