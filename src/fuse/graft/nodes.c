#include "fuse/graft/nodes.h"

#include "fuse/graft/still.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pthread_mutex_t graft_lock = PTHREAD_MUTEX_INITIALIZER;
static struct index by_number, by_identity, by_file; /* of all grafts */
static uint64_t last_number;

static struct graft_node *numbered(fuse_ino_t number)
{
	struct hashed *e = index_first(&by_number, hash_word(0, number));

	for (; e; e = index_next(e)) {
		struct graft_node *node = container_of(e, struct graft_node, by_number);

		if (node->number == number)
			return node;
	}
	return NULL;
}

struct graft_node *graft_node_locked(struct graft *g, uint64_t number)
{
	return number == g->root.number ? &g->root : numbered(number);
}

/* What is placed is hashed by its place alone, so that nodes_at() finds all that were ever there. */
static uint64_t place_hash(const struct graft_node *dir, const char *name)
{
	return hash_text(hash_word(0, dir->number), name);
}

static uint64_t file_hash(const struct graft *g, dev_t dev, ino_t ino)
{
	return hash_word(hash_word(hash_word(0, g->root.number), dev), ino);
}

static bool is_placed(mode_t mode)
{
	return S_ISDIR(mode) || S_ISLNK(mode);
}

/* `birth` NULL: not known, and what is unheld cannot be recognized. */
static bool is_same_file(const struct graft_node *n, const struct stat *st, const struct timespec *birth)
{
	if (n->dev != st->st_dev || n->ino != st->st_ino || n->type != (st->st_mode & S_IFMT))
		return false;
	return !n->unheld ||
	       (birth && n->birth.tv_sec == birth->tv_sec && n->birth.tv_nsec == birth->tv_nsec);
}

static struct graft_node *find(struct graft_node *dir, const char *name, const struct stat *st,
			       const struct timespec *birth)
{
	bool placed = is_placed(st->st_mode);
	struct hashed *e = index_first(&by_identity, placed ? place_hash(dir, name)
							    : file_hash(dir->graft, st->st_dev, st->st_ino));

	for (; e; e = index_next(e)) {
		struct graft_node *n = container_of(e, struct graft_node, by_identity);

		if (n->graft == dir->graft && is_same_file(n, st, birth) &&
		    (!placed || (n->parent == dir && strcmp(n->name, name) == 0)))
			return n;
	}
	return NULL;
}

/* --- Life and death --- */

/* Takes `node`, and parents it was the last to keep, out of the tables and onto `dead`. */
static void bury_unused(struct graft_node *node, struct list *dead)
{
	while (node && node != &node->graft->root && node->lookups == 0 && node->children == 0) {
		struct graft_node *parent = node->parent;

		index_remove(&by_number, &node->by_number);
		index_remove(&by_identity, &node->by_identity);
		if (S_ISDIR(node->type))
			index_remove(&by_file, &node->by_file);
		graft_keep_drop(node);
		list_remove(&node->link);
		list_append(dead, &node->link);
		if (parent)
			parent->children--;
		node = parent;
	}
}

static void free_dead(struct list *dead)
{
	list_each_safe (pos, dead) {
		struct graft_node *node = container_of(pos, struct graft_node, link);

		if (node->fd >= 0)
			close(node->fd);
		if (node->far)
			node->graft->far_node_gone(node->far);
		graft_unref(node->graft);
		free(node->name);
		free(node);
	}
}

static struct graft_node *new_node(struct graft_node *dir, const char *name, int fd, const struct stat *st,
				   const struct timespec *birth)
{
	struct graft_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	list_init(&node->link);
	list_init(&node->kept);
	node->graft = dir->graft;
	node->fd = fd;
	node->dev = st->st_dev;
	node->ino = st->st_ino;
	node->type = st->st_mode & S_IFMT;
	node->unheld = fd < 0 && !dir->graft->far;
	if (node->unheld)
		node->birth = *birth;
	if (is_placed(st->st_mode) || node->unheld) {
		node->parent = dir;
		node->name = strdup(name);
		if (!node->name) {
			free(node);
			return NULL;
		}
	}
	return node;
}

static struct list *list_of(struct graft_node *node)
{
	return node->unheld ? &node->graft->unheld : &node->graft->nodes;
}

static int add(struct graft_node *node)
{
	uint64_t hash = is_placed(node->type) ? place_hash(node->parent, node->name)
					      : file_hash(node->graft, node->dev, node->ino);

	node->number = GRAFT_BIT | ++last_number;
	if (index_add(&by_number, &node->by_number, hash_word(0, node->number)) < 0)
		return -ENOMEM;
	if (index_add(&by_identity, &node->by_identity, hash) < 0) {
		index_remove(&by_number, &node->by_number);
		return -ENOMEM;
	}
	if (S_ISDIR(node->type) &&
	    index_add(&by_file, &node->by_file, file_hash(node->graft, node->dev, node->ino)) < 0) {
		index_remove(&by_number, &node->by_number);
		index_remove(&by_identity, &node->by_identity);
		return -ENOMEM;
	}
	list_append(list_of(node), &node->link);
	node->graft->refs++;
	if (node->parent)
		node->parent->children++;
	return 0;
}

