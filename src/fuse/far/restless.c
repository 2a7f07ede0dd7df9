/* fs/ far away: names that stand for one file after the other. */
#include "fuse/far/node.h"

#include <time.h>

#define RESTLESS_MS 1000 /* the look that is meant comes at once */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void far_dir_restless(struct far_node *dir, const char *name)
{
	dir->restless = hash_text(0, name);
	dir->restless_until = now_ms() + RESTLESS_MS;
}

bool far_dir_is_restless(const struct far_node *dir, const char *name)
{
	return dir->restless_until && now_ms() < dir->restless_until && dir->restless == hash_text(0, name);
}
