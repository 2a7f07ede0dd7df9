/* What bwrap is told. Handed over in a memory file, so nothing of it shows in the process list. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>

/* A list of words, each ended by a NUL, as bwrap --args reads them. */
struct arguments {
	struct buf words;
	bool failed; /* out of memory somewhere on the way */
};

void arguments_init(struct arguments *a);
void arguments_free(struct arguments *a);

/* Appends words up to a NULL. */
void arguments_add(struct arguments *a, ...) __attribute__((sentinel));

struct isolation {
	const char *hostname;
	const char *root;	 /* absolute path of the directory that becomes / */
	bool network;		 /* shares the host's */
	int seccomp_fd, info_fd; /* as numbered in bwrap */
};

/* Namespaces, privileges, environment and the root directory: goes first. */
void arguments_isolation(struct arguments *a, const struct isolation *i);

/* /proc and /dev of its own, with the dangerous parts of /proc covered: goes after all of the root. */
void arguments_kernel_files(struct arguments *a);

/* Writes the list into a memory file, at its start. Returns the descriptor or -errno. */
int arguments_file(const struct arguments *a, struct error *err);
