/* fs/ far away: names that stand for one file after the other. */
#include "fuse/far/node.h"

#define RESTLESS_MS 1000 /* the look that is meant comes at once */

void far_dir_restless(struct far_node *dir, const char *name)
{
	dir->restless = hash_text(0, name);
	dir->restless_until = far_now_ms() + RESTLESS_MS;
}

bool far_dir_is_restless(const struct far_node *dir, const char *name)
{
	return dir->restless_until && far_now_ms() < dir->restless_until &&
	       dir->restless == hash_text(0, name);
}
