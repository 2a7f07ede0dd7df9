#include "backend/local/snapshots.h"

#include "backend/local/copy.h"
#include "backend/local/long_work.h"
#include "backend/local/remove.h"
#include "backend/local/snapshot_meta.h"
#include "backend/local/view.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Core lock held, but for what a job has while `working`. */
struct local_snapshot {
	struct list link; /* of the instance's */
	struct instance *instance;
	struct snapshot *core; /* NULL when that is gone */
	char name[49];
	char dir[49]; /* what it is called on disk: its name is free again before it is all gone */
	bool working;
	bool removing; /* as soon as no job is at it */
	atomic_bool unwanted;
	struct snapshot_meta meta;
	int view; /* -1 */
	struct error error;
};

static void fail(struct local_snapshot *ls, int code, const char *what)
{
	error_errno(&ls->error, code, code == ENOSPC || code == EDQUOT ? "NO_SPACE" : "SNAPSHOT_FAILED",
		    "cannot make %s of the snapshot", what);
}

/* --- Jobs; the thread of the job has the snapshot --- */

static bool is_unwanted(void *arg)
{
	struct local_snapshot *ls = arg;

	return atomic_load(&ls->unwanted);
}

static int make_and_open(int dir, const char *name)
{
	if (mkdirat(dir, name, 0700) && errno != EEXIST)
		return -1;
	return openat(dir, name, OPEN_DIR);
}

static int copy_root(struct local_snapshot *ls, int dir)
{
	struct copying copying = {.unwanted = is_unwanted, .arg = ls, .lift = true};
	const char *layer = ls->meta.layer ? "upper" : "root";
	int from = openat(ls->instance->home.dir, layer, OPEN_DIR);
	int to = make_and_open(dir, layer);

	if (from < 0 || to < 0)
		fail(ls, errno, layer);
	else
		copy_tree(from, to, dir, &copying, &ls->error);
	ls->meta.bytes = (int64_t)copying.bytes;
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return -ls->error.code;
}

