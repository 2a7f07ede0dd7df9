/* The forms of a command's text: shell text, a script, an argv, a JSON object. */
#pragma once

#include "base/error.h"
#include "channel/protocol.h"

#include <stddef.h>

#define COMMAND_TEXT_MAX (8u << 20) /* bytes */

/*
 * Turns what was written into `cmd` into something to start: text starting with
 * #! is a script; starting with [" or {", or pretty-printed, it is JSON; all else is for /bin/sh.
 * Cwd, environment and name are what the text says, else unset. Returns 0,
 * -EINVAL with a sentence, or -ENOMEM. The result is freed with start_free().
 */
int command_parse(const char *text, size_t len, struct start *ret, struct error *err);

/* Lays `lines` (NAME=VALUE, one a line) under the environment that `s` has already. 0 or -ENOMEM. */
int command_add_env(struct start *s, const char *lines);