/*
 * A directory the sandbox has moved is two nodes for a while, and two inodes to the kernel: what is done to
 * one of them it does not see in the other. So nothing of both is remembered. Whether there is another one.
 */
static bool is_known_elsewhere(struct graft_node *node)
{
	struct hashed *e = index_first(&by_file, node->by_file.hash);
	bool elsewhere = false;

	for (; e; e = index_next(e)) {
		struct graft_node *n = container_of(e, struct graft_node, by_file);

		if (n == node || n->graft != node->graft || n->dev != node->dev || n->ino != node->ino)
			continue;
		n->origin = GRAFT_FOREIGN;
		elsewhere = true;
	}
	if (elsewhere)
		node->origin = GRAFT_FOREIGN;
	return elsewhere;
}

/* The answer makes the kernel put it here, wherever it had it before. */
static void count_lookup(struct graft_node *node)
{
	node->lookups++;
	node->unsettled = false;
}

/* Where an unheld file was seen last, which is where it is reached. Parents nobody needs any more go to
 * `dead`. */
static void see(struct graft_node *node, struct graft_node *dir, const char *name, struct list *dead)
{
	struct graft_node *before = node->parent;
	char *copy;

	if (!node->unheld || is_placed(node->type) || (before == dir && strcmp(node->name, name) == 0))
		return;
	copy = strdup(name);
	if (!copy) /* reached in the old place, or ESTALE */
		return;
	free(node->name);
	node->name = copy;
	node->parent = dir;
	dir->children++;
	before->children--;
	bury_unused(before, dead);
}

struct graft_node *graft_nodes_known(struct graft_node *dir, const char *name, const struct stat *st)
{
	struct graft_node *node;

	pthread_mutex_lock(&graft_lock);
	node = find(dir, name, st, NULL);
	if (node)
		count_lookup(node);
	pthread_mutex_unlock(&graft_lock);
	return node;
}

struct graft_node *graft_nodes_get(struct graft_node *dir, const char *name, int fd, const struct stat *st,
				   const struct timespec *birth)
{
	struct graft_node *node, *fresh = new_node(dir, name, fd, st, birth);
	bool elsewhere = false;
	struct list dead;

	list_init(&dead);
	pthread_mutex_lock(&graft_lock);
	node = find(dir, name, st, birth);
	if (!node && fresh && add(fresh) == 0) {
		node = fresh;
		elsewhere = S_ISDIR(node->type) && is_known_elsewhere(node);
		fresh = NULL;
		fd = -1;
	}
	if (node) {
		count_lookup(node);
		see(node, dir, name, &dead);
	}
	pthread_mutex_unlock(&graft_lock);
	free_dead(&dead);
	if (elsewhere)
		graft_forget_known(dir->graft);
	if (fresh) {
		free(fresh->name);
		free(fresh);
	}
	if (fd >= 0)
		close(fd);
	return node;
}

void graft_nodes_seen(struct graft_node *dir, const char *name, const struct stat *st,
		      const struct timespec *birth)
{
	struct graft_node *node;
	struct list dead;

	list_init(&dead);
	pthread_mutex_lock(&graft_lock);
	node = find(dir, name, st, birth);
	if (node)
		see(node, dir, name, &dead);
	pthread_mutex_unlock(&graft_lock);
	free_dead(&dead);
}

bool graft_has_unheld(struct graft *g)
{
	bool any;

	pthread_mutex_lock(&graft_lock);
	any = !list_empty(&g->unheld);
	pthread_mutex_unlock(&graft_lock);
	return any;
}

struct graft_node *graft_node_place(struct graft_node *node, char *name)
{
	struct graft_node *dir;

	pthread_mutex_lock(&graft_lock);
	dir = node->parent;
	dir->children++;
	strcpy(name, node->name);
	pthread_mutex_unlock(&graft_lock);
	return dir;
}

void graft_node_unpin(struct graft_node *dir)
{
	struct list dead;

	list_init(&dead);
	pthread_mutex_lock(&graft_lock);
	dir->children--;
	bury_unused(dir, &dead);
	pthread_mutex_unlock(&graft_lock);
	free_dead(&dead);
}

bool graft_is_far(const struct graft_node *node)
{
	return node->graft->far;
}

bool graft_has(const struct graft *g, const struct graft_node *node)
{
	return node->graft == g;
}

struct graft_node *graft_node(fuse_ino_t ino)
{
	struct graft_node *node;

	pthread_mutex_lock(&graft_lock);
	node = numbered(ino);
	pthread_mutex_unlock(&graft_lock);
	return node;
}

