/*
 * What changes in files the daemon remembers something of, by inotify.
 *
 * At most WATCHES_MAX are watched; the one used the longest ago makes room, and
 * the daemon is told that nothing more will be heard of it. Where a change may
 * stay unheard there is no watch, and the daemon keeps nothing.
 */
#include "agent/files/files.h"
#include "files/data.h"
#include "files/walk.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CHANGES                                                                                              \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_MODIFY | IN_CLOSE_WRITE |      \
	 IN_MOVE_SELF)
#define ENTRY_CHANGES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define DATA_CHANGES  (IN_MODIFY | IN_CLOSE_WRITE)

/* Not all of these are in every linux/magic.h. */
#define CIFS_MAGIC   0xff534d42u
#define SMB2_MAGIC   0xfe534d42u
#define CEPH_MAGIC   0x00c36400u
#define VBOXSF_MAGIC 0x786f4256u
#define FUSE_MAGIC   0x65735546u /* virtiofs too */

/* --- The table --- */

static struct file_watch *find(struct files *files, int wd)
{
	list_each (at, &files->watches[(unsigned)wd % WATCH_BUCKETS]) {
		struct file_watch *w = container_of(at, struct file_watch, by_wd);

		if (w->wd == wd)
			return w;
	}
	return NULL;
}

static void drop(struct files *files, struct file_watch *w)
{
	list_remove(&w->by_wd);
	list_remove(&w->used);
	files->watch_count--;
	free(w);
}

void files_unwatch(struct files *files)
{
	while (!list_empty(&files->used))
		drop(files, container_of(files->used.next, struct file_watch, used));
	watch_close(&files->notify);
	files->notify_paused = false;
}

/* --- Telling --- */

static void tell(struct agent *a, struct file_changed *c)
{
	struct files *files = a->files;
	struct file_changed *told = &files->told;

	/* Of a file that is written all the time, once until the daemon asks for something again. */
	if (c->watch && c->watch == told->watch && c->what == told->what && strcmp(c->name, told->name) == 0)
		return;
	*told = *c;
	c->after = files->sequence;
	frame_finish(a, file_changed_encode(frame_begin(a, &(struct frame){.type = MSG_FILE_CHANGED}), c));
}

static void tell_gone(struct agent *a, const struct file_watch *w)
{
	tell(a, &(struct file_changed){.watch = w ? w->number : 0, .what = FILE_CHANGED_GONE});
}

/* --- Watching --- */

/* Changes made elsewhere come by no notice, and special files have no true content. */
static bool may_be_deaf(int fd)
{
	struct statfs fs;

	if (files_is_live(fd) || fstatfs(fd, &fs))
		return true;
	switch ((unsigned long)fs.f_type & 0xffffffffu) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
	case AFS_SUPER_MAGIC:
	case CEPH_MAGIC:
	case V9FS_MAGIC:
	case CODA_SUPER_MAGIC:
	case VBOXSF_MAGIC:
	case FUSE_MAGIC:
		return true;
	default:
		return false;
	}
}

static void on_notify(struct agent *a, struct watch *w, uint32_t events)
{
	(void)events;
	if (w->fd < 0)
		return;
	if (connection_room(a)) {
		files_notices(a, NULL);
		return;
	}
	/* The kernel keeps them, and says so when it cannot. */
	watch_pause(a, w);
	a->files->notify_paused = true;
}

static bool begin(struct agent *a)
{
	struct watch *w = &a->files->notify;

	if (w->fd >= 0)
		return true;
	*w = (struct watch){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .ready = on_notify};
	if (w->fd >= 0 && watch_add(a, w, EPOLLIN))
		watch_close(w);
	return w->fd >= 0;
}

static bool make_room(struct agent *a)
{
	struct files *files = a->files;
	struct file_watch *oldest = container_of(files->used.next, struct file_watch, used);

	if (list_empty(&files->used))
		return false;
	inotify_rm_watch(files->notify.fd, oldest->wd);
	tell_gone(a, oldest);
	drop(files, oldest);
	return true;
}

static struct file_watch *watch_new(struct agent *a, int wd)
{
	struct files *files = a->files;
	struct file_watch *w;

	if (files->watch_count >= WATCHES_MAX)
		make_room(a);
	w = calloc(1, sizeof *w);
	if (!w) {
		inotify_rm_watch(files->notify.fd, wd);
		return NULL;
	}
	w->wd = wd;
	/* Never one that was another's, also not of an earlier inotify. */
	w->number = ++files->last_number;
	list_append(&files->watches[(unsigned)wd % WATCH_BUCKETS], &w->by_wd);
	list_init(&w->used);
	files->watch_count++;
	return w;
}

static struct file_watch *add(struct agent *a, const struct known_file *h)
{
	struct files *files = a->files;
	struct files_self self = files_self(h->fd);
	struct file_watch *w;
	int wd;

