/* The system call filter every sandbox runs under. */
#pragma once

#include "base/error.h"

/* Compiles the filter into a sealed memory file, as bwrap --seccomp reads it. Returns the descriptor or
 * -errno. */
int seccomp_compile(struct error *err);
