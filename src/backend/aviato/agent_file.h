/* The agent's programs, ready to be sent: one for each type of machine that sandboxes turn out to have. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct agent_file {
	struct agent_file *next;
	char *content; /* in base64 */
	char sha256[65];
	char machine[65]; /* as uname -m says it there */
	size_t size;	  /* bytes, before base64 */
};

/*
 * Of `machine`, a word from anywhere; NULL: this one. Looked for beside this program, then where it is
 * installed, as aviatofs-agent; those of other machines have `-MACHINE` behind the name. NULL with ENOENT and
 * a sentence where there is none.
 */
struct agent_file *agent_file_load(const char *machine, struct error *err);
/* With all behind it; NULL is nothing. */
void agent_file_free(struct agent_file *f);
