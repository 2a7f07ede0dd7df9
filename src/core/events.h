/* .ctl/events: one JSON line per change of state, for the whole mount and per session. */
#pragma once

#include "core/stream.h"

struct process;
struct sandbox;

#define EVENTS_KEPT (4u << 20) /* bytes kept of each log; the oldest lines go first */

/* Core lock held. Out of memory drops the line, never the change it tells of. */
void event_sandbox(struct sandbox *s);
void event_process(struct process *p);
