/* The agent's program, ready to be sent. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct agent_file {
	char *content; /* in base64 */
	char sha256[65];
	char machine[65]; /* as uname -m says it there */
	size_t size;	  /* bytes, before base64 */
};

/* `path` NULL: beside this program, or where it is installed. */
int agent_file_load(const char *path, struct agent_file *ret, struct error *err);
void agent_file_free(struct agent_file *f);
