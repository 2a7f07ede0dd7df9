/* What the lines of .ctl/events say: one JSON object per change of state. */
#pragma once

#include "base/buf.h"

#include <stdint.h>

struct process;
struct sandbox;
struct session;

/* Core lock held. Out of memory loses the line, never the change it tells of. */
void event_session(struct session *s, const char *state);
void event_sandbox(struct sandbox *s);
void event_process(struct process *p);

/* The line that stands where `count` others are gone. 0 or -errno of buf_append(). */
int event_put_lost(struct buf *out, uint64_t count);
