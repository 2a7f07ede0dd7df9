/* `logs`: StreamLogs of a sandbox's main process, while somebody reads it. */
#pragma once

#include "core/report/main_log.h"

struct backend;
struct remote;

/* What core asks (core/backend.h). */
void logs_follow(struct backend *b, struct main_log *l, bool on);
void logs_forget(struct backend *b, struct main_log *l);

/* The state of the sandbox has changed: it may run now, or run no more. Loop thread. */
void logs_step(struct remote *i);
/* The sandbox is let go of. Loop thread. */
void logs_part(struct remote *i);
