/* A session: a directory of sandboxes with defaults of its own. */
#pragma once

#include "base/error.h"
#include "core/config.h"
#include "core/journal.h"
#include "core/object.h"

struct session {
	struct object object;
	struct config defaults;
	struct error error;
	struct feed events;
	bool closed; /* takes no new sandboxes */
};

/* mkdir NAME at the top. */
int session_make(const char *name, struct error *err);
/* rmdir: -ENOTEMPTY while it has sandboxes. */
int session_drop(struct session *s, struct error *err);
/* The session without a name of sandboxes that were attached to by their ids; made when first asked for.
 * NULL: no memory. */
struct session *session_of_strays(void);
/* ctl close: stops all its sandboxes at once; it takes no new ones. */
void session_close(struct session *s);