void graft_forget(fuse_ino_t ino, uint64_t nlookup)
{
	struct graft_node *node;
	struct list dead;

	list_init(&dead);
	pthread_mutex_lock(&graft_lock);
	node = numbered(ino);
	if (node) {
		node->lookups -= nlookup < node->lookups ? nlookup : node->lookups;
		bury_unused(node, &dead);
	}
	pthread_mutex_unlock(&graft_lock);
	free_dead(&dead);
}

void graft_forget_all(void)
{
	struct list dead;

	list_init(&dead);
	pthread_mutex_lock(&graft_lock);
	for (size_t i = 0; i < by_number.size; i++)
		while (by_number.slots[i]) {
			struct hashed *e = by_number.slots[i];
			struct graft_node *node = container_of(e, struct graft_node, by_number);

			index_remove(&by_number, e);
			graft_keep_drop(node);
			list_remove(&node->link);
			list_append(&dead, &node->link);
		}
	index_free(&by_number);
	index_free(&by_identity);
	index_free(&by_file);
	pthread_mutex_unlock(&graft_lock);
	free_dead(&dead);
}

/* --- Depth, and renames through the mount --- */

static unsigned int depth_of(const struct graft_node *node)
{
	unsigned int depth = 0, least = -1u;

	for (; node->parent; node = node->parent, depth++) {
		unsigned int floor = node->floor_epoch == node->graft->epoch ? node->floor : 0;

		if (node->unsettled && depth + floor < least)
			least = depth + floor;
	}
	return depth < least ? depth : least;
}

unsigned int graft_depth(struct graft_node *dir)
{
	unsigned int depth;

	pthread_mutex_lock(&graft_lock);
	depth = depth_of(dir);
	pthread_mutex_unlock(&graft_lock);
	return depth;
}

/* Takes the directories known as `name` in `dir` out of the index and onto `ret`, by their links. */
static void take_directories(struct graft_node *dir, const char *name, struct list *ret)
{
	struct hashed *e = index_first(&by_identity, place_hash(dir, name)), *next;

	for (; e; e = next) {
		struct graft_node *n = container_of(e, struct graft_node, by_identity);

		next = index_next(e);
		if (n->parent == dir && S_ISDIR(n->type) && strcmp(n->name, name) == 0) {
			index_remove(&by_identity, e);
			list_remove(&n->link);
			list_append(ret, &n->link);
		}
	}
}

/* The other way round, under a name that may be new. */
static void place_directories(struct list *taken, struct graft_node *dir, const char *name)
{
	list_each_safe (pos, taken) {
		struct graft_node *n = container_of(pos, struct graft_node, link);
		char *copy = strdup(name);

		/* Without memory it stays where it was, and a look-up in the new place makes a new node. */
		if (copy) {
			free(n->name);
			n->name = copy;
			n->parent->children--;
			n->parent = dir;
			dir->children++;
		}
		/* Cannot fail: the index has slots, as it held this very node. */
		(void)index_add(&by_identity, &n->by_identity, place_hash(n->parent, n->name));
		list_remove(&n->link);
		list_append(list_of(n), &n->link);
	}
}

/*
 * Which of the directories that were ever `name` in `dir` the kernel holds there is
 * not known: the sandbox may have put another there since the kernel looked. So all
 * of them are taken to be in both places until they are looked up again.
 */
static void unsettle(struct graft_node *dir, const char *name, unsigned int floor, uint64_t epoch_before)
{
	struct hashed *e = index_first(&by_identity, place_hash(dir, name));

	for (; e; e = index_next(e)) {
		struct graft_node *n = container_of(e, struct graft_node, by_identity);

		if (n->parent != dir || !S_ISDIR(n->type) || strcmp(n->name, name) != 0)
			continue;
		if (n->unsettled && n->floor_epoch != epoch_before)
			n->floor = 0;
		else if (!n->unsettled || floor < n->floor)
			n->floor = floor;
		n->unsettled = true;
		n->floor_epoch = n->graft->epoch;
	}
}

void graft_nodes_moving(const struct graft_move *move)
{
	struct graft *g = move->dir->graft;
	unsigned int from, to, floor;
	uint64_t before;

	if (move->dir == move->newdir)
		return;
	pthread_mutex_lock(&graft_lock);
	from = depth_of(move->dir);
	to = depth_of(move->newdir);
	floor = (from < to ? from : to) + 1;
	before = g->epoch;
	if (to < from || (move->exchange && from < to))
		g->epoch++;
	unsettle(move->dir, move->name, floor, before);
	if (move->exchange)
		unsettle(move->newdir, move->newname, floor, before);
	pthread_mutex_unlock(&graft_lock);
}

bool graft_nodes_moved(const struct graft_move *move)
{
	struct list there, back;
	bool any;

	list_init(&there);
	list_init(&back);
	pthread_mutex_lock(&graft_lock);
	take_directories(move->dir, move->name, &there);
	if (move->exchange)
		take_directories(move->newdir, move->newname, &back);
	any = !list_empty(&there) || !list_empty(&back);
	place_directories(&there, move->newdir, move->newname);
	place_directories(&back, move->dir, move->name);
	pthread_mutex_unlock(&graft_lock);
	return any;
}
