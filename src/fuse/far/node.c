/* fs/ far away: nodes, and the handles the agent knows them by. */
#include "fuse/far/node.h"

#include "core/sandbox.h"
#include "fuse/far/op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- The whole --- */

struct far *far_ref(struct far *far)
{
	far->refs++;
	return far;
}

void far_unref(struct far *far)
{
	if (--far->refs)
		return;
	far_node_unref(far->root);
	index_free(&far->watches);
	object_unref(&far->sandbox->object);
	free(far);
}

/* The graft is about to be freed: the kernel knows none of its nodes. No lock held. */
static void graft_gone(struct far *far)
{
	core_lock();
	far->graft = NULL;
	if (far->root->dir)
		far_dir_free(far->root->dir);
	far->root->node = NULL;
	far_unref(far);
	core_unlock();
}

static int on_root(struct far_aside *a, int error, struct file_reply *reply)
{
	struct stat st;

	a->far->root_asked = !error;
	if (error)
		return 0;
	if (reply->count != 1)
		return -EPROTO;
	if (file_reply_next_attr(reply, &st) || !S_ISDIR(st.st_mode) || !a->far->graft)
		return 0;
	a->node->dev = a->far->graft->root.dev = st.st_dev;
	a->node->ino = a->far->graft->root.ino = st.st_ino;
	return 0;
}

void far_learn_root(struct far *far)
{
	uint64_t wire = FILE_ROOT;
	struct file_request q = {.op = FILE_GETATTR, .handles = (uint8_t *)&wire, .handle_count = 1};
	struct far_aside *a = far_aside_new(far, far->root);

	far->root_asked = a;
	if (!a)
		return;
	a->answered = on_root;
	if (far_aside_call(a, &q))
		far->root_asked = false;
}

struct graft *far_new(struct sandbox *s, uint64_t key, fuse_ino_t root_ino)
{
	struct far *far = calloc(1, sizeof *far);
	struct far_node *root = calloc(1, sizeof *root);
	struct graft *g = far && root ? graft_new_far(far, key, root_ino) : NULL;

	if (!g || !link_files(s)) {
		if (g)
			g->far = NULL;
		if (g)
			graft_unref(g);
		free(far);
		free(root);
		return NULL;
	}
	far->refs = 1;
	far->graft = g;
	far->sandbox = (struct sandbox *)object_ref(&s->object);
	far->calls = s->files;
	far->root = root;
	list_init(&far->dirs);
	list_init(&far->signalled);
	root->far = far;
	root->refs = 1;
	root->type = S_IFDIR;
	root->has_handle = true;
	root->handle = FILE_ROOT;
	list_init(&root->files);
	list_init(&root->flushing);
	list_init(&root->room);
	root->node = graft_root(g);
	root->node->far = root;
	g->far_node_gone = far_node_gone;
	g->far_gone = graft_gone;
	far_learn_root(far);
	return g;
}

/* --- Nodes --- */

struct far_node *far_node_ref(struct far_node *n)
{
	n->refs++;
	return n;
}

static void release(struct far_node *n)
{
	if (n->has_handle && n != n->far->root)
		far_release_handle(n->far, n->handle);
	n->has_handle = false;
}

static void node_free(struct far_node *n)
{
	if (n->dir)
		far_dir_free(n->dir);
	if (n->entry)
		n->entry->node = NULL;
	release(n);
	if (n->watch)
		index_remove(&n->far->watches, &n->by_watch);
	free(n->name);
	free(n);
}

/* With the last in a directory that may go, and so on up: no recursion here either. */
void far_node_unref(struct far_node *n)
{
	while (n && --n->refs == 0) {
		struct far_node *place = n->place;

		node_free(n);
		if (place)
			place->children--;
		n = place;
	}
}

static void leave_place(struct far_node *dir)
{
	dir->children--;
	far_node_unref(dir);
}

void far_node_gone(void *node_far)
{
	struct far_node *n = node_far;

	core_lock();
	n->node = NULL;
	/* What the kernel has no name of needs no listing. */
	if (n->dir && !n->dir->fetching)
		far_dir_free(n->dir);
	far_node_unref(n);
	core_unlock();
}

void far_node_place(struct far_node *n, struct far_node *dir, const char *name)
{
	struct far_node *before = n->place;
	char *copy;

	if (before == dir && strcmp(n->name, name) == 0)
		return;
	for (const struct far_node *above = dir; above; above = above->place)
		if (above == n) /* nothing is in itself, whoever says so */
			return;
	copy = strdup(name);
	if (!copy) /* found under its old name, or not at all: ESTALE */
		return;
	free(n->name);
	n->name = copy;
	n->place = far_node_ref(dir);
	dir->children++;
	if (before)
		leave_place(before);
}

