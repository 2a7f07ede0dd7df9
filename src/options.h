/* The command line. */
#pragma once

#include "base/error.h"
#include "fuse/graft/graft.h"

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_opt.h>

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct options {
	char source[256]; /* "local:" and the like */
	char mountpoint[PATH_MAX];
	bool foreground, debug, single_threaded, help, version;
	bool keep; /* on_exit=keep */
	bool allow_other;
	bool no_passthrough;
	enum graft_memory memory; /* remember= */
	mode_t umask;
	uint64_t spool_limit; /* bytes */
	uint32_t orphan_timeout_s;
	uint64_t timeout_s;				       /* 0: as core has it */
	char *state_dir;				       /* malloc'ed, or NULL */
	char *credentials, *ca_file;			       /* the same */
	bool files_over_channel, spool_over_channel, no_agent; /* for tests */
	struct fuse_args fuse_args;			       /* what libfuse is to see */
};

/* -EINVAL with one line that says which word is wrong. */
int options_parse(int argc, char **argv, struct options *ret, struct error *err);
void options_free(struct options *o);
void options_print_help(void);