/* What a reader is to see: the copy itself, or the layer over its image. */
static void open_view(struct local_snapshot *ls, int dir)
{
	char place[PATH_MAX];
	struct error err;

	if (!ls->meta.layer) {
		ls->view = openat(dir, "root", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		return;
	}
	snprintf(place, sizeof place, "%s/%s/snapshots/%s", ls->instance->local->store.path,
		 ls->instance->meta.id, ls->dir);
	ls->view = view_overlay(place, "upper", ls->meta.image, &err);
	if (ls->view < 0)
		log_warn("snapshot %s of sandbox %s cannot be looked into: %s", ls->name,
			 ls->instance->meta.id, err.text);
}

#define TRIES_MAX 10000

static void other_name(struct local_snapshot *ls, const char *what)
{
	static atomic_ulong number;

	snprintf(ls->dir, sizeof ls->dir, ".%s-%lu", what, atomic_fetch_add(&number, 1));
}

/* A directory nobody has, not even an earlier mount. */
static int make_fresh(struct local_snapshot *ls, int all)
{
	for (int try = 0; try < TRIES_MAX; try++) {
		other_name(ls, "new");
		if (mkdirat(all, ls->dir, 0700) == 0)
			return openat(all, ls->dir, OPEN_DIR);
		if (errno != EEXIST)
			break;
	}
	return -1;
}

/* Core lock held. 0 or -errno. */
static int rename_to(struct local_snapshot *ls, const char *name)
{
	char from[80], to[80];

	snprintf(from, sizeof from, "snapshots/%s", ls->dir);
	snprintf(to, sizeof to, "snapshots/%s", name);
	if (renameat2(ls->instance->home.dir, from, ls->instance->home.dir, to, RENAME_NOREPLACE))
		return -errno;
	snprintf(ls->dir, sizeof ls->dir, "%s", name);
	return 0;
}

static void hide(struct local_snapshot *ls)
{
	struct local_snapshot fresh = {0};

	for (int try = 0; try < TRIES_MAX; try++) {
		other_name(&fresh, "gone");
		if (rename_to(ls, fresh.dir) != -EEXIST)
			return;
	}
}

static void make_work(void *arg)
{
	struct local_snapshot *ls = arg;
	int all = make_and_open(ls->instance->home.dir, "snapshots");
	int dir = all < 0 ? -1 : make_fresh(ls, all);

	if (dir < 0)
		fail(ls, errno, "the directory");
	ls->meta.layer = faccessat(ls->instance->home.dir, "upper", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (dir >= 0 && ls->meta.layer && mkdirat(dir, "view", 0700))
		fail(ls, errno, "the view");
	if (!ls->error.code && copy_root(ls, dir) == 0)
		snapshot_meta_write(dir, &ls->meta, &ls->error);
	if (!ls->error.code)
		open_view(ls, dir);
	if (dir >= 0)
		close(dir);
	if (dir >= 0 && ls->error.code)
		remove_tree(all, ls->dir);
	if (all >= 0)
		close(all);
}

/* Whoever copies from it holds a lock. */
static int delete_one(int all, const char *name)
{
	int dir = openat(all, name, OPEN_DIR);
	int rc;

	while (dir >= 0 && flock(dir, LOCK_EX) && errno == EINTR)
		;
	rc = remove_tree(all, name);
	if (dir >= 0)
		close(dir);
	return rc;
}

static void remove_work(void *arg)
{
	struct local_snapshot *ls = arg;
	int all = openat(ls->instance->home.dir, "snapshots", OPEN_DIR);
	int rc = all < 0 ? 0 : delete_one(all, ls->dir);

	if (rc)
		log_warn("snapshot %s of sandbox %s: not removed: %s", ls->name, ls->instance->meta.id,
			 strerror(-rc));
	if (all >= 0)
		close(all);
}

static void view_work(void *arg)
{
	struct local_snapshot *ls = arg;
	int all = openat(ls->instance->home.dir, "snapshots", OPEN_DIR);
	int dir = all < 0 ? -1 : openat(all, ls->dir, OPEN_DIR);

	if (dir >= 0)
		open_view(ls, dir);
	if (dir >= 0)
		close(dir);
	if (all >= 0)
		close(all);
}

/* --- Core lock held from here on --- */

static void free_one(struct local_snapshot *ls)
{
	list_remove(&ls->link);
	if (ls->view >= 0)
		close(ls->view);
	free(ls);
}

static void removed(void *arg)
{
	struct local_snapshot *ls = arg;
	struct instance *i = ls->instance;

	core_lock();
	ls->working = false;
	if (ls->core)
		snapshot_removed(ls->core);
	free_one(ls);
	instance_idle(i);
	core_unlock();
}

static bool begin(struct local_snapshot *ls, void (*work)(void *), void (*done)(void *))
{
	ls->working = true;
	ls->instance->busy++;
	if (long_work(work, done, ls) == 0)
		return true;
	ls->working = false;
	ls->instance->busy--;
	return false;
}

/* Without memory it stays on disk until its sandbox goes. */
static void begin_removal(struct local_snapshot *ls)
{
	if (begin(ls, remove_work, removed))
		return;
	snapshot_removed(ls->core);
	free_one(ls);
}

static void made(void *arg)
{
	struct local_snapshot *ls = arg;
	struct instance *i = ls->instance;
	int rc;

	core_lock();
	ls->working = false;
	if (!ls->error.code && !ls->removing && strcmp(ls->dir, ls->name) != 0) {
		rc = rename_to(ls, ls->name);
		if (rc)
			fail(ls, -rc, "the directory");
	}
	if (ls->error.code) {
		snapshot_failed(ls->core, &ls->error);
		free_one(ls);
	} else if (ls->removing) {
		begin_removal(ls);
	} else {
		snapshot_ready(ls->core, ls->meta.bytes);
	}
	instance_idle(i);
	core_unlock();
}

static struct local_snapshot *new_one(struct instance *i, const char *name)
{
	struct local_snapshot *ls = calloc(1, sizeof *ls);

	if (!ls)
		return NULL;
	ls->instance = i;
	ls->view = -1;
	snprintf(ls->name, sizeof ls->name, "%s", name);
	list_append(&i->snapshots, &ls->link);
	return ls;
}

void local_snapshot(struct backend *b, struct snapshot *n)
{
	struct instance *i = sandbox_instance(snapshot_sandbox(n));
	struct local_snapshot *ls = i && i->phase == PHASE_RUNNING ? new_one(i, snapshot_name(n)) : NULL;
	char id[SNAPSHOT_ID_MAX + 1];
	const char *image;
	struct error err;

	(void)b;
	if (ls) {
		snprintf(id, sizeof id, "%s/%s", i->meta.id, ls->name);
		snapshot_set_id(n, id);
		snapshot_set_instance(n, ls);
		ls->core = n;
		image = config_text(&i->meta.config, CONFIG_IMAGE);
		snprintf(ls->meta.image, sizeof ls->meta.image, "%s", image[0] ? image : "host");
		ls->meta.created = time(NULL);
		if (begin(ls, make_work, made))
			return;
		free_one(ls);
	}
	error_set(&err, ls ? ENOMEM : ESHUTDOWN, "SNAPSHOT_FAILED",
		  ls ? "out of memory" : "the sandbox does not run");
	snapshot_failed(n, &err);
}

void local_snapshot_remove(struct backend *b, struct snapshot *n)
{
	struct local_snapshot *ls = snapshot_instance(n);

	(void)b;
	atomic_store(&ls->unwanted, true);
	if (ls->working) {
		ls->removing = true;
	} else if (ls->instance->phase == PHASE_LEAVING) { /* they all go */
		snapshot_removed(n);
		free_one(ls);
	} else {
		hide(ls);
		begin_removal(ls);
	}
}

int local_snapshot_root(struct backend *b, struct snapshot *n)
{
	const struct local_snapshot *ls = snapshot_instance(n);
	int fd;

	(void)b;
	if (ls->view < 0)
		return -EOPNOTSUPP;
	fd = fcntl(ls->view, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

void snapshots_give_up(struct instance *i)
{
	atomic_store(&i->going, true);
	list_each (pos, &i->snapshots)
		atomic_store(&container_of(pos, struct local_snapshot, link)->unwanted, true);
}

void snapshots_free(struct instance *i)
{
	while (!list_empty(&i->snapshots))
		free_one(container_of(i->snapshots.next, struct local_snapshot, link));
}

/* --- What is there already --- */

/* What was being made or removed when the daemon was killed. */
static void remove_rest(struct instance *i, const char *name)
{
	struct local_snapshot *ls = new_one(i, name);

	if (!ls)
		return;
	strcpy(ls->dir, ls->name);
	if (!begin(ls, remove_work, removed))
		free_one(ls);
}

static void adopt_one(struct instance *i, int all, const char *name)
{
	struct local_snapshot *ls = new_one(i, name);
	int dir = ls ? openat(all, strcpy(ls->dir, ls->name), OPEN_DIR) : -1;
	char id[SNAPSHOT_ID_MAX + 1];
	struct snapshot_leftover found = {.id = id, .name = name, .instance = ls, .making = true};
	struct error err;

	if (ls && dir >= 0 && snapshot_meta_read(dir, &ls->meta, &err) == 0) {
		snprintf(id, sizeof id, "%s/%s", i->meta.id, name);
		found.created = ls->meta.created;
		found.bytes = ls->meta.bytes;
		ls->core = snapshot_found(i->sandbox, &found);
	}
	if (dir >= 0)
		close(dir);
	if (ls && ls->core && begin(ls, view_work, made))
		return;
	if (ls && ls->core)
		snapshot_removed(ls->core);
	if (ls)
		free_one(ls);
	if (dir >= 0)
		log_warn("%s: the rest of a snapshot, left until the sandbox goes", name);
}

static void each_snapshot(int home, void (*each)(struct instance *i, int all, const char *name),
			  struct instance *i)
{
	int all = openat(home, "snapshots", OPEN_DIR);
	DIR *dir = all < 0 ? NULL : fdopendir(all);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			each(i, dirfd(dir), entry->d_name);
	if (dir)
		closedir(dir);
	else if (all >= 0)
		close(all);
}

static void adopt_each(struct instance *i, int all, const char *name)
{
	if (name[0] == '.')
		remove_rest(i, name);
	else
		adopt_one(i, all, name);
}

void snapshots_adopt(struct instance *i)
{
	each_snapshot(i->home.dir, adopt_each, i);
}

static void delete_each(struct instance *i, int all, const char *name)
{
	(void)i;
	delete_one(all, name);
}

int snapshots_delete(int home)
{
	each_snapshot(home, delete_each, NULL);
	return remove_tree(home, "snapshots");
}
