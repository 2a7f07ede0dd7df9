/* What is to run, and how, as the JSON that `cmd` takes. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

struct order {
	char *const *argv; /* NULL-terminated */
	const char **env;  /* NULL-terminated NAME=VALUE; the last one of a name counts */
	const char *cwd;   /* "" or NULL: the sandbox's own */
	double timeout;	   /* seconds; 0: none */
	bool tty;	   /* on a terminal in the sandbox */
};

/* Appends it. 0, -EFBIG past the maximum of `out`, or -ENOMEM. */
int order_write(const struct order *o, struct buf *out);
