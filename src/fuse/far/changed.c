/* fs/ far away: what the agent notices. */
#include "channel/file_protocol.h"
#include "fuse/far/file.h"

#include <errno.h>

/* A regular file that somebody in the sandbox may have written to, or given away. */
static void file_changed(struct far_node *n, const struct file_changed *c)
{
	bool own = c->what & FILE_CHANGED_OWN;

	far_forget_attributes(n);
	if (far_xattrs_changed(c->what))
		far_forget_xattrs(n);
	if (own)
		return;
	n->ours = false;
	if (c->what & FILE_CHANGED_DATA)
		far_drop_data(n);
}

static void name_changed(struct far_node *dir, const struct file_changed *c)
{
	bool entry = c->what & FILE_CHANGED_ENTRY;
	struct far_entry *e = dir->dir ? far_entry_find(dir->dir, c->name) : NULL;

	if (e && e->node)
		file_changed(e->node, c);
	if (dir->dir)
		far_dir_changed(dir->dir, c->name, c->what);
	else if (entry)
		far_forget_attributes(dir);
}

void far_entry_part(struct far_entry *e)
{
	struct far_node *n = e->node;

	if (!n)
		return;
	n->entry = NULL;
	e->node = NULL;
	if (n->watch)
		return;
	n->ours = false;
	far_drop_data(n);
}

/* Nothing more will be heard of it, nor, where it is a directory, of the files in it. */
static void unheard(struct far_node *n)
{
	if (n->dir)
		list_each (pos, &n->dir->order) {
			struct far_entry *e = container_of(pos, struct far_entry, link);

			if (e->node) {
				e->node->ours = false;
				far_drop_data(e->node);
			}
		}
	n->ours = false;
	far_drop_data(n);
	far_node_watch(n, 0);
}

static void node_changed(struct far_node *n, const struct file_changed *c)
{
	if (c->name[0])
		name_changed(n, c);
	else
		file_changed(n, c);
	if (c->what & FILE_CHANGED_GONE)
		unheard(n);
}

/* No watch is left. */
static void all_changed(struct far *far)
{
	for (size_t i = 0; i < far->watches.size; i++)
		while (far->watches.slots[i]) {
			struct far_node *n = container_of(far->watches.slots[i], struct far_node, by_watch);

			unheard(n);
		}
}

int far_changed(struct graft *g, const struct frame *f)
{
	struct far_node *n, *next;
	struct file_changed c;

	if (!g->far) /* files reached by descriptors ask for no notices */
		return 0;
	if (!f) {
		all_changed(g->far);
		return 0;
	}
	if (file_changed_decode(f->payload, f->length, &c))
		return -EPROTO;
	if (c.watch == 0)
		all_changed(g->far);
	for (n = far_node_watched(g->far, c.watch, NULL); n; n = next) {
		next = far_node_watched(g->far, c.watch, n);
		node_changed(n, &c);
	}
	return 0;
}

/* All at once: the kernel takes one ESTALE on its way along a path, and not one for each directory. */
void far_anew(struct graft *g)
{
	if (!g->far)
		return;
	pthread_mutex_lock(&graft_lock);
	list_each (pos, &g->nodes) {
		struct graft_node *node = container_of(pos, struct graft_node, link);

		if (node->far)
			far_node_lose(node->far);
	}
	pthread_mutex_unlock(&graft_lock);
}

void far_end(struct graft *g)
{
	if (g->far)
		g->far->ended = true;
}
