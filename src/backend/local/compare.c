#include "backend/local/compare.h"

#include "backend/local/differences.h"
#include "backend/local/image.h"
#include "backend/local/instance.h"
#include "backend/local/long_work.h"
#include "backend/local/patch.h"
#include "backend/local/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct job {
	struct instance *instance;
	struct comparison *comparison;
	bool patch;
	unsigned long number;
	struct sheet sheet;
	struct error error;
};

static bool is_unwanted(void *arg)
{
	const struct job *j = arg;

	return comparison_unwanted(j->comparison) || instance_is_going(j->instance);
}

/* What is gone and is new as something else is one line. */
static int put_path(struct sheet *s, const struct difference *d)
{
	int rc;

	if (d->replaces)
		return 0;
	rc = sheet_path(s, "", d->path);
	return rc ? rc : sheet_puts(s, "\n");
}

static int each(void *arg, const struct difference *d)
{
	struct job *j = arg;

	return j->patch ? patch_add(&j->sheet, d, is_unwanted, j) : put_path(&j->sheet, d);
}

static int fail(struct job *j, int code)
{
	if (code == ECANCELED)
		return error_set(&j->error, ECANCELED, "CANCELED", "the comparison was given up");
	if (code == EFBIG)
		return error_set(&j->error, EFBIG, "TOO_LARGE", "the differences fill more than %u MiB",
				 SHEET_MAX >> 20);
	if (code == ENOENT && j->patch)
		return error_set(&j->error, ENOENT, "DIFF_MISSING",
				 "diff is not installed: apt install diffutils");
	return error_errno(&j->error, code, "COMPARE_FAILED", "cannot compare the root with its image");
}

/* --- What the root was made of --- */

static int make_and_open(int dir, const char *name)
{
	if (mkdirat(dir, name, 0700) && errno != EEXIST)
		return -1;
	return openat(dir, name, OPEN_DIR);
}

/* Made anew in `fresh`, as it is made for a sandbox that starts. */
static int make_base(struct job *j, int fresh, struct differing *d)
{
	const struct config *c = &j->instance->meta.config;
	bool network = !strcmp(config_text(c, CONFIG_NETWORK), "host");
	const char *image = config_text(c, CONFIG_IMAGE);
	struct arguments unused;
	int rc;

	if (!image_is_host(image)) {
		d->base = open(image, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d->base < 0)
			return error_errno(&j->error, errno, "IMAGE_MISSING", "image: %.200s", image);
		d->ours = fcntl(fresh, F_DUPFD_CLOEXEC, 0);
		return image_ours(fresh, d->base, network, &j->error);
	}
	d->base = fcntl(fresh, F_DUPFD_CLOEXEC, 0);
	arguments_init(&unused);
	rc = image_host(fresh, network, false, &unused, &j->error);
	arguments_free(&unused);
	return rc;
}

static void compare_with(struct job *j, int fresh)
{
	int home = j->instance->home.dir;
	struct differing d = {.base = -1,
			      .ours = -1,
			      .layer = faccessat(home, "upper", F_OK, AT_SYMLINK_NOFOLLOW) == 0,
			      .all_gone = j->patch,
			      .each = each,
			      .unwanted = is_unwanted,
			      .arg = j};
	long rc;

	d.root = openat(home, d.layer ? "upper" : "root", OPEN_DIR);
	if (make_base(j, fresh, &d) == 0) {
		rc = differences(&d);
		rc = rc ? rc : sheet_flush(&j->sheet);
		if (rc < 0)
			fail(j, (int)-rc);
	}
	if (d.root >= 0)
		close(d.root);
	if (d.base >= 0)
		close(d.base);
	if (d.ours >= 0)
		close(d.ours);
}

static int new_file(int home)
{
	int fd = openat(home, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("aviatofs-comparison", MFD_CLOEXEC);
}

static void work(void *arg)
{
	struct job *j = arg;
	int all = make_and_open(j->instance->home.dir, "compare");
	char name[24];
	int fresh;

	snprintf(name, sizeof name, "%lu", j->number);
	fresh = all < 0 ? -1 : make_and_open(all, name);
	sheet_init(&j->sheet, new_file(j->instance->home.dir));
	if (fresh < 0 || j->sheet.file < 0)
		fail(j, errno);
	else
		compare_with(j, fresh);
	if (fresh >= 0)
		close(fresh);
	if (all >= 0) {
		remove_tree(all, name);
		close(all);
	}
	sheet_free(&j->sheet);
}

static void done(void *arg)
{
	struct job *j = arg;
	int file = j->sheet.file;

	if (j->error.code && file >= 0) {
		close(file);
		file = -1;
	}
	core_lock();
	comparison_done(j->comparison, file, j->error.code ? &j->error : NULL);
	instance_idle(j->instance);
	core_unlock();
	free(j);
}

void local_compare(struct backend *b, struct comparison *c)
{
	static unsigned long number;
	struct instance *i = sandbox_instance(comparison_sandbox(c));
	struct job *j = calloc(1, sizeof *j);
	struct error err;

	(void)b;
	if (i && j && (i->phase == PHASE_RUNNING || (i->phase == PHASE_ENDED && i->home.dir >= 0))) {
		j->instance = i;
		j->comparison = c;
		j->patch = comparison_kind(c) == COMPARE_PATCH;
		j->number = ++number;
		i->busy++;
		if (long_work(work, done, j) == 0)
			return;
		i->busy--;
	}
	error_set(&err, j ? ESHUTDOWN : ENOMEM, j ? "SANDBOX_ENDED" : "NO_MEMORY",
		  j ? "nothing is left of the sandbox" : "out of memory");
	free(j);
	comparison_done(c, -1, &err);
}
