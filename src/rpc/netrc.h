/* Finding a password in the text of a .netrc file. */
#pragma once

#include <stddef.h>

/*
 * The password of `machine`, or of the entry `default` where that comes first;
 * copied into `ret`. 0; -ENOENT when there is none; -EINVAL when the text makes
 * no sense or the password does not fit.
 */
int netrc_password(const char *text, const char *machine, char *ret, size_t size);
