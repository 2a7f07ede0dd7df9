/* Grafts and open handles: references, and the end of a sandbox. */
#include "fuse/graft/nodes.h"
#include "files/list.h"
#include "fuse/graft/reach.h"
#include "fuse/graft/still.h"
#include "fuse/passthrough.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct graft *graft_make(uint64_t key, fuse_ino_t root_ino)
{
	struct graft *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->key = key;
	g->refs = 1;
	list_init(&g->nodes);
	list_init(&g->unheld);
	list_init(&g->handles);
	list_init(&g->kept);
	list_init(&g->root.link);
	list_init(&g->root.kept);
	g->root.graft = g;
	g->root.number = root_ino;
	g->root.type = S_IFDIR;
	g->root.fd = -1;
	return g;
}

struct graft *graft_new_far(struct far *far, uint64_t key, fuse_ino_t root_ino)
{
	struct graft *g = graft_make(key, root_ino);

	if (g)
		g->far = far;
	return g;
}

struct graft *graft_new(int root_fd, uint64_t key, fuse_ino_t root_ino)
{
	struct stat st;
	struct graft *g = fstat(root_fd, &st) < 0 ? NULL : graft_make(key, root_ino);

	if (!g) {
		close(root_fd);
		return NULL;
	}
	g->root.dev = st.st_dev;
	g->root.ino = st.st_ino;
	g->root.fd = root_fd;
	g->root_mount = graft_mount_of(root_fd);
	g->descriptors_most = graft_descriptors_most();
	return g;
}

void graft_set_read_only(struct graft *g)
{
	g->read_only = true;
}

struct graft_node *graft_root(struct graft *g)
{
	return &g->root;
}

struct graft *graft_ref(struct graft *g)
{
	pthread_mutex_lock(&graft_lock);
	g->refs++;
	pthread_mutex_unlock(&graft_lock);
	return g;
}

static void unref_and_unlock(struct graft *g)
{
	bool last = --g->refs == 0;

	pthread_mutex_unlock(&graft_lock);
	if (!last)
		return;
	if (g->root.fd >= 0)
		close(g->root.fd);
	if (g->far)
		g->far_gone(g->far);
	free(g);
}

void graft_unref(struct graft *g)
{
	pthread_mutex_lock(&graft_lock);
	unref_and_unlock(g);
}

#define CLOSE_AT_ONCE 256

/* Takes descriptors, as many as fit, of what is on the list; what has none any more gathers at its end. */
static int take_descriptors(struct list *list, size_t link_to_fd, int *out, int count)
{
	while (!list_empty(list) && count < CLOSE_AT_ONCE) {
		struct list *first = list->next;
		int *fd = (int *)((char *)first + link_to_fd);

		if (*fd < 0)
			break;
		out[count++] = *fd;
		*fd = -1;
		list_remove(first);
		list_append(list, first);
	}
	return count;
}

/* Called with the lock, which it drops while closing: a last close may write to a disk. */
static void close_descriptors(struct graft *g)
{
	int fds[CLOSE_AT_ONCE], count;

	do {
		count = take_descriptors(
		    &g->handles, offsetof(struct graft_handle, fd) - offsetof(struct graft_handle, link), fds,
		    0);
		count = take_descriptors(&g->nodes,
					 offsetof(struct graft_node, fd) - offsetof(struct graft_node, link),
					 fds, count);
		pthread_mutex_unlock(&graft_lock);
		for (int i = 0; i < count; i++)
			close(fds[i]);
		pthread_mutex_lock(&graft_lock);
	} while (count == CLOSE_AT_ONCE);
	if (g->root.fd >= 0)
		close(g->root.fd);
	g->root.fd = -1;
}

/* The files the kernel does I/O on without us. Called with the lock. */
static size_t passed_files(struct graft *g, fuse_ino_t **ret)
{
	size_t count = 0, i = 0;

	list_each (pos, &g->nodes)
		count += container_of(pos, struct graft_node, link)->backing != 0;
	*ret = count ? malloc(count * sizeof **ret) : NULL;
	if (!*ret)
		return 0;
	list_each (pos, &g->nodes)
		if (container_of(pos, struct graft_node, link)->backing)
			(*ret)[i++] = container_of(pos, struct graft_node, link)->number;
	return count;
}

void graft_shutdown(struct graft *g)
{
	fuse_ino_t *passed;
	size_t count;

	pthread_mutex_lock(&graft_lock);
	g->refs++;
	count = passed_files(g, &passed);
	if (!g->down) {
		g->down = true;
		if (g->active == 0)
			close_descriptors(g);
	}
	unref_and_unlock(g);
	passthrough_revoke(passed, count);
}

int graft_enter(struct graft *g)
{
	int r = -ESHUTDOWN;

	pthread_mutex_lock(&graft_lock);
	if (!g->down) {
		g->active++;
		g->refs++;
		r = 0;
	}
	pthread_mutex_unlock(&graft_lock);
	return r;
}

int graft_enter_to_change(struct graft *g)
{
	return g->read_only ? -EROFS : graft_enter(g);
}

void graft_leave(struct graft *g)
{
	graft_reached_end();
	pthread_mutex_lock(&graft_lock);
	if (--g->active == 0 && g->down)
		close_descriptors(g);
	unref_and_unlock(g);
}

/* Sandboxes are told apart by their key, the file systems within one by their device number. */
ino_t graft_shown_ino(const struct graft *g, dev_t dev, ino_t ino)
{
	uint64_t tint = hash_stable(g->key ^ (dev == g->root.dev ? 0 : hash_stable(dev)));
	uint64_t shown = ino >> 40 ? hash_stable(ino ^ tint) : ino ^ (tint & ~0ull << 40);

	return shown ? shown : 1;
}

/* --- Handles --- */

struct graft_handle *graft_handle_new(struct graft_node *node, int fd, bool directory)
{
	struct graft *g = node->graft;
	struct graft_handle *h = calloc(1, sizeof(*h));

	if (h && directory)
		h->list = files_list_new(fd);
	if (!h || (directory && !h->list)) {
		free(h);
		close(fd);
		return NULL;
	}
	h->graft = g;
	h->fd = fd;
	h->node = node;
	h->dev = node->dev;
	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_lock(&graft_lock);
	g->refs++;
	list_append(&g->handles, &h->link);
	pthread_mutex_unlock(&graft_lock);
	return h;
}

void graft_handle_free(struct graft_handle *h)
{
	int fd;

	pthread_mutex_lock(&graft_lock);
	list_remove(&h->link);
	fd = h->fd;
	pthread_mutex_unlock(&graft_lock);
	if (fd >= 0)
		close(fd);
	graft_unref(h->graft);
	files_list_free(h->list);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