static struct far_node *node_new(struct far_node *dir, struct graft_node *node, const struct stat *st)
{
	struct far_node *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->far = dir->far;
	n->node = node;
	n->refs = 1;
	n->dev = st->st_dev;
	n->ino = st->st_ino;
	n->type = st->st_mode & S_IFMT;
	list_init(&n->files);
	list_init(&n->flushing);
	list_init(&n->room);
	return n;
}

struct far_node *far_node_get(struct far_node *dir, const char *name, const struct stat *st)
{
	struct graft_node *node;
	struct far_node *n;

	if (!dir->node)
		return NULL;
	node = graft_nodes_get(dir->node, name, -1, st, NULL);
	if (!node)
		return NULL;
	if (!node->far)
		node->far = node_new(dir, node, st);
	n = node->far;
	if (n && name)
		far_node_place(n, dir, name);
	/* Without memory the node has no files behind it; the kernel was not told of it. */
	return n;
}

/* --- Handles --- */

uint64_t far_new_handle(struct far *far)
{
	return ++far->last_handle;
}

bool far_node_is(const struct far_node *n, const struct stat *st)
{
	if ((st->st_mode & S_IFMT) != n->type)
		return false;
	return n == n->far->root || (st->st_ino == n->ino && st->st_dev == n->dev);
}

static int on_handle(struct far_aside *a, int error, struct file_reply *reply)
{
	struct far_node *n = a->node;

	if (!n->has_handle || n->handle != a->number)
		return 0;
	/* The name is gone, or is another file's: whoever used the handle meanwhile is told ESTALE. */
	if (error || !far_node_is(n, &reply->attr)) {
		n->stale = !error || error == -ENOENT || error == -ENOTDIR;
		if (n->stale && n->place)
			far_dir_restless(n->place, n->name);
		release(n);
	}
	return 0;
}

/* `n->place` has one. */
static int ask_handle(struct far_node *n)
{
	struct file_request q = {.op = FILE_LOOKUP, .depth = FILE_LINK_RAW};
	struct far_aside *a = far_aside_new(n->far, n);
	int rc;

	if (!a)
		return -ENOMEM;
	n->stale = false;
	n->has_handle = true;
	a->number = n->handle = q.fresh = far_new_handle(n->far);
	a->answered = on_handle;
	q.handle = n->place->handle;
	strcpy(q.name, n->name);
	rc = far_aside_call(a, &q);
	if (rc)
		n->has_handle = false;
	return rc;
}

/* Those above it that have none come first. No recursion: how deep it goes is the sandbox's choice. */
int far_node_need(struct far_node *n)
{
	struct far_node **way, *at;
	size_t count = 0, i;
	int rc = 0;

	for (at = n; !at->has_handle; at = at->place, count++)
		if (!at->place)
			return -ESTALE;
	if (count < 2)
		return count ? ask_handle(n) : 0;
	way = malloc(count * sizeof *way);
	if (!way)
		return -ENOMEM;
	for (at = n, i = count; i > 0; at = at->place)
		way[--i] = at;
	for (; i < count && rc == 0; i++)
		rc = ask_handle(way[i]);
	free(way);
	return rc;
}

void far_node_take_handle(struct far_node *n, uint64_t handle)
{
	if (n->has_handle) {
		far_release_handle(n->far, handle);
		return;
	}
	n->handle = handle;
	n->has_handle = true;
	n->stale = false;
}

void far_node_lose(struct far_node *n)
{
	if (n->place)
		n->has_handle = false;
}

void far_node_relax(struct far_node *n)
{
	/* With more references a request may be under way that uses it. */
	if (n->refs == 1 + n->children && n->place && !n->dir && !n->nameless)
		release(n);
}

/* --- Watches --- */

static uint64_t watch_hash(uint32_t watch)
{
	return hash_word(0, watch);
}

void far_node_watch(struct far_node *n, uint32_t watch)
{
	if (n->watch == watch)
		return;
	if (n->watch)
		index_remove(&n->far->watches, &n->by_watch);
	/* What was had without it may have changed unheard. */
	far_forget_attributes(n);
	n->incapable = false;
	if (n->dir)
		far_dir_doubt(n->dir);
	n->watch = watch && !index_add(&n->far->watches, &n->by_watch, watch_hash(watch)) ? watch : 0;
}

struct far_node *far_node_watched(struct far *far, uint32_t watch, struct far_node *after)
{
	struct hashed *h =
	    after ? index_next(&after->by_watch) : index_first(&far->watches, watch_hash(watch));

	for (; h; h = index_next(h)) {
		struct far_node *n = container_of(h, struct far_node, by_watch);

		if (n->watch == watch)
			return n;
	}
	return NULL;
}
