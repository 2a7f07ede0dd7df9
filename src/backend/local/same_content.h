/* Whether two files hold the same. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

/*
 * Of two O_PATH descriptors of one type: 1 the same, 0 not (or one cannot be read), -ECANCELED when
 * `unwanted` says so, or another -errno.
 */
int same_content(int a, const struct stat *a_st, int b, const struct stat *b_st, bool (*unwanted)(void *),
		 void *arg);
