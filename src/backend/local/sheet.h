/* The text of a comparison, as it is written. */
#pragma once

#include "base/buf.h"

#define SHEET_MAX (64u << 20) /* bytes */

struct sheet {
	int file;
	struct buf text; /* not yet in the file */
};

void sheet_init(struct sheet *s, int file);
/* Each 0, or -errno; -EFBIG when it gets too long. */
int sheet_puts(struct sheet *s, const char *text);
/* `prefix` and a path as git writes it: in quotes where it has bytes that need them. */
int sheet_path(struct sheet *s, const char *prefix, const char *path);
/* All of it is in the file; its length, or -errno. */
long sheet_flush(struct sheet *s);
void sheet_free(struct sheet *s);

/* The same path into `out`. */
int quoted_path(struct buf *out, const char *prefix, const char *path);