	if ((h->type != S_IFDIR && h->type != S_IFREG) || may_be_deaf(h->fd) || !begin(a) ||
	    files->last_number == INT32_MAX)
		return NULL;
	wd = inotify_add_watch(files->notify.fd, self.path, CHANGES);
	if (wd < 0 && errno == ENOSPC && make_room(a))
		wd = inotify_add_watch(files->notify.fd, self.path, CHANGES);
	if (wd < 0)
		return NULL;
	w = find(files, wd);
	return w ? w : watch_new(a, wd);
}

uint32_t files_watch(struct agent *a, struct known_file *h)
{
	struct files *files = a->files;
	struct file_watch *w = h->watch ? find(files, h->wd) : NULL;

	if (!w || w->number != h->watch)
		w = add(a, h);
	h->watch = w ? w->number : 0;
	h->wd = w ? w->wd : 0;
	if (!w)
		return 0;
	list_remove(&w->used);
	list_append(&files->used, &w->used);
	return w->number;
}

/* --- Hearing --- */

/* Whether the file with this handle is what an event is about. */
static bool is_about(struct files *files, const struct file_watch *w, const char *name, uint64_t handle)
{
	struct known_file *h = file_handle_find(files, handle), *dir;

	if (!h)
		return false;
	if (!name[0])
		return h->watch == w->number;
	dir = h->name && strcmp(h->name, name) == 0 ? file_handle_find(files, h->dir) : NULL;
	return dir && dir->watch == w->number;
}

static bool is_name_in(struct files *files, const struct file_watch *w, const char *name, uint64_t handle,
		       const char *wanted)
{
	struct known_file *dir = file_handle_find(files, handle);

	return dir && dir->watch == w->number && (!name[0] || strcmp(name, wanted) == 0);
}

/* Whether the request makes such events of this file. */
static bool is_own(struct files *files, const struct file_watch *w, const char *name, uint32_t mask,
		   const struct file_request *q)
{
	switch (q->op) {
	case FILE_MKNOD:
	case FILE_MKDIR:
	case FILE_SYMLINK:
	case FILE_LINK:
	case FILE_UNLINK:
	case FILE_RMDIR:
		return !(mask & DATA_CHANGES) && is_name_in(files, w, name, q->handle, q->name);
	case FILE_RENAME:
		return !(mask & DATA_CHANGES) && (is_name_in(files, w, name, q->handle, q->name) ||
						  is_name_in(files, w, name, q->other, q->other_name));
	case FILE_CREATE:
		return is_name_in(files, w, name, q->handle, q->name);
	case FILE_SETATTR:
	case FILE_SETXATTR:
	case FILE_REMOVEXATTR:
		return is_about(files, w, name, q->handle);
	case FILE_OPEN:
		return q->bits & FILE_OPEN_TRUNC && is_about(files, w, name, q->handle);
	case FILE_WRITE:
	case FILE_FALLOCATE:
		return !(mask & ENTRY_CHANGES) && is_about(files, w, name, q->handle);
	case FILE_COPY_RANGE:
		return !(mask & ENTRY_CHANGES) && is_about(files, w, name, q->other);
	default:
		return false;
	}
}

static void on_event(struct agent *a, const struct inotify_event *e, const struct file_request *q)
{
	struct files *files = a->files;
	struct file_watch *w = find(files, e->wd);
	struct file_changed c = {0};

	if (!w)
		return;
	if (e->mask & IN_IGNORED) {
		tell_gone(a, w);
		drop(files, w);
		return;
	}
	c.watch = w->number;
	if (e->len)
		strncpy(c.name, e->name, FILE_NAME_BYTES);
	if (e->mask & ENTRY_CHANGES)
		c.what |= FILE_CHANGED_ENTRY;
	if (e->mask & (IN_ATTRIB | IN_MOVE_SELF))
		c.what |= FILE_CHANGED_ATTR;
	if (e->mask & DATA_CHANGES)
		c.what |= FILE_CHANGED_DATA;
	if (q && is_own(files, w, c.name, e->mask, q))
		c.what |= FILE_CHANGED_OWN;
	if (c.what)
		tell(a, &c);
}

/* Too much happened to be told one by one. */
static void all_gone(struct agent *a)
{
	files_unwatch(a->files);
	tell_gone(a, NULL);
}

void files_notices(struct agent *a, const struct file_request *q)
{
	_Alignas(struct inotify_event) char events[8192];
	struct files *files = a->files;
	unsigned count = 0;
	ssize_t n;

	while (files->notify.fd >= 0 && (n = read(files->notify.fd, events, sizeof events)) > 0) {
		for (char *at = events; at < events + n;) {
			const struct inotify_event *e = (const void *)at;

			if (e->mask & IN_Q_OVERFLOW || ++count > NOTICES_MAX) {
				all_gone(a);
				return;
			}
			on_event(a, e, q);
			at += sizeof *e + e->len;
		}
	}
}
