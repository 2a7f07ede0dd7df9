/* What an interactive shell of a sandbox is, whichever way it is asked for. */
#pragma once

#define INTERACTIVE_SHELL                                                                                    \
	"for s in \"${SHELL#/bin/sh}\" bash; do command -v \"$s\" >/dev/null 2>&1 && exec \"$s\"; done; "    \
	"exec sh"
