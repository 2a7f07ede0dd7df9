/* Requests about files, each as a line for the helper. */
#include "backend/aviato/stand_in/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GETATTR_MAX 512u

/* --- Words --- */

static int held_of(const struct file_work *w, uint64_t number, struct held **ret)
{
	return handles_find(&w->files->handles, number, ret);
}

static void add_id(struct file_words *words, const struct held *h)
{
	char id[48];

	snprintf(id, sizeof id, "%llu.%llu", (unsigned long long)h->dev, (unsigned long long)h->ino);
	file_words_add(words, h->ino ? id : "0");
}

static void add_mode(struct file_words *words, uint32_t mode)
{
	char text[16];

	snprintf(text, sizeof text, "%05o", mode & 07777);
	file_words_add(words, text);
}

int file_work_number(struct file_work *w, const char *path)
{
	const struct file_request *q = &w->q;
	struct handles *handles = &w->files->handles;
	int rc = 0;

	if (q->fresh && q->fresh != FILE_NO_HANDLE)
		rc = handles_add(handles, q->fresh, path);
	if (!rc && q->fresh_file)
		rc = handles_add(handles, q->fresh_file, path);
	return rc;
}

int file_child_path(const struct held *dir, const char *name, char ret[PATH_MAX])
{
	const char *path = strcmp(dir->path, "/") == 0 ? "" : dir->path;

	return snprintf(ret, PATH_MAX, "%s/%s", path, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* "LETTER PATH" of the file it is about. */
static int add_path(struct file_work *w, struct file_words *words, const char *letter)
{
	struct held *file;
	int rc = held_of(w, w->q.handle, &file);

	if (rc)
		return rc;
	file_words_add(words, letter);
	file_words_add(words, file->path);
	return 0;
}

/* "LETTER PATH ID": it, and no other under that path. */
static int add_file(struct file_work *w, struct file_words *words, const char *letter)
{
	struct held *file;
	int rc = add_path(w, words, letter);

	rc = rc ? rc : held_of(w, w->q.handle, &file);
	if (!rc)
		add_id(words, file);
	return rc;
}

/* "LETTER DIRECTORY PATH"; the path may get a number. */
static int add_name(struct file_work *w, struct file_words *words, const char *letter)
{
	char path[PATH_MAX];
	struct held *dir;
	int rc = held_of(w, w->q.handle, &dir);

	if (!rc)
		rc = file_child_path(dir, w->q.name, path);
	rc = rc ? rc : file_work_number(w, path);
	if (rc)
		return rc;
	file_words_add(words, letter);
	if (w->q.op != FILE_LOOKUP)
		file_words_add(words, dir->path);
	file_words_add(words, path);
	return 0;
}

static int ask_lookup(struct file_work *w, struct file_words *words)
{
	return add_name(w, words, "s");
}

static int ask_getattr(struct file_work *w, struct file_words *words)
{
	struct held *file;

	if (w->q.handle_count > GETATTR_MAX)
		return -E2BIG;
	/* One answer to each, also to those that are not known. */
	for (uint32_t i = 0; i < w->q.handle_count; i++) {
		if (i == 0)
			file_words_add(words, "S");
		file_words_add(words, held_of(w, file_handle(&w->q, i), &file) ? "" : file->path);
	}
	return 0;
}

/* What a link says, and how far a file goes, stands with its attributes. */
static int ask_attributes(struct file_work *w, struct file_words *words)
{
	return add_path(w, words, "s");
}

static int ask_statfs(struct file_work *w, struct file_words *words)
{
	return add_path(w, words, "f");
}

static int ask_opendir(struct file_work *w, struct file_words *words)
{
	struct held *dir;
	int rc = held_of(w, w->q.handle, &dir);

	if (!rc)
		rc = file_work_number(w, dir->path);
	return rc ? rc : add_path(w, words, "s");
}

static int ask_access(struct file_work *w, struct file_words *words)
{
	char tests[16];
	int rc = add_path(w, words, "A");

	snprintf(tests, sizeof tests, "%s%s%s", w->q.bits & R_OK ? "-r " : "", w->q.bits & W_OK ? "-w " : "",
		 w->q.bits & X_OK ? "-x " : "");
	if (!rc)
		file_words_add(words, tests);
	return rc;
}

static int ask_made(struct file_work *w, struct file_words *words, const char *letter)
{
	int rc = add_name(w, words, letter);

	if (!rc)
		add_mode(words, w->q.mode);
	return rc;
}

static int ask_mknod(struct file_work *w, struct file_words *words)
{
	mode_t type = w->q.mode & S_IFMT;

	if (type && type != S_IFREG && type != S_IFIFO)
		return type == S_IFSOCK ? -EOPNOTSUPP : -EPERM;
	return ask_made(w, words, type == S_IFIFO ? "p" : "n");
}

static int ask_mkdir(struct file_work *w, struct file_words *words)
{
	return ask_made(w, words, "m");
}

static int ask_create(struct file_work *w, struct file_words *words)
{
	int rc = ask_made(w, words, "c");

	if (rc)
		return rc;
	file_words_add(words, w->q.bits & FILE_OPEN_EXCL ? "x" : "-");
	file_words_add(words, w->q.bits & FILE_OPEN_TRUNC ? "t" : "-");
	return 0;
}

static int ask_symlink(struct file_work *w, struct file_words *words)
{
	int rc = add_name(w, words, "y");

	if (!rc)
		file_words_add(words, w->q.text);
	return rc;
}

static int ask_link(struct file_work *w, struct file_words *words)
{
	struct held *file;
	int rc = held_of(w, w->q.other, &file);

	rc = rc ? rc : add_name(w, words, "h");
	if (!rc)
		file_words_add(words, file->path);
	return rc;
}

static int ask_unlink(struct file_work *w, struct file_words *words)
{
	return add_name(w, words, "u");
}

static int ask_rmdir(struct file_work *w, struct file_words *words)
{
	return add_name(w, words, "x");
}

#define NOREPLACE 1u /* RENAME_NOREPLACE */

static int ask_rename(struct file_work *w, struct file_words *words)
{
	char path[PATH_MAX];
	struct held *to;
	int rc = held_of(w, w->q.other, &to);

	if (w->q.bits & ~NOREPLACE)
		return -EINVAL; /* as file systems say that cannot exchange */
	rc = rc ? rc : file_child_path(to, w->q.other_name, path);
	rc = rc ? rc : add_name(w, words, "v");
	if (rc)
		return rc;
	file_words_add(words, to->path);
	file_words_add(words, path);
	file_words_add(words, w->q.bits & NOREPLACE ? "1" : "0");
	return 0;
}

static void add_moment(struct file_words *words, bool set, bool now, int64_t ns)
{
	char text[40];
	int64_t s = ns / 1000000000, rest = ns % 1000000000;

	if (rest < 0) {
		rest += 1000000000;
		s--;
	}
	/* -1.25 is -2 and 75 hundredths to us, and just that to touch. */
	if (s < 0 && rest) {
		s++;
		rest = 1000000000 - rest;
		snprintf(text, sizeof text, "-%lld.%09lld", (long long)-s, (long long)rest);
	} else {
		snprintf(text, sizeof text, "%lld.%09lld", (long long)s, (long long)rest);
	}
	file_words_add(words, now ? "now" : set ? text : "-");
}

static int ask_setattr(struct file_work *w, struct file_words *words)
{
	const struct file_request *q = &w->q;
	char owner[32] = "-";
	int rc = add_file(w, words, "t");

	if (rc)
		return rc;
	if (q->bits & FILE_SET_SIZE)
		file_words_add_number(words, q->length);
	else
		file_words_add(words, "-");
	if (q->bits & FILE_SET_UID)
		snprintf(owner, sizeof owner, "%u", q->uid);
	if (q->bits & FILE_SET_GID)
		snprintf(owner + (q->bits & FILE_SET_UID ? strlen(owner) : 0), 12, ":%u", q->gid);
	file_words_add(words, owner);
	if (q->bits & FILE_SET_MODE)
		add_mode(words, q->mode);
	else
		file_words_add(words, "-");
	add_moment(words, q->bits & FILE_SET_ATIME, q->bits & FILE_SET_ATIME_NOW, q->atime);
	add_moment(words, q->bits & FILE_SET_MTIME, q->bits & FILE_SET_MTIME_NOW, q->mtime);
	return 0;
}

static int ask_open(struct file_work *w, struct file_words *words)
{
	bool reads = w->q.bits & FILE_OPEN_READ, writes = w->q.bits & FILE_OPEN_WRITE;
	struct held *file;
	int rc = held_of(w, w->q.handle, &file);

	if (!rc)
		rc = file_work_number(w, file->path);
	rc = rc ? rc : add_file(w, words, "o");
	if (rc)
		return rc;
	file_words_add(words, w->q.bits & FILE_OPEN_TRUNC ? "t" : "-");
	file_words_add(words, writes && reads ? "-r -w" : writes ? "-w" : "-r");
	return 0;
}

static int ask_read(struct file_work *w, struct file_words *words)
{
	int rc = add_file(w, words, "r");

	if (rc)
		return rc;
	file_words_add_number(words, w->q.offset);
	file_words_add_number(words, w->q.length);
	return 0;
}

static int ask_write(struct file_work *w, struct file_words *words)
{
	int rc = add_file(w, words, "w");

	if (rc)
		return rc;
	if (w->q.bits & FILE_OPEN_APPEND)
		file_words_add(words, "+");
	else
		file_words_add_number(words, w->q.offset);
	file_words_add_number(words, w->q.data_len);
	return 0;
}

static int ask_fsync(struct file_work *w, struct file_words *words)
{
	if (w->q.bits & FILE_FSYNC_CLOSE)
		return FILE_WORK_DONE; /* nothing is held back here */
	return add_file(w, words, "k");
}

static int ask_release(struct file_work *w, struct file_words *words)
{
	(void)words;
	for (uint32_t i = 0; i < w->q.handle_count; i++) {
		file_listings_drop(w->files, file_handle(&w->q, i));
		handles_drop(&w->files->handles, file_handle(&w->q, i));
	}
	return FILE_WORK_DONE;
}

static int ask_programs(struct file_work *w, struct file_words *words)
{
	file_words_add(words, "b");
	file_words_add(words, w->path);
	file_words_add(words, w->name);
	return 0;
}

/* What has no line is not to be had without an agent. */
static const struct {
	int (*ask)(struct file_work *w, struct file_words *words);
	bool looks;
} requests[FILE_OPS] = {
    [FILE_LOOKUP] = {ask_lookup, true},
    [FILE_GETATTR] = {ask_getattr, true},
    [FILE_READLINK] = {ask_attributes, true},
    [FILE_ACCESS] = {ask_access, true},
    [FILE_STATFS] = {ask_statfs, true},
    [FILE_MKNOD] = {ask_mknod, false},
    [FILE_MKDIR] = {ask_mkdir, false},
    [FILE_SYMLINK] = {ask_symlink, false},
    [FILE_LINK] = {ask_link, false},
    [FILE_UNLINK] = {ask_unlink, false},
    [FILE_RMDIR] = {ask_rmdir, false},
    [FILE_RENAME] = {ask_rename, false},
    [FILE_SETATTR] = {ask_setattr, false},
    [FILE_OPEN] = {ask_open, false},
    [FILE_CREATE] = {ask_create, false},
    [FILE_OPENDIR] = {ask_opendir, true},
    [FILE_READ] = {ask_read, true},
    [FILE_WRITE] = {ask_write, false},
    [FILE_FSYNC] = {ask_fsync, true},
    [FILE_LSEEK] = {ask_attributes, true},
    [FILE_READDIR] = {file_work_ask_list, true},
    [FILE_RELEASE] = {ask_release, false},
};

int file_work_ask(struct file_work *w, struct file_words *words)
{
	if (w->programs)
		return ask_programs(w, words);
	return requests[w->q.op].ask ? requests[w->q.op].ask(w, words) : -EOPNOTSUPP;
}

bool file_work_looks(const struct file_work *w)
{
	if (!w->programs && w->q.op == FILE_OPEN)
		return !(w->q.bits & FILE_OPEN_TRUNC);
	return w->programs || requests[w->q.op].looks;
}

bool file_work_holds(const struct file_work *w)
{
	return !w->programs && w->q.op == FILE_RENAME;
}
