#include "backend/local/same_content.h"

#include "backend/local/copy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (128u << 10)

static int same_links(int a, int b)
{
	char one[PATH_MAX], other[PATH_MAX];
	ssize_t n = readlinkat(a, "", one, sizeof one), m = readlinkat(b, "", other, sizeof other);

	return n >= 0 && n == m && memcmp(one, other, (size_t)n) == 0;
}

static ssize_t read_block(int fd, char *out, off_t at)
{
	size_t have = 0;

	while (have < BLOCK) {
		ssize_t n = pread(fd, out + have, BLOCK - have, at + (off_t)have);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static int same_bytes(int a, int b, char *blocks, bool (*unwanted)(void *), void *arg)
{
	for (off_t at = 0;; at += BLOCK) {
		ssize_t n = read_block(a, blocks, at), m = read_block(b, blocks + BLOCK, at);

		if (unwanted && unwanted(arg))
			return -ECANCELED;
		if (n < 0 || n != m || memcmp(blocks, blocks + BLOCK, (size_t)n) != 0)
			return 0;
		if ((size_t)n < BLOCK)
			return 1;
	}
}

int same_content(int a, const struct stat *a_st, int b, const struct stat *b_st, bool (*unwanted)(void *),
		 void *arg)
{
	int one, other, rc = 0;
	char *blocks, path[32];

	if (S_ISLNK(a_st->st_mode))
		return same_links(a, b);
	if (!S_ISREG(a_st->st_mode))
		return 1;
	if (a_st->st_size != b_st->st_size)
		return 0;
	blocks = malloc((size_t)2 * BLOCK);
	snprintf(path, sizeof path, "/proc/self/fd/%d", a);
	one = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	other = copy_open(b, b_st, O_RDONLY, true);
	if (!blocks)
		rc = -ENOMEM;
	else if (one >= 0 && other >= 0)
		rc = same_bytes(one, other, blocks, unwanted, arg);
	if (one >= 0)
		close(one);
	if (other >= 0)
		close(other);
	free(blocks);
	return rc;
}
