/* A sandbox of a mount, as a program outside the daemon finds it. */
#pragma once

#include <stdbool.h>

enum { CLIENT_BROKEN = 125 }; /* exit status where the command's own is not to be had; as that of env(1) */

struct box {
	char path[4096]; /* of its directory, without symbolic links */
	int fd;		 /* the same, O_PATH */
	const char *who; /* what its messages begin with */
};

/*
 * `path` is the directory of a sandbox, or its file `run`. 0, or CLIENT_BROKEN, and a line on
 * standard error has said why.
 */
int box_open(struct box *b, const char *who, const char *path);
/* `path` is a file below its bin/, whose name is *ret_name (valid as long as the box). */
int box_open_program(struct box *b, const char *who, const char *path, const char **ret_name);

/*
 * The directory in the sandbox that is the caller's own: the caller's is below the sandbox's fs/.
 * "" where it is not.
 */
void box_directory(const struct box *b, char *ret, unsigned long size);

/* Says that `what` failed with `code`, and what the sandbox says of it; CLIENT_BROKEN. */
int box_complain(const struct box *b, const char *what, int code);
