/* The local backend: sandboxes made by bubblewrap on this machine. docs/sandbox.md is the prose. */
#pragma once

#include "base/error.h"
#include "core/backend.h"

struct local_options {
	/* What stands after "local:" in the SOURCE: a separate set of sandboxes per name; "" is the default
	 * one. */
	const char *source_name;
	const char *state_dir;	   /* NULL: /var/lib/aviatofs for root, else under $XDG_STATE_HOME */
	uint32_t orphan_timeout_s; /* an agent no mount has spoken to for so long ends its sandbox */
	const char *agent_path;	   /* NULL: aviatofs-agent beside this program, then in LIBEXECDIR */
};

/*
 * Finds bwrap and the agent, makes the state directory. The strings are copied.
 * Fails with a sentence and one of the reasons BUBBLEWRAP_MISSING,
 * AGENT_MISSING, STATE_DIR, BAD_SOURCE, NO_SPACE, NO_MEMORY, SECCOMP.
 */
int local_open(const struct local_options *options, struct backend **ret, struct error *err);
