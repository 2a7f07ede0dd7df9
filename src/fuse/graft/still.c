#include "fuse/graft/still.h"

#include "fuse/graft/reach.h"
#include "fuse/notify.h"

#include <fcntl.h>
#include <sys/stat.h>

#define KEEP_SECONDS 60.0
#define KEEP_NODES                                                                                           \
	8192 /* attributes remembered of one graft: so many notifications before a command starts */
#define AT_ONCE 256

static enum graft_memory memory = GRAFT_REMEMBER_ATTRIBUTES;

void graft_remember(enum graft_memory what)
{
	memory = what;
}

uint64_t graft_stillness(struct graft *g)
{
	uint64_t still;

	pthread_mutex_lock(&graft_lock);
	still = g->still;
	pthread_mutex_unlock(&graft_lock);
	return still;
}

uint64_t graft_mount_of(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
		return 0;
	return st.stx_mnt_id;
}

/*
 * What is bound into the sandbox from elsewhere may change there. A symlink says something else in another
 * place, so it must be looked up in each.
 */
bool graft_is_own(struct graft_node *node)
{
	enum graft_origin origin = node->origin;
	int fd;

	if (origin != GRAFT_UNKNOWN)
		return origin == GRAFT_OWN;
	fd = node->type == S_IFLNK ? -1 : graft_fd(node);
	if (node->type != S_IFLNK && fd < 0) /* not now */
		return false;
	origin =
	    node->type != S_IFLNK && node->graft->root_mount && graft_mount_of(fd) == node->graft->root_mount
		? GRAFT_OWN
		: GRAFT_FOREIGN;
	pthread_mutex_lock(&graft_lock);
	if (node->origin == GRAFT_UNKNOWN)
		node->origin = origin;
	origin = node->origin;
	pthread_mutex_unlock(&graft_lock);
	return origin == GRAFT_OWN;
}

/* --- Giving out --- */

double graft_keep_name(struct graft_node *dir, struct graft_node *node, uint64_t since)
{
	struct graft *g = dir->graft;
	bool keep;

	if (!since || !graft_is_own(dir) || (node && !graft_is_own(node)))
		return 0;
	pthread_mutex_lock(&graft_lock);
	keep = memory == GRAFT_REMEMBER_NAMES && g->still == since && dir->origin == GRAFT_OWN;
	if (keep)
		g->names_given++;
	dir->asked = true;
	pthread_mutex_unlock(&graft_lock);
	return keep ? KEEP_SECONDS : 0;
}

/* With the lock, which it drops. A node stays on the list until the kernel was told. */
static void forget_oldest(struct graft *g)
{
	struct graft_node *node = container_of(g->kept.next, struct graft_node, kept);
	uint64_t number = node->number, when = node->kept_since;

	pthread_mutex_unlock(&graft_lock);
	notify_attributes(number);
	pthread_mutex_lock(&graft_lock);
	node = graft_node_locked(g, number);
	if (node && node->kept_since == when)
		graft_keep_drop(node);
}

double graft_keep_attributes(struct graft_node *node, uint64_t since, bool asked)
{
	struct graft *g = node->graft;
	bool keep;

	if (!since || !graft_is_own(node))
		return 0;
	pthread_mutex_lock(&graft_lock);
	node->asked = node->asked || asked;
	keep = g->still == since && node->asked && !node->mapped && node->origin == GRAFT_OWN;
	if (keep) {
		graft_keep_drop(node);
		list_append(&g->kept, &node->kept);
		node->kept_since = ++g->kept_last;
		if (++g->kept_count > KEEP_NODES)
			forget_oldest(g);
	}
	pthread_mutex_unlock(&graft_lock);
	return keep ? KEEP_SECONDS : 0;
}

void graft_keep_drop(struct graft_node *node)
{
	if (!node->kept_since)
		return;
	list_remove(&node->kept);
	node->kept_since = 0;
	node->graft->kept_count--;
}

/* --- Taking back --- */

void graft_forget_names(struct graft *g)
{
	uint64_t given;
	bool any;

	pthread_mutex_lock(&graft_lock);
	given = g->names_given;
	any = given != g->names_taken_back;
	pthread_mutex_unlock(&graft_lock);
	if (!any)
		return;
	notify_names();
	/* Only now: who comes at the same time must not believe that it is done. */
	pthread_mutex_lock(&graft_lock);
	if (given > g->names_taken_back)
		g->names_taken_back = given;
	pthread_mutex_unlock(&graft_lock);
}

void graft_forget_attributes(struct graft_node *node)
{
	struct graft *g = node->graft;
	uint64_t number = node->number, when;

	pthread_mutex_lock(&graft_lock);
	when = node->kept_since;
	pthread_mutex_unlock(&graft_lock);
	if (!when)
		return;
	notify_attributes(number);
	pthread_mutex_lock(&graft_lock);
	node = graft_node_locked(g, number);
	if (node && node->kept_since == when)
		graft_keep_drop(node);
	pthread_mutex_unlock(&graft_lock);
}

/* Of all that was given out before `last`. */
static void forget_all_attributes(struct graft *g, uint64_t last)
{
	uint64_t numbers[AT_ONCE], when[AT_ONCE];
	unsigned count;

	do {
		count = 0;
		pthread_mutex_lock(&graft_lock);
		list_each (pos, &g->kept) {
			struct graft_node *node = container_of(pos, struct graft_node, kept);

			if (count == AT_ONCE || node->kept_since > last)
				break;
			numbers[count] = node->number;
			when[count++] = node->kept_since;
		}
		pthread_mutex_unlock(&graft_lock);
		for (unsigned i = 0; i < count; i++)
			notify_attributes(numbers[i]);
		pthread_mutex_lock(&graft_lock);
		for (unsigned i = 0; i < count; i++) {
			struct graft_node *node = graft_node_locked(g, numbers[i]);

			if (node && node->kept_since == when[i])
				graft_keep_drop(node);
		}
		pthread_mutex_unlock(&graft_lock);
	} while (count == AT_ONCE);
}

static void forget_all(struct graft *g)
{
	uint64_t last;

	pthread_mutex_lock(&graft_lock);
	last = g->kept_last;
	pthread_mutex_unlock(&graft_lock);
	graft_forget_names(g);
	forget_all_attributes(g, last);
}

void graft_forget_known(struct graft *g)
{
	pthread_mutex_lock(&graft_lock);
	if (g->still)
		g->still = ++g->periods;
	pthread_mutex_unlock(&graft_lock);
	forget_all(g);
}

void graft_still(struct graft *g, bool still)
{
	if (g->far)
		return;
	still = still && memory != GRAFT_REMEMBER_NOTHING && notify_is_heeded();
	pthread_mutex_lock(&graft_lock);
	g->still = still ? ++g->periods : 0;
	pthread_mutex_unlock(&graft_lock);
	if (!still)
		forget_all(g);
}
