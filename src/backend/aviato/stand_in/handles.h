/*
 * The numbers core gives to files of a sandbox without an agent, and the paths
 * they stand for. A path is all there is to find a file by; what it was when it
 * was last seen tells whether another one is there now.
 */
#pragma once

#include "base/list.h"

#include <stdint.h>
#include <sys/stat.h>

#define HANDLE_BUCKETS 256
#define HANDLES_FAILED 64

struct held {
	struct list link;
	uint64_t number;
	uint64_t dev, ino; /* 0: not known */
	char path[];	   /* absolute; "/" the root */
};

struct handles {
	struct list buckets[HANDLE_BUCKETS];
	unsigned count;
	struct held *root;
	/* Those that could not be made, the last ones: what uses them fails the same way */
	struct {
		uint64_t number;
		int error;
	} failed[HANDLES_FAILED];
	unsigned next_failed;
};

int handles_init(struct handles *h); /* 0 or -ENOMEM */
void handles_free(struct handles *h);
/* 0, or what the one that was to make it failed with, or -ESTALE. */
int handles_find(const struct handles *h, uint64_t number, struct held **ret);
/* 0, -ENFILE or -ENOMEM. */
int handles_add(struct handles *h, uint64_t number, const char *path);
/* What is there was seen. */
void handles_see(struct handles *h, uint64_t number, const struct stat *st);
void handles_drop(struct handles *h, uint64_t number);
/* It could not be made. */
void handles_fail(struct handles *h, uint64_t number, int error);
/* A name was moved, and with it all that is below. */
void handles_move(struct handles *h, const char *from, const char *to);
