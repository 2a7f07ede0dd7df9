/* Starting from a snapshot. */
#include "backend/local/snapshots.h"

#include "backend/local/copy.h"
#include "backend/local/image.h"
#include "backend/local/remove.h"
#include "backend/local/snapshot_meta.h"
#include "core/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int no_such(const char *id, struct error *err)
{
	return error_set(err, ENOENT, "NO_SUCH_SNAPSHOT", "from: there is no snapshot %.120s", id);
}

/* SANDBOX/NAME; both are names and lead nowhere else. */
static int open_parts(const struct store *s, char *id)
{
	char *slash = strchr(id, '/');
	int home, all, dir;

	if (!slash)
		return -1;
	*slash = '\0';
	if (!store_valid_id(id) || object_name_check(slash + 1))
		return -1;
	home = openat(s->dir, id, OPEN_DIR);
	all = home < 0 ? -1 : openat(home, "snapshots", OPEN_DIR);
	dir = all < 0 ? -1 : openat(all, slash + 1, OPEN_DIR);
	if (home >= 0)
		close(home);
	if (all >= 0)
		close(all);
	return dir;
}

int snapshot_open(const struct store *s, const char *id, struct source *ret, struct error *err)
{
	char copy[SNAPSHOT_ID_MAX + 1];
	struct snapshot_meta meta;
	struct error why;
	struct stat st;
	int dir = -1;

	if (strlen(id) <= SNAPSHOT_ID_MAX) {
		strcpy(copy, id);
		dir = open_parts(s, copy);
	}
	/* Who deletes it has the lock alone, and leaves a directory without a name. */
	if (dir < 0 || flock(dir, LOCK_SH | LOCK_NB) || fstat(dir, &st) || st.st_nlink == 0 ||
	    snapshot_meta_read(dir, &meta, &why)) {
		if (dir >= 0)
			close(dir);
		return no_such(id, err);
	}
	ret->dir = dir;
	ret->layer = meta.layer;
	strcpy(ret->image, meta.image);
	return 0;
}

static int make_and_open(struct instance *i, const char *name)
{
	int fd = -1;

	if (mkdirat(i->home.dir, name, 0755) == 0)
		fd = openat(i->home.dir, name, OPEN_DIR);
	if (fd < 0)
		error_errno(&i->error, errno, errno == ENOSPC ? "NO_SPACE" : "IMAGE_FAILED",
			    "cannot make the sandbox's root");
	return fd;
}

/* A copy of root/ or upper/ of the snapshot; it is in *ret_fd. */
static int copy_from(struct instance *i, const struct source *source, const char *name, int *ret_fd)
{
	struct copying copying = {.unwanted = instance_is_going, .arg = i, .lift = true};
	int from = openat(source->dir, name, OPEN_DIR);
	int to = make_and_open(i, name);
	int rc = -1;

	if (from < 0)
		error_errno(&i->error, errno, "IMAGE_FAILED", "the snapshot");
	else if (to >= 0)
		rc = copy_tree(from, to, i->home.dir, &copying, &i->error);
	if (from >= 0)
		close(from);
	if (rc && to >= 0)
		close(to);
	*ret_fd = to;
	return rc;
}

static int make_from(struct instance *i, const struct source *source, bool network, struct arguments *args)
{
	const char *name = source->layer ? "upper" : "root";
	int fd = -1, rc;

	if (source->layer && (mkdirat(i->home.dir, "work", 0755) || mkdirat(i->home.dir, "root", 0755)))
		return error_errno(&i->error, errno, "IMAGE_FAILED", "cannot make the sandbox's root");
	rc = copy_from(i, source, name, &fd);
	if (rc)
		return rc;
	rc = image_is_host(source->image) ? image_host(fd, network, true, args, &i->error)
					  : image_again(fd, network, &i->error);
	close(fd);
	return rc;
}

int fork_root(struct instance *i, bool network, struct arguments *args, bool *ret_layer)
{
	struct source source;
	int rc =
	    snapshot_open(&i->local->store, config_text(&i->meta.config, CONFIG_FROM), &source, &i->error);

	if (rc)
		return rc;
	rc = config_set(&i->meta.config, CONFIG_IMAGE, source.image, &i->error);
	if (!rc)
		rc = make_from(i, &source, network, args);
	*ret_layer = source.layer;
	close(source.dir);
	return rc;
}

int snapshot_check(const struct store *s, const struct config *c, struct error *err)
{
	const char *id = config_text(c, CONFIG_FROM), *image = config_text(c, CONFIG_IMAGE);
	struct source source;
	int rc;

	if (!id[0])
		return 0;
	rc = snapshot_open(s, id, &source, err);
	if (rc)
		return rc;
	close(source.dir);
	if (!image_is_host(image) && strcmp(image, source.image) != 0)
		return error_set(err, EINVAL, "INVALID_VALUE",
				 "from: the snapshot is of image %.200s, not %.200s", source.image, image);
	return image_check(source.image, err);
}
