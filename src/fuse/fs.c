/* fs/: the door from the control tree into a sandbox's own files. */
#include "fuse/ops.h"

#include "base/fnv.h"
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static void shut_down(void *graft)
{
	graft_shutdown(graft);
	graft_unref(graft);
}

/* Closing all the descriptors takes its time: not here, under the core lock. */
static void gone(void *graft)
{
	graft_still(graft, false);
	far_end(graft);
	if (loop_post(shut_down, graft))
		shut_down(graft);
}

/* Stable per sandbox, over mounts: made of its id. */
static uint64_t key_of(const struct sandbox *s)
{
	return fnv_text(FNV_BASIS, s->id);
}

static void now_still(void *graft, bool still)
{
	graft_still(graft, still);
}

static int heard_change(void *graft, const struct frame *f)
{
	return far_changed(graft, f);
}

static void agent_anew(void *graft)
{
	far_anew(graft);
}

/* Where its root cannot be opened from here, its agent is asked for everything. */
static bool far_away(struct sandbox *s, int *ret_fd)
{
	*ret_fd = -1;
	if (!the_mount.settings.files_over_channel)
		*ret_fd = the_mount.backend->ops->root(the_mount.backend, s);
	return *ret_fd < 0;
}

static int snapshot_graft(struct snapshot *n, fuse_ino_t number, struct graft **ret)
{
	struct graft *g = n->front;
	int fd;

	if (n->state != SNAPSHOT_READY)
		return n->state == SNAPSHOT_CREATING ? -EAGAIN : -ESTALE;
	if (!g) {
		fd = the_mount.backend->ops->snapshot_root(the_mount.backend, n);
		if (fd < 0)
			return fd;
		g = graft_new(fd, key_of(snapshot_sandbox(n)) ^ n->object.serial << 32, number);
		if (!g)
			return -ENOMEM;
		graft_set_read_only(g);
		graft_still(g, true); /* nothing ever changes it */
		n->front = g;
		n->front_gone = gone;
	}
	*ret = graft_ref(g);
	return 0;
}

static int sandbox_graft(struct sandbox *s, fuse_ino_t number, struct graft **ret)
{
	int fd;

	if (s->state >= SANDBOX_TERMINATING)
		return sandbox_refuses_commands(s, NULL);
	if (!sandbox_runs(s))
		return -EAGAIN;
	if (!s->front) {
		s->front =
		    far_away(s, &fd) ? far_new(s, key_of(s), number) : graft_new(fd, key_of(s), number);
		if (!s->front)
			return -ENOMEM;
		s->front_changed = heard_change;
		s->front_anew = agent_anew;
		s->front_gone = gone;
		s->front_still = now_still;
		graft_still(s->front, still_is(s));
	}
	*ret = graft_ref(s->front);
	return 0;
}

int fs_graft(const struct spot *s, fuse_ino_t number, struct graft **ret)
{
	if (s->object->kind == OBJECT_SNAPSHOT)
		return snapshot_graft((struct snapshot *)s->object, number, ret);
	return sandbox_graft((struct sandbox *)s->object, number, ret);
}

void fs_forget_early(const struct spot *s, struct graft **ret)
{
	struct sandbox *box = NULL;

	*ret = NULL;
	if (!s->object || !s->node->submit)
		return;
	if (s->object->kind == OBJECT_SANDBOX)
		box = (struct sandbox *)s->object;
	if (s->object->kind == OBJECT_PROCESS)
		box = process_sandbox((struct process *)s->object);
	if (box && box->front && still_is(box))
		*ret = graft_ref(box->front);
}

int fs_need(const struct spot *s, struct list **ret_wait, struct error *err)
{
	struct sandbox *box = (struct sandbox *)s->object;
	int rc;

	if (s->object->kind == OBJECT_SNAPSHOT) {
		*ret_wait = &((struct snapshot *)s->object)->waiters;
		return 0;
	}
	rc = sandbox_need(box, err);
	if (rc == 0)
		*ret_wait = &box->startup;
	return rc;
}

int fs_list(const struct spot *s, fuse_ino_t number, struct graft **ret, struct list **ret_wait)
{
	struct sandbox *box = (struct sandbox *)s->object;

	*ret = NULL;
	if (s->object->kind == OBJECT_SANDBOX)
		return box->state >= SANDBOX_TERMINATING ? sandbox_refuses_commands(box, NULL) : 0;
	*ret_wait = &((struct snapshot *)s->object)->waiters;
	return fs_graft(s, number, ret);
}

struct graft_node *file_node(fuse_ino_t ino, struct graft **ret_held, int *ret_errno)
{
	struct graft_node *node;
	struct spot s;
	int rc;

	*ret_held = NULL;
	if (graft_owns(ino)) {
		node = graft_node(ino);
		*ret_errno = ESTALE;
		return node;
	}
	core_lock();
	rc = tree_resolve(ino, &s);
	if (rc == 0)
		rc = s.node->graft ? fs_graft(&s, ino, ret_held) : -EPERM;
	core_unlock();
	*ret_errno = rc == -EAGAIN ? ENOENT : -rc;
	return rc ? NULL : graft_root(*ret_held);
}

/* The next name of a path in the mount, copied; what is behind it, or NULL where there is none. */
static const char *take_name(const char *path, char name[NAME_MAX + 1])
{
	size_t len;

	path += strspn(path, "/");
	len = strcspn(path, "/");
	if (len == 0 || len > NAME_MAX)
		return NULL;
	memcpy(name, path, len);
	name[len] = '\0';
	return path + len;
}

/* Core lock held. */
static bool is_front(const char *session_name, const char *name, const struct graft_node *node)
{
	struct object *session = object_child(&the_mount.object, session_name);
	struct object *box = session ? object_child(session, name) : NULL;
	const struct graft *g = box && box->kind == OBJECT_SANDBOX ? ((struct sandbox *)box)->front : NULL;

	return g && graft_has(g, node);
}

const char *fs_inward(const struct graft_node *dir, const char *target)
{
	const char *mountpoint = the_mount.settings.mountpoint, *rest = target;
	char session[NAME_MAX + 1], box[NAME_MAX + 1], fs[NAME_MAX + 1];
	size_t len = strlen(mountpoint);
	bool ours;

	if (!len || strncmp(target, mountpoint, len) != 0 || target[len] != '/')
		return target;
	rest = take_name(target + len, session);
	rest = rest ? take_name(rest, box) : NULL;
	rest = rest ? take_name(rest, fs) : NULL;
	if (!rest || strcmp(fs, "fs") != 0)
		return target;
	core_lock();
	ours = is_front(session, box, dir);
	core_unlock();
	if (!ours)
		return target;
	return *rest ? rest : "/";
}

void file_done(struct graft *held)
{
	if (held)
		graft_unref(held);
}
