/* What else the backend offers, as JSON lines: asked for when it is opened, and good for a second. Core lock.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "core/backend.h"

/* Has it be known: 0, -EAGAIN: wait on *ret_wait and ask again, or why it cannot be. */
int catalog_ask(enum catalog which, struct list **ret_wait, struct error *err);
/* What the last answer was. 0 or -ENOMEM. */
int catalog_show(enum catalog which, struct buf *out);
