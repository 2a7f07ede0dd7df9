/* How a root differs from what it was made of. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/stat.h>

/* One name. What is there is held by O_PATH descriptors, valid during the call; -1: nothing. */
struct difference {
	const char *path; /* from the root, without a slash before it */
	int before, after;
	struct stat before_st, after_st;
	bool replaces; /* what was there was told as gone just before */
	bool content;  /* of two files of one type: it is not only the mode */
};

struct differing {
	int base;      /* the image */
	int ours;      /* what was laid over it before the sandbox began, or -1 */
	int root;      /* what became of it */
	bool layer;    /* `root` is an overlay's upper layer */
	bool all_gone; /* what was in a directory that is gone is told too */
	/* 0, or -errno to end it with. */
	int (*each)(void *arg, const struct difference *d);
	/* True: give up with -ECANCELED. */
	bool (*unwanted)(void *arg);
	void *arg;
};

/* Tells all differences, in no order, but that what is gone comes before what took its place. 0 or -errno. */
int differences(const struct differing *d);
