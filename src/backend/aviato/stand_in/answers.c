/* Answers about files, from what the helper says to what the protocol has. */
#include "backend/aviato/stand_in/files.h"

#include "files/link.h"

#include <errno.h>
#include <string.h>

int file_work_text(uint32_t depth, const uint8_t *raw, uint32_t len, char ret[PATH_MAX])
{
	char stored[PATH_MAX];

	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(stored, raw, len);
	stored[len] = '\0';
	if (depth != FILE_LINK_RAW) /* nobody here can walk there: ".." behind a name is taken as it stands */
		return files_link_text(-1, -1, depth, stored, ret);
	memcpy(ret, stored, len + 1);
	return (int)len;
}

static int take_attr(struct file_work *w, struct helper_output *o)
{
	uint32_t text_len;
	const uint8_t *text;
	int rc = helper_attr(o, &w->reply.attr, &text, &text_len);

	if (rc || !S_ISLNK(w->reply.attr.st_mode))
		return rc;
	rc = file_work_text(w->q.depth, text, text_len, w->text);
	if (rc < 0)
		return rc == -EPROTO ? -EIO : rc;
	w->reply.text = (const uint8_t *)w->text;
	w->reply.text_len = (uint32_t)rc;
	return 0;
}

static int take_stat(struct helper_output *o, struct stat *ret)
{
	uint32_t text_len;
	const uint8_t *text;

	return helper_attr(o, ret, &text, &text_len);
}

static int take_parent(struct file_work *w, struct helper_output *o)
{
	return take_stat(o, &w->reply.parent);
}

static int take_made(struct file_work *w, struct helper_output *o)
{
	int rc = take_attr(w, o);

	return rc ? rc : take_parent(w, o);
}

static int take_renamed(struct file_work *w, struct helper_output *o)
{
	char from[PATH_MAX], path[PATH_MAX];
	struct held *dir, *to;
	int rc = take_parent(w, o);

	rc = rc ? rc : take_stat(o, &w->reply.other);
	if (!rc && !handles_find(&w->files->handles, w->q.handle, &dir) &&
	    !handles_find(&w->files->handles, w->q.other, &to) && !file_child_path(dir, w->q.name, from) &&
	    !file_child_path(to, w->q.other_name, path))
		handles_move(&w->files->handles, from, path);
	return rc;
}

static int take_attrs(struct file_work *w, struct helper_output *o)
{
	struct held *file;
	struct stat st;
	int rc = 0, told, known;

	for (uint32_t i = 0; i < w->q.handle_count && !rc; i++) {
		told = take_stat(o, &st);
		if (told == -EPROTO)
			return told;
		known = handles_find(&w->files->handles, file_handle(&w->q, i), &file);
		told = known ? known : told;
		rc = file_list_put_attr(&w->rest, (uint32_t)-told, &st);
	}
	return rc;
}

static int take_link(struct file_work *w, struct helper_output *o)
{
	int rc = take_attr(w, o);

	return !rc && !S_ISLNK(w->reply.attr.st_mode) ? -EINVAL : rc;
}

static int take_statfs(struct file_work *w, struct helper_output *o)
{
	return helper_statfs(o, &w->reply.statfs);
}

static int take_nothing(struct file_work *w, struct helper_output *o)
{
	(void)w;
	return helper_nothing(o);
}

static int take_bytes(struct file_work *w, struct helper_output *o)
{
	return helper_bytes(o, w->q.offset, (size_t)w->q.length, &w->rest);
}

static int take_written(struct file_work *w, struct helper_output *o)
{
	int rc = take_stat(o, &w->reply.attr);

	w->reply.value =
	    w->q.bits & FILE_OPEN_APPEND ? (uint64_t)w->reply.attr.st_size : w->q.offset + w->q.data_len;
	return rc;
}

/* Without holes: those a file has are not to be seen from here. */
static int take_seek(struct file_work *w, struct helper_output *o)
{
	int rc = take_stat(o, &w->reply.attr);
	uint64_t size = (uint64_t)w->reply.attr.st_size;

	if (!rc && w->q.offset >= size)
		return -ENXIO;
	w->reply.value = w->q.bits == FILE_SEEK_HOLE ? size : w->q.offset;
	return rc;
}

static int (*const answers[FILE_OPS])(struct file_work *w, struct helper_output *o) = {
    [FILE_LOOKUP] = take_attr,	  [FILE_GETATTR] = take_attrs, [FILE_READLINK] = take_link,
    [FILE_ACCESS] = take_nothing, [FILE_STATFS] = take_statfs, [FILE_MKNOD] = take_made,
    [FILE_MKDIR] = take_made,	  [FILE_SYMLINK] = take_made,  [FILE_LINK] = take_made,
    [FILE_UNLINK] = take_parent,  [FILE_RMDIR] = take_parent,  [FILE_RENAME] = take_renamed,
    [FILE_SETATTR] = take_attr,	  [FILE_OPEN] = take_attr,     [FILE_CREATE] = take_made,
    [FILE_OPENDIR] = take_attr,	  [FILE_READ] = take_bytes,    [FILE_WRITE] = take_written,
    [FILE_FSYNC] = take_nothing,  [FILE_LSEEK] = take_seek,    [FILE_READDIR] = file_work_answer_list,
};

static bool makes(const struct file_work *w, uint64_t ret[2])
{
	ret[0] = w->programs || w->q.fresh == FILE_NO_HANDLE ? 0 : w->q.fresh;
	ret[1] = w->programs ? 0 : w->q.fresh_file;
	return ret[0] || ret[1];
}

void file_work_undo(struct file_work *w, int error)
{
	uint64_t made[2];

	if (makes(w, made))
		for (int i = 0; i < 2; i++)
			if (made[i])
				handles_fail(&w->files->handles, made[i], error);
}

int file_work_answer(struct file_work *w, struct helper_output *o)
{
	struct handles *handles = &w->files->handles;
	uint64_t made[2];
	int rc;

	w->rest.len = 0;
	if (w->programs)
		return helper_programs(o, &w->rest);
	rc = answers[w->q.op](w, o);
	if (rc == -EPROTO)
		return rc;
	if (rc)
		file_work_undo(w, rc);
	if (!rc && makes(w, made))
		for (int i = 0; i < 2; i++)
			if (made[i])
				handles_see(handles, made[i], &w->reply.attr);
	if (!rc && (w->q.op == FILE_SETATTR || w->q.op == FILE_WRITE))
		handles_see(handles, w->q.handle, &w->reply.attr);
	return rc;
}
