/* What a sandbox's symlinks say to somebody who reads them from outside. */
#pragma once

#include <stdbool.h>

/*
 * A symlink is followed by the kernel of whoever reads it, and that kernel knows
 * nothing of the sandbox's root. So the text is changed until it means outside
 * what it means inside, and cannot lead above the root whatever the sandbox does
 * meanwhile: it holds at most `depth` "..", all of them at its start, and every
 * name behind them is looked up through us.
 *
 *   relative, every ".." leading and at most `depth`   as it is
 *   absolute                                           "../" x depth, the rest
 *   more leading ".." than `depth`                     clamped, as at any root
 *   ".." behind a name (which may be a link itself)    the part up to the last ".." resolved in
 *                                                      the sandbox; if that fails, lexically
 */

/*
 * `dir` is the directory the link is in, `depth` how many levels below `root` its reader believes that
 * to be; `raw` the stored text. Writes at most PATH_MAX bytes, NUL included, to `out`.
 * Returns the length or -ENAMETOOLONG.
 */
int files_link_text(int root, int dir, unsigned int depth, const char *raw, char *out);

/* Whether that needs the sandbox: "..", where there is any, stands behind a name. */
bool files_link_needs_walk(const char *raw);

/* Whether a text made elsewhere is one that files_link_text() could have made: it leads nowhere above the
 * root. */
bool files_link_is_safe(const char *text, unsigned int depth);

/* The same for an O_PATH descriptor of a symlink. Returns the length or -errno. */
int files_readlink(int root, int dir, unsigned int depth, int link, char *out);
